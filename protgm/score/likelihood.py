"""Log-likelihood of a backbone by the probability flow on R^3N x SO(3)^N."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from protgm.checks import check_kind, whole
from protgm.condition.source import framed
from protgm.device import own_defaults
from protgm.layout import FREE, Layout
from protgm.matching.likelihood import Divergence, Hutchinson, log_likelihood, normal_log_density
from protgm.matching.spaces import CentredPoints, Euclidean, ProductSpace, Rotations
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, Prediction
from protgm.process import ProteinProcess, State
from protgm.score.velocity import rotation_velocity
from protgm.seeds import mix
from protgm.streams import Source
from protgm.structure import Backbone
from protgm.structure.frames import Frames, centre

__all__ = ["Likelihood", "backbone_likelihood", "free_layout", "protein_log_likelihood"]


@dataclass(frozen=True)
class Likelihood:
    """Of one backbone.

    Parameters
    ----------
    nats : float
        Log density per residue with respect to cubic Angstrom and Haar measure, of the backbone with the noise of the
        time that the flow is followed from, a mean over draws of that noise.
    error : float
        Standard error of that mean; NaN for a single draw.
    residues : int
    """

    nats: float
    error: float
    residues: int

    @classmethod
    def of(cls, nats: Sequence[float], residues: int) -> Likelihood:
        """The mean over draws, and its standard error."""
        error = np.std(nats, ddof=1) / np.sqrt(len(nats)) if len(nats) > 1 else np.nan
        return cls(float(np.mean(nats)), float(error), residues)


def free_layout(backbone: Backbone) -> Layout:
    """The residues of a backbone that have a frame, as if they were to be generated.

    Raises
    ------
    ValueError
        If there is none, or residues of a chain do not follow one another.
    """
    layout, _ = framed(backbone, body=FREE)
    return replace(
        layout,
        sequence=torch.full_like(layout.sequence, MASK_TOKEN),
        secondary=torch.full_like(layout.secondary, UNKNOWN_STRUCTURE),
    )


def protein_log_likelihood(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    layout: Layout,
    frames: Frames,
    times: Tensor,
    *,
    divergence: Divergence | None = None,
    source: Source = None,
) -> Tensor:
    """Log density of frames at ``times[-1]`` under the flow of a network, nats, shape (B,).

    Translations flow as ``(clean - x) / (1 - t)``, rotations by the marginal velocity, both of the prediction at x
    alone: no guidance, no self-conditioning, no temperature, which are no part of the law that was trained. Free
    proteins are centred: theirs is a density on 3 (N - 1) dimensions.

    Parameters
    ----------
    model : callable
        Predicts from a `NoisyProtein`, and can be differentiated: a `Denoiser` with ``exact=True``.
    process : ProteinProcess
    layout : Layout
        A batch without padding, all free or all oriented.
    frames : Frames, shape (B, L)
        Noisy as at ``times[-1]``, below 1.
    times : Tensor, shape (steps + 1,)
        From 0 on.
    divergence : Divergence, optional
        One probe of `Hutchinson`, by reverse differentiation, where not given.
    source : torch.Generator, optional

    Raises
    ------
    ValueError
        If the batch is padded, mixed, or the times reach 1.
    """
    check_kind("layout", layout, Layout)
    check_kind("frames", frames, Frames)
    free = not bool(layout.oriented.any())
    if not bool(layout.mask.all()) or bool(layout.oriented.all()) == free:
        raise ValueError("protein_log_likelihood: needs a batch without padding, all free or all oriented")
    if not float(times[-1]) < 1:
        raise ValueError(f"protein_log_likelihood: times must end before 1, got {float(times[-1]):g}")
    mask = layout.mask

    def velocity(x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
        time = t.expand(mask.shape).to(x[0].dtype)
        state = State(Frames(x[1], x[0]), layout.sequence, time, time, layout.time)
        prediction = model(process.seen(state, layout))
        clean = prediction.frames.translations
        here = centre(clean, mask) if free else clean
        return (here - x[0]) / (1 - time)[..., None], rotation_velocity(process.rotations, x[1], time, prediction)

    def prior(x: tuple[Tensor, Tensor]) -> Tensor:
        # Uniform rotations have density 1.
        return normal_log_density(x[0], process.positions.scale, joint=2, centred=free)

    places = centre(frames.translations, mask) if free else frames.translations
    return log_likelihood(
        ProductSpace((CentredPoints() if free else Euclidean(), Rotations())),
        velocity,
        (places, frames.rotations),
        times,
        prior,
        divergence=divergence or Hutchinson(reverse=True),
        joint=2,
        source=source,
    )


@own_defaults()
def backbone_likelihood(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    backbone: Backbone,
    *,
    until: float = 0.97,
    steps: int = 40,
    draws: int = 2,
    seed: int = 0,
) -> Likelihood:
    """Likelihood of a backbone, with the noise of time ``until`` on it: a density has to be one of something blurred.

    Parameters
    ----------
    model, process
        As for `protein_log_likelihood`.
    backbone : Backbone
        Its residues that have N, CA and C; others are left out as gaps.
    until : float
        .97: .3 Angstrom of noise on CA atoms.
    steps : int
        Of the midpoint rule: two evaluations each, one of them with a derivative.
    draws : int
        Of noise, and of probes with them.
    seed : int
        Backbones of one length share their noise, so that they can be compared.

    Raises
    ------
    ValueError
        If a number is out of range or no residue has a frame.
    """
    check_kind("backbone", backbone, Backbone)
    check_until(until)
    for name, value in (("steps", steps), ("draws", draws)):
        whole(name, value, 1)
    layout = clean_layout(backbone)
    count, found = int(layout.mask.sum()), []
    for draw in range(draws):
        noisy, source = noise_of(process, layout, until, seed, draw)
        times = torch.linspace(0, until, steps + 1)
        found.append(float(protein_log_likelihood(model, process, layout, noisy, times, source=source)) / count)
    return Likelihood.of(found, count)


def check_until(until: float) -> None:
    """Refuse a time that is no noise level between noise and data."""
    if not 0 < until < 1:
        raise ValueError(f"until={until} must lie between 0 and 1")


def clean_layout(backbone: Backbone) -> Layout:
    """A batch of one backbone to be scored, centred."""
    layout = Layout.batch([free_layout(backbone)])
    places = centre(layout.frames.translations, layout.mask)
    return replace(layout, frames=Frames(layout.frames.rotations, places))


def noise_of(
    process: ProteinProcess, layout: Layout, until: float, seed: int, draw: int
) -> tuple[Frames, torch.Generator]:
    """One of the noisy copies that a backbone is scored by, and the stream that goes on from there."""
    source = torch.Generator().manual_seed(mix(seed, int(layout.mask.sum()), draw))
    time = torch.full(layout.mask.shape, until)
    return process.noised(layout, time, process.noise(layout, source), time, source), source
