"""Worker processes: replaced when one of them dies, gone at once when nobody wants their work any more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

__all__ = ["Pool"]

T = TypeVar("T")
R = TypeVar("R")


class Pool(Generic[T, R]):
    """Processes that do one kind of job; where one of them has died, the next job makes new ones.

    Parameters
    ----------
    workers : int
    job : callable
        Importable by name, or a partial of such a function. A worker gets it once, when it starts.
    """

    def __init__(self, workers: int, job: Callable[[Sequence[T]], R]) -> None:
        self._workers, self._job = workers, job
        self._stop, self._wanted = multiprocessing.Pipe(duplex=False)
        self._executor = self._made()
        self._broken = False

    def submit(self, part: Sequence[T]) -> Future[R]:
        """The job for ``part``, some time.

        Raises
        ------
        RuntimeError
            If workers cannot even start.
        """
        if self._broken:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor, self._broken = self._made(), False
            try:
                self._executor.submit(os.getpid).result()
            except BrokenProcessPool:
                raise RuntimeError(
                    "worker processes die as they start; in a script, what makes them must be called below "
                    "`if __name__ == '__main__':`, or use workers=1"
                ) from None
        try:
            return self._executor.submit(_run, part)
        except BrokenProcessPool as error:
            # The pool broke since: the one who waits for this future is told.
            failed: Future[R] = Future()
            failed.set_exception(error)
            return failed

    def broke(self) -> None:
        """A future said so."""
        self._broken = True

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        self._wanted.close()
        self._executor.shutdown(cancel_futures=True)
        self._stop.close()

    def _made(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=_context(getattr(self._job, "func", self._job).__module__),
            initializer=_start_worker,
            initargs=(self._stop, self._job),
        )


def _context(module: str) -> BaseContext:
    # Not forked from here: this process may run threads (torch, rich). Where there is a fork server, it imports the
    # job's module once for all workers, which saves seconds and memory for each.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["protgm.forked", module])
    resource_tracker.ensure_running()  # now, since it lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


class _Worker:
    """What a worker process knows of itself."""

    job: Callable[[Sequence[Any]], Any]
    #: Held but while a job runs. A worker that ended as it sends a result would leave half of it in the pipe, and its
    #: parent waiting for the rest.
    between_jobs = threading.Lock()


def _start_worker(stop: Connection, job: Callable[[Sequence[Any]], Any]) -> None:
    # Ctrl-C goes to the whole group; only the parent is to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if stop.poll():
        _end()
    # One thread per worker: they share the cores already. The variable serves a torch that is imported later.
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    _Worker.job = staticmethod(job)
    _Worker.between_jobs.acquire()
    _when(stop, _end_in_a_job)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent that is killed cannot tell its workers to stop, and they would wait for ever.
        _when(parent.sentinel, _end)


def _when(ready: Connection | int, then: Callable[[], None]) -> None:
    def follow() -> None:
        wait([ready])
        then()

    threading.Thread(target=follow, daemon=True).start()


def _end_in_a_job() -> None:
    # The pool finds that a worker has died and ends the others; where none has a job, it tells each to end.
    with _Worker.between_jobs:
        _end()


def _end() -> None:
    os._exit(1)


def _run(part: Sequence[Any]) -> Any:
    _Worker.between_jobs.release()
    try:
        return _Worker.job(part)
    finally:
        _Worker.between_jobs.acquire()
