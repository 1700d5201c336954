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
from protgm.structure.places import residue_index
from protgm.structure.secondary import assign
from protgm.structure.size import globular_radius, radius_of_gyration

__all__ = [
    "Rejected",
    "entry",
    "positive_phi",
    "rebuild_oxygen",
    "split_chains",
]


class Rejected(ValueError):
    """A chain that does not pass a filter: ``args`` are the filter's short name and a sentence with the figures."""


def split_chains(backbone: Backbone) -> Iterator[tuple[str, Backbone]]:
    """(chain id, chain) in order of first appearance."""
    ids = backbone.chain_ids
    for chain in dict.fromkeys(ids):
        first, number = ids.index(chain), ids.count(chain)
        if number == len(ids):
            yield chain, backbone
        elif ids[first : first + number].count(chain) == number:
            yield chain, backbone.select(slice(first, first + number))
        else:
            yield chain, backbone.select(np.array([name == chain for name in ids]))


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


def positive_phi(coords: NDArray[np.floating], breaks: NDArray[np.bool_]) -> float:
    """Share of the residues with phi > 0, of those that have a phi; 0 where none has.

    Parameters
    ----------
    coords : ndarray, shape (L, >=3, 3)
        N, CA, C, ... in Angstrom; a missing atom is NaN.
    breaks : ndarray of bool, shape (L,)
        True where residue i is not bonded to i + 1.
    """
    before, atoms = coords[:-1, 2].astype(np.float64), coords[1:, :3].astype(np.float64)
    # The sign of a dihedral is that of the triple product of its three bonds.
    first, second, third = atoms[:, 0] - before, atoms[:, 1] - atoms[:, 0], atoms[:, 2] - atoms[:, 1]
    (a, b, c), (d, e, f), (x, y, z) = first.T, second.T, third.T
    hand = (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z
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
    index = {name: i for i, name in enumerate(dict.fromkeys(chain.chain_ids))}
    chain_index = np.fromiter(map(index.__getitem__, chain.chain_ids), np.int32, length)
    ends = np.append(np.diff(chain_index) != 0, True)
    breaks = chain_breaks(chain.coords) | ends
    inner = int((breaks & ~ends).sum())
    if filters.max_breaks is not None:
        _require(inner <= filters.max_breaks, "chain breaks", f"{inner} breaks, {filters.max_breaks} at most wanted")
    rg = radius_of_gyration(chain.coords[complete, 1])
    ratio = rg / globular_radius(int(complete.sum()))
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
    types = chosen(chain.sequence)
    return {
        "length": length,
        "coords": np.ascontiguousarray(coords, dtype=np.float32).reshape(-1),
        # One letter that a generator writes everywhere is not a type to be learnt.
        "sequence": "".join(np.where(types, list(chain.sequence), "X")) if not types.all() else chain.sequence,
        "residue_numbers": chain.residue_numbers,
        "insertion_codes": "".join(code[:1] or " " for code in chain.insertion_codes)
        if any(chain.insertion_codes)
        else " " * length,
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
