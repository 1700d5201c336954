"""One chain to one entry of a dataset: what is measured on it, and the filters that it must pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from protgm.data.filters import Filters
from protgm.structure.backbone import Backbone
from protgm.structure.bonds import chain_breaks
from protgm.structure.geometry import atoms_from_frames, frames_from_atoms, place_oxygen
from protgm.structure.letters import chosen
from protgm.structure.secondary import assign

__all__ = [
    "CHAIN_STEP",
    "Rejected",
    "entry",
    "positive_phi",
    "rebuild_oxygen",
    "residue_index",
    "rg_ratio",
    "split_chains",
]

#: Step of the residue index between chains; a gap inside a chain is never that long.
CHAIN_STEP = 200


class Rejected(ValueError):
    """A chain that does not pass a filter: ``args`` are the filter's short name and a sentence with the figures."""


def split_chains(backbone: Backbone) -> Iterator[tuple[str, Backbone]]:
    """(chain id, chain) in order of first appearance."""
    ids = np.asarray(backbone.chain_ids, dtype=object)
    for chain in dict.fromkeys(backbone.chain_ids):
        yield chain, backbone.select(np.asarray(ids == chain, dtype=bool))


def rebuild_oxygen(coords: NDArray[np.float32], breaks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Coordinates (L, 4, 3) in Angstrom with every missing O placed in the peptide plane.

    At a break (``breaks[i]``: residue i is not bonded to i + 1) it goes where a strand-like psi puts it. A residue that
    lacks N, CA or C stays without.
    """
    lacking = np.asarray(np.isfinite(coords[:, :3]).all(axis=(1, 2)) & ~np.isfinite(coords[:, 3]).all(axis=1))
    if not lacking.any():
        return coords
    atoms = torch.from_numpy(np.array(coords))
    rotations, translations = frames_from_atoms(atoms)
    free = atoms_from_frames(rotations, translations, torch.ones(len(atoms), dtype=torch.bool))[:, 3]
    bound = place_oxygen(atoms, torch.roll(atoms[:, 0], -1, dims=0))
    placed = torch.where(torch.from_numpy(breaks)[:, None], free, bound).numpy()
    return np.concatenate((coords[:, :3], np.where(lacking[:, None], placed, coords[:, 3])[:, None]), axis=1)


def residue_index(
    numbers: NDArray[np.integer],
    chain_index: NDArray[np.integer],
    breaks: NDArray[np.bool_],
    complete: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Numbers that a model can take differences of: 1 along the chain whatever the author's numbering does.

    Author numbers may jump between bonded residues, stand still at insertions or run backwards; where the chain is
    broken, though, they are all there is to say how much is missing.

    Parameters
    ----------
    numbers : ndarray, shape (L,)
        The author's residue numbers.
    chain_index : ndarray, shape (L,)
    breaks : ndarray of bool, shape (L,)
        True where residue i is not seen to be bonded to i + 1.
    complete : ndarray of bool, shape (L,)
        Residues with N, CA and C; a break next to another one may only be a missing atom.

    Returns
    -------
    ndarray of int64, shape (L,)
        From 0, strictly growing; a break counts at least 2 between complete residues and less than `CHAIN_STEP`.
    """
    if len(numbers) == 0:
        return np.empty(0, dtype=np.int64)
    apart = np.diff(np.asarray(numbers, dtype=np.int64))
    least = np.where(complete[1:] & complete[:-1], 2, 1)
    steps = np.where(breaks[:-1], np.clip(apart, least, CHAIN_STEP - 1), 1)
    steps = np.where(np.diff(chain_index) != 0, CHAIN_STEP, steps)
    return np.concatenate(([0], np.cumsum(steps))).astype(np.int64)


def rg_ratio(ca: NDArray[np.floating]) -> tuple[float, float]:
    """Radius of gyration of points (n, 3) in Angstrom, and its ratio to 2.2 n^0.38, that of a globular protein."""
    points = np.asarray(ca, dtype=np.float64)
    radius = float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))
    return radius, radius / (2.2 * len(points) ** 0.38)


