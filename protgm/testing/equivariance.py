"""Is a function of points equivariant under rotations, translations and permutations?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from protgm.lie import so3

__all__ = ["assert_equivariant"]


def assert_equivariant(
    function: Callable[..., Any],
    inputs: tuple[Any, ...],
    transform: Callable[[tuple[Any, ...], Tensor, Tensor], tuple[Any, ...]],
    transform_output: Callable[[Any, Tensor, Tensor], Any] | None = None,
    *,
    trials: int = 3,
    shift: float = 10.0,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> float:
    """Check ``function(g . inputs) == g . function(inputs)`` for random rigid motions g.

    Parameters
    ----------
    function : callable
        Returns a tensor or a tuple of tensors.
    inputs : tuple
        Its arguments.
    transform : callable
        ``transform(inputs, rotation, translation)`` moves the inputs; rotation is (3, 3), translation (3,).
    transform_output : callable, optional
        ``transform_output(output, rotation, translation)``; where not given, the output must be invariant.
    trials : int
    shift : float
        Length scale of the translations, in the units of the inputs; 0 for functions of centred points.
    tolerance : float
        Largest absolute difference allowed, relative to ``1 + max |output|``.
    seed : int

    Returns
    -------
    float
        The largest relative difference found.

    Raises
    ------
    AssertionError
        If it exceeds the tolerance, naming which output and which trial.
    """
    source = torch.Generator().manual_seed(seed)
    first = _tensors(function(*inputs))
    worst = 0.0
    for trial in range(trials):
        rotation = so3.random_uniform((), generator=source, dtype=first[0].dtype)
        translation = shift * torch.randn(3, generator=source, dtype=first[0].dtype)
        moved = _tensors(function(*transform(inputs, rotation, translation)))
        output = function(*inputs)
        expected = _tensors(transform_output(output, rotation, translation) if transform_output else output)
        for index, (a, b) in enumerate(zip(moved, expected, strict=True)):
            error = float((a - b).abs().max() / (1 + b.abs().max())) if a.numel() else 0.0
            worst = max(worst, error)
            if not error <= tolerance:
                raise AssertionError(
                    f"output {index} is not equivariant: it differs by {error:.2e} (relative) in trial {trial}, "
                    f"at most {tolerance:.0e} is allowed"
                )
    return worst


def _tensors(output: Any) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
