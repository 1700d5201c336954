"""Each filter rejects what it should, with the figures, and passes what lies on the limit."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from protgm.data import Filters
from protgm.data.entry import Rejected, entry, positive_phi, rebuild_oxygen, split_chains
from protgm.data.schema import SCHEMA
from protgm.metrics.torsions import torsions
from protgm.structure import Backbone, read_structure
from protgm.structure.places import residue_index
from protgm.structure.size import globular_radius, radius_of_gyration

OPEN = Filters(
    min_length=0,
    max_length=10_000,
    max_resolution=None,
    max_breaks=None,
    max_missing=None,
    max_rg_ratio=None,
    max_coil=None,
    max_positive_phi=None,
)


@pytest.fixture(scope="module")
def native(examples: Path) -> Backbone:
    return read_structure(examples / "2TRX_A.pdb.gz")


def with_coords(backbone: Backbone, coords: np.ndarray) -> Backbone:
    return replace(backbone, coords=coords)


def rejection(backbone: Backbone, filters: Filters, resolution: float | None = None) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        entry(backbone, filters, resolution)
    reason, detail = caught.value.args
    return reason, detail


def test_a_native_chain_passes_the_defaults_and_fills_every_column(native):
    row = entry(native, Filters(), 1.68)
    elsewhere = {"name", "source", "pdb_id", "chain", "cluster", "split"}
    assert set(row) | elsewhere == set(SCHEMA.names)
    assert row["length"] == 108
    assert row["resolution"] == 1.68
    assert row["sequence"] == native.sequence
    assert len(row["secondary"]) == len(row["insertion_codes"]) == 108
    assert 0.3 < row["helix"] < 0.45
    assert 0.2 < row["strand"] < 0.35
    assert np.array_equal(row["residue_index"], np.arange(108))
    assert np.array_equal(row["coords"].reshape(-1, 4, 3), native.coords)


@pytest.mark.parametrize(
    ("limit", "on", "beyond", "reason", "figure"),
    [
        ("min_length", 108, 109, "too short", "108 residues, 109 at least"),
        ("max_length", 108, 107, "too long", "108 residues, 107 at most"),
        ("max_resolution", 1.68, 1.6, "resolution", "1.68 A, 1.6 A at most"),
    ],
)
def test_lengths_and_resolution(native, limit, on, beyond, reason, figure):
    assert entry(native, replace(OPEN, **{limit: on}), 1.68)["length"] == 108
    got, detail = rejection(native, replace(OPEN, **{limit: beyond}), 1.68)
    assert got == reason
    assert figure in detail


def test_unknown_resolution_passes(native):
    assert entry(native, replace(OPEN, max_resolution=0.5), None)["resolution"] is None


def test_breaks_inside_the_chain_count(native):
    coords = native.coords.copy()
    coords[30:, :, 0] += 30
    coords[60:, :, 0] += 30
    broken = with_coords(native, coords)
    row = entry(broken, replace(OPEN, max_breaks=2))
    assert np.flatnonzero(row["chain_breaks"]).tolist() == [29, 59, 107]
    reason, detail = rejection(broken, replace(OPEN, max_breaks=1))
    assert reason == "chain breaks"
    assert detail.startswith("2 breaks, 1 at most")


@pytest.mark.parametrize("atom", [0, 2])
def test_missing_atoms_count_by_residue(native, atom):
    coords = native.coords.copy()
    coords[10:20, atom] = np.nan
    lacking = with_coords(native, coords)
    row = entry(lacking, replace(OPEN, max_missing=10 / 108 + 1e-6))
    assert np.isnan(row["coords"].reshape(-1, 4, 3)[10:20, atom]).all()
    reason, detail = rejection(lacking, replace(OPEN, max_missing=0.09))
    assert reason == "missing atoms"
    assert "9.3% of the residues lack N or C, 9.0% at most" in detail


def test_a_chain_without_any_complete_residue_never_passes(native):
    coords = native.coords.copy()
    coords[:, 0] = np.nan
    reason, detail = rejection(with_coords(native, coords), OPEN)
    assert reason == "missing atoms"
    assert "no residue has all of N, CA and C" in detail


def test_radius_of_gyration(native):
    row = entry(native, OPEN)
    radius = radius_of_gyration(native.coords[:, 1])
    ratio = radius / globular_radius(108)
    assert row["rg"] == pytest.approx(radius)
    assert ratio == pytest.approx(radius / (2.2 * 108**0.38))
    assert entry(native, replace(OPEN, max_rg_ratio=ratio + 1e-6))["rg_ratio"] == pytest.approx(ratio)
    reason, detail = rejection(native, replace(OPEN, max_rg_ratio=0.5))
    assert reason == "radius of gyration"
    assert f"{radius:.1f} A is {ratio:.2f} times" in detail


def test_rg_of_known_points():
    # Two points 2 A apart: each is 1 A from the middle.
    assert radius_of_gyration(np.array([[0.0, 0, 0], [2.0, 0, 0]])) == pytest.approx(1.0)
    assert globular_radius(2) == pytest.approx(2.2 * 2**0.38)


def test_coil(native):
    coil = entry(native, OPEN)["secondary"].count("C") / 108
    assert entry(native, replace(OPEN, max_coil=coil))["length"] == 108
    reason, detail = rejection(native, replace(OPEN, max_coil=coil - 0.01))
    assert reason == "coil"
    assert f"{coil:.1%} of the residues" in detail


def test_mirror_images(native):
    whole = np.arange(108) == 107
    share = positive_phi(native.coords, whole)
    assert 0 < share < 0.25
    mirrored = with_coords(native, native.coords * np.array([1, 1, -1], dtype=np.float32))
    assert positive_phi(mirrored.coords, whole) == pytest.approx(1 - share)
    assert entry(mirrored, OPEN)["length"] == 108
    reason, detail = rejection(mirrored, replace(OPEN, max_positive_phi=0.5))
    assert reason == "mirror image"
    assert f"phi > 0 in {1 - share:.1%} of the residues" in detail


def test_positive_phi_agrees_with_the_dihedral(native):
    chain = torsions(native)
    phi = chain.phi[np.isfinite(chain.phi)]
    assert positive_phi(native.coords, native.chain_breaks()) == pytest.approx((phi > 0).mean())


def test_positive_phi_skips_breaks_and_missing_atoms():
    coords = np.zeros((3, 4, 3), dtype=np.float32)
    assert positive_phi(coords, np.ones(3, dtype=bool)) == 0
    assert positive_phi(np.full((3, 4, 3), np.nan), np.zeros(3, dtype=bool)) == 0
    assert positive_phi(np.zeros((1, 4, 3)), np.ones(1, dtype=bool)) == 0


def test_no_chain_at_all():
    empty = Backbone.from_coords(np.zeros((0, 4, 3)))
    assert rejection(empty, Filters())[0] == "too short"
    assert rejection(empty, OPEN)[0] == "missing atoms"


@pytest.mark.parametrize("name", [item.name for item in fields(Filters)])
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_limits_must_be_numbers_from_zero(name, value):
    with pytest.raises(ValueError, match=f"{name} must not be negative"):
        Filters(**{name: value})


def test_lengths_the_wrong_way_round():
    with pytest.raises(ValueError, match="min_length 100 is above max_length 50"):
        Filters(min_length=100, max_length=50)


def test_oxygen_is_rebuilt_where_it_lacks_and_only_there(native):
    coords = native.coords.copy()
    coords[::3, 3] = np.nan
    rebuilt = entry(with_coords(native, coords), OPEN)["coords"].reshape(-1, 4, 3)
    apart = np.linalg.norm(rebuilt[:, 3] - native.coords[:, 3], axis=-1)
    inner = np.arange(108) % 3 == 0
    inner[-1] = False  # nothing follows the last residue: its O can turn
    assert apart[inner].mean() < 0.1
    assert apart[np.arange(108) % 3 != 0].max() == 0


def test_oxygen_is_not_invented_without_a_frame(native):
    coords = native.coords.copy()
    coords[5, [0, 3]] = np.nan
    rebuilt = rebuild_oxygen(coords, np.arange(108) == 107)
    assert np.isnan(rebuilt[5, 3]).all()
    assert np.isfinite(rebuilt[np.arange(108) != 5]).all()


@pytest.mark.parametrize(
    ("numbers", "chains", "breaks", "expected"),
    [
        ([5, 6, 7], [0, 0, 0], [0, 0, 1], [0, 1, 2]),
        ([5, 9, 10], [0, 0, 0], [0, 0, 1], [0, 1, 2]),  # numbering jumps over a bond
        ([5, 9, 10], [0, 0, 0], [1, 0, 1], [0, 4, 5]),  # a gap of four
        ([5, 5, 5], [0, 0, 0], [0, 0, 1], [0, 1, 2]),  # insertion codes
        ([9, 8, 7], [0, 0, 0], [0, 1, 1], [0, 1, 3]),  # backwards; a break is at least 2
        ([1, 5000, 5001], [0, 0, 0], [1, 0, 1], [0, 199, 200]),  # no gap is as long as the step between chains
        ([1, 2, 1], [0, 0, 1], [0, 1, 1], [0, 1, 201]),
        ([-3, -2, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2]),
    ],
)
def test_residue_index(numbers, chains, breaks, expected):
    got = residue_index(np.array(numbers), np.array(chains), np.array(breaks, dtype=bool), np.ones(3, dtype=bool))
    assert got.tolist() == expected


def test_residue_index_of_nothing():
    none = np.empty(0, dtype=int)
    assert residue_index(none, none, none.astype(bool), none.astype(bool)).shape == (0,)


def test_chains_apart(examples):
    backbone = read_structure(examples / "3wbm.bcif.gz")
    chains = dict(split_chains(backbone))
    assert list(chains) == ["A", "B", "C", "D"]
    assert sum(len(chain) for chain in chains.values()) == len(backbone)
    assert all(set(chain.chain_ids) == {name} for name, chain in chains.items())
