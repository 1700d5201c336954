"""Secondary structure of whole backbones: states, segments and strand pairing; CA-only files and trajectories too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from protgm.checks import check_kind, points
from protgm.metrics.torsions import angle, dihedral, norm
from protgm.structure.backbone import Backbone
from protgm.structure.dssp import hydrogen_bonds
from protgm.structure.secondary import assign, spaced_out

__all__ = [
    "Secondary",
    "assign_backbone",
    "assign_ca",
    "assign_frames",
    "bridges",
    "secondary",
    "segments",
    "summarised",
]


@dataclass(frozen=True)
class Secondary:
    """Secondary structure of one backbone.

    ``parallel`` and ``antiparallel`` count residue pairs that form a bridge (Kabsch & Sander 1983); they are None
    where the file has CA atoms only.
    """

    states: str  #: H, E or C of each residue
    helix: float  #: share of residues
    strand: float  #: share of residues
    coil: float  #: share of residues
    helices: int
    strands: int  #: of two residues and more
    helix_length: float  #: mean residues of a helix, 0 without one
    strand_length: float  #: mean residues of a strand, 0 without one
    parallel: int | None
    antiparallel: int | None


def assign_backbone(backbone: Backbone) -> str:
    """Three-state secondary structure, length L: H, E, C.

    From hydrogen bonds where N, C and O are there, from CA positions (`assign_ca`) where they are in none.
    """
    check_kind("backbone", backbone, Backbone)
    if len(backbone) and not np.isfinite(backbone.coords[:, (0, 2, 3)]).any():
        return assign_ca(backbone.coords[:, 1], np.asarray(backbone.chain_ids))
    return assign(backbone.coords, backbone.chain_breaks()) if len(backbone) else ""


def assign_frames(frames: ArrayLike) -> tuple[str, ...]:
    """Secondary structure of every frame of a trajectory, shape (T, L, 4, 3) in Angstrom: T strings of length L."""
    return tuple(assign(frame) for frame in points("frames", frames, "T", "L", 4, 3, infinite=True))


def segments(states: str, breaks: ArrayLike | None = None) -> list[tuple[str, int, int]]:
    """Runs of one state: (state, first residue, one past the last), in order; a break ends a run."""
    check_kind("states", states, str)
    ends = np.zeros(len(states), dtype=bool) if breaks is None else np.asarray(breaks, dtype=bool)
    runs, start = [], 0
    for i in range(len(states)):
        if i + 1 == len(states) or states[i + 1] != states[i] or ends[i]:
            runs.append((states[i], start, i + 1))
            start = i + 1
    return runs


def secondary(backbone: Backbone) -> Secondary:
    """Assign and summarise."""
    return summarised(backbone)


def summarised(backbone: Backbone, states: str | None = None, counted: NDArray[np.bool_] | None = None) -> Secondary:
    """Secondary structure in figures.

    Parameters
    ----------
    backbone : Backbone
    states : str, optional
        H, E or C of each residue, where known; a letter of another kind is not counted.
    counted : ndarray of bool, shape (L,), optional
        Residues, whole chains, that figures are about; all by default. What they bond to is looked at all the same.
    """
    states = assign_backbone(backbone) if states is None else states
    own = np.ones(len(states), dtype=bool) if counted is None else counted
    ca_only = len(states) > 0 and not np.isfinite(backbone.coords[own][:, (0, 2, 3)]).any()
    runs = segments(states, None if ca_only else backbone.chain_breaks())
    # An extended residue on its own is an isolated bridge, no strand.
    lengths = {s: [end - k for state, k, end in runs if state == s and end - k > 1 and own[k]] for s in "HE"}
    pairs = None if ca_only else [own[p].any(axis=1).sum() for p in bridges(backbone)]
    shown = [state for state, kept in zip(states, own, strict=True) if kept and state in "HEC"]
    total = max(len(shown), 1)
    return Secondary(
        states=states,
        helix=shown.count("H") / total,
        strand=shown.count("E") / total,
        coil=shown.count("C") / total,
        helices=len(lengths["H"]),
        strands=len(lengths["E"]),
        helix_length=float(np.mean(lengths["H"])) if lengths["H"] else 0.0,
        strand_length=float(np.mean(lengths["E"])) if lengths["E"] else 0.0,
        parallel=None if pairs is None else int(pairs[0]),
        antiparallel=None if pairs is None else int(pairs[1]),
    )


def bridges(backbone: Backbone) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Residue pairs of parallel and of antiparallel bridges, shape (P, 2) each, first index below second.

    Kabsch & Sander 1983 (Biopolymers 22:2577): with ``bond(i, j)`` a hydrogen bond from the CO of i to the NH of j,
    i and j form a parallel bridge if bond(i-1, j) and bond(j, i+1), or bond(j-1, i) and bond(i, j+1); an antiparallel
    one if bond(i, j) and bond(j, i), or bond(i-1, j+1) and bond(j-1, i+1).
    """
    check_kind("backbone", backbone, Backbone)
    length = len(backbone)
    if length == 0:
        return (np.zeros((0, 2), dtype=np.int64),) * 2
    spaced, row = spaced_out(backbone.coords, backbone.chain_breaks())
    with np.errstate(all="ignore"):  # missing atoms: NaN energies, hence no hydrogen bond
        bond = hydrogen_bonds(spaced)
    whole = np.zeros((len(spaced) + 2,) * 2, dtype=bool)
    whole[1:-1, 1:-1] = bond

    def bonds(i: int, j: int) -> NDArray[np.bool_]:
        """bond(first + i, second + j) of all pairs, shape (L, L)."""
        return whole[np.ix_(row + 1 + i, row + 1 + j)]

    before, behind, level, across = bonds(-1, 0), bonds(0, 1), bonds(0, 0), bonds(-1, 1)
    parallel = (before & behind.T) | (before.T & behind)
    antiparallel = (level & level.T) | (across & across.T)
    # Both residues need their neighbours, and the two stretches of three must not overlap.
    inner = ~backbone.chain_breaks()
    inner[1:] &= inner[:-1].copy()
    inner[0] = False
    far = np.triu(np.outer(inner, inner), k=3)
    return np.argwhere(parallel & far), np.argwhere(antiparallel & far)


