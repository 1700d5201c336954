"""What the fork server of `protgm.pool` imports first: Ctrl-C ends it, and workers that are not yet up, without a word.

It is started with SIGINT held back, which comes through here.
"""

from __future__ import annotations

import signal
import sys
from types import TracebackType

__all__: list[str] = []


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # A process that was stopped while it started this one has taken back what they were to share.
    taken_back = isinstance(error, FileNotFoundError) and error.filename is None
    if not taken_back and not isinstance(error, EOFError):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
