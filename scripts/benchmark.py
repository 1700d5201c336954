"""Residues per second and peak memory of training steps and of sampling, as a Markdown table.

python scripts/benchmark.py
python scripts/benchmark.py page=docs/benchmark.md lengths=64,128,256,512,1024 compile=true

Settings: ``lengths``, ``longest`` (sampling only, besides), ``threads``, ``train_tokens`` and ``sample_tokens``
(residues of a batch), ``neighbours`` (as in `protgm sample`), ``seconds`` (processor time to spend on a row, at least),
``compile`` (a second row for each with compiled blocks), ``page`` (a file to write).

Each row is a process of its own with random weights of the default network on random chains: speed depends on neither.
It times whole training steps (noise, network, losses, gradients, optimizer; every second step after a first look) in
the precision that training would choose, or one evaluation of the network for a batch in the one sampling would.
Times are the best of several, in processor time of all threads, so that other load on the machine counts little; wall
clock is given beside it, and so is the rate of matrix products measured by the same process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _benchmark_page import page, table_row

from protgm.allocator import keep_freed_memory
from protgm.data.batches import Batch
from protgm.device import bfloat16_is_fast, in_precision
from protgm.files import atomic
from protgm.lie import so3
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, Denoiser, NoisyProtein
from protgm.process import ProteinProcess
from protgm.sample.settings import Execution
from protgm.structure.frames import Frames
from protgm.train.corrupt import CorruptionConfig, corrupt
from protgm.train.losses import LossWeights, denoising_losses, total_loss
from protgm.train.optim import EMA, descend, make_optimizer

GROWTH_FROM = 256  # residues of the chain that the longest is compared with, in the sparse mode both


@dataclass(frozen=True)
class Settings:
    """What to measure; the command line's keys."""

    lengths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    longest: int = 2048
    threads: int = 1
    train_tokens: int = 1280
    sample_tokens: int = 1024
    neighbours: int | None = None
    seconds: float = 4.0
    compile: bool = False
    page: str = ""
    row: str = ""  # one row as JSON, in this process: task, length

    @classmethod
    def parse(cls, words: list[str]) -> Settings:
        """Settings from ``key=value``."""
        settings, kinds = cls(), {f.name: str(f.type) for f in fields(cls)}
        for word in words:
            key, _, value = word.partition("=")
            if key not in kinds:
                raise SystemExit(f"{key}: no such setting; there are {', '.join(kinds)}")
            try:
                settings = replace(settings, **{key: _value(kinds[key], value)})
            except ValueError:
                raise SystemExit(f"{key}={value}: should be of type {kinds[key]}") from None
        return settings


def _value(kind: str, text: str) -> Any:
    if kind.startswith("tuple"):
        return tuple(map(int, text.split(",")))
    if kind == "bool":
        return text == "true"
    if kind.startswith("int"):
        return None if text == "null" else int(text)
    return float(text) if kind == "float" else text


def random_batch(size: int, length: int) -> Batch:
    """Chains whose CA atoms are a random walk."""
    steps = torch.nn.functional.normalize(torch.randn(size, length, 3), dim=-1)
    translations = 3.8 * steps.cumsum(1)
    index = torch.arange(length).expand(size, length)
    return Batch(
        frames=Frames(so3.random_uniform((size, length)), translations - translations.mean(1, keepdim=True)),
        mask=torch.ones(size, length, dtype=torch.bool),
        sequence=torch.randint(0, 20, (size, length)),
        secondary=torch.randint(0, 3, (size, length)),
        residue_index=index,
        chain_index=torch.zeros_like(index),
        names=("random",) * size,
    )


def training_step(model: Denoiser, batch: Batch, neighbours: int | None, half: bool) -> Callable[[], None]:
    """Two training steps, the second of which is shown its own first look."""
    process, ema, optimizer = ProteinProcess(), EMA(model), make_optimizer(model, "muon", 0.01)

    def one(looks: bool) -> None:
        noised = corrupt(batch, process, CorruptionConfig())
        guess = None
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            if looks:
                with torch.no_grad():
                    first = model(noised.protein, neighbours=neighbours)
                guess = first.frames.map(torch.clone)
            prediction = model(noised.protein, guess, neighbours=neighbours)
        loss = total_loss(denoising_losses(prediction, noised), LossWeights())
        descend(loss, model, optimizer, ema, rate=1e-4, clip=1.0)

    def both() -> None:
        one(False)
        one(True)

    return both


