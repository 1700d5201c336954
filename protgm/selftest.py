"""Whether a loaded network is what it promises: equivariant under turns and shifts of its input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from protgm.layout import Layout
from protgm.lie import so3
from protgm.model import Denoiser
from protgm.process import ProteinProcess, State
from protgm.structure.frames import Frames

__all__ = ["Equivariance", "measure_equivariance"]


@dataclass(frozen=True)
class Equivariance:
    """Largest differences between the prediction for a moved protein and the moved prediction.

    Parameters
    ----------
    translations : float
        Angstrom.
    rotations : float
        Radian.
    scale : float
        Root mean square of how far the network moved the CA atoms, Angstrom.
    """

    translations: float
    rotations: float
    scale: float

    @property
    def ok(self) -> bool:
        """Within what float32 allows, for a network that does move its input."""
        return self.translations < 0.02 and self.rotations < 0.02 and self.scale > 0.1


@torch.no_grad()
def measure_equivariance(denoiser: Denoiser, *, length: int = 48, seed: int = 0) -> Equivariance:
    """Denoise random proteins at several noise levels as they are, and turned and shifted by 20 Angstrom.

    Parameters
    ----------
    denoiser : Denoiser
    length : int
        Residues.
    seed : int

    Returns
    -------
    Equivariance
    """
    generator = torch.Generator().manual_seed(seed)
    size = 4
    time = torch.linspace(0.0, 0.95, size)[:, None].expand(size, length)
    process = ProteinProcess.of_scale(denoiser.config.noise_scale)
    layout = Layout.unconditional([length] * size)
    frames = Frames(so3.random_uniform((size, length), generator=generator), process.noise(layout, generator))
    protein = process.seen(State(frames, layout.sequence, time, time, torch.zeros_like(time)), layout)
    turn = so3.random_uniform((size, 1), generator=generator)
    shift = torch.randn(size, 1, 3, generator=generator) * 20

    still = denoiser(protein)
    moved = denoiser(replace(protein, frames=protein.frames.moved(turn, shift))).frames
    expected = still.frames.moved(turn, shift)
    return Equivariance(
        translations=float((moved.translations - expected.translations).norm(dim=-1).max()),
        rotations=float(so3.angle(so3.relative(moved.rotations, expected.rotations)).max()),
        scale=float((still.frames.translations - protein.frames.translations).norm(dim=-1).square().mean().sqrt()),
    )
