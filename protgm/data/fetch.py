"""``protgm fetch``: entries of the Protein Data Bank to files for ``protgm prepare``.

Files come from a file service over HTTP, several at a time. ``OUT/fetched.jsonl`` gets one line per file, with its
SHA-256: what is in it and on the disk is not fetched again. ``OUT/failed.csv`` names what did not come, and why.
"""

from __future__ import annotations

import csv
import itertools
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from protgm.data.download import Downloaded, Downloader, Failed
from protgm.files import append_lines, atomic, read_lines, sha256, unwritable
from protgm.lock import locked
from protgm.made import check_outputs
from protgm.progress import FileProgress
from protgm.text import printable

__all__ = ["FAILED", "FETCHED", "FORMATS", "Fetched", "fetch", "read_ids"]

FETCHED = "fetched.jsonl"
FAILED = "failed.csv"

#: Where each format is served.
FORMATS = {"bcif": "https://models.rcsb.org", "cif": "https://files.rcsb.org/download"}

_ID = re.compile(r"[0-9][0-9a-z]{3}|pdb_[0-9a-z]{8}")
_MOST_IDS = 10_000_000
_PATIENCE = 1.0  # seconds for what is under way to give up


@dataclass(frozen=True)
class Fetched:
    """What a call came to.

    Parameters
    ----------
    wanted, new, there, failed : int
        Entries asked for; fetched now; there before; that did not come.
    bytes : int
        Fetched now.
    seconds : float
    out : Path
    """

    wanted: int
    new: int
    there: int
    failed: int
    bytes: int
    seconds: float
    out: Path

    def __str__(self) -> str:
        text = (
            f"{self.wanted} entries: {self.new} fetched ({self.bytes / 1e6:.1f} MB in {self.seconds:.0f} s), "
            f"{self.there} there before, {self.failed} failed"
        )
        return f"{text}; see {self.out / FAILED}" if self.failed else text


def read_ids(path: str | PathLike[str]) -> list[str]:
    """PDB codes in a text file, in lower case, each once, in order: divided by spaces, commas or lines; # for notes.

    Raises
    ------
    ValueError
        If the file cannot be read, names nothing, or a word in it is no PDB code.
    """
    shown = printable(path, 1000)
    found: dict[str, None] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                for word in line.split("#", 1)[0].replace(",", " ").split():
                    code = word.lower()
                    if not _ID.fullmatch(code):
                        raise ValueError(
                            f"ids={shown}, line {number}: {printable(word)!s} is no PDB code (as 1abc or pdb_00001abc)"
                        )
                    found[code] = None
                if len(found) > _MOST_IDS:
                    raise ValueError(f"ids={shown}: more than {_MOST_IDS:,} entries")
    except OSError as error:
        raise ValueError(f"ids={shown}: cannot be read: {error.strerror}; a file of PDB codes is wanted") from None
    except UnicodeDecodeError:
        raise ValueError(f"ids={shown}: not a text file") from None
    if not found:
        raise ValueError(f"ids={shown}: names no entry")
    return list(found)


