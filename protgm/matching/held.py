"""Steps that are exact for a prediction that is held while they last.

A network is evaluated once a step; what it predicts is a posterior of the clean data, and between two evaluations
nothing is known but that it stays as it was. Under that, flows, Ornstein-Uhlenbeck noise and hazards can be integrated
in closed form, which leaves the freezing of the posterior as the only error of a step, however long. `Euler` and its
kin freeze the velocity instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from protgm.lie import so3
from protgm.lie.vmf import ratio
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Diffusion, Flow, Jump
from protgm.matching.jumps import jump_or_stay
from protgm.matching.langevin import metropolis_langevin
from protgm.matching.product import as_generator
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.superposition import weight_at
from protgm.streams import Source, randn

__all__ = ["HeldPosterior", "gaussian_step", "rotation_step"]


def gaussian_step(
    path: GaussianPath,
    x: Tensor,
    clean: Tensor,
    t: Tensor,
    s: Tensor,
    *,
    strength: float = 0.0,
    noise: Tensor | None = None,
    settle: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """From time t to s along ``dx = [u + g^2/2 score] dt + g dW`` with ``strength`` times the reverse SDE's g^2.

    For a held clean point z the SDE is linear: its deviation from ``alpha z`` is damped by ``(odds(t) /
    odds(s))^strength``, odds being alpha / sigma, and refilled with noise; the flow then shrinks it with sigma.

    Parameters
    ----------
    path : GaussianPath
    x, clean : Tensor, shape (..., d)
        State, and the posterior mean of the clean point.
    t, s : Tensor, shape (...)
        Where both are the same, or t is 1, an element stays where it is.
    strength : float
        0: the probability-flow ODE; 1: the exact time reversal.
    noise : Tensor, shape (..., d), optional
        Draws of the prior (standard normal times the path's scale); needed where ``strength`` is not 0.
    settle : callable, optional
        What is done to a deviation after it was refilled, where noise and data are coupled.

    Returns
    -------
    Tensor, shape (..., d)
    """
    now, then = t.unsqueeze(-1), s.unsqueeze(-1)
    alpha, sigma = path.schedule.alpha(now), path.schedule.sigma(now)
    deviation = x - alpha * clean
    moves = (then > now) & (sigma > 0)
    if strength > 0 and noise is not None:
        # At t = 0 the SDE forgets its start at once, which is a draw from the prior already.
        odds = alpha * path.schedule.sigma(then) / (sigma * path.schedule.alpha(then))
        keep = torch.where(moves & (alpha > 0), odds, 1.0) ** strength
        deviation = keep * deviation + torch.sqrt(1 - keep * keep) * sigma * noise
        if settle is not None:
            deviation = settle(deviation)
    shrink = torch.where(moves, path.schedule.sigma(then) / sigma, 1.0)
    return torch.where(moves, path.schedule.alpha(then) * clean + shrink * deviation, x)


def rotation_step(
    path: AntipodalVMFPath,
    x: Tensor,
    draw: Callable[[], Tensor] | None,
    t: Tensor,
    s: Tensor,
    *,
    pull: Tensor | None = None,
    score: Tensor | None = None,
    jump: float = 0.0,
    strength: float = 0.0,
    temperature: float = 1.0,
    draws: int = 1,
    generator: Source = None,
) -> Tensor:
    """One step of the superposition ``(1 - jump) flow + jump jump`` on rotations, with a Langevin term if asked.

    Parameters
    ----------
    path : AntipodalVMFPath
    x : Tensor, shape (..., 3, 3)
    draw : callable, optional
        A fresh draw of the clean rotations from their posterior, shape (..., 3, 3). Without one there are no jumps.
    t, s : Tensor, shape (...)
        Where both are the same an element stays where it is.
    pull : Tensor, shape (..., 3), optional
        The marginal velocity at (x, t) over the path's `velocity_scale`, where it is known as such; otherwise it is the
        mean over draws.
    score : Tensor, shape (..., 3), optional
        The marginal score at (x, t), for the Langevin term; otherwise that of a draw. Without a draw and a pull it is
        all there is: annealed Langevin dynamics (Song & Ermon 2019).
    jump : float
        Weight of the jump; the flow has the rest.
    strength : float
        Of a Langevin term (see `_langevin`); 1 is about that of the reverse SDE.
    temperature : float
        Scale of that term's noise; 1 keeps the law.
    draws : int
        The flow follows the mean of the conditional velocities towards so many draws.
    generator : torch.Generator or Streams, optional

    Returns
    -------
    Tensor, shape (..., 3, 3)
    """
    moved = x
    if draw is None and pull is None:
        if score is None:
            raise ValueError("rotation_step: there is nothing to move by: neither draws, nor a pull, nor a score")
        growth = (path.schedule.kappa(s) / path.schedule.kappa(t)).unsqueeze(-1)
        turn, _ = _disturbance(path, growth * score, t, s, path.schedule.kappa(s), strength, temperature, generator)
        return torch.where((s > t)[..., None, None], x @ so3.exp(turn), x)
    if strength > 0 and score is not None:
        turn, narrow = _disturbance(path, score, t, s, path.schedule.kappa(t), strength, temperature, generator)
        moved = x @ so3.exp(turn)
        if pull is not None:
            # Near a clean point the pull is the way to it, which the turn has lengthened; far from it, it is not.
            pull = pull - narrow * turn
    if jump < 1:
        if pull is None:
            assert draw is not None
            velocity = torch.stack([path.velocity(moved, draw(), t) for _ in range(draws)]).mean(0)
            pull = velocity / path.velocity_scale(t).unsqueeze(-1)
        # The angle of a narrow kernel decays exponentially in the share: exact where an Euler step would overshoot.
        share = -torch.expm1(-(1 - jump) * flow_share(path, t, s))
        moved = moved @ so3.exp(share.unsqueeze(-1) * pull)
    if (strength > 0 and score is None) or jump > 0:
        if draw is None:
            raise ValueError("rotation_step: jumps need draws of the posterior, and noise draws or a score")
        clean = draw()
        if strength > 0 and score is None:
            moved = _langevin(path, moved, clean, t, s, strength, temperature, generator)
        if jump > 0:
            hazard = jump * path.hazard(x, clean, t, s - t)
            # Landing at the middle of the step is right to second order in its length.
            destination = path.sample_jump(x, clean, (t + s) / 2, generator=generator)
            moved = jump_or_stay(moved, destination, hazard, generator=generator)
    return torch.where((s > t)[..., None, None], moved, x)


def flow_share(path: AntipodalVMFPath, t: Tensor, s: Tensor) -> Tensor:
    """Integral over [t, s] of the path's velocity scale: how much of a rotation flow is taken, shape (...).

    The velocity is the flow times a scale that only depends on the concentration; Simpson's rule in log kappa.
    """
    begin, end = torch.log(path.schedule.kappa(t)), torch.log(path.schedule.kappa(s))
    total = torch.zeros_like(begin)
    for position, weight in ((0.0, 1), (0.25, 4), (0.5, 2), (0.75, 4), (1.0, 1)):
        kappa = torch.exp(torch.lerp(begin, end, position))
        total = total + weight / 12 * 0.5 * ratio(kappa) * torch.tanh(kappa)
    return total * (end - begin)


def _disturbance(
    path: AntipodalVMFPath,
    score: Tensor,
    t: Tensor,
    s: Tensor,
    kappa: Tensor,
    strength: float,
    temperature: float,
    generator: Source,
) -> tuple[Tensor, Tensor]:
    """Tangents (..., 3) of a Langevin step by a score at concentration kappa, and how narrow that is, 0 to 1 (..., 1).

    The same noise and factors as in `_langevin`, without Metropolis's rule: that would need a clean point.
    """
    drift, spread = _factors(path, t, s, kappa, strength)
    noise = randn(score.shape, generator, dtype=score.dtype, device=score.device)
    turn = drift.unsqueeze(-1) * score + temperature * spread.unsqueeze(-1) * noise
    return turn, (kappa / (kappa + 4)).unsqueeze(-1)


def _factors(path: AntipodalVMFPath, t: Tensor, s: Tensor, kappa: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """What a Langevin step at concentration kappa multiplies score and noise by, both (...)."""
    variance = strength * 4 * torch.log(path.schedule.kappa(s) / path.schedule.kappa(t)) / (kappa + 4)
    damping = (variance * kappa / 8).clamp_min(1e-6)
    drift = 0.5 * variance * (-torch.expm1(-damping) / damping)
    spread = torch.sqrt(variance * (-torch.expm1(-2 * damping) / (2 * damping)))
    return drift, spread


def _langevin(
    path: AntipodalVMFPath,
    x: Tensor,
    clean: Tensor,
    t: Tensor,
    s: Tensor,
    strength: float,
    temperature: float,
    generator: Source,
) -> Tensor:
    """Rotations (..., 3, 3) after a Langevin step at the end of the step, which leaves the law of s as it is.

    Its noise ``g^2 dt = strength 4 d(log kappa) / (kappa + 4)`` turns the kernel over about as fast as the flow narrows
    it. Near z the term is an Ornstein-Uhlenbeck process of deviation 2 / sqrt(kappa), which gives the factors below;
    what they get wrong far from z, Metropolis's rule corrects.
    """
    drift, spread = _factors(path, t, s, path.schedule.kappa(s), strength)
    batch = x.shape[:-2]
    return metropolis_langevin(
        path,
        x,
        clean,
        s.expand(batch),
        drift.expand(batch),
        spread.expand(batch),
        temperature=temperature,
        source=generator,
    )


@dataclass(frozen=True)
class HeldPosterior:
    """The solver made of these steps: `Flow`, `Diffusion` (of the path's own reversal) and `Jump`, in any convex sum.

    On `GaussianPath` (flow and diffusion) and `AntipodalVMFPath` (all three).

    Parameters
    ----------
    draws : int
        On rotations, draws of the posterior a step whose mean velocity the flow follows.
    """

    draws: int = 1

    def step(
        self, generator: Any, predict: Callable[[Any, Tensor], Any], x: Any, t: Tensor, h: Tensor, source: Source
    ) -> Any:
        """The state at t + h; one call of the predictor.

        Raises
        ------
        ValueError
            If the generator has a term, or its path is one, that cannot be integrated with a held prediction.
        """
        generator = as_generator(generator)
        if isinstance(generator.path, GaussianPath) and not float(generator.path.schedule.alpha_derivative(t)) > 0:
            # No velocity tells where data lie while nothing moves: a thousandth of the step later it does.
            t, h = t + 1e-3 * h, h * (1 - 1e-3)
        prediction = predict(x, t)
        weights = {Flow: 0.0, Diffusion: 0.0, Jump: 0.0}
        for weight, term in generator.parts:
            if type(term) not in weights or (isinstance(term, Diffusion) and term.noise is not None):
                raise ValueError(f"HeldPosterior: cannot hold a prediction for {type(term).__name__}; use Midpoint()")
            weights[type(term)] += float(weight_at(weight, t))
        path, jump, strength = generator.path, weights[Jump], weights[Diffusion]
        now = t.expand(x.shape[: x.dim() - (2 if isinstance(path, AntipodalVMFPath) else 1)])
        if isinstance(path, GaussianPath) and jump == 0:
            clean = path.clean_from_velocity(prediction.velocity(), x, t)
            noise = path.space.noise(x, generator=source) * path.scale if strength else None
            return gaussian_step(path, x, clean, now, now + h, strength=strength, noise=noise)
        if isinstance(path, AntipodalVMFPath):

            def draw() -> Tensor:
                drawn: Tensor = prediction.draw(generator=source)
                return drawn

            return rotation_step(
                path, x, draw, now, now + h, jump=jump, strength=strength, draws=self.draws, generator=source
            )
        raise ValueError(f"HeldPosterior: {type(path).__name__} has no step for a held prediction; use Midpoint()")
