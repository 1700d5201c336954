"""Errors that say: not enough memory."""

from __future__ import annotations

import torch

__all__ = ["out_of_memory"]

#: What allocators of torch say, in lower case.
_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_cpu")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the processor or on a GPU.

    torch has a class of its own for GPUs (`torch.OutOfMemoryError`, a `RuntimeError`); on the processor it raises
    a plain `RuntimeError` that only its words tell.
    """
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
