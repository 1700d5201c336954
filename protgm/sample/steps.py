"""One step of the marginal generator: translations by a flow or an SDE, rotations by flow, jump and diffusion.

Every function takes the network's prediction at the start of the step and holds it while the step lasts; what can be
integrated exactly under that is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protgm.lie.random import Source, rand, randn
from protgm.lie.so3 import exp
from protgm.lie.vmf import sample as sample_vmf
from protgm.matching.jumps import jump_or_stay
from protgm.model import Prediction, RotationPosterior
from protgm.model.features import compose
from protgm.process import ProteinProcess, centre
from protgm.sample.settings import SamplerSettings

__all__ = ["draw_clean_rotations", "guided", "step_rotations", "step_translations"]


def guided(prediction: Prediction, time: Tensor, settings: SamplerSettings) -> Prediction:
    """The prediction with its translations moved away from those of the network's first stage, where it is early.

    What the later stages add to the first is what a better network would have more of: going on in that direction
    undoes some of the blur of a mean over many folds.

    Parameters
    ----------
    prediction : Prediction
    time : Tensor, shape (B, L)
        Of the translations.
    settings : SamplerSettings
    """
    if settings.guidance == 1 or not prediction.intermediate:
        return prediction
    first = prediction.intermediate[0][1]
    early = (time < settings.guidance_until)[..., None]
    aim = torch.lerp(first, prediction.translations, settings.guidance)
    return replace(prediction, translations=torch.where(early, aim, prediction.translations))


def step_translations(
    process: ProteinProcess,
    translations: Tensor,
    prediction: Prediction,
    time: Tensor,
    later: Tensor,
    mask: Tensor,
    settings: SamplerSettings,
    source: Source = None,
) -> Tensor:
    """From ``time`` to ``later`` along ``dx = [u + g^2/2 score] dt + T g dW`` with ``g^2 = eta 2 s0^2 (1 - t) / t``.

    eta is the settings' translation noise (0: the probability-flow ODE, 1: the reverse SDE), T their temperature. For
    a held prediction z the SDE is linear: its deviation from ``t z`` is damped by ``(odds(t) / odds(s))^eta`` and
    refilled with noise, and the flow is a straight line.

    Parameters
    ----------
    translations : Tensor, shape (B, L, 3)
        Angstrom.
    prediction : Prediction
    time, later : Tensor, shape (B, L)
    mask : Tensor of bool, shape (B, L)

    Returns
    -------
    Tensor, shape (B, L, 3)
        Centred.
    """
    clean, now, then = prediction.translations, time[..., None], later[..., None]
    strength = settings.translation_noise
    if strength > 0:
        # At t = 0 the SDE forgets its start at once, which is a draw from the prior already.
        keep = torch.where(now > 0, ((now * (1 - then)) / (then * (1 - now))) ** strength, 1.0)
        noise = centre(randn(translations.shape, source), mask) * (process.noise_scale * settings.temperature)
        deviation = keep * (translations - now * clean) + torch.sqrt(1 - keep * keep) * (1 - now) * noise
        translations = now * clean + deviation
    return centre(torch.lerp(translations, clean, (then - now) / (1 - now)), mask)


def step_rotations(
    process: ProteinProcess,
    rotations: Tensor,
    prediction: Prediction,
    time: Tensor,
    later: Tensor,
    settings: SamplerSettings,
    source: Source = None,
) -> Tensor:
    """One step of the superposition ``(1 - w) flow + w jump`` on the rotations' path, with a Langevin term if asked.

    Parameters
    ----------
    rotations : Tensor, shape (B, L, 3, 3)
    prediction : Prediction
    time, later : Tensor, shape (B, L)
        Times of the rotations.
    settings : SamplerSettings
        Weight of the jump, noise, and whether jumps aim at draws from the posterior or at the point prediction.

    Returns
    -------
    Tensor, shape (B, L, 3, 3)
    """
    path, jump, strength = process.rotation_path, settings.jump_share, settings.rotation_strength
    moved = rotations
    if jump < 1:
        # The angle of a narrow kernel decays exponentially in the share: exact where an Euler step would overshoot.
        share = -torch.expm1(-(1 - jump) * process.flow_share(time, later))
        velocity = _flow(process, rotations, prediction, time, settings, source)
        moved = compose(rotations, exp(share[..., None] * velocity))
    if jump == 0 and strength == 0:
        return moved
    clean = _clean(prediction, settings, source)
    if strength > 0:
        moved = compose(moved, _langevin(process, moved, clean, time, later, settings, source))
    if jump == 0:
        return moved
    hazard = jump * path.hazard(rotations, clean, time, later - time)
    # Landing at the middle of the step is right to second order in its length.
    destination = path.sample_jump(rotations, clean, (time + later) / 2, generator=source)
    return jump_or_stay(moved, destination, hazard, generator=source)


def _flow(
    process: ProteinProcess,
    rotations: Tensor,
    prediction: Prediction,
    time: Tensor,
    settings: SamplerSettings,
    source: Source,
) -> Tensor:
    """The flow's velocity over its speed scale, (B, L, 3): the head's, or a mean of conditional ones over draws."""
    if settings.flow_draws == 0:
        return prediction.rotation_flow
    path, total = process.rotation_path, torch.zeros_like(prediction.rotation_flow)
    draws = 1 if settings.point else settings.flow_draws  # points are all alike
    for _ in range(draws):
        total = total + path.velocity(rotations, _clean(prediction, settings, source), time)
    return total / (draws * path.velocity_scale(time)[..., None])


def _clean(prediction: Prediction, settings: SamplerSettings, source: Source) -> Tensor:
    """Clean rotations to condition on: the point prediction's, or draws from the posterior."""
    return prediction.rotations if settings.point else draw_clean_rotations(prediction.posterior, source)


