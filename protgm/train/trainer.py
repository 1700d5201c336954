"""The training loop."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from protgm.data.batches import Batch, EpochSampler
from protgm.data.dataset import Dataset, DatasetError
from protgm.device import bfloat16_is_fast, placed
from protgm.model import Denoiser, NoisyProtein, Prediction
from protgm.model.finite import NotFinite, finite
from protgm.model.neighbours import attended
from protgm.process import ProteinProcess
from protgm.progress import RunProgress
from protgm.seeds import mix
from protgm.stopping import Stop, heeded
from protgm.streams import Streams
from protgm.structure.frames import Frames
from protgm.text import printable
from protgm.train.checkpoint import best, latest_checkpoint, note_best, resume, save_checkpoint
from protgm.train.config import TrainConfig
from protgm.train.corrupt import corrupt
from protgm.train.diverged import Diverged, Divergence
from protgm.train.log import Clock, RunLog, Window
from protgm.train.losses import denoising_losses, total_loss
from protgm.train.monitor import sample_geometry, validation_losses
from protgm.train.optim import EMA, descend, make_optimizer
from protgm.train.parallel import World
from protgm.weights import WEIGHTS, load_weights, not_finite, save_weights

__all__ = ["Trainer"]


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
        self.process = ProteinProcess.of_scale(config.model.noise_scale)
        self.model = Denoiser(config.model).to(self.world.device)
        if config.init is not None:
            load_weights(self.model, config.init)
        self.optimizer = make_optimizer(
            self.model, config.optimizer, config.weight_decay, rank=self.world.rank, processes=self.world.size
        )
        self.ema = EMA(self.model, config.ema)
        self.counters: dict[str, float] = {"step": 0, "epoch": 0, "batch": 0, "samples": 0, "seconds": 0.0}
        resumed = resume(self.folder, self.model, self.ema, self.optimizer, self._tell)
        if resumed is not None:
            self.counters.update(resumed)
            self._keep_place()
        if config.compile:
            self.model.compile_blocks()
        half = config.precision == "bf16" or (config.precision == "auto" and bfloat16_is_fast(self.world.device))
        self.half = bool(self.world.agree(float(half)))
        self.autocast = partial(torch.autocast, self.world.device.type, dtype=torch.bfloat16, enabled=self.half)
        self._stop = Stop()
        self._saved = -1 if resumed is None else int(resumed["step"])

    def run(self) -> None:
        """Train until done or told to stop; leaves a checkpoint.

        Raises
        ------
        Diverged
            When gradients or weights are not finite any more: the checkpoints of before are left as they are.
        """
        with heeded() as self._stop, contextlib.ExitStack() as closing:
            log = None
            if self.world.first:
                log = RunLog(self.folder, int(self.counters["step"]))
                closing.callback(log.close)
            self._run(log)

    def _run(self, log: RunLog | None) -> None:
        config, first, stopped = self.config, self.world.first, False
        clock = Clock(self.counters["seconds"])
        saved, checked = clock.seconds, clock.seconds
        window, divergence = Window(), Divergence()
        with RunProgress("train", enabled=first and config.progress) as progress:
            for batch in self._batches():
                self.counters["seconds"] = clock.seconds
                done = config.share_done(int(self.counters["step"]), self.counters["seconds"])
                done = self.world.agree(done)
                stopped = self.world.any(self._stop.asked)
                if stopped or done >= 1:
                    progress.show(done, f"step {int(self.counters['step'])}")
                    break
                rate = config.schedule.rate(int(self.counters["step"]), done)
                residues = int(batch.mask.sum()) * self.world.size
                found = self.step(batch, rate)
                window.add(found, len(batch) * self.world.size, residues)
                step = int(self.counters["step"])
                if divergence.goes_on(found["gradient"]):
                    raise self._diverged("gradients are not finite")
                if step % config.log_every == 0:
                    figures = {**window.means(self.world), "rate": rate, "samples": self.counters["samples"]}
                    if log is not None:
                        log.write("train", step, {**figures, "seconds": self.counters["seconds"]})
                        speed = f"{figures['samples_per_second']:.1f} samples/s"
                        progress.show(done, f"step {step} loss {figures['loss']:.3f} {speed}")
                    window = Window()
                if log is None:
                    continue
                if clock.seconds - saved > 60 * config.checkpoint_minutes:
                    self.save()
                    saved = clock.seconds
                if clock.seconds - checked > 60 * config.validate_minutes:
                    self.check(log, step)
                    checked = clock.seconds
            if log is not None:
                self.counters["seconds"] = clock.seconds
                self.save()
                if not stopped:  # who sends a signal does not wait for long
                    step = int(self.counters["step"])
                    progress.show(1.0, f"step {step}: validation losses, and proteins for {self.folder.name}/samples")
                    self.check(log, step)

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """One optimizer step; returns the loss terms.

        Randomness comes from (seed, step, place in the batch of all processes) alone: a resumed run draws what an
        undisturbed one would have, and several processes what one would have.
        """
        config, world = self.config, self.world
        step = int(self.counters["step"])
        decide = torch.Generator().manual_seed(mix(config.seed, step))
        listens = torch.rand(1, generator=decide).item() < config.self_conditioning
        recycles = int(torch.randint(1, config.recycles + 1, (1,), generator=decide)) if listens else 0
        proteins = len(batch) * world.size
        places = range(world.rank, proteins, world.size)
        source = Streams([mix(config.seed, step, place) for place in places], [batch.padded_length] * len(batch))
        noised = corrupt(batch.to(world.device), self.process, config.corruption, source)
        with self.autocast():
            prediction = self._predict(noised.protein, recycles)
        terms = denoising_losses(prediction, noised, world.mean, config.divergence)
        loss = total_loss(terms, config.loss)
        norm = descend(loss, self.model, self.optimizer, self.ema, rate, config.clip, world.average_gradients)
        self.counters["step"] += 1
        self.counters["batch"] += 1
        self.counters["samples"] += proteins
        detached = {key: value.detach() for key, value in terms.items()}
        return {"loss": loss.detach(), "gradient": norm.detach(), **detached}

    def _predict(self, protein: NoisyProtein, recycles: int) -> Prediction:
        """Predict after so many passes before, each shown the result of the one before it (self-conditioning)."""
        guess: Frames | None = None
        network = self._network(protein.mask.shape[1])
        with torch.no_grad():
            for _ in range(recycles):
                seen = network(protein, guess)
                # The compiler may hand out the same buffers again, hence the copies.
                guess = seen.frames.map(torch.Tensor.clone)
        return network(protein, guess)

    def _network(self, length: int) -> Callable[..., Prediction]:
        """The model as it attends in chains of up to this length: to so many neighbours, or to all."""
        return partial(self.model, neighbours=attended(length, self.config.neighbours))

    def save(self) -> None:
        """Write a checkpoint, and the averaged weights as a file that `protgm sample checkpoint=` takes.

        Raises
        ------
        Diverged
            If weights are not finite; nothing is written then.
        """
        if (name := not_finite([*self.model.named_parameters(), *self.ema.state().items()])) is not None:
            raise self._diverged(f"weights of {name} are not finite")
        if self._saved != self.counters["step"]:
            self.counters["epoch_steps"] = self.sampler.steps(int(self.counters["epoch"]))
            save_checkpoint(self.folder, self.model, self.ema, self.optimizer, self.counters)
            self._saved = int(self.counters["step"])
        with self.averaged() as model:
            save_weights(self.folder / WEIGHTS, model, self._card(), process=self.process)

    def check(self, log: RunLog, step: int) -> None:
        """Validation losses and the geometry of a few generated samples, with the averaged weights.

        The checkpoint that is validated best stays, and its averaged weights are ``best.safetensors``.
        """
        self.save()
        with contextlib.suppress(_Stopped), self.averaged():

            def predict(protein: NoisyProtein, guess: Frames | None = None) -> Prediction:
                if self._stop.asked:
                    raise _Stopped
                with self.autocast():
                    return self._network(protein.mask.shape[1])(protein, guess)

            denoise = finite(placed(predict, self.world.device), "of this run")

            with contextlib.suppress(DatasetError, NotFinite):  # a dataset need not have a validation split
                losses = validation_losses(denoise, self.process, self.config)
                log.write("validation", step, losses)
                if losses["loss"] < best(self.folder)[1]:
                    card = self._card() | {"validation_loss": losses["loss"]}
                    save_weights(self.folder / "best.safetensors", self.model, card)
                    note_best(self.folder, step, losses["loss"])
            with contextlib.suppress(NotFinite):  # a run that stands badly stands in its losses
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

    def _card(self) -> dict[str, object]:
        return {**self.counters, "lengths": [self.config.min_length, self.config.max_length]}

    def _diverged(self, what: str) -> Diverged:
        """The error that says what happened, what to turn, and what there is to go on from."""
        config, run, newest = self.config, printable(self.folder, 1000), latest_checkpoint(self.folder)
        turn = f"lower schedule.peak (now {config.schedule.peak:g}) or clip (now {config.clip:g})"
        if self.half:
            turn += ", or try precision=fp32"
        if newest is None:
            left = "there is no checkpoint yet: start again"
        else:
            left = f"the same command then goes on from {newest.name}"
            if best(self.folder)[0] >= 0:
                left += f", and init={run}/best.safetensors begins a new run with the weights that were validated best"
        return Diverged(f"{run}: training has diverged at step {int(self.counters['step'])}: {what}; {turn}; {left}")

    def _keep_place(self) -> None:
        """After a restart with another number of processes or tokens: as far into the epoch as before.

        Its batches are others then; some examples come twice in this epoch and some not at all.
        """
        steps = self.sampler.steps(int(self.counters["epoch"]))
        before = int(self.counters.get("epoch_steps", steps))
        if before != steps:
            self.counters["batch"] = int(self.counters["batch"]) * steps // max(1, before)

    def _tell(self, message: str) -> None:
        if self.world.first:
            print(f"protgm: {printable(message, limit=2000)}", file=sys.stderr)

    def _batches(self) -> Iterator[Batch]:
        while True:
            epoch = int(self.counters["epoch"])
            yield from self.sampler.epoch(epoch, int(self.counters["batch"]))
            self.counters["epoch"], self.counters["batch"] = epoch + 1, 0


class _Stopped(Exception):
    """Told to stop in the middle of something that can be left out."""
