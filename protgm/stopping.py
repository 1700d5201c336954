"""SIGTERM (a scheduler that wants the machine back) and SIGINT (Ctrl-C) as a request to stop, at whatever moment.

By default they end a process where it stands. A run that keeps something heeds them instead: from `heed` on they only
leave a mark, which the run looks at when it can stop. Processes that it starts inside `postponed` are not ended either
before they heed: what comes earlier waits for them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stop", "heed", "heeded", "postponed", "unheeded"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        self._told: list[Callable[[], None]] = []

    def tell(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever a request comes, and now if one has come already."""
        self._told.append(listener)
        if self.asked:
            listener()

    def _note(self, _number: int, _frame: object) -> None:
        self.asked = True
        for listener in self._told:
            listener()


_current: Stop | None = None


def heed() -> Stop:
    """From now on SIGTERM and SIGINT are requests; those that were postponed arrive.

    Returns
    -------
    Stop
        The same for all who ask for it in a process. Outside the main thread, which alone may change what signals do,
        it is one that nobody marks unless the main thread heeds.
    """
    global _current
    if _current is not None:
        return _current
    stop = Stop()
    if threading.current_thread() is threading.main_thread():
        _current = stop
        for number in _SIGNALS:
            signal.signal(number, stop._note)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return stop


@contextmanager
def heeded() -> Iterator[Stop]:
    """`heed` for the length of a block, or of the outermost of such blocks."""
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield heed()
        return
    before = [signal.getsignal(number) for number in _SIGNALS]
    stop = heed()
    try:
        yield stop
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
        _current = None


@contextmanager
def postponed() -> Iterator[None]:
    """SIGTERM and SIGINT wait for the end of the block; in processes that are started in it, until they `heed`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unheeded() -> None:
    """From now on nothing comes of them: for a process that has done its work, while Python takes itself down."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
