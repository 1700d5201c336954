"""Work spread over processes: results in order, and a worker that dies costs one item, not the run."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TypeVar

from protgm.pool import Pool

__all__ = ["apart", "chunked_map", "cores"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # chunks in flight per worker: enough to keep it busy, few enough to keep memory flat


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunked_map(
    job: Callable[[Sequence[T]], R], items: Sequence[T], died: Callable[[T], R], *, workers: int, chunk: int = 16
) -> Iterator[tuple[int, R]]:
    """``job`` of every chunk of ``items``, in order, with the number of items it stands for.

    Parameters
    ----------
    job : callable
        Importable by name; gets a list of items. With one worker, or where this process is itself one of a
        `multiprocessing.Pool`, it runs in this process.
    items : sequence
    died : callable
        Result for a single item during whose job the worker died (out of memory, a crash in a library).
    workers : int
    chunk : int
        Items per job.

    Raises
    ------
    RuntimeError
        If workers cannot even start.
    """
    chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    # A worker of somebody's pool may have no children of its own.
    if workers == 1 or len(items) == 1 or multiprocessing.current_process().daemon:
        for part in chunks:
            yield len(part), job(part)
        return
    pool = Pool(workers, job)
    todo = iter(chunks)
    pending: deque[tuple[Sequence[T], Future[R]]] = deque()
    try:
        while True:
            while len(pending) < _AHEAD * workers and (following := next(todo, None)) is not None:
                pending.append((following, pool.submit(following)))
            if not pending:
                return
            part, future = pending.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                pool.broke()
                # Any of the jobs in flight may have done it: one item at a time, the guilty one dies alone.
                suspects = [item for suspect in (part, *(other for other, _ in pending)) for item in suspect]
                pending.clear()
                for item in suspects:
                    try:
                        single = pool.submit([item]).result()
                    except BrokenProcessPool:
                        pool.broke()
                        single = died(item)
                    yield 1, single
            else:
                yield len(part), result
    finally:
        pool.close()


def apart(job: Callable[[T], R], items: Sequence[T], died: Callable[[T], R]) -> Iterator[R]:
    """``job`` of every item, in order, in a child process that may die alone: one does them all, until it dies.

    For what takes milliseconds an item: a child is forked, which starts at once but only where the system can and no
    other thread runs here; elsewhere ``job`` runs in this process. It must leave torch alone.

    Parameters
    ----------
    job : callable
    items : sequence
    died : callable
        Result for an item during whose job the child died.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1:
        yield from map(job, items)
        return
    done = 0
    while done < len(items):
        for result in _forked(job, items[done:]):
            yield result
            done += 1
        if done < len(items):
            yield died(items[done])
            done += 1


def _forked(job: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Results of a child, until it dies; what its job raises is raised here."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Threads of libraries (BLAS), which the child does not use.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _answer(job, items, writer)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as answers:
            for _ in items:
                try:
                    result, error = pickle.load(answers)
                except (EOFError, pickle.UnpicklingError):
                    return
                if error is not None:
                    raise error
                yield result
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(job: Callable[[T], R], items: Sequence[T], writer: int) -> None:
    with os.fdopen(writer, "wb") as answers:
        for item in items:
            answer: tuple[R | None, Exception | None]
            try:
                answer = job(item), None
            except Exception as error:
                answer = None, error
            pickle.dump(answer, answers)
            answers.flush()