def fetch(
    ids: str | PathLike[str],
    out: str | PathLike[str],
    *,
    format: str = "bcif",
    base: str | None = None,
    connections: int = 8,
    retries: int = 5,
    timeout: float = 30.0,
    backoff: float = 1.0,
    verify: bool = False,
    progress: bool = False,
) -> Fetched:
    """Fetch entries to ``out/ab/1abc.bcif.gz``.

    Parameters
    ----------
    ids : path
        Text file of PDB codes.
    out : path
    format : str
        ``bcif`` or ``cif``.
    base : str, optional
        Address before ``/1abc.bcif.gz``; by default that of the RCSB.
    connections : int
        Files fetched at a time.
    retries, timeout, backoff
        See `Downloader`.
    verify : bool
        Compare the checksums of the files that are there, not their sizes only.

    Raises
    ------
    ValueError
        If an argument is out of range, the list cannot be read, or another process fetches to ``out``.
    OSError
        If ``out`` cannot be written to.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r}: must be one of {', '.join(FORMATS)}")
    base = (FORMATS[format] if base is None else base).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"base={printable(base)}: must start with https:// or http://")
    for name, value, least in (("connections", connections, 1), ("retries", retries, 0)):
        if value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    for name, seconds in (("timeout", timeout), ("backoff", backoff)):
        if not 0 < seconds < float("inf"):
            raise ValueError(f"{name}={seconds} must be a positive number of seconds")
    started = time.monotonic()
    codes, out = read_ids(ids), Path(out)
    check_outputs([Path(ids)], [out / FAILED, out / FETCHED])
    with locked(out, "protgm fetch"):
        _clean(out)
        known = {row.get("file"): row for row in read_lines(out / FETCHED)}
        other = next((row for row in known.values() if not str(row.get("file")).endswith(f".{format}.gz")), None)
        if other is not None:
            before = str(other.get("file")).rsplit(".", 2)[1:2]
            raise ValueError(
                f"{out}: has entries with format={''.join(before)}, now format={format}, which would be there twice; "
                "use another out= folder"
            )
        missing = [code for code in codes if not _there(out, known.get(_file(code, format)), verify)]
        downloader = Downloader(timeout=timeout, retries=retries, backoff=backoff)
        job = _Job(out, base, format, downloader)
        failures: list[tuple[str, str]] = []
        size = 0
        try:
            with FileProgress("fetch", len(codes), len(codes) - len(missing), enabled=progress) as bar:
                for code, result in _each(job, missing, connections, downloader.stop):
                    if isinstance(result, Downloaded):
                        size += result.size
                        row = {"file": _file(code, format), "bytes": result.size, "sha256": result.sha256}
                        append_lines(out / FETCHED, [row | {"url": job.url(code)}])
                    else:
                        failures.append((code, result))
                    bar.advance(1, f"{size / 1e6:.0f} MB, {len(failures)} failed")
        finally:
            _clean(out)
        _write_failures(out / FAILED, failures)
    return Fetched(
        wanted=len(codes),
        new=len(missing) - len(failures),
        there=len(codes) - len(missing),
        failed=len(failures),
        bytes=size,
        seconds=time.monotonic() - started,
        out=out,
    )


def _file(code: str, format: str) -> str:
    """Where an entry lies below the folder: by the two letters in the middle of its code, as the archive has it."""
    return f"{code[-3:-1]}/{code}.{format}.gz"


@dataclass(frozen=True)
class _Job:
    """Fetches one entry; called in threads."""

    out: Path
    base: str
    format: str
    downloader: Downloader

    def url(self, code: str) -> str:
        return f"{self.base}/{code}.{self.format}.gz"

    def __call__(self, code: str) -> Downloaded | str:
        path = self.out / _file(code, self.format)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        try:
            return self.downloader(self.url(code), path)
        except Failed as failure:
            return str(failure)


def _each(
    job: _Job, codes: Sequence[str], connections: int, stop: threading.Event
) -> Iterator[tuple[str, Downloaded | str]]:
    """Results as they come, never more than ``connections`` under way. An error that is no `Failed` ends all."""
    todo: SimpleQueue[str | None] = SimpleQueue()
    ready: SimpleQueue[tuple[str, Downloaded | str | BaseException]] = SimpleQueue()
    for code in (*codes, *[None] * connections):
        todo.put(code)

    def work() -> None:
        while (code := todo.get()) is not None and not stop.is_set():
            try:
                ready.put((code, job(code)))
            except BaseException as error:
                ready.put((code, error))

    # Not those of an executor, which wait for a server that says nothing while Python wants to end.
    threads = [threading.Thread(target=work, name="fetch", daemon=True) for _ in range(connections)]
    try:
        for thread in threads:
            thread.start()
        for _ in codes:
            code, result = ready.get()
            if isinstance(result, BaseException):
                raise result
            yield code, result
    finally:
        stop.set()
        until = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _there(out: Path, row: dict[str, Any] | None, verify: bool) -> bool:
    if row is None:
        return False
    path = out / str(row["file"])
    try:
        return path.stat().st_size == row.get("bytes") and (not verify or sha256(path) == row.get("sha256"))
    except OSError:
        return False


def _clean(out: Path) -> None:
    """Remove what a killed call left half-written."""
    for left in itertools.chain(out.glob(".*.tmp"), out.glob("??/.*.tmp")):
        left.unlink(missing_ok=True)


def _write_failures(path: Path, failures: Sequence[tuple[str, str]]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "reason"))
        writer.writerows(sorted(failures))
