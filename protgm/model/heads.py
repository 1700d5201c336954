"""From tokens to frames and to the posterior of the clean rotations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protgm.lie.so3 import from_quaternion
from protgm.model.config import DenoiserConfig
from protgm.model.features import LOCAL_FEATURES
from protgm.model.products import compose, rotate
from protgm.model.state import RotationPosterior

__all__ = ["FrameUpdate", "LocalRefinement", "PosteriorHead", "TangentHead"]


def _small_rotation(vector: Tensor) -> Tensor:
    """Rotation with quaternion (1, v) normalised: close to exp(2 v) for small v, smooth everywhere."""
    quaternion = torch.cat((torch.ones_like(vector[..., :1]), vector), dim=-1)
    return from_quaternion(F.normalize(quaternion, dim=-1))


def _move(
    rotations: Tensor, translations: Tensor, step: Tensor, rotation_step: Tensor, translation_step: Tensor
) -> tuple[Tensor, Tensor]:
    """Move frames by a step (..., 6) given in their own axes, in units of the residue's noise."""
    turn, shift = step.float().split(3, dim=-1)
    moved = rotate(rotations, shift * translation_step)
    return compose(rotations, _small_rotation(turn * rotation_step)), translations + moved


class FrameUpdate(nn.Module):
    """A frame update from each residue's token."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.linear = nn.Linear(config.width, 6)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, tokens: Tensor, rotations: Tensor, translations: Tensor, rotation_step: Tensor, translation_step: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move the frames; shapes as in `protgm.model.state.NoisyProtein`, nanometre."""
        step = self.linear(self.norm(tokens))
        return _move(rotations, translations, step, rotation_step, translation_step)


class LocalRefinement(nn.Module):
    """Small frame updates that look at the chain neighbours' frames again: what closes peptide bonds.

    Each pass sees the frames of the pass before, with gradients, and shares its weights with the others.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.passes = config.refinements
        hidden = 128
        self.context = nn.Linear(config.width, hidden)
        self.near = nn.Linear(LOCAL_FEATURES, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 6)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        tokens: Tensor,
        rotations: Tensor,
        translations: Tensor,
        near: Callable[[Tensor, Tensor], Tensor],
        rotation_step: Tensor,
        translation_step: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Refine the frames; ``near`` gives the local features of frames (nanometre)."""
        context = self.context(tokens)
        for _ in range(self.passes):
            hidden = F.gelu(context + self.near(near(rotations, translations)), approximate="tanh")
            step = self.out(F.gelu(self.hidden(hidden), approximate="tanh"))
            rotations, translations = _move(rotations, translations, step, rotation_step, translation_step)
        return rotations, translations


class PosteriorHead(nn.Module):
    """Mixture of antipodal vMF kernels over the clean rotation, relative to the current frame."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.components = config.components
        self.linear = nn.Linear(config.width, config.components * 5)
        nn.init.normal_(self.linear.weight, std=0.02)

    def forward(
        self, tokens: Tensor, rotations: Tensor, rotation_step: Tensor, concentration: Tensor
    ) -> RotationPosterior:
        """The posterior; the location is given in units of the noise kernel's angle, the concentration relative to it.

        The concentration starts from that of the noise kernel itself: seeing x_t alone already narrows z to it.
        """
        batch, length, _ = tokens.shape
        raw = self.linear(tokens).float().view(batch, length, self.components, 5)
        logits, vector, sharpness = raw.split((1, 3, 1), dim=-1)
        locations = compose(rotations[:, :, None], _small_rotation(vector * rotation_step[:, :, None]))
        base = concentration[..., None].clamp(max=1e4) + 1.0
        return RotationPosterior(
            logits=logits.squeeze(-1),
            rotations=locations,
            concentration=(base * torch.exp(sharpness.squeeze(-1).clamp(-4.0, 6.0))).clamp(max=1e5),
        )


class TangentHead(nn.Module):
    """A tangent at the current rotation: a velocity or a score, in units in which a narrow kernel's is the way back."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.width, 3)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor, rotation_step: Tensor) -> Tensor:
        """Tangents in the frame of the noisy rotation, radian, shape (B, L, 3)."""
        # A step is half an angle.
        tangents: Tensor = self.linear(tokens).float() * 2 * rotation_step
        return tangents
