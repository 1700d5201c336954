"""Everything a training run is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter

from protgm.checks import check_numbers
from protgm.model import DenoiserConfig
from protgm.model.neighbours import FEWEST
from protgm.train.bregman import DivergenceConfig
from protgm.train.corrupt import CorruptionConfig
from protgm.train.losses import LossWeights
from protgm.train.optim import Schedule

__all__ = ["TrainConfig"]


#: What keys may be, at least and at most; NaN is never allowed. None stands for: not given.
_RANGES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("seed", "hours", "checkpoint_minutes", "validate_minutes", "schedule.warmup_steps"), 0, math.inf),
    (("clip", "weight_decay", "schedule.peak", *(f"loss.{f.name}" for f in fields(LossWeights))), 0, math.inf),
    (("steps", "tokens", "min_length", "processes", "num_nodes", "log_every", "sample_num", "recycles"), 1, math.inf),
    (("sample_steps",), 2, math.inf),
    (("ema", "self_conditioning", "schedule.decay_share"), 0, 1),
    (tuple(f"corruption.{f.name}" for f in fields(CorruptionConfig)), 0, 1),
)


def _check_range(key: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        wanted = f"be at least {least:g}" if most == math.inf else f"lie between {least:g} and {most:g}"
        raise ValueError(f"{key}={value} must {wanted}")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; `configs/train.yaml` explains each.

    Raises
    ------
    ValueError
        If neither ``steps`` nor ``hours`` says when to stop, or a value is out of range.
    """

    data: str
    out: str
    hours: float | None = None
    steps: int | None = None
    seed: int = 0
    init: str | None = None
    method: str = "jump"
    tokens: int = 640
    min_length: int = 40
    max_length: int = 128
    neighbours: int | None = None
    processes: int = 1
    device: str | None = None
    devices: int | str | None = None
    num_nodes: int = 1
    precision: str = "auto"
    compile: bool = False
    optimizer: str = "muon"
    clip: float = 1.0
    weight_decay: float = 0.01
    ema: float = 0.999
    self_conditioning: float = 0.5
    recycles: int = 1
    log_every: int = 50
    checkpoint_minutes: float = 5.0
    validate_minutes: float = 10.0
    sample_lengths: tuple[int, ...] = (64, 96)
    sample_num: int = 4
    sample_steps: int = 50
    progress: bool = True
    model: DenoiserConfig = field(default_factory=DenoiserConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    divergence: DivergenceConfig = field(default_factory=DivergenceConfig)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.model.method not in (DenoiserConfig.method, self.method):
            raise ValueError(f"model.method={self.model.method}: say method={self.model.method} instead")
        # The network's settings, which its weights keep, say what it predicts.
        object.__setattr__(self, "model", replace(self.model, method=self.method))
        if self.hours is None and self.steps is None:
            raise ValueError("say how long to train: hours=2 or steps=20000")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision={self.precision!r}: must be auto, bf16 or fp32")
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer={self.optimizer!r}: must be adamw or muon")
        for keys, least, most in _RANGES:
            for key in keys:
                _check_range(key, attrgetter(key)(self), least, most)
        if self.neighbours is not None and self.neighbours < FEWEST:
            raise ValueError(f"neighbours={self.neighbours} must be at least {FEWEST}, or null (all)")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length={self.min_length} must not be above max_length={self.max_length}")
        check_numbers(self)
        if self.device is not None and (self.processes > 1 or self.with_fabric):
            raise ValueError(f"device={self.device} is for a run of one process; processes= and devices= find theirs")
        if self.processes > 1 and self.with_fabric:
            raise ValueError("processes= is for the processor of one machine; devices= and num_nodes= do without it")

    @property
    def with_fabric(self) -> bool:
        """Whether Lightning Fabric is asked to start the processes."""
        return self.devices is not None or self.num_nodes > 1

    def share_done(self, step: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1, by whichever limit comes first."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / max(1, self.steps))
        if self.hours is not None:
            shares.append(seconds / 3600 / max(1e-9, self.hours))
        return min(1.0, max(shares))
