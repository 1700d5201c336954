"""``protgm prepare``: a folder of structure files to a dataset.

Cheap to import; what does the work (`protgm.data.build`) is imported when it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from protgm.checks import check_path
from protgm.data.filters import Filters

__all__ = ["CLUSTERINGS", "Summary", "prepare"]

CLUSTERINGS = ("auto", "mmseqs", "kmers")


@dataclass(frozen=True)
class Summary:
    """What a prepare did.

    Parameters
    ----------
    files, entries, clusters : int
    splits : dict of str to int
        Entries in each.
    rejected : dict of str to int
        Files and chains left out, by reason, the most frequent first.
    left_out : int
        Files that hold more than was read of them (residues without CA, atoms twice); ``rejected.csv`` says what.
    seconds : float
        Wall-clock time of this call.
    read : int
        Files that this call read; fewer than ``files`` where an interrupted run had read some before.
    unchanged : bool
        Whether the wanted dataset was there already.
    notes : tuple of str
        What else there is to know: clusters that the manifest cuts, a program that failed.
    """

    files: int
    entries: int
    clusters: int
    splits: dict[str, int]
    rejected: dict[str, int]
    seconds: float
    read: int
    unchanged: bool = False
    notes: tuple[str, ...] = ()
    left_out: int = 0

    def __str__(self) -> str:
        splits = ", ".join(f"{count} {name}" for name, count in self.splits.items())
        lines = [f"{self.entries} entries in {self.clusters} clusters ({splits}) from {self.files} files"]
        lines += [f"  {count:>7} rejected: {reason}" for reason, count in self.rejected.items()]
        if self.left_out:
            lines.append(f"  {self.left_out:>7} files with parts left out: see rejected.csv")
        lines += [f"  note: {note}" for note in self.notes]
        if self.unchanged:
            lines.append("was prepared before from the same files with the same settings: left as it is")
        else:
            lines.append(f"{self.read} files read in {self.seconds:.1f} s: {self.read / self.seconds:.3g} files/s")
        return "\n".join(lines)


def prepare(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    filters: Filters | None = None,
    manifest: str | PathLike[str] | None = None,
    complexes: bool = False,
    workers: int | None = None,
    val_share: float = 0.05,
    test_share: float = 0.0,
    clustering: str = "auto",
    progress: bool = True,
) -> Summary:
    """Make a dataset of the structure files below a folder, or in a tar file.

    The result depends on the files and the settings alone, not on the number of workers or on interruptions. When it is
    stopped, however hard, the next call with the same arguments goes on where it was; a dataset that is already
    in ``out`` stays whole until the new one replaces it.

    Parameters
    ----------
    source : path
        Folder; .pdb, .ent, .cif, .mmcif and .bcif files below it are read, each possibly compressed (.gz, .bz2, .xz,
        .zst). Or an uncompressed tar file of such files.
    out : path
        Folder for the dataset, to be read with `protgm.data.Dataset`. ``rejected.csv`` in it names every file and chain
        that was left out, with the reason, and what was left out of others.
    filters : Filters, optional
    complexes : bool
        Keep the chains of a file together, as one entry; otherwise each is an entry of its own.
    manifest : path, optional
        CSV with clusters and splits (see `protgm.data.manifest.read_manifest`); ``manifest.csv`` in ``source`` by
        default, where there is one. What it does not name is clustered by sequence; rows that name nothing of the
        source are in ``rejected.csv``.
    workers : int, optional
        Processes; by default one per core.
    val_share, test_share : float
        Shares of the clusters without a split in the manifest that go to validation and test.
    clustering : str
        How sequences that the manifest does not name are clustered: ``mmseqs`` (at 30 % identity by alignment, with the
        program MMseqs2), ``kmers`` (at about 50 %, with no program) or ``auto``: the former where it is installed and
        does not fail. A sequence that is mostly one letter, as generators write, is a cluster of its own.
    progress : bool
        Show a progress bar, or lines where there is no terminal, on stderr.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        If an argument is out of range, there is nothing to read, the manifest is wrong, no chain passes the filters, or
        another process writes to ``out``.
    """
    check_path("source", source)
    check_path("out", out)
    filters = filters or Filters()
    if val_share < 0 or test_share < 0 or not val_share + test_share < 1:
        raise ValueError(
            f"val_share and test_share must be 0 or more and below 1 together, got {val_share} and {test_share}"
        )
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if clustering not in CLUSTERINGS:
        raise ValueError(f"clustering must be one of {', '.join(CLUSTERINGS)}, got {clustering!r}")
    from protgm.data.build import build

    return build(
        source,
        out,
        filters=filters,
        complexes=complexes,
        manifest=manifest,
        workers=workers,
        val_share=val_share,
        test_share=test_share,
        clustering=clustering,
        progress=progress,
    )
