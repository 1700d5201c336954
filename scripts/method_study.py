"""Trainings of a small network by method and by divergence, at equal processor time, judged by what they generate.

python scripts/method_study.py data=dataset runs=runs minutes=8 seeds=0,1 num=64 page=docs/studies/methods.md

Answers, on proteins, the first two questions that Holderrieth et al. (2024) leave open: whether flow and jump are
better trained in one network, alone, or apart and superposed when sampling; and which Bregman divergence to train by.
Each run is one process of one thread and gets the same processor time (not wall-clock: other work on the machine does
not count). Runs that are there are not made again. Every network then makes ``num`` proteins of each length from the
same noise; figures are means over the proteins of all seeds with half the width of their 95 % bootstrap interval, as in
`scripts/sampling_study.py`. `position`, `fold`, `posterior` and `sequence` are losses on validation natives, by squared
error and logarithm whatever a network was trained by: means over seeds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _options import options
from numpy.typing import NDArray
from sampling_study import RAW, diversity, interval
from torch import nn

import protgm.train.trainer as trainer
from protgm.condition.secondary import NATIVE
from protgm.files import atomic, write_json
from protgm.metrics.gate import Gate
from protgm.metrics.geometry import geometry
from protgm.metrics.novelty import nearest_natives
from protgm.metrics.similarity import SAME_FOLD
from protgm.model import Denoiser, DenoiserConfig, NoisyProtein, Prediction
from protgm.sample.batch import Generated
from protgm.sample.generate import BackboneModel
from protgm.sample.lengths import work_list
from protgm.sample.request import with_labels
from protgm.sample.settings import SamplerSettings
from protgm.structure.frames import Frames
from protgm.train import TrainConfig, train
from protgm.train.bregman import DivergenceConfig
from protgm.train.corrupt import CorruptionConfig
from protgm.train.log import Clock
from protgm.train.losses import LossWeights
from protgm.train.monitor import validation_losses
from protgm.train.optim import Schedule
from protgm.weights import load_model

LENGTHS = (48, 72)
LOSSES = ("translation", "fold", "posterior", "sequence")
NETWORK = DenoiserConfig(
    width=128, heads=8, stages=2, blocks=3, pair_width=32, pair_values=16, feed_forward=384, components=4
)


@dataclass(frozen=True)
class Training:
    """One way to train."""

    name: str
    method: str = "jump"
    divergence: DivergenceConfig = field(default_factory=DivergenceConfig)


TRAININGS = (
    Training("flow", "flow"),
    Training("jump"),
    Training("joint", "superposition"),
    Training("positions-cosh", divergence=DivergenceConfig(positions="cosh")),
    Training("positions-hyperbola", divergence=DivergenceConfig(positions="hyperbola")),
    Training("rotations-squared", divergence=DivergenceConfig(rotations="squared")),
    Training("tokens-squared", divergence=DivergenceConfig(tokens="squared")),
    Training("diffusion", "diffusion"),
    Training("score", "score"),
)
#: Rows of the table: a name, the trainings that take part, and the generator.
ROWS = (
    ("flow alone", ("flow",), "flow"),
    ("jump alone", ("jump",), "jump"),
    ("joint, sampled by the superposition", ("joint",), "superposition"),
    ("joint, sampled by its flow", ("joint",), "flow"),
    ("joint, sampled by its jump", ("joint",), "jump"),
    ("trained apart, superposed", ("flow", "jump"), "superposition"),
    ("jump's posterior, sampled by the superposition", ("jump",), "superposition"),
    ("diffusion", ("diffusion",), "diffusion"),
    ("score alone", ("score",), "score"),
    ("positions by cosh", ("positions-cosh",), "superposition"),
    ("positions by hyperbola", ("positions-hyperbola",), "superposition"),
    ("rotations by squared error", ("rotations-squared",), "superposition"),
    ("tokens by squared error", ("tokens-squared",), "superposition"),
)


class ProcessorClock(Clock):
    """Counts the processor's seconds of this process."""

    def __init__(self, before: float) -> None:
        self._start = time.process_time() - before

    @property
    def seconds(self) -> float:
        """So far."""
        return time.process_time() - self._start


class Apart(nn.Module):
    """Two networks, one trained for the flow and one for the jump: the velocity of one, the posterior of the other.

    What both predict, positions above all, is their mean.
    """

    def __init__(self, flow: Denoiser, jump: Denoiser) -> None:
        super().__init__()
        self.flow, self.jump = flow, jump
        self.config = replace(flow.config, method="superposition")

    def forward(self, protein: NoisyProtein, guess: Frames | None = None, **options: Any) -> Prediction:
        """As `Denoiser`."""
        a, b = self.flow(protein, guess, **options), self.jump(protein, guess, **options)

        def middle(x: Frames, y: Frames) -> Frames:
            return Frames(y.rotations, (x.translations + y.translations) / 2)

        stages = tuple(middle(x, y) for x, y in zip(a.intermediate, b.intermediate, strict=True))
        return replace(b, frames=middle(a.frames, b.frames), intermediate=stages, velocity=a.velocity)


