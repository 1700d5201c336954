"""Residue types that are given."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from protgm.checks import check_kind
from protgm.condition.base import Condition, Draw
from protgm.condition.source import letters_to_tokens
from protgm.layout import Layout
from protgm.model.state import MASK_TOKEN
from protgm.structure.residues import AMINO_ACIDS

__all__ = ["Sequence"]


@dataclass(frozen=True)
class Sequence(Condition):
    """Types of the residues that are new, in order.

    Parameters
    ----------
    letters : str
        One letter per new residue; ``X`` or ``?`` where none is given.

    Raises
    ------
    ValueError
        If a letter is no amino acid's, or (when laid out) their number is not that of the new residues.
    """

    letters: str
    once = True

    def __post_init__(self) -> None:
        check_kind("sequence", self.letters, str)
        if wrong := re.search(f"[^{AMINO_ACIDS}X?]", self.letters):
            raise ValueError(
                f"sequence={self.letters}: letter {wrong[0]!r} (place {wrong.start() + 1}) is no amino acid's; "
                "write X where any will do"
            )

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The given types in the residues that are to be designed."""
        new = layout.mask & layout.design
        if int(new.sum()) != len(self.letters):
            raise ValueError(
                f"sequence={self.letters[:20]}{'...' * (len(self.letters) > 20)}: has {len(self.letters)} letters "
                f"for {int(new.sum())} new residues"
            )
        sequence = layout.sequence.clone()
        sequence[new] = letters_to_tokens(self.letters)
        return replace(layout, sequence=sequence, design=layout.design & (sequence == MASK_TOKEN))

    def describe(self) -> dict[str, object]:
        """The letters."""
        return {"condition": "Sequence", "letters": self.letters}
