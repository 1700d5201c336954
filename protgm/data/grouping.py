"""Cluster and split of every entry: as the manifest says, else by sequences; alone where a sequence says nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from protgm.data.clusters import cluster_sequences, split_of
from protgm.data.manifest import Manifest
from protgm.data.mmseqs import ClusteringFailed, cluster_by_alignment
from protgm.data.schema import SPLITS

__all__ = ["Entries", "cluster_entries", "says_nothing", "split_entries"]

#: Share of one letter above which a sequence is that of no protein: a generator's glycines, with a motif or without.
_MONOTONOUS = 0.5


@dataclass
class Entries:
    """What is kept of all entries at once, in their order.

    Parameters
    ----------
    rows : list of (str, str)
        File and chain.
    sequences : list of str
    alone : list of (str or None)
        Where a sequence says nothing, the name of a cluster for structures with these very coordinates.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    alone: list[str | None] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch of `protgm.data.schema.SCHEMA`."""
        files, chains = batch.column("source").to_pylist(), batch.column("chain").to_pylist()
        sequences = batch.column("sequence").to_pylist()
        self.rows += zip(files, chains, strict=True)
        self.sequences += sequences
        coords = batch.column("coords")
        for row, sequence in enumerate(sequences):
            label = None
            if says_nothing(sequence):
                atoms = coords[row].values.to_numpy(zero_copy_only=False)
                label = "s" + hashlib.sha256(atoms.tobytes()).hexdigest()[:12]
            self.alone.append(label)


def says_nothing(sequence: str) -> bool:
    """Whether most of a sequence is one letter, or is not known: then it does not tell what is kin to what."""
    return max(sequence.count(letter) for letter in set(sequence)) > _MONOTONOUS * len(sequence) if sequence else True


def cluster_entries(
    entries: Entries, known: Manifest, clustering: str, *, workers: int, or_kmers: bool
) -> tuple[list[str], str]:
    """A cluster for every entry.

    Parameters
    ----------
    entries : Entries
    known : Manifest
        Its clusters go first.
    clustering : str
        ``mmseqs`` or ``kmers``, for sequences that it does not name.
    workers : int
    or_kmers : bool
        Cluster by k-mers where MMseqs2 fails.

    Returns
    -------
    list of str
    str
        A note for the user; empty where there is nothing to say.
    """
    labels = [known.row(*row).cluster for row in entries.rows]
    labels = [alone if label is None else label for label, alone in zip(labels, entries.alone, strict=True)]
    # What says nothing is not shown to the programs: it is kin to all that has many of its letter.
    telling = [i for i, alone in enumerate(entries.alone) if alone is None]
    sequences, decided, note = [entries.sequences[i] for i in telling], [labels[i] for i in telling], ""
    found: list[str]
    try:
        if clustering == "mmseqs":
            found = cluster_by_alignment(sequences, decided, threads=workers)
        else:
            found = cluster_sequences(sequences, decided)
    except ClusteringFailed as error:
        if not or_kmers:
            raise
        note = f"{str(error).split(';')[0]}; clustered by k-mers instead"
        found = cluster_sequences(sequences, decided)
    for i, label in zip(telling, found, strict=True):
        labels[i] = label
    return [str(label) for label in labels], note


def split_entries(
    entries: Entries, clusters: Sequence[str], known: Manifest, val_share: float, test_share: float
) -> tuple[list[str], str]:
    """A split for every entry: that of its row in the manifest, that of kin which is named there, or by its cluster.

    Returns
    -------
    list of str
    str
        A note where the manifest cuts clusters; empty where it does not.
    """
    stated = [known.row(*row).split for row in entries.rows]
    of_cluster: dict[str, set[str]] = {cluster: {split} for cluster, split in known.splits.items()}
    for cluster, split in zip(clusters, stated, strict=True):
        if split is not None:
            of_cluster.setdefault(cluster, set()).add(split)
    splits = []
    for cluster, split in zip(clusters, stated, strict=True):
        kin = of_cluster.get(cluster, ())
        # Beside kin in several splits, an entry that nothing is said of goes to the first, training: never to a test.
        splits.append(split or next((s for s in SPLITS if s in kin), split_of(cluster, val_share, test_share)))
    cut = [cluster for cluster in dict.fromkeys(clusters) if len(of_cluster.get(cluster, ())) > 1]
    return splits, _cut_note(cut)


def _cut_note(cut: Iterable[str]) -> str:
    count = len(list(cut))
    if not count:
        return ""
    what = "cluster of similar sequences lies" if count == 1 else "clusters of similar sequences lie"
    return f"{count} {what} in more than one split, as the manifest has it"
