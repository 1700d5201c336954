"""Ctrl-C that waits for the end of an import: native modules crash when it hits them as they come up, or swallow it."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["between_imports"]

_AGAIN = 0.05  # seconds
_PATIENCE = 2.0  # seconds: an import that takes longer has to take it


@contextmanager
def between_imports() -> Iterator[None]:
    """KeyboardInterrupt is raised in the block as ever, but not in the middle of an import that begins in it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    outside, left = _imports(inspect.currentframe()), _PATIENCE

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal left
        left -= _AGAIN
        if left < 0 or _imports(frame) <= outside:
            signal.default_int_handler(number, frame)
        again = threading.Timer(_AGAIN, _raise_in_main, [number])
        again.daemon = True
        again.start()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _raise_in_main(number: int) -> None:
    # Sent to the thread itself, it wakes it from whatever it waits for.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _imports(frame: FrameType | None) -> int:
    """Frames of imports on the stack."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        frame = frame.f_back
    return count
