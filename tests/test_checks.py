"""Public functions say what they want of an array, and take what is one, of whatever library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.alignment.tm import tm_scores
from protgm.checks import number, points, whole
from protgm.lie.points import centre, kabsch
from protgm.metrics.geometry import geometry
from protgm.metrics.novelty import nearest_natives
from protgm.refold import superposed_rmsd
from protgm.structure import Backbone
from protgm.structure.bonds import chain_breaks
from protgm.structure.dssp import hydrogen_bonds
from protgm.structure.geometry import atoms_from_frames, frames_from_atoms, place_oxygen
from protgm.structure.secondary import assign
from protgm.structure.torsions import dihedral, phi_psi_omega

ATOMS = np.random.default_rng(0).normal(size=(12, 4, 3))
CA = ATOMS[:, 1]
BACKBONE = Backbone.from_coords(ATOMS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: superposed_rmsd(ATOMS, ATOMS), r"first: must have shape \(L, 3\), got \(12, 4, 3\)"),
        (lambda: superposed_rmsd(CA, CA[:-1]), "first and second: 12 and 11 points"),
        (lambda: superposed_rmsd(CA, CA.T), r"second: must have shape \(L, 3\), got \(3, 12\)"),
        (lambda: superposed_rmsd(CA, CA * np.inf), "second: holds infinite values; a missing atom is NaN"),
        (lambda: superposed_rmsd(CA, CA + 0j), "second: must be an array of real numbers of shape .*, got complex128"),
        (lambda: superposed_rmsd("ABC", CA), "first: must be an array of real numbers"),
        (lambda: superposed_rmsd([[1, 2, 3], [1, 2]], CA), "first: must be an array of shape"),
        (lambda: nearest_natives([ATOMS], [CA]), r"samples\[0\]: must have shape \(L, 3\)"),
        (lambda: nearest_natives([CA], [CA, CA[:, :2]]), r"natives\[1\]: must have shape \(L, 3\), got \(12, 2\)"),
        (lambda: nearest_natives([CA], [CA], candidates=0), "candidates=0 must be at least 1"),
        (lambda: geometry(ATOMS), "geometry of ndarray: a Backbone is wanted, as from Backbone.from_coords"),
        (lambda: geometry(Backbone.from_coords(ATOMS), cb=ATOMS), r"cb: must have shape \(L, 3\)"),
        (lambda: Backbone.from_coords(CA), r"backbone: coords: must have shape \(L, 4, 3\), got \(12, 3\)"),
        (lambda: Backbone.from_coords(ATOMS[:, :3]), r"coords: must have shape \(L, 4, 3\), got \(12, 3, 3\)"),
        (lambda: Backbone.from_coords(ATOMS.astype(str)), "coords: must be an array of real numbers"),
        (lambda: frames_from_atoms(torch.zeros(5, 2, 3)), r"coords: floats of shape .* got torch.float32 \(5, 2, 3\)"),
        (lambda: frames_from_atoms(torch.zeros(5, 4, 3, dtype=torch.int64)), "got torch.int64"),
        (lambda: place_oxygen(torch.zeros(5, 3), torch.zeros(5, 3)), r"next_n: shape \(..., 3\) is wanted"),
        (lambda: atoms_from_frames(torch.zeros(5, 3, 3), torch.zeros(4, 3)), r"got \(5, 3, 3\) and \(4, 3\)"),
        (lambda: phi_psi_omega(torch.zeros(12, 3)), r"coords: floats of shape .* are wanted, got .*\(12, 3\)"),
        (lambda: phi_psi_omega(ATOMS), r"coords: a torch tensor of shape .* is wanted, got ndarray"),
        (lambda: dihedral(*[torch.zeros(5, 2)] * 4), r"p: floats of shape \(..., 3\) are wanted, got .*\(5, 2\)"),
        (lambda: atoms_from_frames(torch.zeros(5, 3, 3), torch.zeros(5, 3), torch.zeros(4)), "chain_breaks: shape"),
        (lambda: atoms_from_frames(CA, CA), "rotations: a torch tensor"),
        (lambda: assign(ATOMS.astype(str)), "coords: must be an array of real numbers"),
        (lambda: assign(CA), r"coords: must have shape \(L, 4, 3\), got \(12, 3\)"),
        (lambda: assign(ATOMS, [True, False]), r"breaks: must have shape \(12,\)"),
        (lambda: hydrogen_bonds(ATOMS[:, :3].astype(np.float32)), r"coords: must have shape \(L, 4, 3\)"),
        (lambda: chain_breaks(CA), r"coords: must have shape \(L, >=3, 3\), got \(12, 3\)"),
        (lambda: chain_breaks(ATOMS[..., 0]), r"coords: must have shape \(L, >=3, 3\), got \(12, 4\)"),
        (lambda: chain_breaks(ATOMS, ["A"]), "chains: 1 are given for 12 residues"),
        (lambda: kabsch(torch.zeros(3, 12), torch.zeros(3, 12)), r"mobile: floats of shape \(..., N, 3\) are wanted"),
        (lambda: kabsch(torch.zeros(12, 3), torch.zeros(11, 3)), r"target: floats of shape \(..., 12, 3\) are wanted"),
        (lambda: kabsch(torch.zeros(12, 3), torch.zeros(12, 3), torch.ones(5)), r"weight: \(5,\) for points \(12, 3\)"),
        (lambda: centre(torch.zeros(12, 2)), r"points: floats of shape \(..., N, 3\) are wanted"),
        (lambda: centre(torch.zeros(12, 3), torch.ones(3)), r"mask: \(3,\) for points"),
        (lambda: tm_scores([(ATOMS, CA)]), r"first of pair 0: must have shape \(L, 3\), got \(12, 4, 3\)"),
        (lambda: tm_scores([(CA, CA * np.nan)]), "second of pair 0: holds NaN"),
        (lambda: Backbone.from_coords(ATOMS, confidence=ATOMS[:, :2, 0]), r"confidence: must have shape \(L,\)"),
        (lambda: Backbone.from_coords(ATOMS, sequence=["G"] * 12), "sequence must be a text"),
        (lambda: Backbone.from_coords(ATOMS, chain_id=1), "chain_ids must be texts"),
        (lambda: Backbone.from_coords(ATOMS * 1e300), "coords in float32: holds infinite values"),
        (lambda: replace(BACKBONE, residue_numbers=np.linspace(0, 1, 12)), "residue_numbers must be .* whole numbers"),
        (lambda: replace(BACKBONE, residue_numbers=np.arange(11)), "residue_numbers has 11 entries for 12 residues"),
    ],
)
def test_another_shape_or_kind_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", [list, torch.from_numpy, lambda x: x.astype(np.float16), lambda x: np.round(x * 10).astype(int)]
)
def test_arrays_of_any_library_are_arrays(kind):
    given = kind(CA) if kind is not list else CA.tolist()
    assert superposed_rmsd(given, given) == pytest.approx(0, abs=1e-5)
    atoms = kind(ATOMS) if kind is not list else ATOMS.tolist()
    made = Backbone.from_coords(atoms)
    assert made.coords.dtype == np.float32
    assert made.coords.shape == (12, 4, 3)


def test_positions_may_be_missing_where_that_is_said():
    gone = CA.copy()
    gone[3] = np.nan
    assert np.isnan(points("x", gone, "L", 3)[3]).all()
    with pytest.raises(ValueError, match="x: holds NaN"):
        points("x", gone, "L", 3, missing=False)


@pytest.mark.parametrize("value", [True, "3", 3.0, None, np.array([1, 2]), float("nan")])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"n=.*: must be a whole number"):
        whole("n", value)


@pytest.mark.parametrize("value", [True, "3", None, 1j, [1], float("inf")])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match="x="):
        number("x", value)
    assert number("x", np.float32(2)) == number("x", 2) == 2.0
