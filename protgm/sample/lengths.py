"""Which proteins a request stands for: lengths and numbers as users write them, into a work list."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from protgm.checks import whole
from protgm.layout import MAX_LENGTH
from protgm.seeds import mix

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "Item", "Shard", "parse_length", "work_list"]

MIN_LENGTH = 4


@dataclass(frozen=True, order=True)
class Item:
    """One protein of a work list.

    Parameters
    ----------
    length : int
        Residues.
    index : int
        Which sample of that length (of the whole request for a range of lengths).
    residues : int
        In all: those of a target and of further units too; ``length`` where nothing else is said.
    """

    length: int
    index: int
    residues: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.residues:
            object.__setattr__(self, "residues", self.length)

    @property
    def name(self) -> str:
        """Name of the sample and of its file, such as ``L100_0007``."""
        return f"L{self.length}_{self.index:04d}"

    def seed(self, seed: int) -> int:
        """Seed of this protein's own random stream under the request's seed."""
        return mix(seed, self.length, self.index)


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 1) of a work list cut into ``of`` parts: every ``of``-th item, so that lengths are even."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``2/4``; or ``auto``: from what SLURM (job arrays, srun) or torchrun say about this process.

        Raises
        ------
        ValueError
            If it does not look like that, or is out of range.
        """
        if text.strip() == "auto":
            return cls._of_environment()
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"shard={text}: must be i/n with i from 1 to n, such as 2/4, or auto")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def _of_environment(cls) -> Shard:
        """One process for each task of a SLURM array and, within it, for each that srun or torchrun started."""
        number, of = 0, 1
        if "SLURM_ARRAY_TASK_ID" in os.environ:
            first, step = _variable("SLURM_ARRAY_TASK_MIN", 0), _variable("SLURM_ARRAY_TASK_STEP", 1)
            number = (_variable("SLURM_ARRAY_TASK_ID", 0) - first) // step
            of = _variable("SLURM_ARRAY_TASK_COUNT", 1)
        for place, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
            if place in os.environ and count in os.environ:
                size = _variable(count, 1)
                number, of = number * size + _variable(place, 0), of * size
                break
        return cls(number + 1, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def take(self, items: Sequence[Item]) -> list[Item]:
        """The items of this part."""
        return list(items[self.number - 1 :: self.of])


def parse_length(length: int | str | Sequence[int]) -> tuple[int, ...] | range:
    """Lengths from ``100``, ``"100"``, ``"60-128"`` or ``[64, 96]``.

    Returns
    -------
    tuple of int or range
        A range for ``"a-b"`` (b included), a tuple otherwise.

    Raises
    ------
    ValueError
        If it is none of these, or a length is out of bounds.
    """
    if isinstance(length, str):
        text = length.replace(" ", "")
        if match := re.fullmatch(r"(\d+)-(\d+)", text):
            first, last = int(match[1]), int(match[2])
            if first > last:
                raise ValueError(f"length={length}: the range runs backwards; write {last}-{first}")
            for end in (first, last):
                _check(end)
            return range(first, last + 1)
        if not re.fullmatch(r"\d+(,\d+)*", text):
            raise ValueError(f"length={length!r}: must be a number (100), a range (60-128) or a list (64,96,128)")
        return parse_length([int(part) for part in text.split(",")])
    try:
        given = (length,) if hasattr(length, "__index__") and not getattr(length, "ndim", 0) else tuple(length)  # type: ignore[arg-type]
        lengths = tuple(whole("length", n) for n in given)
    except (TypeError, ValueError):
        lengths = ()
    if not lengths:
        raise ValueError(f"length={length!r}: must be whole numbers of residues")
    for n in lengths:
        _check(n)
    return tuple(dict.fromkeys(lengths))


def work_list(lengths: tuple[int, ...] | range, num: int, seed: int) -> list[Item]:
    """The proteins of a request, longest first.

    A tuple gives ``num`` proteins of each length; a range gives ``num`` in all, each with a length drawn from its own
    stream, so that asking for more later only adds to them.

    Raises
    ------
    ValueError
        If ``num`` is not positive, or ``seed`` is negative.
    """
    num, seed = whole("num", num, least=1), whole("seed", seed)
    if seed < 0:
        raise ValueError(f"seed={seed} must not be negative")
    if isinstance(lengths, range):
        items = []
        for index in range(num):
            generator = torch.Generator().manual_seed(mix(seed, index))
            draw = int(torch.randint(len(lengths), (), generator=generator))
            items.append(Item(lengths[draw], index))
    else:
        items = [Item(length, index) for length in lengths for index in range(num)]
    return sorted(items, key=lambda item: (-item.length, item.index))


def _check(length: int) -> None:
    if not MIN_LENGTH <= length <= MAX_LENGTH:
        raise ValueError(f"length={length} must lie between {MIN_LENGTH} and {MAX_LENGTH} residues")


def _variable(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdigit():
        raise ValueError(f"shard=auto: {name} in the environment is not a number")
    return int(value)