def sampling_step(model: Denoiser, batch: Batch, neighbours: int | None, half: bool) -> Callable[[], None]:
    """One evaluation of the network with a guess."""
    time_ = torch.full(batch.mask.shape, 0.5)
    process = ProteinProcess()
    protein = NoisyProtein(
        frames=batch.frames,
        time=time_,
        concentration=process.concentration(time_),
        sequence=torch.full_like(batch.sequence, MASK_TOKEN),
        secondary=torch.full_like(batch.secondary, UNKNOWN_STRUCTURE),
        residue_index=batch.residue_index,
        chain_index=batch.chain_index,
        mask=batch.mask,
        hotspot=torch.zeros_like(batch.mask),
    )
    guess = Frames(batch.frames.rotations.roll(1, 1), batch.frames.translations * 0.9)
    network = in_precision(partial(model, neighbours=neighbours), "cpu", half)

    @torch.no_grad()
    def evaluate() -> None:
        network(protein, guess)

    return evaluate


def best_times(work: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Smallest processor and wall time of a call, after a first one that does not count."""
    work()
    best, wall, spent = float("inf"), float("inf"), 0.0
    while spent < seconds or best == float("inf"):
        start, started = time.process_time(), time.perf_counter()
        work()
        used = time.process_time() - start
        best, wall, spent = min(best, used), min(wall, time.perf_counter() - started), spent + used
    return best, wall


def gemm_rate(dtype: torch.dtype) -> float:
    """GFLOP/s of 1,024-sized matrix products, by processor time."""
    a, b = torch.randn(2, 1024, 1024).to(dtype).unbind()

    def work() -> None:
        a @ b

    return 2 * 1024**3 / best_times(work, 0.5)[0] / 1e9


def measure(settings: Settings) -> dict[str, Any]:
    """One row of the table."""
    task, length = settings.row.split(",")[0], int(settings.row.split(",")[1])
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    size = max(1, (settings.train_tokens if task == "train" else settings.sample_tokens) // length)
    neighbours = Execution(neighbours=settings.neighbours).attended(length)
    rates = [gemm_rate(dtype) for dtype in (torch.float32, torch.bfloat16)]
    model, batch, half = Denoiser(), random_batch(size, length), bfloat16_is_fast()
    if settings.compile:
        model.compile_blocks()
    if task == "train":
        used, wall = (t / 2 for t in best_times(training_step(model, batch, neighbours, half), settings.seconds))
    else:
        used, wall = best_times(sampling_step(model.eval(), batch, neighbours, half), settings.seconds)
    return {
        "task": task,
        "length": length,
        "size": size,
        "neighbours": neighbours,
        "compile": settings.compile,
        "seconds": used,
        "wall": wall,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gemm": rates,
    }


def measurements(settings: Settings) -> list[dict]:
    """All rows, each from a process of its own."""
    sampled = sorted({*settings.lengths, settings.longest} - {0})
    wanted = [
        (task, n, settings.neighbours) for task, of in (("train", settings.lengths), ("sample", sampled)) for n in of
    ]
    if settings.longest and settings.neighbours is None:
        wanted.append(("sample", GROWTH_FROM, Execution().attended(settings.longest)))
    given = [f"{key}={getattr(settings, key)}" for key in ("threads", "train_tokens", "sample_tokens", "seconds")]
    rows = []
    for task, length, neighbours in wanted:
        # Gathering neighbours does not compile to anything faster.
        for compiled in (False, True) if settings.compile and length <= 512 else (False,):
            words = [*given, f"row={task},{length}", f"compile={str(compiled).lower()}"]
            words.append(f"neighbours={'null' if neighbours is None else neighbours}")
            done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(table_row(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure a row, or all of them."""
    settings = Settings.parse(sys.argv[1:])
    if settings.row:
        print(json.dumps(measure(settings)))
        return
    text = page(measurements(settings), settings.threads)
    print(text)
    if settings.page:
        with atomic(Path(settings.page)) as path:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
