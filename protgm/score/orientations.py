"""How likely a backbone's orientations are, given where its CA atoms lie: by the flow, and by the jump.

The two processes that move rotations share a path and a posterior, and their laws are those of the data where the
posterior is right; elsewhere they differ. The flow has a density. The jump has a lower bound on its own, from how far
its paths are from those of the conditional process (`protgm.matching.elbo`), which takes no derivative of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from protgm.checks import check_kind, whole
from protgm.device import own_defaults
from protgm.layout import Layout
from protgm.matching import grids
from protgm.matching.likelihood import Divergence, Hutchinson, log_likelihood
from protgm.matching.spaces import Rotations
from protgm.model import Prediction
from protgm.process import ProteinProcess, State
from protgm.score.bound import mixture_jump_divergence
from protgm.score.likelihood import Likelihood, check_until, clean_layout, noise_of
from protgm.score.velocity import rotation_velocity
from protgm.streams import Source, rand
from protgm.structure import Backbone
from protgm.structure.frames import Frames

__all__ = ["backbone_orientations", "orientation_bound", "orientation_log_likelihood"]


def _seen(layout: Layout, translations: Tensor, until: Tensor, rotations: Tensor, time: Tensor) -> State:
    """Positions at rest at ``until``, rotations at ``time``."""
    shape = layout.mask.shape
    moment = until.to(translations.dtype).expand(shape)
    now = time.to(translations.dtype).expand(shape)
    return State(Frames(rotations, translations), layout.sequence, moment, now, layout.time)


def orientation_log_likelihood(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    layout: Layout,
    frames: Frames,
    times: Tensor,
    *,
    divergence: Divergence | None = None,
    source: Source = None,
) -> Tensor:
    """Log density of orientations at ``times[-1]`` given positions there, under the flow, nats, shape (B,).

    Parameters
    ----------
    model, process, layout, times, divergence, source
        As for `protgm.score.protein_log_likelihood`.
    frames : Frames, shape (B, L)
        Both as noisy as at ``times[-1]``, below 1.
    """
    check_kind("layout", layout, Layout)
    check_kind("frames", frames, Frames)
    places, until = frames.translations, times[-1]

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        state = _seen(layout, places, until, x, t)
        return rotation_velocity(process.rotations, x, state.rotation_time, model(process.seen(state, layout)))

    def uniform(x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:1])

    return log_likelihood(
        Rotations(),
        velocity,
        frames.rotations,
        times,
        uniform,
        divergence=divergence or Hutchinson(reverse=True),
        joint=2,
        source=source,
    )


@torch.no_grad()
def orientation_bound(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    layout: Layout,
    frames: Frames,
    times: Tensor,
    *,
    draws: int = 64,
    source: Source = None,
) -> Tensor:
    """Lower bound on the mean log density of orientations at ``times[-1]`` under the jump, given positions there.

    Parameters
    ----------
    model, process, layout
        As for `protgm.score.protein_log_likelihood`; the network predicts a posterior.
    frames : Frames, shape (B, L)
        Positions as noisy as at ``times[-1]``, below 1; rotations clean.
    times : Tensor, shape (steps + 1,)
        From 0 on. The integral over each interval is estimated at one time drawn in it, so any grid is unbiased.
    draws : int
        As `protgm.score.bound.mixture_jump_divergence` takes them, at least 4.
    source : torch.Generator, optional

    Returns
    -------
    Tensor, shape (B,)
        One-draw estimates in nats, to be averaged.

    Raises
    ------
    ValueError
        If the network predicts no posterior, or draws are too few.
    """
    check_kind("layout", layout, Layout)
    check_kind("frames", frames, Frames)
    whole("draws", draws, 4)
    path, clean, until = process.rotations, frames.rotations, times[-1]
    end = until.to(clean.dtype).expand(layout.mask.shape)
    bound = path.log_density(path.sample(clean, end, generator=source), clean, end).sum(1)
    for t, later in pairwise(times):
        time = (t + (later - t) * rand((), source, dtype=times.dtype)).to(clean.dtype).expand(layout.mask.shape)
        rotations = path.sample(clean, time, generator=source)
        state = _seen(layout, frames.translations, until, rotations, time)
        posterior = model(process.seen(state, layout)).posterior
        if posterior is None:
            raise ValueError("a jump needs weights that predict the posterior of rotations")
        apart = mixture_jump_divergence(path, rotations, clean, time, posterior, draws=draws, source=source)
        bound = bound - (later - t).to(clean.dtype) * apart.sum(1)
    return bound


@own_defaults()
def backbone_orientations(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    backbone: Backbone,
    *,
    by: str = "jump",
    until: float = 0.97,
    steps: int = 40,
    draws: int = 2,
    seed: int = 0,
) -> Likelihood:
    """Likelihood of a backbone's orientations given its CA atoms, with the noise of time ``until`` on both.

    Parameters
    ----------
    model, process, backbone, until, draws, seed
        As for `protgm.score.backbone_likelihood`.
    by : {"jump", "flow"}
        The jump's lower bound, or the density of the flow.
    steps : int
        Of the bound, an evaluation each, or of the flow's midpoint rule, even in log concentration.

    Raises
    ------
    ValueError
        If a word or number is out of range, no residue has a frame, or the weights do not predict what it takes.
    """
    check_kind("backbone", backbone, Backbone)
    if by not in ("jump", "flow"):
        raise ValueError(f"by={by!r}: must be jump or flow")
    check_until(until)
    for name, value in (("steps", steps), ("draws", draws)):
        whole(name, value, 1)
    layout = clean_layout(backbone)
    count, found = int(layout.mask.sum()), []
    times = grids.log_kappa(process.rotations.schedule, steps, until)
    for draw in range(draws):
        noisy, source = noise_of(process, layout, until, seed, draw)
        if by == "flow":
            nats = orientation_log_likelihood(model, process, layout, noisy, times, source=source)
        else:
            places = Frames(layout.frames.rotations, noisy.translations)
            nats = orientation_bound(model, process, layout, places, times, source=source)
        found.append(float(nats) / count)
    return Likelihood.of(found, count)
