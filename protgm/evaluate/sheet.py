"""What the steps of an evaluation work on, and leave their findings in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.evaluate.judge import Judged, picks, reference_figures, summarise
from protgm.evaluate.result import Evaluation
from protgm.metrics.given import Given
from protgm.metrics.similarity import clusters_among
from protgm.progress import Stage, quiet
from protgm.structure import Backbone

if TYPE_CHECKING:
    from protgm.data.natives import Natives
    from protgm.evaluate.baseline import Matched
    from protgm.metrics.distributions import Distance

__all__ = ["Sheet", "named_apart"]


@dataclass(eq=False)
class Sheet:
    """Structures under evaluation.

    Parameters
    ----------
    backbones : list of Backbone
        No two of one name: see `named_apart`.
    given : sequence of Given or None, optional
        What is known to be given of each; nothing by default.
    kept : mapping
        By name of a structure, what a sequence design has to keep (see `protgm.design.kept`).
    out : Path, optional
        Folder for what steps write; they write nothing without.
    workers : int
        Processes.
    seed : int
    stage : Stage
        Shows progress.
    """

    backbones: list[Backbone]
    given: Sequence[Given | None] | None = None
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    out: Path | None = None
    workers: int = 1
    seed: int = 0
    stage: Stage = quiet
    #: Files that could not be read, structures that could not be designed, and why.
    failed: list[tuple[str, str]] = field(default_factory=list)
    #: Files written, as paths below ``out``.
    files: list[str] = field(default_factory=list)
    judged: Judged | None = field(default=None, init=False)
    matrix: NDArray[np.float32] | None = field(default=None, init=False)
    library: Natives | None = field(default=None, init=False)
    matched: Matched | None = field(default=None, init=False)
    native_figures: dict[str, dict[str, float]] = field(default_factory=dict, init=False)
    distances: dict[str, Distance] = field(default_factory=dict, init=False)

    @property
    def verdict(self) -> Judged:
        """What `steps.Judge` has found.

        Raises
        ------
        ValueError
            Before that step.
        """
        if self.judged is None:
            raise ValueError("the structures are not judged yet: steps.Judge comes first")
        return self.judged

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row of figures per structure."""
        return self.verdict.rows

    @property
    def known(self) -> Sequence[Given | None]:
        """What is known to be given of each structure."""
        return [None] * len(self.backbones) if self.given is None else self.given

    @property
    def ca(self) -> list[NDArray[np.float32]]:
        """CA positions of the chains of each that hold generated residues."""
        return [backbone.coords[:, 1] for backbone in self.verdict.own]

    def evaluation(self) -> Evaluation:
        """What was found so far."""
        summary = summarise(self.rows, self.matrix)
        if self.matrix is not None and "clusters" in self.native_figures:
            drawn = int(self.native_figures["clusters"]["of"])
            summary["clusters_drawn"] = clusters_among(self.matrix, drawn, seed=self.seed)
        natives = {} if self.matched is None else reference_figures(self.matched.judged.rows) | self.native_figures
        return Evaluation(
            samples=self.rows,
            summary=summary,
            picks=picks(self.rows),
            natives=natives,
            distances=self.distances,
            matrix=self.matrix,
            failed=self.failed,
            out=self.out,
        )


def named_apart(backbones: Backbone | Sequence[Backbone]) -> list[Backbone]:
    """The backbones with names of their own: those that others have before get a number.

    Raises
    ------
    ValueError
        If there is none, or something else is among them.
    """
    if not isinstance(backbones, Backbone | Iterable):
        raise ValueError(f"directory: a folder or Backbone objects are wanted, got {backbones!r:.60}")
    given = [backbones] if isinstance(backbones, Backbone) else list(backbones)
    if not given:
        raise ValueError("evaluate: no backbone is given")
    taken: set[str] = set()
    found = []
    for place, backbone in enumerate(given):
        if not isinstance(backbone, Backbone):
            kind = type(backbone).__name__
            raise ValueError(f"evaluate: item {place} is of type {kind}; a folder or Backbone objects are wanted")
        name, number = backbone.name, 1
        while name in taken:
            number += 1
            name = f"{backbone.name}_{number}"
        taken.add(name)
        found.append(backbone if name == backbone.name else replace(backbone, name=name))
    return found
