"""Trained weights as an object that makes backbones: `protgm.load`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from os import PathLike

import numpy as np
from torch import Tensor

from protgm.condition.base import Condition, Conditions, Draw
from protgm.condition.secondary import NATIVE, SecondaryStructure
from protgm.condition.source import tokens_to_letters
from protgm.layout import Layout
from protgm.lie.random import Streams
from protgm.model import Denoiser
from protgm.model.device import automatic_device, in_precision, placed
from protgm.process import ProteinProcess, State
from protgm.sample.lengths import MAX_LENGTH, Item, parse_length, work_list
from protgm.sample.refine import refine_frames
from protgm.sample.sampler import Sampled, sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.structure import Backbone
from protgm.structure.frames import Frames
from protgm.version import __version__
from protgm.weights import load_model, weights_id

__all__ = ["BackboneModel", "Generated", "batches", "lay_out", "load", "requested", "with_labels"]

#: Residues denoised together when nobody says how many proteins: what keeps one core busy at least memory.
_TOKENS = 1024


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
    """

    item: Item
    layout: Layout
    backbone: Backbone
    raw: Backbone
    seconds: float


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
    """

    def __init__(
        self, denoiser: Denoiser, process: ProteinProcess, card: dict[str, object], checkpoint: str
    ) -> None:
        self.denoiser = denoiser.eval()
        #: Where the network computes; everything else stays on the processor, so that the noise is the same everywhere.
        self.device = automatic_device()
        self.card = card
        self.checkpoint = checkpoint
        self.process = process

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.denoiser.parameters())
        return f"BackboneModel({size / 1e6:.1f} M parameters, checkpoint {self.checkpoint})"

    def sample(
        self,
        length: int | str | Sequence[int] = 100,
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
        length : int, str or sequence of int
            Residues: ``100``, ``"60-128"`` (each protein draws its length), or ``[64, 96]`` (``num`` of each). Not
            asked where a condition says how long the protein is.
        num : int
        conditions : Condition, optional
            What else is asked (see `protgm.condition`): ``Motif("x.pdb", "10-20,A5-12,10-20") & Symmetry("C3")``.
        seed : int
            A protein depends on (seed, its length, its index) and what is asked alone, not on what is generated with it.
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
        conditions = with_labels(conditions, secondary)
        items = requested(conditions, length, num, seed)
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
    ) -> Iterator[Generated]:
        """The proteins of a work list, batch by batch, as they are ready; see `sample`."""
        execution = (execution or Execution()).on(self.device)
        settings, conditions = settings or SamplerSettings(), conditions or Conditions()
        for chunk in batches(items, execution):
            start = time.perf_counter()
            layouts = [lay_out(conditions, item, seed) for item in chunk]
            sizes = [len(layout) for layout in layouts]
            layout = Layout.batch(layouts)
            source = Streams([item.seed(seed) for item in chunk], sizes)
            network = partial(self.denoiser.to(self.device), neighbours=execution.attended(max(sizes)))
            denoiser = placed(in_precision(network, self.device, execution.precision == "bf16"), self.device)
            sampled = sample_frames(denoiser, self.process, layout, settings, source, conditions=conditions)
            raw = frames = sampled.frames
            if refine:
                frames = refine_frames(raw, layout)
                state = State(frames, sampled.sequence, layout.time, layout.time, layout.time)
                frames = conditions.constrain(state, layout).frames
            seconds = (time.perf_counter() - start) / len(chunk)
            provenance = {
                "version": __version__,
                "checkpoint": self.checkpoint,
                "seed": seed,
                "refined": refine,
                "settings": settings.to_dict(),
                **conditions.describe(),
            }
            for i, (item, own) in enumerate(zip(chunk, layouts, strict=True)):
                made = [
                    conditions.finish(_backbone(item, own, result[i], sampled, i, provenance), own)
                    for result in ((frames, raw) if refine else (raw,))
                ]
                yield Generated(item, own, made[0], made[-1], seconds)


def load(checkpoint: str | PathLike[str] | None = None) -> BackboneModel:
    """Load trained weights.

    Parameters
    ----------
    checkpoint : path, optional
        A .safetensors file written by `protgm train`; by default the weights that come with the package.

    Raises
    ------
    ValueError
        If there is no such file, or it holds something else.
    """
    denoiser, process, card = load_model(checkpoint)
    return BackboneModel(denoiser, process, card, weights_id(checkpoint))


def with_labels(conditions: Condition | None, secondary: str | None) -> Conditions:
    """The conditions with the secondary structure that is asked for; natives' labels are for whole new chains only."""
    conditions = Conditions() & (conditions or Conditions())
    if secondary is None or (secondary == NATIVE and conditions.sizes):
        return conditions
    return conditions & SecondaryStructure(secondary)


def requested(conditions: Condition, length: int | str | Sequence[int] | None, num: int, seed: int) -> list[Item]:
    """The work list of a request, each protein laid out once, so that what cannot be made is refused at once.

    Raises
    ------
    ValueError
        As `BackboneModel.sample`.
    """
    if not conditions.sizes:
        items = work_list(parse_length(100 if length is None else length), num, seed)
        for item in {item.length: item for item in items}.values():
            lay_out(conditions, item, seed)
        return items
    indices = work_list((MAX_LENGTH,), num, seed)  # checks num and seed
    items = [Item(len(lay_out(conditions, replace(item, length=1), seed)), item.index) for item in indices]
    return sorted(items, key=lambda item: (-item.length, item.index))


def lay_out(conditions: Condition, item: Item, seed: int) -> Layout:
    """The layout of one protein of a request.

    Raises
    ------
    ValueError
        If what is asked for cannot be laid out, or is too long.
    """
    layout = conditions.lay_out(Layout.chain(item.length), Draw(seed, item.index))
    if len(layout) > MAX_LENGTH:
        raise ValueError(f"{len(layout)} residues in all are more than the {MAX_LENGTH} that can be made")
    if bool(layout.known.all()) and not bool(layout.design.any()):
        raise ValueError("everything is given and nothing is left to be made")
    return layout if bool(layout.anchor.any()) else layout.anchored()


def batches(items: Sequence[Item], execution: Execution | None = None) -> Iterator[list[Item]]:
    """Cut a work list (longest first) into batches of at most the size asked, or of about a thousand residues.

    Chains whose residues attend to all others and chains whose residues do not never share a batch: a protein must not
    depend on what is made with it.
    """
    execution = execution or Execution()
    for _, alike in groupby(items, key=lambda item: execution.attended(item.length)):
        rest = list(alike)
        while rest:
            most = execution.batch or max(1, _TOKENS // rest[0].length)
            yield rest[:most]
            rest = rest[most:]


def _backbone(
    item: Item, layout: Layout, frames: Frames, sampled: Sampled, row: int, provenance: dict[str, object]
) -> Backbone:
    """One protein of a batch as a structure: new residues without a type are glycines by name."""
    length = len(layout)
    atoms = layout.to_atoms(frames[:length].map(Tensor.double))
    letters = tokens_to_letters(sampled.sequence[row, :length].tolist())
    sites = layout.sites
    return Backbone(
        coords=atoms.float().numpy(),
        sequence="".join("G" if a == "X" and s.part != "motif" else a for a, s in zip(letters, sites, strict=True)),
        chain_ids=tuple(site.chain for site in sites),
        residue_numbers=np.array([site.number for site in sites], dtype=np.int64),
        insertion_codes=tuple(site.code for site in sites),
        name=item.name,
        metadata=provenance | {"index": item.index},
        confidence=sampled.prediction.confidence[row, :length].numpy(),
    )
