"""A structure as metrics see it: what several of them need is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points
from protgm.metrics.given import Given
from protgm.metrics.ramachandran import kinds_of, regions
from protgm.metrics.secondary import Secondary, summarised
from protgm.metrics.torsions import Torsions, angle, dihedral, links, norm, torsions
from protgm.structure import ideal
from protgm.structure.backbone import Backbone

__all__ = ["Peptides", "Subject"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Peptides:
    """The links between residues that are judged.

    Parameters
    ----------
    should, bonded : ndarray of int
        Residues i that should be, and that are, bonded to i + 1.
    gaps : int
        Jumps in the numbering.
    c_n, step : ndarray, length of ``should``
        Deviation of C-N from its ideal, and CA-CA distances, Angstrom.
    ca_c_n, c_n_ca : ndarray, length of ``bonded``
        Bond angles, degrees.
    omega, out_of_plane : ndarray, length of ``bonded``
        Size of omega, and how far O turns out of the plane of CA, C and the next N, degrees.
    """

    should: NDArray[np.int64]
    bonded: NDArray[np.int64]
    gaps: int
    c_n: NDArray[np.floating]
    step: NDArray[np.floating]
    ca_c_n: NDArray[np.floating]
    c_n_ca: NDArray[np.floating]
    omega: NDArray[np.floating]
    out_of_plane: NDArray[np.floating]


class Subject:
    """One structure to be measured.

    Parameters
    ----------
    backbone : Backbone
        One or more chains; missing atoms (NaN) leave out the figures that need them.
    given : Given, optional
        What was given of it. Then generated residues are judged, with their links to given ones; figures of size and
        secondary structure are those of the chains that hold generated residues.
    secondary : str, length L, optional
        Secondary structure of H, E, C; assigned where not given.
    cb : ndarray, shape (L, 3), optional
        CB positions in Angstrom (NaN for glycine), for the handedness of CA itself; a bare backbone does not show it.
    angles : Torsions, optional
        If known already.

    Raises
    ------
    ValueError
        If ``backbone`` is none, or one of the others does not have one entry per residue.
    """

    def __init__(
        self,
        backbone: Backbone,
        given: Given | None = None,
        *,
        secondary: str | None = None,
        cb: NDArray[np.floating] | None = None,
        angles: Torsions | None = None,
    ) -> None:
        if not isinstance(backbone, Backbone):
            kind = type(backbone).__name__
            raise ValueError(f"geometry of {kind}: a Backbone is wanted, as from Backbone.from_coords")
        cb = None if cb is None else points("cb", cb, "L", 3)
        parts = None if given is None else given.parts
        for name, value in (("secondary", secondary), ("cb", cb), ("given", parts)):
            if value is not None and len(value) != len(backbone):
                raise ValueError(f"{backbone.name}: {name} has {len(value)} entries for {len(backbone)} residues")
        self.backbone, self.given, self.cb = backbone, given, cb
        self._states, self._angles = secondary, angles
        self._found: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.backbone)

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What a function finds, called once: for what several metrics of a kind share."""
        if name not in self._found:
            self._found[name] = find()
        return cast(T, self._found[name])

    @cached_property
    def coords(self) -> NDArray[np.float64]:
        """Positions (L, 4, 3); infinite ones count as missing: they would only turn into warnings."""
        return np.where(np.isfinite(self.backbone.coords), self.backbone.coords, np.nan).astype(np.float64)

    @cached_property
    def chain(self) -> NDArray[np.int64]:
        """Number of each residue's chain, shape (L,)."""
        return np.unique(np.asarray(self.backbone.chain_ids), return_inverse=True)[1]

    @cached_property
    def made(self) -> NDArray[np.bool_]:
        """Residues that were generated, shape (L,): all, where nothing is known to be given."""
        made = None if self.given is None else self.given.made
        return np.ones(len(self), dtype=bool) if made is None or not made.any() else made

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """Residues of chains that hold generated ones, shape (L,)."""
        return np.isin(self.chain, self.chain[self.made])

    @cached_property
    def own_backbone(self) -> Backbone:
        """The chains that hold generated residues."""
        return self.backbone if self.own.all() else self.backbone.select(self.own)

    @cached_property
    def angles(self) -> Torsions:
        """Phi, psi and omega of all residues."""
        return torsions(self.backbone) if self._angles is None else self._angles

    @cached_property
    def turned(self) -> NDArray[np.bool_]:
        """Residues whose phi or psi is judged: generated ones, and those that are bonded to one; shape (L,)."""
        made, bonded = self.made, self.angles.bonded[:-1]
        found = made.copy()
        found[1:] |= made[:-1] & bonded
        found[:-1] |= made[1:] & bonded
        return found

    @cached_property
    def secondary(self) -> Secondary:
        """Secondary structure of the chains that hold generated residues, their neighbours counted in."""
        return summarised(self.backbone, self._states, self.own)

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """Kind of each residue, as tables of phi and psi have it, shape (L,)."""
        return kinds_of(self.backbone.sequence)

    @cached_property
    def grade(self) -> NDArray[np.int8]:
        """Of phi and psi: 2 favoured, 1 allowed, 0 outlier, -1 unknown or not judged; shape (L,)."""
        grade = regions().classify(self.angles.phi, self.angles.psi, self.kind)
        return np.where(self.turned, grade, np.int8(-1)).astype(np.int8)

    @cached_property
    def mirrored(self) -> NDArray[np.float64]:
        """Log density of natives at (phi, psi) over that at the mirror image's, NaN where not judged; shape (L,)."""
        phi, psi, tables = self.angles.phi, self.angles.psi, regions()
        ratio = tables.lookup(phi, psi, self.kind) - tables.lookup(-phi, -psi, self.kind)
        return np.where(self.turned, ratio, np.nan)

    @cached_property
    def peptides(self) -> Peptides:
        """Links that are judged: those with a generated residue."""
        should, bonded, gaps = links(self.backbone) if len(self) > 1 else (np.zeros(0, dtype=bool),) * 3
        judged = self.made[:-1] | self.made[1:]
        i, j = np.flatnonzero(should & judged), np.flatnonzero(bonded & judged)
        n, ca, c, o = (self.coords[:, a] for a in range(4))
        return Peptides(
            should=i,
            bonded=j,
            gaps=int((gaps & judged).sum()),
            c_n=np.abs(norm(n[i + 1] - c[i]) - ideal.C_N),
            step=norm(ca[i + 1] - ca[i]),
            ca_c_n=angle(ca[j] - c[j], n[j + 1] - c[j]),
            c_n_ca=angle(c[j] - n[j + 1], ca[j + 1] - n[j + 1]),
            omega=np.abs(self.angles.omega[j]),
            # O against the next N about the axis CA-C: opposite when all is well.
            out_of_plane=180 - np.abs(dihedral(n[j + 1], ca[j], c[j], o[j])),
        )
