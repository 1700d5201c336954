"""Trained weights as an object that makes backbones: `protgm.load`."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from os import PathLike

import torch

from protgm.checks import whole
from protgm.lie.random import Streams
from protgm.model import Denoiser
from protgm.model.device import automatic_device, in_precision, placed, usable_device
from protgm.model.finite import finite
from protgm.model.memory import out_of_memory
from protgm.process import ProteinProcess
from protgm.sample.lengths import Item, parse_length, work_list
from protgm.sample.refine import refine_frames
from protgm.sample.sampler import Task, sample_frames
from protgm.sample.secondary import NATIVE, check_secondary, secondary_labels
from protgm.sample.settings import SamplerSettings
from protgm.structure import Backbone
from protgm.structure.geometry import atoms_from_frames
from protgm.version import __version__
from protgm.weights import load_model, weights_id

__all__ = ["BackboneModel", "Generated", "batches", "load"]

#: Residues denoised together when nobody says how many proteins: what keeps one core busy at least memory.
_TOKENS = 1024
#: Memory that the bundled network takes for a pair of residues that see each other.
_BYTES_A_PAIR = 1_400


@dataclass(frozen=True)
class Generated:
    """One protein as it came out of the sampler.

    Parameters
    ----------
    item : Item
    backbone : Backbone
        The result.
    raw : Backbone
        As the network left it, before the refinement; the same object where there was none.
    seconds : float
        Its share of the batch's wall-clock time.
    """

    item: Item
    backbone: Backbone
    raw: Backbone
    seconds: float


class BackboneModel:
    """A trained denoiser with the process it was trained on.

    Parameters
    ----------
    denoiser : Denoiser
    card : dict
        What its weights file says about its training.
    checkpoint : str
        Identifier of the weights, for provenance.
    device : torch.device, optional
        Where the network computes; by default a GPU where there is one.
    """

    def __init__(
        self, denoiser: Denoiser, card: dict[str, object], checkpoint: str, device: torch.device | None = None
    ) -> None:
        self.denoiser = denoiser.eval()
        #: Where the network computes; everything else stays on the processor, so that the noise is the same everywhere.
        self.device = device or automatic_device()
        self.card = card
        self.checkpoint = checkpoint
        self.process = ProteinProcess(noise_scale=denoiser.config.noise_scale)

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
        length: int | str | Sequence[int] = 100,
        num: int = 1,
        *,
        seed: int = 0,
        settings: SamplerSettings | None = None,
        refine: bool = True,
        secondary: str | None = NATIVE,
        batch: int | None = None,
    ) -> list[Backbone]:
        """Generate backbones.

        Parameters
        ----------
        length : int, str or sequence of int
            Residues: ``100``, ``"60-128"`` (each protein draws its length), or ``[64, 96]`` (``num`` of each).
        num : int
        seed : int
            A protein depends on (seed, its length, its index) alone, not on what is generated with it.
        settings : SamplerSettings, optional
            Steps, generator, ...
        refine : bool
            Close peptide bonds and part overlapping atoms (see `protgm.sample.refine`).
        secondary : str, optional
            Secondary structure to aim for (see `protgm.sample.secondary.secondary_labels`).
        batch : int, optional
            Proteins denoised together.

        Returns
        -------
        list of Backbone
            In the order of lengths and indices.

        Raises
        ------
        ValueError
            If a length or number is out of range, or ``secondary`` does not fit the length.
        """
        lengths = parse_length(length)
        if secondary is not None:
            check_secondary(secondary, lengths)
        items = work_list(lengths, num, seed)
        if (word := self.beyond(item.length for item in items)) is not None:
            warnings.warn(word, stacklevel=2)
        made = self.generate(items, seed=seed, settings=settings, refine=refine, secondary=secondary, batch=batch)
        return [g.backbone for g in sorted(made, key=lambda g: g.item)]

    def generate(
        self,
        items: Sequence[Item],
        *,
        seed: int = 0,
        settings: SamplerSettings | None = None,
        refine: bool = True,
        secondary: str | None = NATIVE,
        batch: int | None = None,
    ) -> Iterator[Generated]:
        """The proteins of a work list, batch by batch, as they are ready; see `sample`."""
        settings = (settings or SamplerSettings()).on(self.device)
        seed = whole("seed", seed, least=0)
        for chunk in batches(items, batch, settings):
            yield from self._batch(chunk, seed, settings, refine, secondary)

    def _batch(
        self, chunk: list[Item], seed: int, settings: SamplerSettings, refine: bool, secondary: str | None
    ) -> list[Generated]:
        """One batch; in halves where memory does not hold it."""
        try:
            return self._together(chunk, seed, settings, refine, secondary)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Outside of the handler: the error holds on to what the attempt has computed.
        longest, half = chunk[0].length, len(chunk) // 2
        if not half:
            raise ValueError(
                f"memory ran out: one protein of {longest} residues takes about {_gigabytes(1, longest, settings)} "
                "GB; shorter chains or fewer neighbours= take less"
            )
        print(
            f"protgm: memory ran out: {len(chunk)} proteins of {longest} residues take about "
            f"{_gigabytes(len(chunk), longest, settings)} GB; going on with {half} at a time (batch={half} begins so)",
            file=sys.stderr,
        )
        parts = chunk[:half], chunk[half:]
        return [one for part in parts for one in self._batch(part, seed, settings, refine, secondary)]

    # Whatever mode the caller computes in: the refinement needs gradients.
    @torch.inference_mode(False)
    def _together(
        self, chunk: list[Item], seed: int, settings: SamplerSettings, refine: bool, secondary: str | None
    ) -> list[Generated]:
        start = time.perf_counter()
        lengths = [item.length for item in chunk]
        task = Task.chains([secondary_labels(secondary, item, seed) for item in chunk])
        source = Streams([item.seed(seed) for item in chunk], lengths)
        network = partial(self.denoiser.to(self.device), neighbours=settings.attended(max(lengths)))
        denoiser = placed(in_precision(network, self.device, settings.precision == "bf16"), self.device)
        denoiser = finite(denoiser, self.checkpoint)
        prediction = sample_frames(denoiser, self.process, task, settings, source)
        frames = raw = prediction.rotations, prediction.translations
        if refine:
            frames = refine_frames(*raw, task.mask, task.residue_index, task.chain_index)
        seconds = (time.perf_counter() - start) / len(chunk)
        provenance = {
            "version": __version__,
            "checkpoint": self.checkpoint,
            "seed": seed,
            "refined": refine,
            "secondary": secondary or "",
            "settings": settings.to_dict(),
        }
        found = []
        for i, item in enumerate(chunk):
            confidence = prediction.confidence[i, : item.length]
            made = [
                _backbone(item, rotations[i], translations[i], confidence, provenance)
                for rotations, translations in (frames, raw)
            ]
            found.append(Generated(item, made[0], made[1] if refine else made[0], seconds))
        return found


def load(checkpoint: str | PathLike[str] | None = None, *, device: str | torch.device | None = None) -> BackboneModel:
    """Load trained weights.

    Parameters
    ----------
    checkpoint : path, optional
        A .safetensors file written by `protgm train`, or the folder of its run; by default the weights that come with
        the package.
    device : str or torch.device, optional
        Where the network computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; by default a GPU where there is one.

    Raises
    ------
    ValueError
        If there is no such file, it holds something else, or there is no such device.
    """
    where = None if device is None else usable_device(device)
    denoiser, card = load_model(checkpoint)
    return BackboneModel(denoiser, card, weights_id(checkpoint), where)


def batches(
    items: Sequence[Item], size: int | None = None, settings: SamplerSettings | None = None
) -> Iterator[list[Item]]:
    """Cut a work list (longest first) into batches of at most ``size``, or of about a thousand residues.

    Chains whose residues attend to all others and chains whose residues do not never share a batch: a protein must not
    depend on what is made with it.

    Raises
    ------
    ValueError
        If ``size`` is not a whole number of at least 1.
    """
    settings = settings or SamplerSettings()
    size = None if size is None else whole("batch", size, least=1)
    for _, alike in groupby(items, key=lambda item: settings.attended(item.length)):
        rest = list(alike)
        while rest:
            most = size or max(1, _TOKENS // rest[0].length)
            yield rest[:most]
            rest = rest[most:]


def _backbone(
    item: Item,
    rotations: torch.Tensor,
    translations: torch.Tensor,
    confidence: torch.Tensor,
    provenance: dict[str, object],
) -> Backbone:
    atoms = atoms_from_frames(rotations[: item.length].double(), translations[: item.length].double())
    return Backbone.from_coords(
        atoms.numpy(), name=item.name, metadata=provenance | {"index": item.index}, confidence=confidence.numpy()
    )


def _gigabytes(proteins: int, length: int, settings: SamplerSettings) -> str:
    """Memory that a batch takes at its peak, as measured; pairs of residues are most of it."""
    pairs = proteins * length * (settings.attended(length) or length)
    return f"{pairs * _BYTES_A_PAIR / 1e9:.2g}"