def positive_phi(coords: NDArray[np.floating], breaks: NDArray[np.bool_]) -> float:
    """Share of the residues with phi > 0, of those that have a phi; 0 where none has.

    Parameters
    ----------
    coords : ndarray, shape (L, >=3, 3)
        N, CA, C, ... in Angstrom; a missing atom is NaN.
    breaks : ndarray of bool, shape (L,)
        True where residue i is not bonded to i + 1.
    """
    before, atoms = coords[:-1, 2].astype(np.float64), coords[1:].astype(np.float64)
    # The sign of a dihedral is that of the triple product of its three bonds.
    first, second, third = atoms[:, 0] - before, atoms[:, 1] - atoms[:, 0], atoms[:, 2] - atoms[:, 1]
    hand = np.einsum("li,li->l", np.cross(first, second), third)
    hand = hand[~breaks[:-1] & np.isfinite(hand)]
    return float((hand > 0).mean()) if len(hand) else 0.0


def _require(passed: bool, what: str, detail: str) -> None:
    if not passed:
        raise Rejected(what, detail)


def entry(chain: Backbone, filters: Filters, resolution: float | None = None) -> dict[str, Any]:
    """Columns of `protgm.data.schema.SCHEMA` that follow from the structure of one chain, or of a complex of several.

    Raises
    ------
    Rejected
        At the first filter that the chain does not pass; cheap ones come first.
    """
    length = len(chain)
    _require(length >= filters.min_length, "too short", f"{length} residues, {filters.min_length} at least wanted")
    _require(length <= filters.max_length, "too long", f"{length} residues, {filters.max_length} at most wanted")
    if filters.max_resolution is not None and resolution is not None:
        limit = filters.max_resolution
        _require(resolution <= limit, "resolution", f"{resolution:g} A, {limit:g} A at most wanted")
    complete = chain.complete
    missing = 1 - complete.mean() if length else 1.0
    if filters.max_missing is not None:
        detail = f"{missing:.1%} of the residues lack N or C, {filters.max_missing:.1%} at most wanted"
        _require(missing <= filters.max_missing, "missing atoms", detail)
    # Without this there is no frame to learn from, whatever the filters say.
    _require(bool(complete.any()), "missing atoms", "no residue has all of N, CA and C")
    ids = list(dict.fromkeys(chain.chain_ids))
    chain_index = np.array([ids.index(name) for name in chain.chain_ids], dtype=np.int32)
    ends = np.append(np.diff(chain_index) != 0, True)
    breaks = chain_breaks(chain.coords) | ends
    inner = int((breaks & ~ends).sum())
    if filters.max_breaks is not None:
        _require(inner <= filters.max_breaks, "chain breaks", f"{inner} breaks, {filters.max_breaks} at most wanted")
    rg, ratio = rg_ratio(chain.coords[complete, 1])
    if filters.max_rg_ratio is not None:
        limit = filters.max_rg_ratio
        detail = f"radius of gyration {rg:.1f} A is {ratio:.2f} times the globular one, {limit:g} at most wanted"
        _require(ratio <= filters.max_rg_ratio, "radius of gyration", detail)
    if filters.max_positive_phi is not None:
        share, limit = positive_phi(chain.coords, breaks), filters.max_positive_phi
        _require(share <= limit, "mirror image", f"phi > 0 in {share:.1%} of the residues, {limit:.1%} at most wanted")
    coords = rebuild_oxygen(chain.coords, breaks)
    secondary = assign(coords, breaks)
    helix, strand = secondary.count("H") / length, secondary.count("E") / length
    if filters.max_coil is not None:
        coil = secondary.count("C") / length
        _require(coil <= filters.max_coil, "coil", f"{coil:.1%} of the residues, {filters.max_coil:.1%} at most wanted")
    return {
        "length": length,
        "coords": np.ascontiguousarray(coords, dtype=np.float32).reshape(-1),
        # One letter that a generator writes everywhere is not a type to be learnt.
        "sequence": "".join(np.where(chosen(chain.sequence), list(chain.sequence), "X")),
        "residue_numbers": chain.residue_numbers,
        "insertion_codes": "".join(code[:1] or " " for code in chain.insertion_codes),
        "residue_index": residue_index(chain.residue_numbers, chain_index, breaks, complete),
        "chain_index": chain_index,
        "chain_breaks": breaks,
        "secondary": secondary,
        "helix": helix,
        "strand": strand,
        "rg": rg,
        "rg_ratio": ratio,
        "resolution": resolution,
    }
