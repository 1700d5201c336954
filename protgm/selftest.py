"""Whether a loaded network is what it promises: equivariant under turns and shifts of its input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from protgm.lie import so3
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, Denoiser, NoisyProtein
from protgm.process import ProteinProcess

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
    index = torch.arange(length).expand(size, length)
    process = ProteinProcess(noise_scale=denoiser.config.noise_scale)
    mask = torch.ones(size, length, dtype=torch.bool)
    protein = NoisyProtein(
        rotations=so3.random_uniform((size, length), generator=generator),
        translations=process.sample_prior(mask, generator),
        time=time,
        concentration=process.concentration(time),
        sequence=torch.full((size, length), MASK_TOKEN),
        secondary=torch.full((size, length), UNKNOWN_STRUCTURE),
        residue_index=index,
        chain_index=torch.zeros_like(index),
        mask=mask,
        hotspot=torch.zeros_like(mask),
    )
    turn = so3.random_uniform((size, 1), generator=generator)
    shift = torch.randn(size, 1, 3, generator=generator) * 20

    def place(rotations: torch.Tensor, translations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return turn @ rotations, (turn @ translations[..., None])[..., 0] + shift

    rotations, translations = place(protein.rotations, protein.translations)
    still = denoiser(protein)
    moved = denoiser(replace(protein, rotations=rotations, translations=translations))
    expected_rotations, expected_translations = place(still.rotations, still.translations)
    angles = so3.angle(so3.relative(moved.rotations, expected_rotations))
    return Equivariance(
        translations=float((moved.translations - expected_translations).norm(dim=-1).max()),
        rotations=float(angles.max()),
        scale=float((still.translations - protein.translations).norm(dim=-1).square().mean().sqrt()),
    )
