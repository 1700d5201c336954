"""Trained weights as an object that makes backbones: `protgm.load`."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike

import torch

from protgm.checks import whole
from protgm.condition.base import Condition, Conditions
from protgm.condition.secondary import NATIVE
from protgm.device import automatic_device, in_precision, placed, usable_device
from protgm.layout import Layout
from protgm.memory import out_of_memory
from protgm.model import Denoiser, Prediction
from protgm.model.finite import finite
from protgm.process import ProteinProcess, State
from protgm.sample.lengths import Item
from protgm.sample.refine import refine_frames
from protgm.sample.request import batches, lay_out, requested, with_labels
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.sample.structures import backbone_of
from protgm.streams import Streams
from protgm.structure import Backbone
from protgm.structure.frames import Frames
from protgm.version import __version__
from protgm.weights import load_model, weights_id

__all__ = ["BackboneModel", "Generated", "load"]

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
class _Job:
    """What is the same for all batches of a request."""

    conditions: Condition
    seed: int
    settings: SamplerSettings
    execution: Execution
    refine: bool
    trajectory: bool


class BackboneModel:
    """A trained denoiser with the process it was trained on.

    Parameters
    ----------
    denoiser : Denoiser
    process : ProteinProcess
    card : dict
        What its weights file says about its training.
    checkpoint : str
        Identifier of the weights, for provenance.
    device : torch.device, optional
        Where the network computes.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        process: ProteinProcess,
        card: dict[str, object],
        checkpoint: str,
        device: torch.device | None = None,
    ) -> None:
        self.denoiser = denoiser.eval()
        #: Where the network computes; everything else stays on the processor, so that the noise is the same everywhere.
        self.device = device or automatic_device()
        self.card = card
        self.checkpoint = checkpoint
        self.process = process

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.denoiser.parameters())
        return f"BackboneModel({size / 1e6:.1f} M parameters, checkpoint {self.checkpoint})"

    def beyond(self, lengths: Iterable[int]) -> str | None:
        """A word where proteins are asked for that are shorter or longer than any that the weights were trained on."""
        trained = self.card.get("lengths")
        if not (isinstance(trained, list) and len(trained) == 2):
            return None
        outside = sorted({n for n in lengths if not trained[0] <= n <= trained[1]})
        if not outside:
            return None
        asked = f"{outside[0]}" if len(outside) == 1 else f"{outside[0]} to {outside[-1]}"
        return f"length {asked}: the weights were trained on {trained[0]} to {trained[1]} residues; look closely"

    def sample(
        self,
        length: int | str | Sequence[int] | None = None,
        num: int = 1,
        *,
        conditions: Condition | None = None,
        seed: int = 0,
        settings: SamplerSettings | None = None,
        execution: Execution | None = None,
        refine: bool = True,
        secondary: str | None = NATIVE,
    ) -> list[Backbone]:
        """Generate backbones.

        Parameters
        ----------
        length : int, str or sequence of int, optional
            Residues of the new chain: ``100`` (the default), ``"60-128"`` (each protein draws its length), or ``[64,
            96]`` (``num`` of each). Not given where a condition says how long the protein is.
        num : int
        conditions : Condition, optional
            What else is asked (see `protgm.condition`): ``Motif("x.pdb", "10-20,A5-12,10-20") & Symmetry("C3")``.
        seed : int
            A protein depends on (seed, its length, its index) and on what is asked alone, not on what is generated with
            it.
        settings : SamplerSettings, optional
            Steps, generator, ...
        execution : Execution, optional
            Precision, proteins in a batch, ...
        refine : bool
            Close peptide bonds and part overlapping atoms (see `protgm.sample.refine`).
        secondary : str, optional
            Secondary structure of new chains to aim for (see `protgm.condition.SecondaryStructure`); ``native`` leaves
            free what is built about a motif.

        Returns
        -------
        list of Backbone
            In the order of lengths and indices.

        Raises
        ------
        ValueError
            If a length or number is out of range, or what is asked for cannot be laid out.
        """
        seed = whole("seed", seed, least=0)
        conditions = with_labels(conditions, secondary)
        items = requested(conditions, length, num, seed)
        if (word := self.beyond(item.length for item in items)) is not None:
            warnings.warn(word, stacklevel=2)
        made = self.generate(
            items, conditions=conditions, seed=seed, settings=settings, execution=execution, refine=refine
        )
        return [g.backbone for g in sorted(made, key=lambda g: g.item)]

    def generate(
        self,
        items: Sequence[Item],
        *,
        conditions: Condition | None = None,
        seed: int = 0,
        settings: SamplerSettings | None = None,
        execution: Execution | None = None,
        refine: bool = True,
        trajectory: bool = False,
    ) -> Iterator[Generated]:
        """The proteins of a work list, batch by batch, as they are ready; see `sample`."""
        execution = (execution or Execution()).on(self.device)
        seed = whole("seed", seed, least=0)
        both = Conditions() & (conditions or Conditions())
        settings = settings or SamplerSettings.fitting(self.denoiser.config)
        settings.check(self.denoiser.config)
        job = _Job(both, seed, settings, execution, refine, trajectory)
        for chunk in batches(items, execution):
            yield from self._batch(chunk, job)

    def _batch(self, chunk: list[Item], job: _Job) -> list[Generated]:
        """One batch; in halves where memory does not hold it."""
        try:
            return self._together(chunk, job)
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
        return [one for part in (chunk[:half], chunk[half:]) for one in self._batch(part, job)]

    # Whatever mode the caller computes in: the refinement needs gradients.
    @torch.inference_mode(False)
    def _together(self, chunk: list[Item], job: _Job) -> list[Generated]:
        start, conditions = time.perf_counter(), job.conditions
        layouts = [lay_out(conditions, item, job.seed) for item in chunk]
        sizes = [len(layout) for layout in layouts]
        layout = Layout.batch(layouts)
        source = Streams([item.seed(job.seed) for item in chunk], sizes)
        network = partial(self.denoiser.to(self.device), neighbours=job.execution.attended(max(sizes)))
        denoiser = placed(in_precision(network, self.device, job.execution.precision == "bf16"), self.device)
        denoiser = finite(denoiser, self.checkpoint)
        steps: list[tuple[Frames, Frames]] = []

        def watch(_: int, state: State, prediction: Prediction) -> None:
            steps.append((state.frames, prediction.frames))

        sampled = sample_frames(
            denoiser,
            self.process,
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
            "checkpoint": self.checkpoint,
            "seed": job.seed,
            "refined": job.refine,
            "settings": job.settings.to_dict(),
            **conditions.describe(),
        }
        found = []
        for i, (item, own) in enumerate(zip(chunk, layouts, strict=True)):
            made = [
                conditions.finish(backbone_of(item, own, result[i], sampled, i, provenance), own)
                for result in ((frames, raw) if job.refine else (raw,))
            ]
            path = [
                [conditions.finish(backbone_of(item, own, step[kind][i], sampled, i, {}), own) for step in steps]
                for kind in (0, 1)
            ]
            found.append(Generated(item, own, made[0], made[-1], seconds, tuple(path[0]), tuple(path[1])))
        return found


def load(checkpoint: str | PathLike[str] | None = None, *, device: str | torch.device | None = None) -> BackboneModel:
    """Load trained weights.

    Parameters
    ----------
    checkpoint : path, optional
        A .safetensors file written by `protgm train`, or the folder of a run; by default the weights that come with the
        package.
    device : str or torch.device, optional
        Where the network computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; by default a GPU where there is one.

    Raises
    ------
    ValueError
        If there is no such file, it holds something else, or there is no such device.
    """
    where = None if device is None else usable_device(device)
    denoiser, process, card = load_model(checkpoint)
    return BackboneModel(denoiser, process, card, weights_id(checkpoint), where)


def _gigabytes(proteins: int, length: int, job: _Job) -> str:
    """Memory that a batch takes at its peak, as measured; pairs of residues are most of it."""
    pairs = proteins * length * (job.execution.attended(length) or length)
    return f"{pairs * _BYTES_A_PAIR / 1e9:.2g}"
