"""Trained weights as an object that makes backbones: `protgm.load`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike

import torch

from protgm.checks import check_kind, whole
from protgm.condition.base import Condition, Conditions
from protgm.condition.secondary import NATIVE
from protgm.device import automatic_device, usable_device
from protgm.model import Denoiser
from protgm.process import ProteinProcess
from protgm.sample.batch import Generated, Job, made
from protgm.sample.describe import knowing
from protgm.sample.lengths import Item
from protgm.sample.request import batches, doubt, requested, with_labels
from protgm.sample.settings import Execution, SamplerSettings
from protgm.structure import Backbone
from protgm.weights import load_model, weights_id

__all__ = ["BackboneModel", "load"]


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
        check_kind("denoiser", denoiser, Denoiser)
        check_kind("process", process, ProteinProcess)
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
            In the order of lengths and indices. They know what was given of them, so that `protgm.evaluate` judges them
            as it does a folder of ``protgm sample``.

        Raises
        ------
        ValueError
            If a length or number is out of range, or what is asked for cannot be laid out.
        """
        seed = whole("seed", seed, least=0)
        conditions = with_labels(conditions, secondary)
        items = requested(conditions, length, num, seed)
        for word in filter(None, (self.beyond(item.length for item in items), doubt(conditions, items))):
            warnings.warn(word, stacklevel=2)
        found = self.generate(
            items, conditions=conditions, seed=seed, settings=settings, execution=execution, refine=refine
        )
        return [knowing(g.layout, g.backbone, conditions) for g in sorted(found, key=lambda g: g.item)]

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
        check_kind("settings", settings or SamplerSettings(), SamplerSettings)
        check_kind("execution", execution or Execution(), Execution)
        execution = (execution or Execution()).on(self.device)
        seed = whole("seed", seed, least=0)
        both = Conditions() & (conditions or Conditions())
        settings = settings or SamplerSettings.fitting(self.denoiser.config)
        settings.check(self.denoiser.config)
        job = Job(
            self.denoiser,
            self.process,
            self.device,
            self.checkpoint,
            both,
            seed,
            settings,
            execution,
            refine=refine,
            trajectory=trajectory,
        )
        for chunk in batches(items, execution):
            yield from made(chunk, job)


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
