"""Secondary structure asked of the sampler: as a user writes it, or as natives have it."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from protgm.model import UNKNOWN_STRUCTURE
from protgm.sample.lengths import MAX_LENGTH, Item
from protgm.seeds import mix
from protgm.structure.errors import printable
from protgm.structure.secondary import STATES

__all__ = ["NATIVE", "check_secondary", "secondary_labels"]

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
    if not isinstance(text, str):
        raise ValueError(f"secondary={text!r}: must be text such as C3H14C4E6, {NATIVE}, or None")
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


def secondary_labels(text: str | None, item: Item, seed: int) -> Tensor:
    """Labels of one protein.

    Parameters
    ----------
    text : str or None
        One letter per residue (H helix, E strand, C coil, ? free), or with numbers (``C3H14C4E6``), or
        ``native``, which asks for nothing where no native has about that length; None asks for nothing.
    item : Item
    seed : int
        Chooses the native, together with the item.

    Returns
    -------
    Tensor of int64, shape (L,)
        Indices into ``"HEC"``, `protgm.model.UNKNOWN_STRUCTURE` where nothing is asked.
    """
    if text is None:
        return torch.full((item.length,), UNKNOWN_STRUCTURE)
    if text != NATIVE:
        return _stretched(_parse(text), item.length)
    alike = [labels for labels in _natives() if 1 / _STRETCH <= item.length / len(labels) <= _STRETCH]
    if not alike:
        return torch.full((item.length,), UNKNOWN_STRUCTURE)
    near = sorted(alike, key=lambda labels: abs(len(labels) - item.length))[:_NEAREST]
    # From all helix to all strand in steps of the golden ratio: any number of samples in a row has each native about as
    # often as any other, and helices and strands in about natives' shares.
    near.sort(key=lambda labels: (labels.count("E") - labels.count("H")) / len(labels))
    place = mix(seed, item.length) / 2**63 + item.index * _GOLDEN
    chosen = near[int(place % 1 * len(near))]
    return _stretched(chosen, item.length)


def _stretched(letters: str, length: int) -> Tensor:
    """Labels of so many residues, each element longer or shorter in proportion."""
    return torch.tensor([_LETTERS[letters[i * len(letters) // length]] for i in range(length)])


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
