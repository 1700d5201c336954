"""One file over HTTP: whole, checked and in its place, or a reason why not.

Attempts are counted here and not by urllib3's ``Retry``, which repeats requests: a body that breaks off, comes too
slowly or is no whole gzip stream would need the same loop around it, and its pauses cannot be ended by ``stop``.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from protgm.files import atomic
from protgm.structure.source import MAX_BYTES
from protgm.text import printable
from protgm.version import __version__

__all__ = ["Downloaded", "Downloader", "Failed"]

_PIECE = 2**16
_LONGEST_WAIT = 60.0  # seconds between attempts, whatever a server asks for
_SLOWEST = 2_000  # bytes a second on average, below which an attempt counts as stalled


class Failed(Exception):
    """A file that did not come; ``again`` says whether another attempt may help, ``wait`` after how many seconds."""

    def __init__(self, reason: str, *, again: bool = True, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.again, self.wait = again, wait


@dataclass(frozen=True)
class Downloaded:
    """A file that is in its place: bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Downloader:
    """Fetches gzip files by URL.

    Parameters
    ----------
    timeout : float
        Seconds without a byte after which a server counts as stalled.
    retries : int
        Attempts after the first.
    backoff : float
        Seconds before the second attempt; doubled before each further one, with a random share so that many clients
        do not come back together.
    stop : threading.Event
        Ends attempts and waits when it is set.
    """

    timeout: float = 30.0
    retries: int = 5
    backoff: float = 1.0
    stop: threading.Event = field(default_factory=threading.Event)

    def __call__(self, url: str, path: Path) -> Downloaded:
        """Fetch ``url`` to ``path``, which appears only when it is whole.

        Raises
        ------
        Failed
            When every attempt failed, or the first in a way that no other would cure.
        OSError
            If the file cannot be written.
        """
        for attempt in range(self.retries + 1):
            try:
                return self._attempt(url, path)
            except Failed as failure:
                if not failure.again or attempt == self.retries or self.stop.is_set():
                    raise
                wait = self.backoff * 2**attempt * random.uniform(0.5, 1.0)
                self.stop.wait(min(max(wait, failure.wait), _LONGEST_WAIT))
        raise AssertionError("unreachable")

    def _attempt(self, url: str, path: Path) -> Downloaded:
        request = urllib.request.Request(url, headers={"User-Agent": f"protgm/{__version__}"})
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(_reason(error)) from None
        with response, atomic(path) as temporary:
            return self._receive(response, temporary)

    def _receive(self, response: http.client.HTTPResponse, temporary: Path) -> Downloaded:
        """The body into a file, checked while it comes: its announced size, gzip's own checksum, our limit."""
        announced = response.headers.get("Content-Length")
        digest, unpacked, size, start = hashlib.sha256(), _Gzip(), 0, time.monotonic()
        with open(temporary, "wb") as file:
            while True:
                try:
                    piece = response.read(_PIECE)
                except (OSError, http.client.HTTPException) as error:
                    raise Failed(_reason(error)) from None
                if not piece:
                    break
                size += len(piece)
                if size > MAX_BYTES:
                    raise Failed(f"has more than {MAX_BYTES:,} bytes", again=False)
                if self.stop.is_set():
                    raise Failed("stopped", again=False)
                if time.monotonic() - start > self.timeout + size / _SLOWEST:
                    raise Failed(f"came slower than {_SLOWEST:,} bytes/s")
                unpacked.feed(piece)
                digest.update(piece)
                file.write(piece)
        if announced is not None and announced.isdigit() and size != int(announced):
            raise Failed(f"ended after {size:,} of {int(announced):,} bytes")
        unpacked.finish()
        return Downloaded(size, digest.hexdigest())


class _Gzip:
    """Follows a gzip stream to its end without keeping what is in it."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=31)
        self._total = 0

    def feed(self, piece: bytes) -> None:
        try:
            while piece:
                self._total += len(self._unpacker.decompress(piece, 2**20))
                piece = self._unpacker.unconsumed_tail
                if self._total > MAX_BYTES:
                    raise Failed(f"unpacks to more than {MAX_BYTES:,} bytes", again=False)
                if self._unpacker.eof and self._unpacker.unused_data:
                    piece, self._unpacker = self._unpacker.unused_data, zlib.decompressobj(wbits=31)
        except zlib.error:
            raise Failed("is not a gzip file, or a damaged one") from None

    def finish(self) -> None:
        if not self._unpacker.eof:
            raise Failed("is a truncated gzip file")


def _refused(error: urllib.error.HTTPError) -> Failed:
    """404 and the like will not change by asking again; 429 and 5xx may."""
    if error.code in (404, 410):
        return Failed("the server has no such entry", again=False)
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    again = error.code in (408, 425, 429) or error.code >= 500
    return Failed(f"the server answered {error.code}", again=again, wait=float(wait) if wait.isdigit() else 0.0)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.timeout | TimeoutError):
        return "the server stalled"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection broke off"
    if isinstance(cause, OSError) and cause.errno is not None:
        return printable(os.strerror(cause.errno), 100)
    return printable(f"{type(cause).__name__}: {cause}", 100)
