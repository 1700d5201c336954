"""Does a generator satisfy the Kolmogorov forward equation ``d/dt <p_t, f> = <p_t, L_t f>`` on test functions?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from protgm.matching.predictions import Known
from protgm.matching.spaces import expand
from protgm.matching.superposition import Superposition, as_generator, weight_at

__all__ = ["assert_satisfies_kfe", "default_functions", "kfe_residual"]

Function = Callable[[Tensor], Tensor]


def default_functions(event: Sequence[int], *, count: int = 4, seed: int = 0) -> list[Function]:
    """Bounded smooth functions of a point, ``cos(<a, x> + b)`` with random a and b, from (..., *event) to (...)."""
    g = torch.Generator().manual_seed(seed)
    functions: list[Function] = []
    for _ in range(count):
        a = torch.randn(tuple(event), generator=g, dtype=torch.float64)
        b = float(torch.rand((), generator=g)) * 6.28

        def function(x: Tensor, a: Tensor = a, b: float = b) -> Tensor:
            x = x if x.is_floating_point() else x.double()
            product = x * a.to(x.dtype)
            return torch.cos((product.flatten(x.dim() - a.dim()).sum(-1) if a.dim() else product) + b)

        functions.append(function)
    return functions


def _motion(generator: Superposition, x: Tensor, drift: Tensor | None, variance: Tensor | None, f: Function) -> Tensor:
    """Drift and diffusion parts of ``L f`` at every x, by forward differentiation along the space's exponential map."""
    space = generator.path.space
    total = x.new_zeros(x.shape[: x.dim() - space.event_dim])
    zero = torch.zeros_like(space.noise(x))

    def along(tangent: Tensor, order: int) -> Tensor:
        def at(s: Tensor) -> Tensor:
            return f(space.move(x, zero + expand(s, space.tangent_dim) * tangent))

        origin, one = torch.zeros_like(total), torch.ones_like(total)
        if order == 1:
            return torch.func.jvp(at, (origin,), (one,))[1]
        return torch.func.jvp(lambda s: torch.func.jvp(at, (s,), (one,))[1], (origin,), (one,))[1]

    if drift is not None:
        total = total + along(drift, 1)
    if variance is not None:
        for i in range(zero.shape[-1]):
            direction = zero.clone()
            direction[..., i] = 1
            total = total + 0.5 * variance * along(direction, 2)
    return total


def _jumps(generator: Superposition, x: Tensor, z: Tensor, t: Tensor, f: Function, source: torch.Generator) -> Tensor:
    """Jump part of ``L f``, with one destination drawn for each x; coordinates that jump singly are summed over."""
    event, short = generator.path.space.event_dim, torch.tensor(1e-6, dtype=t.dtype)
    total = torch.zeros((), dtype=t.dtype)
    for weight, term in generator.parts:
        proposal = term.jump(_Draw(z), x, t, short, source)
        if proposal is None:
            continue
        hazard, aim, land = proposal
        rate, landed = weight_at(weight, t) * hazard / short, land(x, aim, t, generator=source)
        if hazard.dim() == x.dim() and event == 1:
            for i in range(x.shape[-1]):
                moved = x.clone()
                moved[..., i] = landed[..., i]
                total = total + rate[..., i] * (f(moved) - f(x))
        else:
            total = total + rate * (f(landed) - f(x))
    return total


class _Draw:
    def __init__(self, z: Tensor) -> None:
        self._z = z

    def draw(self, *, generator: Any = None) -> Tensor:
        return self._z


def kfe_residual(
    generator: Any,
    z: Tensor,
    t: float,
    functions: Sequence[Function] | None = None,
    *,
    samples: int = 50_000,
    seed: int = 0,
) -> Tensor:
    """Residuals of the equation in units of their Monte-Carlo error.

    Parameters
    ----------
    generator : Term or Superposition
        On a path with ``sample`` and ``log_density_derivative`` (or ``probability`` and its derivative, on tokens).
    z : Tensor, shape (*event)
        The clean point of the conditional path.
    t : float
    functions : sequence of callable, optional
        From points (..., *event) to numbers (...), differentiable; `default_functions` where not given.
    samples, seed : int

    Returns
    -------
    Tensor, shape (functions,)
        Mean of ``f d log p/dt - L f`` over draws of p_t, divided by its standard error: standard normal if the equation
        holds.
    """
    generator = as_generator(generator)
    path, source = generator.path, torch.Generator().manual_seed(seed)
    dtype = z.dtype if z.is_floating_point() else torch.float64
    time = torch.tensor(t, dtype=dtype)
    event = path.space.event_dim
    clean = z.expand((samples, *z.shape)) if event else z.expand(samples)
    x = path.sample(clean, time, generator=source)
    if hasattr(path, "probability"):
        growth = path.probability_derivative(x, clean, time) / path.probability(x, clean, time)
    else:
        growth = path.log_density_derivative(x, clean, time)
    if growth.dim() > x.dim() - event:  # one number per coordinate of a factorised path
        growth = growth.sum(-1)
    drift = generator.drift(Known(path, clean)(x, time), time)
    variance = None
    for weight, term in generator.parts:
        g = term.spread(time)
        if g is not None:
            part = weight_at(weight, time) * g.square()
            variance = part if variance is None else variance + part
    residuals = []
    for f in functions or default_functions(z.shape):
        acted = _jumps(generator, x, clean, time, f, source)
        if drift is not None or variance is not None:
            acted = acted + _motion(generator, x, drift, variance, f)
        # <p, d log p/dt> = 0 and <p, L 1> = 0: subtracting the mean of f takes noise off and changes nothing.
        residual = (f(x) - f(x).mean()) * growth - acted
        residuals.append(residual.mean() / (residual.std() / samples**0.5))
    return torch.stack(residuals)


def assert_satisfies_kfe(
    generator: Any,
    z: Tensor,
    times: Sequence[float] = (0.1, 0.4, 0.8),
    functions: Sequence[Function] | None = None,
    *,
    samples: int = 50_000,
    limit: float = 4.5,
    seed: int = 0,
) -> None:
    """Raise AssertionError where a generator's residual is not explained by chance.

    Parameters
    ----------
    generator, z, functions, samples, seed
        As in `kfe_residual`.
    times : sequence of float
    limit : float
        Standard errors allowed.
    """
    for t in times:
        residuals = kfe_residual(generator, z, t, functions, samples=samples, seed=seed)
        worst = residuals.abs().max()
        if not worst < limit:
            raise AssertionError(
                f"{generator!r} does not satisfy the Kolmogorov forward equation at t = {t}: "
                f"a residual of {float(worst):.1f} standard errors, at most {limit} expected"
            )
