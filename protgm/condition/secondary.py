"""Secondary structure asked of the sampler: as a user writes it, or as natives have it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from protgm.condition.base import Condition, Draw
from protgm.layout import MAX_LENGTH, Layout
from protgm.model.state import UNKNOWN_STRUCTURE
from protgm.seeds import mix
from protgm.structure.secondary import STATES
from protgm.text import printable

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

    With a range of lengths it is stretched or squeezed to each, by a quarter at most; otherwise it has the length.

    Raises
    ------
    ValueError
        Naming what is wrong and what would be right.
    """
    text = _spelled(text)
    if text != NATIVE:
        letters = _parse(text)
        if isinstance(lengths, range):
            least, most = math.ceil(len(letters) / _STRETCH), math.floor(len(letters) * _STRETCH)
            if not least <= lengths[0] <= lengths[-1] <= most:
                raise ValueError(
                    f"secondary={text}: says {len(letters)} residues, which can be stretched to lengths of {least} to "
                    f"{most}; length={lengths[0]}-{lengths[-1]}"
                )
            return
        for length in lengths:
            if len(letters) != length:
                raise ValueError(f"secondary={text}: says {len(letters)} residues, length={length}")


@dataclass(frozen=True)
class SecondaryStructure(Condition):
    """Secondary structure to aim for in the residues that are new.

    Parameters
    ----------
    text : str
        One letter per new residue (H helix, E strand, C coil, ? free), or with numbers (``C3H14C4E6``), in capitals or
        not; or ``native``: the labels of some native, another one for each sample, nothing where no native has about
        that length.
    """

    text: str = NATIVE
    once = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _spelled(self.text))

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The new residues' labels."""
        new = layout.mask & (layout.time == 0) & (layout.body < 0)
        count = int(new.sum())
        labels = _labels(self.text, count, draw)
        if self.text == NATIVE:
            # What somebody has asked for is not overwritten by what is asked for by default.
            labels = torch.where(layout.secondary[new] == UNKNOWN_STRUCTURE, labels, layout.secondary[new])
        elif not count:
            raise ValueError(f"secondary={self.text}: there are no new residues; use null")
        else:
            check_secondary(self.text, range(count, count + 1))
        secondary = layout.secondary.clone()
        secondary[new] = labels
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
        return _stretched(_parse(text), length)
    alike = [labels for labels in _natives() if 1 / _STRETCH <= length / len(labels) <= _STRETCH]
    if not alike:
        return torch.full((length,), UNKNOWN_STRUCTURE)
    near = sorted(alike, key=lambda labels: abs(len(labels) - length))[:_NEAREST]
    # From all helix to all strand in steps of the golden ratio: any number of samples in a row has each native about as
    # often as any other, and helices and strands in about natives' shares.
    near.sort(key=lambda labels: (labels.count("E") - labels.count("H")) / len(labels))
    place = mix(draw.seed, length) / 2**63 + draw.index * _GOLDEN
    chosen = near[int(place % 1 * len(near))]
    return _stretched(chosen, length)


def _stretched(letters: str, length: int) -> Tensor:
    """Labels of so many residues, each element longer or shorter in proportion."""
    return torch.tensor([_LETTERS[letters[i * len(letters) // length]] for i in range(length)])


def _spelled(text: object) -> str:
    """A request in capitals, without blanks and commas: ``h10, e10`` is H10E10."""
    if not isinstance(text, str):
        raise ValueError(f"secondary={text!r}: must be text such as C3H14C4E6, {NATIVE}, or None")
    return NATIVE if text.strip().lower() == NATIVE else re.sub(r"[\s,]+", "", text).upper()


def _parse(text: str) -> str:
    if not re.fullmatch(r"([HEC?]\d*)+", text):
        raise ValueError(
            f"secondary={text}: must be {NATIVE}, or letters H (helix), E (strand), C (coil), ? (free), each with a "
            "number after it if it stands for several residues, such as C3H14C4E6"
        )
    parts = [(letter, int(number or 1)) for letter, number in re.findall(r"([HEC?])(\d*)", text)]
    if sum(number for _, number in parts) > MAX_LENGTH:
        raise ValueError(f"secondary={printable(text)}: says more than {MAX_LENGTH} residues")
    return "".join(letter * number for letter, number in parts)


@cache
def _natives() -> list[str]:
    """Labels of native chains, one a line."""
    return _TABLE.read_text(encoding="ascii").split()
