"""Does a generator satisfy the Kolmogorov forward equation ``d/dt <p_t, f> = <p_t, L_t f>`` on test functions?

The test is one of statistics, and says so: how often a right generator is refused is chosen, and so is how wrong a
generator may be before it is refused almost surely. The number of samples follows from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import norm
from torch import Tensor

from protgm.matching.generators import Term
from protgm.matching.product import ProductGenerator, as_generator
from protgm.matching.superposition import Superposition
from protgm.testing.action import Action, Function, growth

__all__ = ["assert_satisfies_kfe", "default_functions", "kfe_residual"]

_CHUNK = 50_000
_PILOT = 10_000


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


@dataclass(frozen=True)
class _Moments:
    """Mean residual and mean of L f of each function, the covariance of the residuals of one sample, and the count."""

    residual: Tensor
    action: Tensor
    covariance: Tensor
    count: int


def _moments(
    generator: Superposition, z: Tensor, t: float, functions: Sequence[Function], samples: int, seed: int
) -> _Moments:
    """``f d log p/dt - L f`` over draws of p_t, piece by piece."""
    path, source = generator.path, torch.Generator().manual_seed(seed)
    event, z = path.space.event_dim, z.double() if z.is_floating_point() else z
    time = torch.tensor(t, dtype=torch.float64)
    total, action = torch.zeros(len(functions), dtype=torch.float64), torch.zeros(len(functions), dtype=torch.float64)
    square = torch.zeros(len(functions), len(functions), dtype=torch.float64)
    left = samples
    while left > 0:
        n = min(_CHUNK, left)
        left -= n
        clean = z.expand((n, *z.shape)) if event else z.expand(n)
        x = path.sample(clean, time, generator=source)
        change = growth(path, x, clean, time)
        acts, rows, acted = Action.at(generator, x, clean, time, source), [], []
        for f in functions:
            here = f(x)
            value = acts(f, here)
            # <p, d log p/dt> = 0 and <p, L 1> = 0: subtracting a constant takes noise off and changes nothing.
            rows.append((here - here.mean()) * change - value)
            acted.append(value)
        r = torch.stack(rows)
        total, square, action = total + r.sum(1), square + r @ r.mT, action + torch.stack(acted).sum(1)
    mean = total / samples
    return _Moments(mean, action / samples, square / samples - mean[:, None] * mean, samples)


def kfe_residual(
    generator: Term | Superposition,
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
        From points (..., *event) to numbers (...), smooth; `default_functions` where not given.
    samples, seed : int

    Returns
    -------
    Tensor, shape (functions,)
        Mean of ``f d log p/dt - L f`` over draws of p_t, divided by its standard error: standard normal if the equation
        holds.
    """
    found = _moments(_single(generator), z, t, functions or default_functions(z.shape), samples, seed)
    return found.residual / torch.sqrt(found.covariance.diagonal() / found.count)


def _single(generator: Term | Superposition) -> Superposition:
    if isinstance(generator, ProductGenerator):
        raise ValueError("the equation is tested for one component of a product at a time")
    return as_generator(generator)


def _direction(pilot: _Moments) -> tuple[Tensor, float]:
    """The sum of test functions that shows a generator of the wrong speed best, and by how much per sample.

    A generator ``(1 + e) L`` has the residual ``-e <L f>``; over its standard deviation it is largest for the weights
    ``S^-1 <L f>`` (Fisher's discriminant).
    """
    ridge = 1e-6 * pilot.covariance.diagonal().mean() * torch.eye(len(pilot.action), dtype=torch.float64)
    weights = torch.linalg.solve(pilot.covariance + ridge, pilot.action)
    spread = torch.sqrt((weights @ pilot.covariance @ weights).clamp_min(1e-300))
    return weights, float((weights @ pilot.action) / spread)


def assert_satisfies_kfe(
    generator: Term | Superposition,
    z: Tensor,
    times: Sequence[float] = (0.1, 0.4, 0.8),
    functions: Sequence[Function] | None = None,
    *,
    refuse: float = 0.02,
    power: float = 0.99,
    false_alarm: float = 1e-3,
    samples: int | None = None,
    most: int = 2_000_000,
    seed: int = 0,
) -> float:
    """Raise AssertionError where a generator's residual is not explained by chance.

    A first small sample finds the sum of test functions in which a wrong speed shows best, and how many samples it
    takes to find a generator that is ``1 + refuse`` times too fast with probability ``power``; a second, independent
    one is judged, in that sum and in every function. At each time a generator of which that is true is refused; one
    that satisfies the equation is refused with probability ``false_alarm`` in all (Bonferroni over functions and
    times). Errors that cancel in ``<p_t, L_t f>`` of every test function are not seen.

    Parameters
    ----------
    generator, z, seed
        As in `kfe_residual`.
    times : sequence of float
    functions : sequence of callable, optional
        Twelve of `default_functions` where not given.
    refuse : float
        Relative error of the generator that is to be found.
    power : float
        Probability of finding it.
    false_alarm : float
        Probability of refusing a right generator.
    samples : int, optional
        Take so many at each time, whatever can be found with them.
    most : int
        No more than this many at each time.

    Returns
    -------
    float
        The smallest relative error that would have been found with that probability at every time: at most ``refuse``,
        unless ``samples`` or ``most`` did not allow it. Infinite where ``<p_t, L_t f>`` is not told from 0.

    Raises
    ------
    AssertionError
        If the equation does not hold.
    """
    whole, tested = _single(generator), list(functions or default_functions(z.shape, count=12))
    limit = float(norm.isf(false_alarm / 2 / (len(times) * (len(tested) + 1))))
    needed, detectable = limit + float(norm.ppf(power)), 0.0
    for t in times:
        weights, signal = _direction(_moments(whole, z, t, tested, _PILOT, seed + 1))
        enough = math.ceil((needed / max(refuse * signal, 1e-12)) ** 2)
        found = _moments(whole, z, t, tested, samples or min(max(enough, _PILOT), most), seed)
        error = torch.sqrt(found.covariance.diagonal() / found.count)
        joint = (weights @ found.residual) / torch.sqrt(weights @ found.covariance @ weights / found.count)
        worst = max(float((found.residual / error).abs().max()), abs(float(joint)))
        if not worst < limit:
            raise AssertionError(
                f"{generator!r} does not satisfy the Kolmogorov forward equation at t = {t}: "
                f"a residual of {worst:.1f} standard errors, at most {limit:.1f} expected"
            )
        detectable = max(detectable, needed / max(signal, 1e-12) / found.count**0.5)
    return detectable
