"""Secondary structure asked of the sampler: as a user writes it, or as natives have it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from protgm.condition.base import Condition, Draw
from protgm.layout import Layout
from protgm.model.state import UNKNOWN_STRUCTURE
from protgm.seeds import mix
from protgm.structure.secondary import STATES

__all__ = ["NATIVE", "SecondaryStructure", "check_secondary"]

#: Ask for the labels of a native of about the same length, another one for each sample, out of those with short
#: loops and less coil than most natives of that length and composition (scripts/native_labels.py).
NATIVE = "native"
_LETTERS = {letter: index for index, letter in enumerate(STATES)} | {"?": UNKNOWN_STRUCTURE}
_STRETCH = 1.25  # a native's labels are not stretched or squeezed further: helices have their lengths
_NEAREST = 96  # natives of about the length wanted that labels are taken from
_GOLDEN = (5**0.5 - 1) / 2
_TABLE = Path(__file__).with_name("native_labels.txt")


def check_secondary(text: str, lengths: tuple[int, ...] | range) -> None:
    """Refuse a request that does not parse or does not fit the lengths.

    Raises
    ------
    ValueError
        Naming what is wrong and what would be right.
    """
    if text != NATIVE:
        for length in lengths:
            _parse(text, length)


@dataclass(frozen=True)
class SecondaryStructure(Condition):
    """Secondary structure to aim for in the residues that are new.

    Parameters
    ----------
    text : str
        One letter per new residue (H helix, E strand, C coil, ? free), or with numbers (``C3H14C4E6``); or
        ``native``: the labels of some native, another one for each sample, nothing where no native has about that
        length.
    """

    text: str = NATIVE

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The new residues' labels."""
        new = layout.mask & (layout.time == 0) & (layout.body < 0)
        secondary = layout.secondary.clone()
        secondary[new] = _labels(self.text, int(new.sum()), draw)
        return replace(layout, secondary=secondary)

    def describe(self) -> dict[str, object]:
        """The text."""
        return {"condition": "SecondaryStructure", "text": self.text}


def _labels(text: str, length: int, draw: Draw) -> Tensor:
    """Labels of so many residues.

    Returns
    -------
    Tensor of int64, shape (L,)
        Indices into ``"HEC"``, `protgm.model.UNKNOWN_STRUCTURE` where nothing is asked.
    """
    if text != NATIVE:
        return torch.tensor([_LETTERS[letter] for letter in _parse(text, length)])
    alike = [labels for labels in _natives() if 1 / _STRETCH <= length / len(labels) <= _STRETCH]
    if not alike:
        return torch.full((length,), UNKNOWN_STRUCTURE)
    near = sorted(alike, key=lambda labels: abs(len(labels) - length))[:_NEAREST]
    # From all helix to all strand in steps of the golden ratio: any number of samples in a row has each native about as
    # often as any other, and helices and strands in about natives' shares.
    near.sort(key=lambda labels: (labels.count("E") - labels.count("H")) / len(labels))
    place = mix(draw.seed, length) / 2**63 + draw.index * _GOLDEN
    chosen = near[int(place % 1 * len(near))]
    # Stretched to the length wanted.
    return torch.tensor([_LETTERS[chosen[i * len(chosen) // length]] for i in range(length)])


def _parse(text: str, length: int) -> str:
    if not re.fullmatch(r"([HEC?]\d*)+", text):
        raise ValueError(
            f"secondary={text}: must be {NATIVE}, or letters H (helix), E (strand), C (coil), ? (free), each with a "
            "number after it if it stands for several residues, such as C3H14C4E6"
        )
    letters = "".join(letter * int(number or 1) for letter, number in re.findall(r"([HEC?])(\d*)", text))
    if len(letters) != length:
        raise ValueError(f"secondary={text}: says {len(letters)} residues, length={length}")
    return letters


@cache
def _natives() -> list[str]:
    """Labels of native chains, one a line."""
    return _TABLE.read_text(encoding="ascii").split()
