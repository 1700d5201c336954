"""The training loop."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from protgm.data.batches import Batch, EpochSampler
from protgm.data.dataset import Dataset, DatasetError
from protgm.files import write_json
from protgm.lock import locked
from protgm.model import Denoiser, NoisyProtein, Prediction
from protgm.process import ProteinProcess
from protgm.seeds import mix
from protgm.train.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from protgm.train.config import TrainConfig
from protgm.train.corrupt import Noised, corrupt
from protgm.train.log import RunLog
from protgm.train.losses import denoising_losses, total_loss
from protgm.train.monitor import sample_geometry, validation_losses
from protgm.train.optim import EMA, make_optimizer
from protgm.train.parallel import World, launch
from protgm.train.progress import TrainProgress
from protgm.weights import load_weights, save_weights

__all__ = ["Trainer", "train"]


def train(config: TrainConfig) -> None:
    """Train, or go on with the run in ``config.out``.

    Ends when the run's steps or hours are done, or after a checkpoint when the process gets SIGTERM or SIGINT.

    Raises
    ------
    ValueError
        If the dataset cannot be read, the run was started with other settings, or another process goes on with it.
    """
    with locked(Path(config.out), "protgm train"):
        _claim(config)
        launch(partial(_run, config), config.processes)


def _run(config: TrainConfig, world: World) -> None:
    Trainer(config, world).run()


def _claim(config: TrainConfig) -> None:
    """Record the settings in the run's folder, or check them against those recorded there."""
    run = Path(config.out)
    settings = json.loads(json.dumps(asdict(config)))
    path = run / "settings.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for key in ("model", "seed", "optimizer"):
            if before.get(key) != settings[key]:
                raise ValueError(
                    f"{run}: was trained with {key}={before.get(key)}, now {key}={settings[key]}; use a new out= folder"
                )
    write_json(path, settings)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones, by a quick try."""

    def seconds(dtype: torch.dtype) -> float:
        a = torch.randn(512, 256).to(dtype)
        b = torch.randn(256, 512).to(dtype)
        best = math.inf
        for _ in range(8):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.bfloat16) < 0.7 * seconds(torch.float32)


class Trainer:
    """One process of a training run.

    Parameters
    ----------
    config : TrainConfig
    world : World
    """

    def __init__(self, config: TrainConfig, world: World | None = None) -> None:
        self.config, self.world = config, world or World()
        self.folder = Path(config.out)
        self.data = Dataset.open(config.data, split="train")
        self.sampler = EpochSampler(
            self.data,
            tokens=config.tokens,
            min_length=config.min_length,
            max_length=config.max_length,
            seed=config.seed,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        torch.manual_seed(config.seed)
        self.process = ProteinProcess(noise_scale=config.model.noise_scale)
        self.model = Denoiser(config.model)
        if config.init is not None:
            load_weights(self.model, config.init)
        self.optimizer = make_optimizer(self.model, config.optimizer, config.weight_decay)
        self.ema = EMA(self.model, config.ema)
        self.counters: dict[str, float] = {"step": 0, "epoch": 0, "batch": 0, "samples": 0, "seconds": 0.0}
        resumed = latest_checkpoint(self.folder)
        if resumed is not None:
            self.counters.update(load_checkpoint(resumed, self.model, self.ema, self.optimizer))
        self.forward = torch.compile(self.model, dynamic=True) if config.compile else self.model
        half = config.precision == "bf16" or (config.precision == "auto" and bfloat16_is_fast())
        half = bool(self.world.agree(float(half)))
        self.autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=half)
        self._stop = False

    def run(self) -> None:
        """Train until done or told to stop; always leaves a checkpoint."""
        config, first = self.config, self.world.first
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)
        log = RunLog(self.folder, int(self.counters["step"])) if first else None
        clock = _Clock(self.counters["seconds"])
        saved, checked = clock.seconds, clock.seconds
        window = _Window()
        with TrainProgress(config, enabled=first) as progress:
            for batch in self._batches():
                self.counters["seconds"] = clock.seconds
                done = config.progress(int(self.counters["step"]), self.counters["seconds"])
                done = self.world.agree(done)
                if self.world.any(self._stop) or done >= 1:
                    break
                rate = config.schedule.rate(int(self.counters["step"]), done)
                window.add(self.step(batch, rate), len(batch) * self.world.size, batch.mask.sum() * self.world.size)
                step = int(self.counters["step"])
                if log is None:
                    continue
                if step % config.log_every == 0:
                    figures = {**window.means(), "rate": rate, "samples": self.counters["samples"]}
                    log.write("train", step, {**figures, "seconds": self.counters["seconds"]})
                    progress.show(step, done, figures)
                    window = _Window()
                if clock.seconds - saved > 60 * config.checkpoint_minutes:
                    self.save()
                    saved = clock.seconds
                if clock.seconds - checked > 60 * config.validate_minutes:
                    self.check(log, step)
                    checked = clock.seconds
        if log is not None:
            self.counters["seconds"] = clock.seconds
            self.save()
            self.check(log, int(self.counters["step"]))
            log.close()

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """One optimizer step; returns the loss terms.

        Randomness comes from (seed, step, rank) alone, so a resumed run draws what an undisturbed one would have.
        """
        config = self.config
        step = int(self.counters["step"])
        generator = torch.Generator().manual_seed(mix(config.seed, step, self.world.rank))
        noised = corrupt(batch, self.process, config.corruption, generator)
        with self.autocast():
            prediction = self._predict(noised, generator)
        terms = denoising_losses(prediction, noised)
        loss = total_loss(terms, config.loss)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in self.model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.world.average_gradients(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        if torch.isfinite(norm):
            self.optimizer.step(rate)
            self.ema.update(self.model)
        self.counters["step"] += 1
        self.counters["batch"] += 1
        self.counters["samples"] += len(batch) * self.world.size
        detached = {key: value.detach() for key, value in terms.items()}
        return {"loss": loss.detach(), "gradient": norm.detach(), **detached}

    def _predict(self, noised: Noised, generator: torch.Generator) -> Prediction:
        """Predict, half of the time after a first look whose result is given as a guess (self-conditioning)."""
        protein: NoisyProtein = noised.protein
        guess = (protein.rotations, protein.translations)
        listen = torch.zeros(len(protein.mask), dtype=torch.bool)
        if torch.rand((), generator=generator) < self.config.self_conditioning:
            with torch.no_grad():
                first = self.forward(protein, guess, listen)
            # The compiler may hand out the same buffers again, hence the copies.
            guess = (first.rotations.clone(), first.translations.clone())
            listen = torch.ones_like(listen)
        return self.forward(protein, guess, listen)

    def save(self) -> None:
        """Write a checkpoint, and the averaged weights as a file that `protgm sample checkpoint=` takes."""
        save_checkpoint(self.folder, self.model, self.ema, self.optimizer, self.counters)
        with self.averaged() as model:
            save_weights(self.folder / "weights.safetensors", model, {**self.counters})

    def check(self, log: RunLog, step: int) -> None:
        """Validation losses and the geometry of a few generated samples, with the averaged weights."""
        with self.averaged() as model:

            def denoise(*inputs: object) -> Prediction:
                with self.autocast():
                    return model(*inputs)

            with contextlib.suppress(DatasetError):  # a dataset need not have a validation split
                log.write("validation", step, validation_losses(denoise, self.process, self.config))
            log.write("samples", step, sample_geometry(denoise, self.process, self.config, self.folder / "samples"))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[Denoiser]:
        """The model with the averaged weights, for the length of the block."""
        present = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.ema.copy_to(self.model)
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            self.model.train()
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(present[name])

    def _batches(self) -> Iterator[Batch]:
        while True:
            epoch = int(self.counters["epoch"])
            yield from self.sampler.epoch(epoch, int(self.counters["batch"]))
            self.counters["epoch"], self.counters["batch"] = epoch + 1, 0

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop = True


class _Clock:
    """Seconds of training, counted over restarts."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


class _Window:
    """Means of the figures since the last log line."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps, self.samples, self.residues = 0, 0, torch.zeros(())
        self.start = time.monotonic()

    def add(self, figures: dict[str, Tensor], samples: int, residues: Tensor) -> None:
        for key, value in figures.items():
            self.sums[key] = self.sums.get(key, torch.zeros(())) + value
        self.steps += 1
        self.samples += samples
        self.residues = self.residues + residues

    def means(self) -> dict[str, float]:
        elapsed = time.monotonic() - self.start
        means = {key: float(value) / self.steps for key, value in self.sums.items()}
        means["samples_per_second"] = self.samples / elapsed
        means["residues_per_second"] = float(self.residues) / elapsed
        return means
