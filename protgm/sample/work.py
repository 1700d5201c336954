"""The batches of a request, made by one process or by several: the same bytes either way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from protgm.sample.generate import BackboneModel, load
from protgm.sample.lengths import Item
from protgm.sample.write import write_sample
from protgm.workers import chunked_map, cores

if TYPE_CHECKING:
    from protgm.condition import Conditions
    from protgm.sample.run import SampleConfig

__all__ = ["Work", "made", "remember"]


@dataclass(frozen=True)
class Work:
    """What a worker is told once; it reads the weights itself.

    Parameters
    ----------
    config : SampleConfig
    conditions : Conditions
    recipe : dict
        What the manifest says of every protein.
    wanted : frozenset of Item
        Those of a batch that are written: others are made with them, and are there already.
    """

    config: SampleConfig
    conditions: Conditions
    recipe: dict[str, Any]
    wanted: frozenset[Item]

    def __call__(self, chunks: Sequence[Sequence[Item]]) -> list[dict[str, Any]]:
        """Make batches and write their structures; returns rows of the manifest."""
        model = self.model()
        return [row for chunk in chunks for row in self._batch(model, chunk)]

    def model(self) -> BackboneModel:
        """The weights that the recipe names, read once a process."""
        identity = str(self.recipe["checkpoint"])
        if identity not in _MODELS:
            model = load(self.config.checkpoint, device=self.config.device)
            if model.checkpoint != identity:
                raise ValueError(f"{self.config.checkpoint}: has changed while it was sampled from")
            remember(model)
        return _MODELS[identity]

    def _batch(self, model: BackboneModel, chunk: Sequence[Item]) -> list[dict[str, Any]]:
        config = self.config
        found = model.generate(
            chunk,
            conditions=self.conditions,
            seed=config.seed,
            settings=config.sampler,
            execution=replace(config.execution, batch=len(chunk)),
            refine=config.refine,
            trajectory=config.trajectory,
        )
        out = Path(config.out)
        return [write_sample(one, self.recipe, config, model, out) for one in found if one.item in self.wanted]


#: The weights of a process, by their identifier.
_MODELS: dict[str, BackboneModel] = {}


def remember(model: BackboneModel) -> None:
    """Keep a model for the work of this process, in the place of any other."""
    _MODELS.clear()
    _MODELS[model.checkpoint] = model


def made(work: Work, chunks: Sequence[Sequence[Item]], workers: int | None) -> Iterator[list[dict[str, Any]]]:
    """Rows of one batch after the other.

    Every process computes with one thread, also where there is only one: on a processor that several programs share,
    many threads are slower, and a sum's rounding depends on their number.

    Parameters
    ----------
    work : Work
    chunks : sequence of batches
    workers : int, optional
        Processes; by default one per core as far as there are batches for them, one on a GPU.

    Raises
    ------
    ValueError
        If a process that makes a batch dies, alone and again.
    """
    most = (workers or cores()) if work.model().device.type == "cpu" else 1
    with _one_thread():
        for _, rows in chunked_map(work, chunks, _died, workers=min(most, max(1, len(chunks))), chunk=1):
            yield rows


def _died(chunk: Sequence[Item]) -> list[dict[str, Any]]:
    names = ", ".join(item.name for item in chunk[:3])
    raise ValueError(
        f"the process that made {names}{' and others' * (len(chunk) > 3)} died twice (out of memory?); "
        f"a smaller batch= than {len(chunk)} or fewer workers= take less"
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
