"""The gate lets natives pass, with and without residue types and motifs; its limits can be moved."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.evaluate import Gate, geometry
from protgm.metrics.ramachandran import kinds_of
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"


LIBRARY = Path(__file__).parents[3] / "shared" / "pdb"


def native(name: str) -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


def moved(b: Backbone, coords: np.ndarray) -> Backbone:
    return replace(b, coords=coords.astype(np.float32))


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "bare"])
@pytest.mark.parametrize("name", ["1EJG_A", "1CC8_A", "1NB0_A"])
def test_gate_passes_natives(name: str, typed: bool) -> None:
    b = native(name)
    b = b if typed else replace(b, sequence="G" * len(b))
    assert Gate().check(geometry(b)) == ()


def scaffold(b: Backbone, letter: str, first: int, last: int) -> Backbone:
    """The backbone with the types of some residues, and one letter for all others."""
    return replace(b, sequence=letter * first + b.sequence[first:last] + letter * (len(b) - last))


@pytest.mark.parametrize("letter", ["G", "A", "X"])
@pytest.mark.parametrize("motif", [(0, 20), (20, 44), (5, 8), (50, 70)])
@pytest.mark.parametrize("name", ["1CC8_A", "1NB0_A"])
def test_gate_passes_scaffolds_with_a_motif(name: str, motif: tuple[int, int], letter: str) -> None:
    b = scaffold(native(name), letter, *motif)
    assert Gate().check(geometry(b)) == ()
    mirrored = moved(b, b.coords * (1, 1, -1))
    assert {"handedness", "left_handed"} & {r.split(":")[0] for r in Gate().check(geometry(mirrored))}


def test_cis_peptides_count_where_types_are_said() -> None:
    """None of a scaffold, all of the motif; where nothing is said there is no figure."""
    b = native("1CC8_A")
    whole, part = geometry(b), geometry(scaffold(b, "G", 20, 44))
    assert whole.cis_nonpro == part.cis_nonpro == 0
    assert math.isnan(geometry(replace(b, sequence="G" * len(b))).cis_nonpro)
    with_motif = scaffold(b, "G", 30, 60)
    kind = kinds_of(with_motif.sequence)
    assert not kind[:28].any()
    assert (kind[32:58] > 0).all()


def test_limits_can_be_moved_and_are_checked() -> None:
    report = geometry(native("1CC8_A"))
    assert [r.split(":")[0] for r in Gate(rg_ratio_max=0.5).check(report)] == ["rg_ratio"]
    assert Gate(rg_ratio_max=math.inf).check(report) == ()
    with pytest.raises(ValueError, match="trans must be a number"):
        Gate(trans=math.nan)


def test_empty_backbone_fails() -> None:
    empty = Backbone.from_coords(np.zeros((0, 4, 3)))
    assert Gate().check(geometry(empty)) == ("missing: no residues",)


@pytest.mark.slow
@pytest.mark.skipif(not (LIBRARY / "manifest.csv").exists(), reason="needs the library of natives")
def test_95_percent_of_held_out_natives_pass() -> None:
    with (LIBRARY / "manifest.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:200]]
    gate = Gate()
    passed = [not gate.check(geometry(read_structure(LIBRARY / row["file"]))) for row in chosen]
    assert len(passed) == 200
    assert np.mean(passed) >= 0.95