def config_of(training: Training, data: str, folder: Path, minutes: float, seed: int) -> TrainConfig:
    """The settings of one run: the recipe of the bundled weights, for short chains and a small network."""
    return TrainConfig(
        data=data,
        out=str(folder),
        hours=minutes / 60,
        seed=seed,
        method=training.method,
        divergence=training.divergence,
        tokens=960,
        min_length=40,
        max_length=96,
        self_conditioning=0.5,
        ema=0.995,
        checkpoint_minutes=1e6,
        validate_minutes=1e6,
        sample_lengths=(48,),
        sample_num=1,
        sample_steps=2,
        progress=False,
        model=NETWORK,
        corruption=CorruptionConfig(early=0.3, joint_time=0.9, secondary_structure=0.67, sequence=0.25),
        loss=LossWeights(translation=3, rotation=0.4, stages=0.2, local=1.5, peptide=1, fold=2, sequence=0.6),
        schedule=Schedule(peak=0.002, warmup_steps=40, decay_share=0.5),
    )


def train_all(data: str, runs: Path, minutes: float, seeds: Sequence[int], only: Sequence[str]) -> None:
    """Make the runs that are not there yet."""
    trainer.Clock = ProcessorClock  # type: ignore[misc]
    for seed in seeds:
        for training in TRAININGS:
            folder = runs / f"{training.name}_{seed}"
            if (only and training.name not in only) or (folder / "study.json").is_file():
                continue
            config = config_of(training, data, folder, minutes, seed)
            train(config)
            denoiser, process, card = load_model(folder)
            alike = replace(config, divergence=DivergenceConfig())
            with torch.no_grad():
                losses = validation_losses(denoiser, process, alike)
            write_json(folder / "study.json", {"samples": card["samples"], "losses": losses})
            print(folder.name, card["samples"], {k: round(losses[k], 3) for k in LOSSES}, flush=True)


def model_of(names: Sequence[str], runs: Path, seed: int) -> BackboneModel:
    """The network, or the two, of a row."""
    loaded = [load_model(runs / f"{name}_{seed}") for name in names]
    networks = [part[0] for part in loaded]
    network: Any = networks[0] if len(networks) == 1 else Apart(*networks)
    return BackboneModel(network, loaded[0][1], {}, "study", torch.device("cpu"))


def row(name: str, made: Sequence[Generated], natives: Sequence[NDArray], told: Sequence[dict[str, Any]]) -> str:
    """One line of the table."""
    raw, refined = ([geometry(b) for b in group] for group in ([g.raw for g in made], [g.backbone for g in made]))
    cells = [interval(np.array([getattr(report, figure) for report in raw])) for figure in RAW]
    cells.append(interval(np.array([float(not Gate().check(report)) for report in refined])))
    cells.append(f"{diversity(made, 1)[1]:.2f}")
    nearest = nearest_natives([g.backbone.coords[:, 1] for g in made], natives, candidates=24, workers=1)
    scores = np.array([np.nan if n is None else n.tm for n in nearest])
    cells += [interval(scores), interval((scores >= SAME_FOLD).astype(float))]
    cells += [f"{np.mean([one['losses'][loss] for one in told]):.3f}" for loss in LOSSES]
    cells.append(f"{np.mean([one['samples'] for one in told]):,.0f}")
    return "| " + " | ".join([name, *cells]) + " |"


def judge(data: str, runs: Path, seeds: Sequence[int], num: int) -> list[str]:
    """The table of all rows whose runs are there."""
    from protgm.data import Dataset

    natives = [example.coords[:, 1] for example in Dataset.open(data, split="train") if len(example) <= 150]
    heads = ["trained", *RAW, "gate", "clusters", "nearest", "TM >= 0.5"]
    heads += ["position", "fold", "posterior", "sequence", "proteins"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    print(*lines, sep="\n", flush=True)
    for name, trainings, generator in ROWS:
        places = [runs / f"{t}_{seed}" / "study.json" for t in trainings for seed in seeds]
        if not all(place.is_file() for place in places):
            continue
        told = [json.loads(place.read_text()) for place in places]
        made: list[Generated] = []
        for seed in seeds:
            settings = SamplerSettings(steps=25, generator=generator)
            items = work_list(LENGTHS, num // len(LENGTHS), seed)
            conditions = with_labels(None, NATIVE)
            model = model_of(trainings, runs, seed)
            made += list(model.generate(items, conditions=conditions, seed=seed, settings=settings))
        lines.append(row(name, made, natives, told))
        print(lines[-1], flush=True)
    return lines


def main(arguments: Sequence[str]) -> None:
    """Train, sample, and write the page."""
    defaults = {
        "data": "",
        "runs": "",
        "minutes": "8",
        "seeds": "0,1",
        "num": "64",
        "page": "",
        "only": "",
        "judge": "true",
    }
    asked = options(arguments, defaults, needed=["data", "runs"], words=__doc__)
    torch.set_num_threads(1)
    runs, seeds = Path(asked["runs"]), [int(seed) for seed in asked["seeds"].split(",")]
    train_all(asked["data"], runs, float(asked["minutes"]), seeds, [w for w in asked["only"].split(",") if w])
    if asked["judge"] != "true":
        return
    lines = judge(asked["data"], runs, seeds, int(asked["num"]))
    if asked["page"]:
        command = " ".join(["python scripts/method_study.py", *arguments])
        with atomic(asked["page"]) as temporary:
            Path(temporary).write_text(
                "\n".join(["# Trained by method and by divergence", "", f"`{command}`", "", *lines, ""])
            )


if __name__ == "__main__":
    main(sys.argv[1:])