def assign_ca(ca: ArrayLike, chain: ArrayLike | None = None) -> str:
    """Secondary structure from CA positions alone, in the manner of P-SEA (Labesse et al. 1997, CABIOS 13:291).

    A residue is helical if the virtual bond angle and dihedral around it are a helix's in a run of four residues and
    more; extended if they are a strand's and a second stretch runs 4.2 to 5.8 A beside it.

    Parameters
    ----------
    ca : array, shape (L, 3)
        Angstrom; NaN where missing.
    chain : array, shape (L,), optional
        Chain of each residue; one chain by default.

    Returns
    -------
    str, length L
    """
    x = points("ca", ca, "L", 3, infinite=True).astype(np.float64)
    length = len(x)
    if chain is not None and len(np.atleast_1d(chain)) != length:
        raise ValueError(f"chain: one of each residue is wanted, {length}; got {len(np.atleast_1d(chain))}")
    states = np.full(length, "C")
    if length < 5:
        return "".join(states)
    names = np.zeros(length) if chain is None else np.unique(chain, return_inverse=True)[1]
    with np.errstate(invalid="ignore"):
        linked = (norm(x[1:] - x[:-1]) < 4.3) & (names[1:] == names[:-1])
        bend = angle(x[:-2] - x[1:-1], x[2:] - x[1:-1])
        turn = dihedral(x[:-3], x[1:-2], x[2:-1], x[3:])
        whole = linked[:-2] & linked[1:-1] & linked[2:]
        coiled = whole & (np.abs(turn - 50) <= 25) & (np.abs(bend[:-1] - 90) <= 15) & (np.abs(bend[1:] - 90) <= 15)
        flat = whole & (np.abs((turn + 170 + 180) % 360 - 180) <= 55) & (bend[:-1] >= 105) & (bend[1:] >= 105)
    # A window starts at residue i and holds i to i + 3; its inner two residues show the state.
    helix = np.zeros(length, dtype=bool)
    for i in np.flatnonzero(coiled[:-1] & coiled[1:]):
        helix[i + 1 : i + 4] = True
    strand = np.zeros(length, dtype=bool)
    for i in np.flatnonzero(flat):
        strand[i + 1 : i + 3] = True
    strand &= ~helix
    # Strands pair: a run is kept if another extended residue lies beside at least two of its own.
    beside = np.zeros(length, dtype=bool)
    candidates = np.flatnonzero(strand)
    if len(candidates):
        for a, b in cKDTree(x[candidates]).query_pairs(5.8):
            i, j = candidates[a], candidates[b]
            if abs(i - j) >= 3 or names[i] != names[j]:
                beside[[i, j]] = True
    states[helix] = "H"
    for state, start, end in segments("".join(np.where(strand, "E", "C"))):
        if state == "E" and end - start >= 2 and beside[start:end].sum() >= 2:
            states[start:end] = "E"
    return "".join(states)
