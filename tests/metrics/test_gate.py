"""The gate passes natives and names what is wrong with damaged ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from protgm.evaluate import Gate, geometry
from protgm.structure import Backbone, read_structure
from protgm.structure.ideal import beta_carbons

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"
LIBRARY = Path(__file__).parents[3] / "shared" / "pdb"
N, CA, C, OXYGEN = range(4)


def native(name: str) -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


def moved(b: Backbone, coords: np.ndarray) -> Backbone:
    return replace(b, coords=coords.astype(np.float32))


def after(b: Backbone, residue: int, bond: str) -> np.ndarray:
    """Mask (L, 4) of the atoms behind a bond of one residue; the carbonyl O goes with C."""
    mask = np.zeros((len(b), 4), dtype=bool)
    mask[residue + 1 :] = True
    if bond == "N-CA":
        mask[residue, CA:] = True
    elif bond == "CA-C":
        mask[residue, C:] = True
    return mask


def ends(b: Backbone, residue: int, bond: str) -> tuple[np.ndarray, np.ndarray]:
    x = b.coords.astype(float)
    start, end = {"N-CA": (N, CA), "CA-C": (CA, C), "C-N": (C, N)}[bond]
    return x[residue, start], x[residue + (bond == "C-N"), end]


def stretch(b: Backbone, bond: str, by: float, residue: int | None = None) -> Backbone:
    """One bond longer, everything behind it moved along."""
    residue = len(b) // 2 if residue is None else residue
    start, end = ends(b, residue, bond)
    x = b.coords.astype(float)
    x[after(b, residue, bond)] += by * (end - start) / np.linalg.norm(end - start)
    return moved(b, x)


def turn(b: Backbone, bond: str, degrees: float, residue: int) -> Backbone:
    """Everything behind a bond rotated about it."""
    start, end = ends(b, residue, bond)
    x, mask = b.coords.astype(float), after(b, residue, bond)
    axis = np.radians(degrees) * (end - start) / np.linalg.norm(end - start)
    x[mask] = Rotation.from_rotvec(axis).apply(x[mask] - end) + end
    return moved(b, x)


def bend(b: Backbone, degrees: float) -> Backbone:
    """The angle N-CA-C of one residue opened."""
    i, x = len(b) // 2, b.coords.astype(float)
    normal = np.cross(x[i, N] - x[i, CA], x[i, C] - x[i, CA])
    mask = after(b, i, "CA-C")
    rotation = Rotation.from_rotvec(np.radians(degrees) * normal / np.linalg.norm(normal))
    x[mask] = rotation.apply(x[mask] - x[i, CA]) + x[i, CA]
    return moved(b, x)


def bend_all(b: Backbone) -> Backbone:
    """Every angle at CA off by some 8 degrees, alternately, without a bond that changes."""
    x = b.coords.astype(float)
    to_n = x[:, N] - x[:, CA]
    normal = np.cross(to_n, x[:, C] - x[:, CA])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    x[:, N] = Rotation.from_rotvec(np.radians(12.0) * normal).apply(to_n) + x[:, CA]
    return moved(b, x)


def edit(b: Backbone, change: Callable[[np.ndarray], None]) -> Backbone:
    x = b.coords.astype(float)
    change(x)
    return moved(b, x)


def oxygen(b: Backbone, degrees: float, residue: int | None = None) -> Backbone:
    """Carbonyl O turned about CA-C."""
    i = len(b) // 2 if residue is None else residue

    def change(x: np.ndarray) -> None:
        axis = (x[i, C] - x[i, CA]) / np.linalg.norm(x[i, C] - x[i, CA])
        x[i, OXYGEN] = Rotation.from_rotvec(np.radians(degrees) * axis).apply(x[i, OXYGEN] - x[i, C]) + x[i, C]

    return edit(b, change)


def cis(b: Backbone, degrees: float = 180.0) -> Backbone:
    """One in 15 peptides turned about C-N."""
    where = [i for i in range(3, len(b) - 2, 15) if b.sequence[i + 1] != "P"]
    for i in where:
        b = turn(b, "C-N", degrees, i)
    return b


def mirror_stretch(b: Backbone) -> Backbone:
    """The first helix replaced by one of the other hand."""
    x, k = b.coords.astype(float), 14
    start = geometry_helix(b)
    part = x[start : start + k]
    x[start : start + k] = part * [1, 1, -1] + [0, 0, 2 * part[:, CA, 2].mean()]
    return moved(b, x)


def geometry_helix(b: Backbone) -> int:
    from protgm.structure.secondary import assign

    return assign(b.coords).index("HHHHHHHHH")


def scramble(b: Backbone) -> Backbone:
    """Phi and psi at random, bonds and angles kept."""
    rng = np.random.default_rng(0)
    for i in range(1, len(b) - 1):
        b = turn(b, "N-CA", rng.uniform(0, 360), i)
        b = turn(b, "CA-C", rng.uniform(0, 360), i)
    return b


def pull(b: Backbone) -> Backbone:
    """The chain stretched out: phi and psi of a flat strand everywhere."""
    from protgm.metrics.torsions import torsions

    for i in range(len(b)):
        angles = torsions(b)
        if i:
            b = turn(b, "N-CA", -150 - float(angles.phi[i]), i)
        if i + 1 < len(b):
            b = turn(b, "CA-C", 150 - float(angles.psi[i]), i)
    return b


def shift_half(b: Backbone, distance: float) -> Backbone:
    def change(x: np.ndarray) -> None:
        x[len(b) // 2 :] += [distance, 0, 0]

    return edit(b, change)


def overlap(b: Backbone) -> Backbone:
    """A second chain laid over the first, half an Angstrom away."""
    both = b.select(np.tile(np.arange(len(b)), 2))
    coords = both.coords.copy()
    coords[len(b) :] += 0.3
    return replace(both, coords=coords, chain_ids=("A",) * len(b) + ("B",) * len(b))


def lose_atom(b: Backbone) -> Backbone:
    def change(x: np.ndarray) -> None:
        x[10, C] = np.nan

    return edit(b, change)


def cut_out(b: Backbone) -> Backbone:
    """Five residues lost and the rest numbered as if nothing had happened."""
    kept = b.select(np.r_[0:20, 25 : len(b)])
    return replace(kept, residue_numbers=np.arange(1, len(kept) + 1))


def noise(b: Backbone, scale: float) -> Backbone:
    return moved(b, b.coords + np.random.default_rng(0).normal(0, scale, b.coords.shape))


def swap(b: Backbone, first: int, second: int) -> Backbone:
    order = list(range(4))
    order[first], order[second] = second, first
    return moved(b, b.coords[:, order])


def crush(b: Backbone) -> Backbone:
    """Residues drawn towards the middle, their insides kept."""
    ca = b.coords[:, CA : CA + 1].astype(float)
    return moved(b, b.coords + 0.5 * (ca.mean(axis=0) - ca))


def far_oxygens(b: Backbone) -> Backbone:
    def change(x: np.ndarray) -> None:
        x[:, OXYGEN] = x[:, C] + 1.4 * (x[:, OXYGEN] - x[:, C])

    return edit(b, change)


def fold_back(b: Backbone) -> Backbone:
    """Two distant residues put on one spot."""

    def change(x: np.ndarray) -> None:
        i, j = 5, len(b) - 6
        x[j] += x[i, CA] - x[j, CA] + 0.5

    return edit(b, change)


#: Damage, and figures of which at least one must be among the reasons.
DAMAGES: dict[str, tuple[Callable[[Backbone], Backbone], set[str]]] = {
    "C-N stretched by 0.5 A": (lambda b: stretch(b, "C-N", 0.5), {"cn_worst"}),
    "C-N shortened by 0.5 A": (lambda b: stretch(b, "C-N", -0.5), {"cn_worst"}),
    "N-CA stretched": (lambda b: stretch(b, "N-CA", 0.4), {"bond_worst"}),
    "CA-C shortened": (lambda b: stretch(b, "CA-C", -0.4), {"bond_worst"}),
    "one angle opened by 40": (lambda b: bend(b, 40), {"angle_worst"}),
    "all angles at CA off": (bend_all, {"angle_mad"}),
    "every 15th peptide cis": (cis, {"cis_nonpro", "cis"}),
    "every 15th peptide twisted": (lambda b: cis(b, 90), {"twisted"}),
    "O swapped to the N side": (lambda b: oxygen(b, 180), {"o_wrong"}),
    "O out of the plane": (lambda b: oxygen(b, 75), {"o_worst"}),
    "C-O bonds too long": (far_oxygens, {"co_worst"}),
    "chain broken, 6 A apart": (lambda b: shift_half(b, 6), {"breaks"}),
    "residues cut out, renumbered": (cut_out, {"breaks"}),
    "atom missing": (lose_atom, {"missing"}),
    "mirror image": (lambda b: moved(b, b.coords * [1, 1, -1]), {"handedness"}),
    "one helix mirrored": (mirror_stretch, {"left_handed"}),
    "phi and psi at random": (scramble, {"rama_outliers", "rama_favoured"}),
    "pulled straight": (pull, {"rg_ratio"}),
    "crushed to half its size": (crush, {"rg_ratio"}),
    "two chains in one place": (overlap, {"clashes"}),
    "residue on top of another": (fold_back, {"ca_closest"}),
    "noise of 0.5 A": (lambda b: noise(b, 0.5), {"bond_mad"}),
    "unit is nanometre": (lambda b: moved(b, b.coords / 10), {"bond_mad"}),
    "blown up by 30 %": (lambda b: moved(b, b.coords * 1.3), {"cn_ok"}),
    "N and C swapped": (lambda b: swap(b, N, C), {"cn_ok", "breaks"}),
    "C and O swapped": (lambda b: swap(b, C, OXYGEN), {"bond_mad", "breaks"}),
    "all in the origin": (lambda b: moved(b, b.coords * 0), {"bond_mad"}),
}


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "bare"])
@pytest.mark.parametrize("name", ["1EJG_A", "1CC8_A", "1NB0_A"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_gate_names_the_damage(damage: str, name: str, typed: bool) -> None:
    change, expected = DAMAGES[damage]
    b = native(name)
    b = change(b if typed else replace(b, sequence="G" * len(b)))
    reasons = Gate().check(geometry(b))
    assert {r.split(":")[0] for r in reasons} & expected, reasons


def test_single_faults_raise_no_other_reason() -> None:
    """What touches one bond or one oxygen is not reported as something else."""
    b = native("1NB0_A")
    for damaged, figure in (
        (stretch(b, "N-CA", 0.4, 3), "bond_worst"),
        (oxygen(b, 75), "o_worst"),
        (lose_atom(b), "missing"),
    ):
        reasons = Gate().check(geometry(damaged))
        assert [r.split(":")[0] for r in reasons] == [figure]


def test_reasons_name_residue_and_limit() -> None:
    b = native("1CC8_A")
    (reason,) = Gate().check(geometry(oxygen(b, 75, residue=20)))
    assert reason.startswith("o_worst: ")
    assert f"A{b.residue_numbers[20]}" in reason
    assert "limit <= 60" in reason


def test_wrong_side_of_cb_is_caught() -> None:
    b = native("1CC8_A")
    ca, cb = b.coords[:, CA].astype(float), beta_carbons(b.coords.astype(float))
    assert geometry(b, cb=cb).d_residues == 0
    cb[17] -= 2 * (cb[17] - ca[17])
    report = geometry(b, cb=cb)
    assert report.d_residues == pytest.approx(1 / len(b))
    assert any(r.startswith("d_residues") and f"A{b.residue_numbers[17]}" in r for r in Gate().check(report))


def test_figures_that_cannot_be_measured_are_not_judged() -> None:
    b = native("1CC8_A")
    bare = np.full_like(b.coords, np.nan)
    bare[:, CA] = b.coords[:, CA]
    report = geometry(moved(b, bare))
    assert math.isnan(report.cn_worst)
    assert math.isnan(report.rama_favoured)
    assert report.ca_ok > 0.97
    assert report.rg == pytest.approx(geometry(b).rg)
    assert [r.split(":")[0] for r in Gate().check(report)] == ["missing"]
    assert Gate(missing=1.0).check(report) == ()
    damaged = Gate(missing=1.0).check(geometry(crush(moved(b, bare))))
    assert {"ca_ok", "ca_closest", "rg_ratio"} <= {r.split(":")[0] for r in damaged}
