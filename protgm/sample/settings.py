"""How a sampler walks from noise to a protein."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from protgm.checks import check_numbers
from protgm.model.device import bfloat16_is_fast
from protgm.model.neighbours import FEWEST, attended

__all__ = ["SamplerSettings"]

_DENSE, _SPARSE = 512, 128  # residues of a chain up to which each attends to all, and to how many beyond that
#: Weight of the jump; None: as the settings say.
_GENERATORS = {"flow": 0.0, "jump": 1.0, "superposition": None, "diffusion": 0.0}


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the simulation.

    Parameters
    ----------
    steps : int
        Evaluations of the network.
    candidates : int
        How many times each protein is begun. The beginning whose clean protein the network predicts with the highest
        confidence goes on: its confidence early on tells native folds from others.
    candidates_at : float
        Time of the translations at which that is decided: the steps before are taken ``candidates`` times.
    grid_power : float
        Steps shorten towards the end: they are equal in u, where time is ``1 - (1 - u)**grid_power``.
    generator : str
        What moves rotations: ``flow``, ``jump``, or their ``superposition``; ``diffusion`` is the flow with noise of
        strength 1.
    jump_weight : float
        Weight of the jump in the superposition, 0 to 1; the flow has the rest.
    flow_draws : int
        0: the flow follows the velocity that the network predicts. Else it follows the mean of the conditional ones
        towards so many draws from the predicted posterior, which is the same in an exact network.
    rotation_power : float
        Rotations run ahead of translations: their time is ``1 - (1 - t)**rotation_power``.
    noise_scale : float
        Scale of the translation prior (1: as trained; below 1: less diverse, fewer errors).
    translation_noise, rotation_noise : float
        Strength of a Langevin term that comes on top of the generator: 0 none, 1 that of a reverse SDE.
    temperature : float
        Scale of that term's noise. 1 is what the mathematics wants, and keeps the law. Below 1 a sampler seeks what the
        network holds likely: early steps settle on a fold, late ones mend errors; the default is by measurement
        (docs/training.md).
    guidance : float
        Early translations aim beyond the network's prediction, away from what its first stage predicts: at
        ``first + guidance (last - first)`` (autoguidance, Karras et al. 2024, with the network's own first stage in the
        place of a weaker network, so at no cost). 1: at the prediction itself.
    guidance_until : float
        Time of the translations up to which that is done: it decides on folds, bonds come later.
    point : bool
        Jump, diffuse and (with ``flow_draws``) flow as if the point prediction were certain, instead of drawing from
        the predicted posterior: the known baseline, which is biased.
    self_conditioning : bool
        Show the network its last prediction.
    neighbours : int, optional
        Residues that each residue attends to in longer chains; by default all in chains of up to 512 residues, 128 in
        longer ones.
    precision : str
        Of the network's matrix products: ``fp32``; ``bf16``, which is up to twice as fast on processors and GPUs that
        have instructions for it and makes no worse proteins, though other ones for the same seed; ``auto``: ``bf16`` on
        those.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    steps: int = 40
    candidates: int = 1
    candidates_at: float = 0.2
    grid_power: float = 1.0
    generator: str = "superposition"
    jump_weight: float = 0.5
    flow_draws: int = 4
    rotation_power: float = 1.0
    noise_scale: float = 1.0
    translation_noise: float = 1.0
    rotation_noise: float = 0.0
    temperature: float = 0.4
    guidance: float = 1.5
    guidance_until: float = 0.6
    point: bool = False
    self_conditioning: bool = True
    neighbours: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.generator not in _GENERATORS:
            raise ValueError(f"generator={self.generator!r}: must be one of {', '.join(_GENERATORS)}")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision={self.precision!r}: must be auto, bf16 or fp32")
        if self.steps < 2:
            raise ValueError(f"steps={self.steps} must be at least 2")
        if not 1 <= self.guidance < 10:
            raise ValueError(f"guidance={self.guidance} must be at least 1 (none) and below 10")
        if self.candidates < 1:
            raise ValueError(f"candidates={self.candidates} must be at least 1 (nothing to choose from)")
        if not 0 < self.candidates_at < 1:
            raise ValueError(f"candidates_at={self.candidates_at} must lie between 0 and 1")
        if self.flow_draws < 0:
            raise ValueError(f"flow_draws={self.flow_draws} must be 0 (the network's own velocity) or more")
        if not 0 <= self.jump_weight <= 1:
            raise ValueError(f"jump_weight={self.jump_weight} must lie between 0 and 1")
        for name in ("grid_power", "rotation_power", "noise_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        for name in ("translation_noise", "rotation_noise", "temperature"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.neighbours is not None and self.neighbours < FEWEST:
            raise ValueError(f"neighbours={self.neighbours} must be at least {FEWEST}")

    def grid(self) -> Tensor:
        """Times of the steps from 0 on, shape (steps,)."""
        return 1 - (1 - torch.linspace(0.0, 1.0, self.steps + 1)[:-1]) ** self.grid_power

    def fork(self) -> int:
        """How many steps candidates take before one of them is chosen."""
        return max(1, int((self.grid() < self.candidates_at).sum()))

    def rotation_time(self, time: Tensor) -> Tensor:
        """Time of the rotations where that of the translations is ``time``."""
        return 1 - (1 - time) ** self.rotation_power

    def attended(self, length: int) -> int | None:
        """How many residues each residue of a chain attends to; None: all of them."""
        if self.neighbours is None:
            return None if length <= _DENSE else _SPARSE
        return attended(length, self.neighbours)

    def on(self, device: torch.device) -> SamplerSettings:
        """The settings with the precision that ``auto`` means on a device."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bf16" if bfloat16_is_fast(device) else "fp32")

    @property
    def jump_share(self) -> float:
        """Weight of the jump in the generator chosen."""
        share = _GENERATORS[self.generator]
        return self.jump_weight if share is None else share

    @property
    def rotation_strength(self) -> float:
        """Strength of the noise on rotations in the generator chosen."""
        return self.rotation_noise or float(self.generator == "diffusion")

    def to_dict(self) -> dict[str, object]:
        """The settings by name, for manifests and provenance."""
        return asdict(self)
