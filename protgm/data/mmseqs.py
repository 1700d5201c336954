"""Clusters by alignment, through the program MMseqs2 (Steinegger & Soeding 2017) where it is installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from protgm.text import printable

__all__ = ["ClusteringFailed", "cluster_by_alignment", "mmseqs_program"]

#: Least identity and least share of both sequences that the alignment to the representative covers.
MIN_IDENTITY = 0.3
MIN_COVERAGE = 0.8


class ClusteringFailed(ValueError):
    """MMseqs2 is not installed, or failed."""


def mmseqs_program() -> str | None:
    """Path of ``mmseqs``, or None."""
    return shutil.which("mmseqs")


def cluster_by_alignment(
    sequences: Sequence[str], known: Sequence[str | None] | None = None, *, threads: int = 1
) -> list[str]:
    """A cluster label for every sequence, as in `protgm.data.clusters.cluster_sequences`.

    A sequence without a label gets that of its cluster's first member that has one; a cluster without any is named
    after a hash of its representative's sequence.

    Raises
    ------
    ClusteringFailed
        If MMseqs2 is not installed, or fails.
    """
    labels: list[str | None] = list(known) if known is not None else [None] * len(sequences)
    if all(label is not None for label in labels):
        return [label for label in labels if label is not None]
    of_cluster: dict[int, str] = {}
    representatives = _representatives(sequences, threads)
    for label, representative in zip(labels, representatives, strict=True):
        if label is not None:
            of_cluster.setdefault(representative, label)
    result: list[str] = []
    for label, representative in zip(labels, representatives, strict=True):
        if label is None:
            new = "m" + hashlib.sha256(sequences[representative].encode()).hexdigest()[:12]
            label = of_cluster.setdefault(representative, new)
        result.append(label)
    return result


def _representatives(sequences: Sequence[str], threads: int) -> list[int]:
    """Index of the representative of each sequence."""
    program = mmseqs_program()
    if program is None:
        raise ClusteringFailed("clustering=mmseqs: no program mmseqs found; install MMseqs2 or use clustering=kmers")
    found: list[int] = list(range(len(sequences)))
    with tempfile.TemporaryDirectory(prefix="protgm-") as folder:
        fasta, result = Path(folder, "in.fasta"), Path(folder, "out_cluster.tsv")
        with open(fasta, "w", encoding="ascii", errors="replace") as file:
            file.writelines(f">{i}\n{sequence}\n" for i, sequence in enumerate(sequences))
        command = [program, "easy-cluster", str(fasta), str(Path(folder, "out")), str(Path(folder, "tmp"))]
        command += ["--min-seq-id", str(MIN_IDENTITY), "-c", str(MIN_COVERAGE), "--threads", str(threads), "-v", "1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        except OSError as error:
            raise ClusteringFailed(f"clustering=mmseqs: {program} cannot be run ({error.strerror})") from None
        if done.returncode != 0 or not result.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = printable(said[-1], 200) if said else f"exit status {done.returncode}"
            raise ClusteringFailed(f"clustering=mmseqs: {program} failed ({reason}); clustering=kmers needs no program")
        with open(result, encoding="ascii") as file:
            for line in file:
                representative, member = line.split()
                found[int(member)] = int(representative)
    return found
