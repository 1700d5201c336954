"""The process that turns a protein into noise: one prior and one path per modality, for training and sampling alike.

Translations follow the conditional optimal-transport path from a Gaussian, rotations the antipodal von Mises-Fisher
path from the uniform law, sequence tokens the masking path. Time is a field over residues.

Where nothing says how a protein lies in space, its noise is turned onto it, the nearest of all rotated copies: paths
are straighter, and an equivariant network cannot tell. That couples noise and data. The flow along the coupled path is
``(z - x) / (1 - t)`` as ever. A reverse SDE must respect the coupling: its noise is that of an Ornstein-Uhlenbeck
process on noise modulo rotations, which is what turning the deviation onto the prediction again after each refill
comes to (exact for one protein; docs/method.md says what is lost for several). Where known residues do say how a
protein lies, noise is drawn about them, as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from protgm.layout import Layout
from protgm.lie.so3 import from_quaternion
from protgm.matching.ctmc import MaskingPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.model.state import MASK_TOKEN, NoisyProtein
from protgm.streams import Source, randn
from protgm.structure.frames import Frames, centre, kabsch

__all__ = ["MAX_CONCENTRATION", "ProteinProcess", "State", "superposed"]

#: Rotations are handed to the network as no cleaner than this: a hundredth of a radian is beyond what it resolves.
MAX_CONCENTRATION = 1e5


@dataclass(frozen=True)
class State:
    """A batch of proteins on their way, each residue and modality at a time of its own.

    Parameters
    ----------
    frames : Frames, shape (B, L)
    sequence : Tensor of int64, shape (B, L)
    time, rotation_time, sequence_time : Tensor, shape (B, L)
        Of translations, rotations and tokens; 1: known, does not move.
    """

    frames: Frames
    sequence: Tensor
    time: Tensor
    rotation_time: Tensor
    sequence_time: Tensor


def superposed(mobile: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Centred ``mobile`` (B, L, 3) turned onto ``target`` as well as may be, shape (B, L, 3)."""
    return torch.einsum("bij,blj->bli", kabsch(mobile, target, mask), mobile)


@dataclass(frozen=True)
class ProteinProcess:
    """A product of three paths.

    Parameters
    ----------
    positions : GaussianPath
        Of the CA atoms; its scale is the standard deviation of the prior, Angstrom.
    rotations : AntipodalVMFPath
    tokens : MaskingPath
        Its tokens are those of `protgm.model`; the mask is `MASK_TOKEN`.
    """

    positions: GaussianPath = field(default_factory=lambda: GaussianPath(scale=10.0))
    rotations: AntipodalVMFPath = field(default_factory=lambda: AntipodalVMFPath(QuadraticKappa()))
    tokens: MaskingPath = field(default_factory=lambda: MaskingPath(MASK_TOKEN))

    @classmethod
    def of_scale(cls, scale: float) -> ProteinProcess:
        """The usual process with a prior of this width (Angstrom)."""
        return cls(positions=GaussianPath(scale=scale))

    def to_dict(self) -> dict[str, Any]:
        """What a weights file keeps of it.

        Raises
        ------
        ValueError
            If it has other paths than those of `of_scale` but for numbers: a file could not say so.
        """
        usual = ProteinProcess.of_scale(self.positions.scale)
        schedule = self.rotations.schedule
        if self.positions != usual.positions or self.tokens != usual.tokens or not isinstance(schedule, QuadraticKappa):
            raise ValueError("a weights file holds a process of CondOT, QuadraticKappa and masking alone")
        return {"positions": {"scale": self.positions.scale}, "rotations": asdict(schedule)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProteinProcess:
        """What `to_dict` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it describes no process.
        """
        schedule = QuadraticKappa(**values["rotations"])
        return cls(GaussianPath(scale=float(values["positions"]["scale"])), AntipodalVMFPath(schedule))

    def concentration(self, time: Tensor) -> Tensor:
        """Concentration of the rotation kernel at ``time``, bounded by `MAX_CONCENTRATION`; same shape."""
        return self.rotations.schedule.kappa(time).clamp(max=MAX_CONCENTRATION)

    def noise(self, layout: Layout, source: Source = None) -> Tensor:
        """Draws of the prior of translations, shape (B, L, 3), Angstrom; those of free proteins are centred."""
        noise = self.positions.prior((*layout.mask.shape, 3), generator=source, device=layout.mask.device)
        return torch.where(layout.oriented[:, None, None], noise, centre(noise, layout.mask))

    def begin(self, layout: Layout, source: Source = None) -> State:
        """A draw of what sampling starts from: each residue at the time that the layout gives it."""
        mask, time = layout.mask, layout.time
        noise = self.noise(layout, source)
        quaternion = torch.nn.functional.normalize(randn((*mask.shape, 4), source, device=mask.device), dim=-1)
        rotations = from_quaternion(torch.where(mask[..., None], quaternion, quaternion.new_tensor([1.0, 0, 0, 0])))
        frames = Frames(rotations, noise + layout.anchor)
        if bool((time > 0).any()):
            frames = self.noised(layout, time, noise, time, source).where(time > 0, frames)
        frames = Frames(frames.rotations, frames.translations * mask[..., None])
        return State(frames, layout.sequence, time, time, (layout.sequence != MASK_TOKEN).to(time.dtype))

    def seen(self, state: State, layout: Layout) -> NoisyProtein:
        """What the network is told of a state, and of what is asked."""
        return NoisyProtein(
            frames=state.frames,
            time=state.time,
            concentration=self.concentration(state.rotation_time),
            sequence=state.sequence,
            secondary=layout.secondary,
            residue_index=layout.residue_index,
            chain_index=layout.chain_index,
            mask=layout.mask,
            hotspot=layout.hotspot,
        )

    def noised(
        self, layout: Layout, time: Tensor, noise: Tensor, rotation_time: Tensor, source: Source = None
    ) -> Frames:
        """A point of the path from noise to the layout's frames, which must be clean and centred where they are free.

        Parameters
        ----------
        layout : Layout
            A batch.
        time, rotation_time : Tensor, shape (B, L)
        noise : Tensor, shape (B, L, 3)
            Draws of `noise`.
        """
        clean = layout.frames
        turned = superposed(noise, centre(clean.translations, layout.mask), layout.mask)
        noise = torch.where(layout.oriented[:, None, None], noise, turned)
        translations = self.positions.sample(clean.translations, time, noise=noise + layout.anchor)
        rotations = self.rotations.sample(clean.rotations, rotation_time, generator=source)
        rotations = torch.where((rotation_time >= 1)[..., None, None], clean.rotations, rotations)
        return Frames(rotations, translations)
