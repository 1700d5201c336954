"""The protein sampler on small assemblies whose posterior is known exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.condition import Symmetry
from protgm.condition.base import Draw
from protgm.layout import Layout
from protgm.lie import so3, vmf
from protgm.lie.point_groups import point_group
from protgm.lie.points import about_z
from protgm.model import NoisyProtein, Prediction, RotationPosterior
from protgm.process import ProteinProcess, State
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.structure.frames import Frames, centre
from protgm.testing.proteins import held_radii, radius, small_proteins

__all__ = ["AssemblyCase", "ExactAssemblies", "assembly_cases"]

_LENGTH = 8
#: How far the middles of the small units lie from the axes, Angstrom.
_OUT = 16.0


@dataclass(frozen=True)
class ExactAssemblies:
    """What a perfect network would predict of assemblies of a few units, about the axes of one group.

    Parameters
    ----------
    group : str
        As for `point_group`.
    frames : Frames, shape (K, N)
        The assemblies, all units, centred.
    weights : Tensor, shape (K,)
    process : ProteinProcess

    Notes
    -----
    All that is random is the first unit's. About a single axis an assembly may be turned, and lies as its noise says:
    the density is that of the noise times ``c(y) / c(x_t)``, where c is the sum of products of points with clean ones
    across the axis, positive where they lie best (the one-dimensional form of what `ExactProteins` tells).
    """

    group: str
    frames: Frames
    weights: Tensor
    process: ProteinProcess

    def __call__(self, protein: NoisyProtein, *_: object) -> Prediction:
        """The posterior means and marginals."""
        x, t = protein.frames.translations.double(), protein.time[:, :1, None].double()
        size, count, unit = len(x), len(self.weights), x.shape[1] // len(point_group(self.group))
        rotations, places = (
            v.double().expand(size, *v.shape) for v in (self.frames.rotations, self.frames.translations)
        )
        log_p = torch.log(self.weights.double()).expand(size, count)
        if self.group.startswith("C"):
            seen = x[:, None, :unit]
            turn = about_z(places[:, :, :unit], seen)[:, :, None]
            rotations, places = turn @ rotations, (turn @ places[..., None])[..., 0]
            noise = (seen - t[:, None] * places[:, :, :unit]) / (1 - t[:, None])
            share, whole = (_along(points, places[:, :, :unit]) for points in (noise, seen))
            possible = (share > 0) | ~(share > 0).any(1, keepdim=True)
            log_p = log_p + torch.where(possible, torch.log(share.abs()) - torch.log(whole.abs()), -torch.inf)
        noise = (x[:, None, :unit] - t[:, None] * places[:, :, :unit]) / (1 - t[:, None])
        log_p = log_p - 0.5 * (noise / self.process.positions.scale).square().sum((-1, -2))
        angle = so3.angle(so3.relative(protein.frames.rotations[:, None, :unit].double(), rotations[:, :, :unit]))
        log_p = log_p + vmf.log_density(angle, protein.concentration[:, None, :unit].double()).sum(-1)
        weights = torch.softmax(log_p, -1)
        logits = torch.log(weights).clamp_min(-80).float()[:, None].expand(*protein.time.shape, -1)
        best = rotations[torch.arange(size), weights.argmax(1)].float()
        return Prediction(
            frames=Frames(best, torch.einsum("bk,bkli->bli", weights, places).float()),
            posterior=RotationPosterior(logits, rotations.movedim(1, 2).float(), torch.full_like(logits, 1e6)),
            sequence_logits=x.new_zeros((*x.shape[:2], 20)).float(),
            confidence=torch.ones_like(protein.time),
            intermediate=(),
        )


def _along(points: Tensor, clean: Tensor) -> Tensor:
    return (points * clean)[..., :2].sum((-1, -2))


@dataclass(frozen=True)
class AssemblyCase:
    """A walk of many copies of assemblies of two kinds; `run` as that of `ProteinCase`.

    Parameters
    ----------
    name : str
    group : str
    settings : SamplerSettings
    """

    name: str
    group: str
    settings: SamplerSettings

    def run(self, samples: int, seed: int = 0) -> tuple[float, list[float]]:
        """How the walk's law differs from the exact one: in the share of the first kind, and in radii on the way."""
        process, share, condition = ProteinProcess(), torch.tensor([0.6, 0.4]), Symmetry(self.group)
        units, _ = small_proteins(_LENGTH)
        laid = Layout.batch([condition.lay_out(Layout.chain(_LENGTH), Draw(0, 0))] * samples)
        out = units.translations + torch.tensor([_OUT, 0.4 * _OUT, 0.6 * _OUT])
        group = point_group(self.group).float()
        places = torch.einsum("gij,klj->kgli", group, out).flatten(1, 2)
        rotations = torch.einsum("gij,kljm->kglim", group, units.rotations).flatten(1, 2)
        clean = Frames(rotations, centre(places))
        exact = ExactAssemblies(self.group, clean, share, process)
        source = torch.Generator().manual_seed(seed)
        seen: dict[float, Tensor] = {}

        def watch(step: int, state: State, _: Prediction) -> None:
            seen[round(float(state.time.min()), 4)] = radius(state.frames.translations)

        ended = sample_frames(exact, process, laid, self.settings, source, conditions=condition, on_step=watch)
        made, wanted = (torch.cdist(x, x).flatten(1) for x in (ended.frames.translations, clean.translations))
        found = float(((made[:, None] - wanted).square().sum(-1).argmin(1) == 0).float().mean())
        kinds = torch.multinomial(share, samples, replacement=True, generator=source)

        def noised(t: float) -> Tensor:
            noise = condition.noise(process.noise(laid, source), laid)
            noise = condition.couple(noise, clean.translations[kinds], laid)
            return t * clean.translations[kinds] + (1 - t) * noise

        return found - float(share[0]), held_radii(seen, noised)


def assembly_cases(steps: int = 100) -> Iterator[AssemblyCase]:
    """Groups of one axis, and of several."""
    usual = SamplerSettings(steps=steps, temperature=1.0, guidance=1.0)
    for group in ("C2", "C3", "D2"):
        yield AssemblyCase(f"superposition, {group}", group, usual)
