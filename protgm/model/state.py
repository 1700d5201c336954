"""What the denoiser takes and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.lie import vmf
from protgm.lie.so3 import angle, exp
from protgm.model.products import compose
from protgm.streams import Source, rand
from protgm.structure.frames import Frames

__all__ = ["MASK_TOKEN", "UNKNOWN_STRUCTURE", "NoisyProtein", "Prediction", "RotationPosterior"]

#: Sequence token of a residue whose type is not known (0-19 are amino acids, 20 is an unusual one).
MASK_TOKEN = 21
#: Secondary-structure label of a residue for which nothing is asked (0 helix, 1 strand, 2 coil).
UNKNOWN_STRUCTURE = 3


@dataclass(frozen=True)
class NoisyProtein:
    """A batch of proteins on their way from noise to data; noise levels are fields over residues.

    Parameters
    ----------
    frames : Frames, shape (B, L)
    time : Tensor, shape (B, L)
        Time of the translations, 0 (noise) to 1 (data); exactly 1 marks a residue whose frame is known.
    concentration : Tensor, shape (B, L)
        Concentration kappa of the rotations' noise kernel (0: uniform; large: nearly clean).
    sequence : Tensor of int64, shape (B, L)
        Amino acids, or `MASK_TOKEN`.
    secondary : Tensor of int64, shape (B, L)
        Labels asked for, or `UNKNOWN_STRUCTURE`.
    residue_index, chain_index : Tensor of int64, shape (B, L)
        Position along the chain (with gaps where residues are missing) and number of the chain.
    mask : Tensor of bool, shape (B, L)
        True for residues, False for padding.
    hotspot : Tensor of bool, shape (B, L)
        Known residues that a residue yet to be made shall touch.
    """

    frames: Frames
    time: Tensor
    concentration: Tensor
    sequence: Tensor
    secondary: Tensor
    residue_index: Tensor
    chain_index: Tensor
    mask: Tensor
    hotspot: Tensor

    @property
    def present_index(self) -> Tensor:
        """`residue_index` with absent residues far along the chain from all others: nobody's chain neighbours."""
        return self.residue_index.masked_fill(~self.mask, -(10**6))


@dataclass(frozen=True)
class RotationPosterior:
    """Mixture of K antipodal von Mises-Fisher kernels over a residue's clean rotation.

    Parameters
    ----------
    logits : Tensor, shape (B, L, K)
        Log weights, not normalised.
    rotations : Tensor, shape (B, L, K, 3, 3)
        Locations.
    concentration : Tensor, shape (B, L, K)
    """

    logits: Tensor
    rotations: Tensor
    concentration: Tensor

    def log_density(self, rotations: Tensor) -> Tensor:
        """Log density of rotations (..., B, L, 3, 3) with respect to normalised Haar measure, shape (..., B, L)."""
        relative = compose(self.rotations, rotations[..., None, :, :], invert_first=True)
        components = vmf.log_density(angle(relative), self.concentration)
        return torch.logsumexp(components + torch.log_softmax(self.logits, dim=-1), dim=-1)

    def draw(self, source: Source = None, shape: Sequence[int] = ()) -> Tensor:
        """Draws of each residue's clean rotation, shape (*shape, B, L, 3, 3)."""
        size = (*shape, *self.logits.shape[:-1])
        cumulative = torch.softmax(self.logits, dim=-1).cumsum(-1)
        chosen = (rand((*size, 1), source) > cumulative[..., :-1]).sum(-1, keepdim=True)
        locations, concentrations = self.rotations.expand(*size, -1, 3, 3), self.concentration.expand(*size, -1)
        location = torch.gather(locations, -3, chosen[..., None, None].expand(*size, 1, 3, 3)).squeeze(-3)
        concentration = torch.gather(concentrations, -1, chosen).squeeze(-1)
        return location @ exp(vmf.sample(concentration, generator=source))


@dataclass(frozen=True)
class Prediction:
    """What the network believes about the clean protein.

    Parameters
    ----------
    frames : Frames, shape (B, L)
        Clean frames (point estimate).
    posterior : RotationPosterior, optional
        Of the clean rotations, where the network was trained to predict it.
    sequence_logits : Tensor, shape (B, L, 20)
    confidence : Tensor, shape (B, L)
        Predicted local agreement with the clean structure, 0 to 1 (as lDDT on CA).
    intermediate : tuple of Frames
        Frames after each stage but the last.
    velocity : Tensor, shape (B, L, 3), optional
        Marginal velocity of the rotations, in the frames of the noisy ones, over the path's velocity scale.
    score : Tensor, shape (B, L, 3), optional
        Their marginal score times 4 / kappa. Of a narrow kernel both are the way to its middle, radian.
    """

    frames: Frames
    posterior: RotationPosterior | None
    sequence_logits: Tensor
    confidence: Tensor
    intermediate: tuple[Frames, ...]
    velocity: Tensor | None = None
    score: Tensor | None = None
