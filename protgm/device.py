"""A network on one device that is called from another, whatever the caller has made of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

__all__ = ["automatic_device", "bfloat16_is_fast", "in_precision", "moved", "own_defaults", "placed", "usable_device"]

T = TypeVar("T")


@contextmanager
def own_defaults() -> Iterator[None]:
    """A block, or function, in which torch makes float32 tensors on the processor, without autocast or inference mode.

    What a caller has set (`torch.set_default_dtype`, `torch.set_default_device`, `torch.autocast`) holds again behind.
    """
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if before != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, before)
        yield


def automatic_device() -> torch.device:
    """The GPU (CUDA, else Apple's) where there is one, otherwise the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def usable_device(device: str | torch.device) -> torch.device:
    """A device by its name, once something has been put there.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        here = ["cpu"]
        here += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        here += ["mps"] if torch.backends.mps.is_available() else []
        reason = str(error).strip().splitlines()[0][:120]
        raise ValueError(f"device={device}: cannot be used ({reason}); there are {', '.join(here)}") from None
    if found.type == "meta":
        raise ValueError("device=meta: holds no numbers")
    return found


def bfloat16_is_fast(device: torch.device | None = None) -> bool:
    """Whether a device has instructions that multiply bfloat16 matrices; on others that would be slower than float32.

    Looked up, not timed: the answer decides on rounding, and with it on what comes out for a seed.
    """
    if device is not None and device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    # torch before 2.10 does not tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def in_precision(network: Callable[..., T], device: torch.device | str, half: bool) -> Callable[..., T]:
    """``network`` with its matrix products in bfloat16, if ``half``."""
    if not half:
        return network

    def call(*inputs: Any) -> T:
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            return network(*inputs)

    return call


def moved(value: T, device: torch.device | str) -> T:
    """Tensors, and what dataclasses and tuples hold of them, on a device; other things as they are."""
    changed: Any = value
    if isinstance(value, Tensor):
        changed = value.to(device)
    elif isinstance(value, tuple):
        changed = tuple(moved(item, device) for item in value)
    elif is_dataclass(value) and not isinstance(value, type):
        changed = replace(value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)})
    return cast(T, changed)


def placed(network: Callable[..., T], device: torch.device | str) -> Callable[..., T]:
    """``network``, which is on ``device``, called with and answering with tensors on the processor.

    A sampler that keeps its state and its random numbers on the processor gives the same noise on every device.
    """
    if torch.device(device).type == "cpu":
        return network

    def call(*inputs: Any) -> T:
        return moved(network(*(moved(item, device) for item in inputs)), "cpu")

    return call