def _langevin(
    process: ProteinProcess,
    rotations: Tensor,
    clean: Tensor,
    time: Tensor,
    later: Tensor,
    settings: SamplerSettings,
    source: Source,
) -> Tensor:
    """The turn of a Langevin term at the end of the step, (B, L, 3, 3): it leaves the law of ``later`` as it is.

    Its noise ``g^2 dt = strength 4 d(log kappa) / (kappa + 4)`` turns the kernel over about as fast as the flow narrows
    it. The score at a draw of the clean rotation is the marginal one on average. Near z the term is an
    Ornstein-Uhlenbeck process of deviation 2 / sqrt(kappa), which is what the factors below are exact for.
    """
    path, schedule = process.rotation_path, process.rotation_path.schedule
    begin, end = schedule.kappa(time), schedule.kappa(later)
    variance = settings.rotation_strength * 4 * torch.log(end / begin) / (end + 4)
    damping = (variance * end / 8).clamp_min(1e-6)
    drift = 0.5 * variance * (-torch.expm1(-damping) / damping)
    spread = settings.temperature * torch.sqrt(variance * (-torch.expm1(-2 * damping) / (2 * damping)))
    kick = spread[..., None] * randn((*time.shape, 3), source)
    return exp(drift[..., None] * path.score(rotations, clean, later) + kick)


def draw_clean_rotations(posterior: RotationPosterior, source: Source = None) -> Tensor:
    """One draw of each residue's clean rotation from the predicted mixture, shape (B, L, 3, 3)."""
    shape = posterior.logits.shape[:-1]
    cumulative = torch.softmax(posterior.logits, dim=-1).cumsum(-1)
    chosen = (rand((*shape, 1), source) > cumulative[..., :-1]).sum(-1, keepdim=True)
    location = torch.gather(posterior.rotations, 2, chosen[..., None, None].expand(*shape, 1, 3, 3)).squeeze(2)
    concentration = torch.gather(posterior.concentration, 2, chosen).squeeze(2)
    return compose(location, exp(sample_vmf(concentration, generator=source)))
