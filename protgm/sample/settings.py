"""How a sampler walks from noise to a protein, and how that is computed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from protgm.checks import check_numbers
from protgm.device import bfloat16_is_fast
from protgm.model.config import DenoiserConfig
from protgm.model.neighbours import FEWEST, attended

__all__ = ["Execution", "SamplerSettings"]

_DENSE, _SPARSE = 512, 128  # residues up to which each attends to all, and to how many beyond that


@dataclass(frozen=True)
class _Generator:
    """What one of the words for ``generator=`` means.

    Parameters
    ----------
    needs : tuple of set of str
        What has to be predicted of rotations, in any of these ways.
    jump : float, optional
        Weight of the jump; None: as the settings say.
    noise : float
        Strength of the noise on rotations where nothing is said. By a score alone a walk has to forget each noise level
        before the next one.
    """

    needs: tuple[set[str], ...]
    jump: float | None = 0.0
    noise: float = 0.0


_GENERATORS = {
    "flow": _Generator(needs=({"posterior"}, {"velocity"})),
    "jump": _Generator(needs=({"posterior"},), jump=1.0),
    "superposition": _Generator(needs=({"posterior"},), jump=None),
    "diffusion": _Generator(needs=({"posterior"}, {"velocity", "score"}), noise=1.0),
    "score": _Generator(needs=({"score"},), noise=8.0),
}


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the simulation.

    Parameters
    ----------
    steps : int
        Evaluations of the network.
    generator : str
        What moves rotations: ``flow``, ``jump``, or their ``superposition``; ``diffusion`` is the flow with noise of
        strength 1; ``score`` is noise about a score without a flow, for weights that have nothing else.
    jump_weight : float
        Weight of the jump in the superposition, 0 to 1; the flow has the rest.
    translation_noise, rotation_noise : float
        Strength of a Langevin term that comes on top of the generator: 0 none, 1 that of a reverse SDE.
    temperature : float
        Scale of that term's noise. 1 is what the mathematics wants, and keeps the law. Below 1 a sampler seeks what the
        network holds likely: early steps settle on a fold, late ones mend errors; the default is by measurement
        (docs/training.md).
    guidance, guidance_until : float
        As `protgm.condition.Autoguidance` takes them; 1 and any: none.
    cogenerate : bool
        Find residue types with the frames, by the masking chain; otherwise only given ones are there.
    sequence_temperature : float
        Of the types drawn; 1 draws from the network's posterior, near 0 takes the likeliest.
    sequence_noise : float
        Strength of a corrector that masks residues again and finds their types anew.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    steps: int = 40
    generator: str = "superposition"
    jump_weight: float = 0.5
    translation_noise: float = 1.0
    rotation_noise: float = 0.0
    temperature: float = 0.7
    guidance: float = 1.5
    guidance_until: float = 0.6
    cogenerate: bool = False
    sequence_temperature: float = 0.2
    sequence_noise: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.generator not in _GENERATORS:
            raise ValueError(f"generator={self.generator!r}: must be one of {', '.join(_GENERATORS)}")
        if self.steps < 2:
            raise ValueError(f"steps={self.steps} must be at least 2")
        if not 1 <= self.guidance < 10:
            raise ValueError(f"guidance={self.guidance} must be at least 1 (none) and below 10")
        if not 0 <= self.jump_weight <= 1:
            raise ValueError(f"jump_weight={self.jump_weight} must lie between 0 and 1")
        for name in ("translation_noise", "rotation_noise", "temperature", "guidance_until", "sequence_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number, and not negative")
        if not 0 < self.sequence_temperature < math.inf:
            raise ValueError(f"sequence_temperature={self.sequence_temperature} must be positive")

    def grid(self) -> Tensor:
        """Times of the evaluations, from 0 on, shape (steps,)."""
        return torch.linspace(0.0, 1.0, self.steps + 1)[:-1]

    @property
    def jump_share(self) -> float:
        """Weight of the jump in the generator chosen."""
        share = _GENERATORS[self.generator].jump
        return self.jump_weight if share is None else share

    @property
    def rotation_strength(self) -> float:
        """Strength of the noise on rotations in the generator chosen."""
        return self.rotation_noise or _GENERATORS[self.generator].noise

    @classmethod
    def fitting(cls, config: DenoiserConfig, **values: Any) -> SamplerSettings:
        """Settings with the generator that a network was trained for: the superposition where it can."""
        generator = "superposition" if "posterior" in config.predicts else config.method
        return cls(**{"generator": generator} | values)

    def check(self, config: DenoiserConfig) -> None:
        """Refuse a generator that a network was not trained for.

        Raises
        ------
        ValueError
            With the generators that it was trained for.
        """
        has, noisy = set(config.predicts), self.generator == "flow" and self.rotation_noise > 0
        fits = {name for name, word in _GENERATORS.items() if any(way <= has for way in word.needs)}
        if ("diffusion" if noisy else self.generator) not in fits:
            asked = f"generator={self.generator}" + (f" with rotation_noise={self.rotation_noise:g}" if noisy else "")
            raise ValueError(
                f"{asked}: these weights were trained by method={config.method}, which gives the "
                f"{' and the '.join(config.predicts)} of rotations; use generator={' or '.join(sorted(fits))}"
            )

    def to_dict(self) -> dict[str, object]:
        """The settings by name, for manifests and provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Execution:
    """How a walk is computed, which changes what it takes, and roundings, but not its law.

    Parameters
    ----------
    neighbours : int, optional
        Residues that each residue attends to in longer chains; by default all in chains of up to 512 residues, 128 in
        longer ones.
    precision : str
        Of the network's matrix products: ``fp32``; ``bf16``, which is up to twice as fast on processors and GPUs that
        have instructions for it and makes no worse proteins, though other ones for the same seed; ``auto``: ``bf16`` on
        those.
    batch : int, optional
        Proteins denoised together; by default about five hundred residues.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    neighbours: int | None = None
    precision: str = "auto"
    batch: int | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision={self.precision!r}: must be auto, bf16 or fp32")
        if self.neighbours is not None and self.neighbours < FEWEST:
            raise ValueError(f"neighbours={self.neighbours} must be at least {FEWEST}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch={self.batch} must be at least 1")

    def attended(self, length: int) -> int | None:
        """How many residues each residue of a protein attends to; None: all of them."""
        if self.neighbours is None:
            return None if length <= _DENSE else _SPARSE
        return attended(length, self.neighbours)

    def on(self, device: torch.device) -> Execution:
        """With the precision that ``auto`` means on a device."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bf16" if bfloat16_is_fast(device) else "fp32")
