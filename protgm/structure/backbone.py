"""The one structure object: a protein backbone with everything a user's file said about its residues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points
from protgm.structure.bonds import chain_breaks

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
        If the lengths disagree, or ``coords`` has another shape or holds what is no position.
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
        length = len(self.sequence)
        if not (isinstance(self.coords, np.ndarray) and self.coords.dtype == np.float32):
            given = points(f"{self.name}: coords", self.coords, "L", 4, 3, infinite=True)
            object.__setattr__(self, "coords", given.astype(np.float32))
        if self.coords.shape != (length, 4, 3):
            raise ValueError(
                f"{self.name}: coords must have shape ({length}, 4, 3) for a sequence of {length} residues, "
                f"got {self.coords.shape}"
            )
        for what in ("chain_ids", "residue_numbers", "insertion_codes", "confidence", "b_factors"):
            value = getattr(self, what)
            if value is not None and len(value) != length:
                raise ValueError(f"{self.name}: {what} has {len(value)} entries for {length} residues")

    def __len__(self) -> int:
        return len(self.sequence)

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
        coords = points(f"{name}: coords", coords, "L", 4, 3)
        length = len(coords)
        return cls(
            coords=coords.astype(np.float32),
            sequence="G" * length if sequence is None else sequence,
            chain_ids=(chain_id,) * length,
            residue_numbers=np.arange(1, length + 1, dtype=np.int64),
            insertion_codes=("",) * length,
            name=name,
            metadata=metadata or {},
            confidence=None if confidence is None else np.asarray(confidence, dtype=np.float32),
        )

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether N, CA and C of each residue are present, shape (L,)."""
        return np.asarray(np.isfinite(self.coords[:, :3]).all(axis=(1, 2)))

    def label(self, i: int) -> str:
        """What residue ``i`` is called: chain, number and insertion code, as in ``A95``."""
        return f"{self.chain_ids[i]}{self.residue_numbers[i]}{self.insertion_codes[i]}"

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
        """The residues at ``index`` (mask, integers or slice), in that order."""
        rows = np.arange(len(self))[index]
        return replace(
            self,
            coords=self.coords[rows],
            sequence="".join(self.sequence[i] for i in rows),
            chain_ids=tuple(self.chain_ids[i] for i in rows),
            residue_numbers=self.residue_numbers[rows],
            insertion_codes=tuple(self.insertion_codes[i] for i in rows),
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
