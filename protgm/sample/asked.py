"""Conditions from what a command line or a campaign file says."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from protgm.condition import Condition, Conditions, Distances, Motif, Partial, Potential, Sequence, Symmetry, Target
from protgm.condition.distances import parse_distances
from protgm.condition.energies import Contacts, Energy, HotspotContacts, RadiusOfGyration
from protgm.sample.lengths import MIN_LENGTH, parse_length

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """What is asked of a protein beside its length, by the names that `configs/sample.yaml` explains.

    Raises
    ------
    ValueError
        If something contradicts something else, or a file cannot be read.
    """

    motif: str | None = None
    contig: str | None = None
    unordered: bool = False
    redesign: str | None = None
    start: str | None = None
    start_time: float = 0.6
    fixed: str | None = None
    symmetry: str | None = None
    target: str | None = None
    chains: str | None = None
    hotspots: str | None = None
    crop: int | None = 256
    sequence: bool | str = False
    compact: float = 0.0
    contacts: float = 0.0
    packing: float = 0.0
    touch: float = 0.0
    window: str | None = None
    distances: str | None = None

    def conditions(self, length: int | str | tuple[int, ...] | None) -> Conditions:
        """The conditions, files read and checked; ``length`` bounds a motif's scaffold where it is given."""
        self._check()
        parts: list[Condition] = []
        if self.motif is not None and self.contig is not None:
            parts.append(
                Motif(self.motif_files(), self.contig, _bounds(length), self.unordered, tuple(_words(self.redesign)))
            )
        if self.start is not None:
            if length is not None:
                raise ValueError(f"length={length}: start={self.start} says itself how long the protein is")
            parts.append(Partial(self.start, self.start_time, self.fixed))
        if isinstance(self.sequence, str):
            parts.append(Sequence(_letters(self.sequence)))
        if self.target is not None:
            parts.append(Target(self.target, tuple(_words(self.chains)), tuple(_words(self.hotspots)), self.crop))
        if self.symmetry is not None:
            parts.append(Symmetry(self.symmetry))
        after, until = _window(self.window)
        for name, energy in _ENERGIES.items():
            if scale := getattr(self, name):
                parts.append(Potential(energy, scale, after=after, until=until, name=name))
        if self.distances is not None:
            parts.append(Distances(parse_distances(self.distances)))
        return Conditions(tuple(parts))

    def motif_files(self) -> list[str]:
        """Files of the motif."""
        return [str(Path(part.strip()).expanduser()) for part in (self.motif or "").split(",") if part.strip()]

    def sources(self, folder: Path) -> dict[str, list[str]]:
        """Files that residues are given from, by part, as paths from a folder."""
        named = {
            "motif": self.motif_files(),
            "start": [] if self.start is None else [self.start],
            "target": [] if self.target is None else [self.target],
        }
        return {part: [_from(folder, file) for file in files] for part, files in named.items() if files}

    def _check(self) -> None:
        for key, other in _NEEDS:
            if getattr(self, key) and getattr(self, other) is None:
                raise ValueError(f"{key}={getattr(self, key)} says nothing without {other}=")
        for key, other in (("start_time", "start"), ("crop", "target")):
            if getattr(self, key) != getattr(Asked, key) and getattr(self, other) is None:
                raise ValueError(f"{key}={getattr(self, key)} says nothing without {other}=")
        for key in _ENERGIES:
            if not 0 <= getattr(self, key) < math.inf:
                raise ValueError(f"{key}={getattr(self, key)}: must be 0 (not at all) or more; 1 is gentle")
        if self.window is not None and not any(getattr(self, key) for key in _ENERGIES):
            raise ValueError(f"window={self.window} says nothing without {'=, '.join(_ENERGIES)}=")


#: Energies that pull on a backbone, by their keys.
_ENERGIES: dict[str, Energy] = {
    "compact": RadiusOfGyration(),
    "contacts": Contacts(),
    "packing": Contacts(between=False),
    "touch": HotspotContacts(),
}
#: Keys that say nothing without another.
_NEEDS = (
    ("contig", "motif"),
    ("motif", "contig"),
    ("redesign", "motif"),
    ("unordered", "motif"),
    ("fixed", "start"),
    ("chains", "target"),
    ("hotspots", "target"),
    ("touch", "hotspots"),
)


def _from(folder: Path, file: str) -> str:
    """A path as seen from a folder, so that both may be moved together."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # on another drive
        return str(Path(file).absolute())


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text or "") if word]


def _bounds(length: int | str | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Least and largest of the lengths asked for."""
    if length is None:
        return None
    lengths = parse_length(length)
    if not isinstance(lengths, range) and len(lengths) > 1:
        raise ValueError(f"length={length}: a motif's scaffold takes one length or a range such as 60-80, not a list")
    return lengths[0], lengths[-1]


def _window(text: str | None) -> tuple[float, float]:
    """Times between which energies pull."""
    if text is None:
        return Potential.after, Potential.until
    found = re.fullmatch(r"(\d*\.?\d+)-(\d*\.?\d+)", text.replace(" ", ""))
    if found is None or not 0 <= float(found[1]) < float(found[2]) <= 1:
        raise ValueError(f"window={text}: must be two times between 0 (noise) and 1 (the protein), such as 0-0.8")
    return float(found[1]), float(found[2])


_LONGEST_NAME = 255


def _letters(text: str) -> str:
    """One-letter codes as they are, or those of the first entry of a FASTA file."""
    if not text.strip():
        raise ValueError("sequence=: is empty; true (found with the backbone), letters or a FASTA file are wanted")
    path = Path(text).expanduser()
    # No file has a name so long; to ask for one is an error of its own.
    if len(text) > _LONGEST_NAME or (not path.suffix and not path.exists()):
        return _enough(text.upper())
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"sequence={text}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    first = next((i for i, line in enumerate(lines) if line.startswith(">")), -1)
    letters = []
    for line in lines[first + 1 :]:
        if line.startswith(">"):
            break
        letters.append(line.strip())
    if not "".join(letters):
        raise ValueError(f"{path}: there is no sequence in it")
    return _enough("".join(letters).upper())


def _enough(letters: str) -> str:
    if len(letters) < MIN_LENGTH:
        raise ValueError(f"sequence={letters}: has {len(letters)} residues; {MIN_LENGTH} at least can be made")
    return letters
