"""What an evaluation is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from protgm.checks import whole
from protgm.metrics.gate import Gate
from protgm.metrics.novelty import CANDIDATES

__all__ = ["EvaluateConfig"]


@dataclass(frozen=True)
class EvaluateConfig:
    """What is judged, with what it is compared, and what the report has.

    Parameters
    ----------
    gate : Gate
        Limits a structure must keep to pass.
    recursive : bool
        Read subfolders too.
    split : str, optional
        Only this split of the reference dataset.
    natives : int
        Natives of like length whose figures and distributions are compared; novelty is searched among all.
    candidates : int
        Natives that are aligned with each structure, after the prefilter.
    similarity : bool
        TM-scores of all against all, and clusters.
    num_seqs : int
        Sequences to design per structure (extra ``design``); 0: none.
    html : bool
        Write report.html.
    figures : bool, optional
        Write PNG figures (extra ``report``); by default where matplotlib is installed.
    seed : int
        Of the choice of natives, the bootstrap, and designs.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    gate: Gate = field(default_factory=Gate)
    recursive: bool = False
    split: str | None = None
    natives: int = 300
    candidates: int = CANDIDATES
    similarity: bool = True
    num_seqs: int = 0
    html: bool = True
    figures: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in (("natives", 10), ("candidates", 1), ("num_seqs", 0), ("seed", 0)):
            whole(key, getattr(self, key), least)
