"""The one structure object: a protein backbone with everything a user's file said about its residues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points, whole
from protgm.structure.bonds import chain_breaks
from protgm.structure.contig import chain_prefix

if TYPE_CHECKING:
    import torch

__all__ = ["ATOM_NAMES", "Backbone"]

ATOM_NAMES = ("N", "CA", "C", "O")


@dataclass(frozen=True, eq=False)
class Backbone:
    """Backbone atoms of one or more protein chains.

    Parameters
    ----------
    coords : ndarray, shape (L, 4, 3), float32
        N, CA, C and O positions in Angstrom. A missing atom is NaN.
    sequence : str, length L
        One-letter codes; ``X`` where the residue type is unknown.
    chain_ids : tuple of str, length L
        Chain identifier of each residue, as in the file.
    residue_numbers : ndarray, shape (L,), int64
        Author residue numbers: may be negative, may have gaps.
    insertion_codes : tuple of str, length L
        Insertion codes, ``""`` where there is none.
    name : str
        What to call it in tables and files.
    metadata : mapping
        Resolution, method, source file, provenance of a generated sample, ... (JSON-able values).
    confidence : ndarray, shape (L,), float32, optional
        Per-residue confidence in [0, 1]; written to the B-factor column as 100 times its value, and read from there
        where the file says that it is one.
    b_factors : ndarray, shape (L,), float32, optional
        What the file that was read has in the B-factor column of CA, NaN where there is none.

    Raises
    ------
    ValueError
        If the lengths disagree, or something has another shape or holds what it should not: positions that are none,
        a sequence or chain identifiers that are not text, residue numbers that are not whole.
    """

    coords: NDArray[np.float32]
    sequence: str
    chain_ids: tuple[str, ...]
    residue_numbers: NDArray[np.int64]
    insertion_codes: tuple[str, ...]
    name: str = "backbone"
    metadata: Mapping[str, object] = field(default_factory=dict)
    confidence: NDArray[np.float32] | None = None
    b_factors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.sequence, str):
            raise ValueError(f"{self.name}: sequence must be a text of one-letter codes, got {self.sequence!r:.60}")
        length = len(self.sequence)
        self._floats("coords", "L", 4, 3)
        if len(self.coords) != length:
            raise ValueError(
                f"{self.name}: coords must have shape ({length}, 4, 3) for a sequence of {length} residues, "
                f"got {self.coords.shape}"
            )
        self._floats("confidence", "L")
        self._floats("b_factors", "L")
        numbers = np.asarray(self.residue_numbers)
        if (numbers.dtype.kind not in "iu" and numbers.size) or numbers.ndim != 1:
            raise ValueError(f"{self.name}: residue_numbers must be a list of whole numbers, got {numbers.dtype}")
        object.__setattr__(self, "residue_numbers", numbers.astype(np.int64, copy=False))
        for what in ("chain_ids", "insertion_codes"):
            if not all(isinstance(text, str) for text in set(getattr(self, what))):
                raise ValueError(f"{self.name}: {what} must be texts, got {getattr(self, what)!r:.60}")
        for what in ("chain_ids", "residue_numbers", "insertion_codes", "confidence", "b_factors"):
            value = getattr(self, what)
            if value is not None and len(value) != length:
                raise ValueError(f"{self.name}: {what} has {len(value)} entries for {length} residues")

    def _floats(self, what: str, *shape: int | str) -> None:
        """Make a field an array of float32, if it is not None."""
        value = getattr(self, what)
        if value is None or (
            isinstance(value, np.ndarray) and value.dtype == np.float32 and value.shape[1:] == shape[1:]
        ):
            return
        given = points(f"{self.name}: {what}", value, *shape, infinite=True)
        with np.errstate(over="ignore"):  # beyond float32: infinite
            object.__setattr__(self, what, given.astype(np.float32))

    def __len__(self) -> int:
        return len(self.sequence)

    def __repr__(self) -> str:
        """One line: coordinates of a protein would fill pages."""
        chains = ", ".join(chain or "' '" for chain in dict.fromkeys(self.chain_ids))
        return f"<{type(self).__name__} {self.name}: {len(self)} residues, chains {chains:.60}>"

    @classmethod
    def from_coords(
        cls,
        coords: NDArray[np.floating],
        *,
        sequence: str | None = None,
        name: str = "backbone",
        chain_id: str = "A",
        metadata: Mapping[str, object] | None = None,
        confidence: NDArray[np.floating] | None = None,
    ) -> Self:
        """A single chain numbered from 1; the sequence defaults to glycine (a backbone has no side chains)."""
        with np.errstate(over="ignore"):
            coords = points(f"{name}: coords", coords, "L", 4, 3).astype(np.float32)
        points(f"{name}: coords in float32", coords, "L", 4, 3)
        length = len(coords)
        return cls(
            coords=coords,
            sequence="G" * length if sequence is None else sequence,
            chain_ids=(chain_id,) * length,
            residue_numbers=np.arange(1, length + 1, dtype=np.int64),
            insertion_codes=("",) * length,
            name=name,
            metadata=metadata or {},
            confidence=confidence,
        )

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether N, CA and C of each residue are present, shape (L,)."""
        return np.asarray(np.isfinite(self.coords[:, :3]).all(axis=(1, 2)))

    def label(self, i: int) -> str:
        """What residue ``i`` is called: chain, number and insertion code, as in ``A95``, or ``1_95`` of a chain 1.

        Raises
        ------
        ValueError
            If there is no such residue.
        """
        i = whole("i", i, -len(self))
        if i >= len(self):
            raise ValueError(f"{self.name}: i={i}: there are {len(self)} residues, counted from 0")
        return f"{chain_prefix(self.chain_ids[i])}{self.residue_numbers[i]}{self.insertion_codes[i]}"

    @property
    def labels(self) -> list[str]:
        """What each residue is called, length L."""
        return [self.label(i) for i in range(len(self))]

    def chain_breaks(self) -> NDArray[np.bool_]:
        """Where residue i is not bonded to residue i + 1, shape (L,); the last residue is bonded to none.

        See `protgm.structure.bonds`.
        """
        return chain_breaks(self.coords, self.chain_ids)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these residues from others: a file may change under its name."""
        digest = hashlib.sha256(np.ascontiguousarray(self.coords, dtype="<f4").tobytes())
        digest.update(" ".join((self.sequence, *self.labels)).encode())
        return digest.hexdigest()[:12]

    def select(self, index: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Self:
        """The residues at ``index`` (mask, integers or slice), in that order.

        Raises
        ------
        ValueError
            If it is none of these, or names residues that are not there.
        """
        try:
            rows = np.arange(len(self))[index]
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.name}: index={index!r:.60} of {len(self)} residues ({error})") from None
        if rows.ndim != 1:
            raise ValueError(f"{self.name}: index={index!r:.60} must be a mask, a list of whole numbers or a slice")
        places = rows.tolist()

        def of(texts: Sequence[str]) -> Sequence[str]:
            return texts[index] if isinstance(index, slice) else [*map(texts.__getitem__, places)]

        return replace(
            self,
            coords=self.coords[rows],
            sequence="".join(of(self.sequence)),
            chain_ids=tuple(of(self.chain_ids)),
            residue_numbers=self.residue_numbers[rows],
            insertion_codes=tuple(of(self.insertion_codes)),
            confidence=None if self.confidence is None else self.confidence[rows],
            b_factors=None if self.b_factors is None else self.b_factors[rows],
        )

    def frames(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Residue frames: rotations (L, 3, 3) and CA translations (L, 3) in Angstrom.

        See `protgm.structure.geometry.frames_from_atoms`.
        """
        import torch

        from protgm.structure.geometry import frames_from_atoms

        return frames_from_atoms(torch.from_numpy(self.coords))

    def to_pdb(self, path: str | PathLike[str]) -> None:
        """Write a PDB file (see `protgm.structure.write.write_pdb`)."""
        from protgm.structure.write import write_pdb

        write_pdb(self, path)

    def to_cif(self, path: str | PathLike[str]) -> None:
        """Write an mmCIF file (see `protgm.structure.write.write_cif`)."""
        from protgm.structure.write import write_cif

        write_cif(self, path)
