"""Proteins that are denoised together, and how each of them came out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial

import torch

from protgm.condition.base import Condition
from protgm.device import in_precision, own_defaults, placed
from protgm.layout import Layout
from protgm.memory import out_of_memory
from protgm.model import Denoiser, Prediction
from protgm.model.finite import finite
from protgm.process import ProteinProcess, State
from protgm.sample.lengths import Item
from protgm.sample.refine import refine_frames
from protgm.sample.request import lay_out
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.sample.structures import backbone_of
from protgm.streams import Streams
from protgm.structure import Backbone
from protgm.structure.frames import Frames
from protgm.version import __version__

__all__ = ["Generated", "Job", "made"]

#: Memory that the bundled network takes for a pair of residues that see each other.
_BYTES_A_PAIR = 1_400


@dataclass(frozen=True)
class Generated:
    """One protein as it came out of the sampler.

    Parameters
    ----------
    item : Item
    layout : Layout
        What was asked for.
    backbone : Backbone
        The result.
    raw : Backbone
        As the network left it, before the refinement; the same object where there was none.
    seconds : float
        Its share of the batch's wall-clock time.
    seen, predicted : tuple of Backbone
        With ``trajectory``: what the network saw and predicted, step by step.
    """

    item: Item
    layout: Layout
    backbone: Backbone
    raw: Backbone
    seconds: float
    seen: tuple[Backbone, ...] = ()
    predicted: tuple[Backbone, ...] = ()


@dataclass(frozen=True)
class Job:
    """What is the same for all batches of a request.

    Parameters
    ----------
    denoiser : Denoiser
    process : ProteinProcess
    device : torch.device
        Where the network computes.
    checkpoint : str
        Identifier of the weights, for provenance.
    conditions : Condition
    seed : int
    settings : SamplerSettings
    execution : Execution
    refine : bool
    trajectory : bool
        Keep what the network saw and predicted.
    """

    denoiser: Denoiser
    process: ProteinProcess
    device: torch.device
    checkpoint: str
    conditions: Condition
    seed: int
    settings: SamplerSettings
    execution: Execution
    refine: bool
    trajectory: bool


def made(chunk: list[Item], job: Job) -> list[Generated]:
    """One batch; in halves where memory does not hold it."""
    try:
        return _together(chunk, job)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Outside of the handler: the error holds on to what the attempt has computed.
    longest, half = max(item.residues for item in chunk), len(chunk) // 2
    if not half:
        raise ValueError(
            f"memory ran out: one protein of {longest} residues takes about {_gigabytes(1, longest, job)} "
            "GB; shorter chains or fewer neighbours= take less"
        )
    print(
        f"protgm: memory ran out: {len(chunk)} proteins of {longest} residues take about "
        f"{_gigabytes(len(chunk), longest, job)} GB; going on with {half} at a time (batch={half} begins so)",
        file=sys.stderr,
    )
    return [one for part in (chunk[:half], chunk[half:]) for one in made(part, job)]


@own_defaults()
def _together(chunk: list[Item], job: Job) -> list[Generated]:
    start, conditions = time.perf_counter(), job.conditions
    layouts = [lay_out(conditions, item, job.seed) for item in chunk]
    sizes = [len(layout) for layout in layouts]
    layout = Layout.batch(layouts)
    source = Streams([item.seed(job.seed) for item in chunk], sizes)
    network = partial(job.denoiser.to(job.device), neighbours=job.execution.attended(max(sizes)))
    denoiser = placed(in_precision(network, job.device, job.execution.precision == "bf16"), job.device)
    denoiser = finite(denoiser, job.checkpoint)
    steps: list[tuple[Frames, Frames]] = []

    def watch(_: int, state: State, prediction: Prediction) -> None:
        steps.append((state.frames, prediction.frames))

    sampled = sample_frames(
        denoiser,
        job.process,
        layout,
        job.settings,
        source,
        conditions=conditions,
        on_step=watch if job.trajectory else None,
    )
    raw = frames = sampled.frames
    if job.refine:
        frames = refine_frames(raw, layout)
        state = State(frames, sampled.sequence, layout.time, layout.time, layout.time)
        frames = conditions.constrain(state, layout).frames
    seconds = (time.perf_counter() - start) / len(chunk)
    provenance = {
        "version": __version__,
        "checkpoint": job.checkpoint,
        "seed": job.seed,
        "refined": job.refine,
        "settings": job.settings.to_dict(),
        **conditions.describe(),
    }
    found = []
    for i, (item, own) in enumerate(zip(chunk, layouts, strict=True)):
        ends = [
            conditions.finish(backbone_of(item, own, result[i], sampled, i, provenance), own)
            for result in ((frames, raw) if job.refine else (raw,))
        ]
        path = [
            [conditions.finish(backbone_of(item, own, step[kind][i], sampled, i, {}), own) for step in steps]
            for kind in (0, 1)
        ]
        found.append(Generated(item, own, ends[0], ends[-1], seconds, tuple(path[0]), tuple(path[1])))
    return found


def _gigabytes(proteins: int, length: int, job: Job) -> str:
    """Memory that a batch takes at its peak, as measured; pairs of residues are most of it."""
    pairs = proteins * length * (job.execution.attended(length) or length)
    return f"{pairs * _BYTES_A_PAIR / 1e9:.2g}"
