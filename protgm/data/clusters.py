"""Clusters of similar sequences where no manifest gives them, and splits that never cut a cluster.

Greedy, as in CD-HIT (Li & Godzik 2006), on k-mers alone: the longest sequence founds a cluster; every next one joins
the founder that shares most of its k-mers, if they are enough, or founds its own. Two sequences of identity p share
about p^k of their k-mers, unrelated ones next to none, so a threshold on that share is one on identity, without an
alignment: about 50 % with the values here. Kin more distant than that is not found; where that matters (a test of
generalisation, say), install MMseqs2 (`protgm.data.mmseqs`) or give clusters in a manifest.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protgm.structure.residues import AMINO_ACIDS

__all__ = ["cluster_sequences", "split_of"]

K = 4
MIN_SHARED = 0.08

_CODE = np.full(256, -1, dtype=np.int64)
_CODE[np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)] = np.arange(len(AMINO_ACIDS))


def _kmers(sequence: str, k: int) -> NDArray[np.int64]:
    """Distinct k-mers without an unknown residue, as sorted numbers."""
    codes = _CODE[np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)]
    if len(codes) < k:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, k)
    known = windows[(windows >= 0).all(axis=1)]
    return np.unique(known @ (len(AMINO_ACIDS) ** np.arange(k)))


def cluster_sequences(
    sequences: Sequence[str],
    known: Sequence[str | None] | None = None,
    *,
    k: int = K,
    min_shared: float = MIN_SHARED,
) -> list[str]:
    """A cluster label for every sequence.

    Parameters
    ----------
    sequences : sequence of str
        One-letter codes.
    known : sequence of (str or None), optional
        Labels that are already decided. Those sequences found or join the clusters of these names, so that what is not
        decided lands beside its kin.
    k : int
        Length of a k-mer.
    min_shared : float
        Share of a sequence's distinct k-mers that the founder of its cluster must have.

    Returns
    -------
    list of str
        A new cluster is named after a hash of its founder's sequence: the same in every run.
    """
    labels: list[str | None] = list(known) if known is not None else [None] * len(sequences)
    if all(label is not None for label in labels):
        return [label for label in labels if label is not None]
    founders: list[str] = []  # label of each founder
    having: dict[int, array[int]] = {}  # k-mer -> founders that have it, 4 bytes each
    same: dict[str, str] = {}  # sequence -> label
    # The decided ones first; then longest first, ties by sequence, so that the order of the files does not matter.
    order = sorted(range(len(sequences)), key=lambda i: (labels[i] is None, -len(sequences[i]), sequences[i]))
    for i in order:
        sequence = sequences[i]
        label = labels[i]
        if label is None:
            label = same.get(sequence)
        kmers = None
        if label is None:
            kmers = _kmers(sequence, k)
            shared = [having[kmer] for kmer in kmers.tolist() if kmer in having]
            if shared:
                counts = np.bincount(np.concatenate([np.frombuffer(s, dtype=np.intc) for s in shared]))
                best = int(counts.argmax())
                if counts[best] >= min_shared * len(kmers):
                    label = founders[best]
        founds = labels[i] is not None or label is None
        if label is None:
            label = "k" + hashlib.sha256(sequence.encode()).hexdigest()[:12]
        if founds and sequence not in same:
            for kmer in (_kmers(sequence, k) if kmers is None else kmers).tolist():
                if kmer not in having:
                    having[kmer] = array("i")
                having[kmer].append(len(founders))
            founders.append(label)
        same.setdefault(sequence, label)
        labels[i] = label
    return [label for label in labels if label is not None]


def split_of(cluster: str, val_share: float, test_share: float) -> str:
    """``train``, ``val`` or ``test``, by a hash of the cluster's name: it stays where it is when other data come in."""
    draw = int.from_bytes(hashlib.sha256(f"split of {cluster}".encode()).digest()[:8]) / 2**64
    if draw < test_share:
        return "test"
    return "val" if draw < test_share + val_share else "train"
