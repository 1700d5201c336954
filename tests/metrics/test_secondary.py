"""Secondary structure against mkdssp, against a plain re-derivation of bridges, and from CA alone."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pytest

from protgm.metrics.secondary import assign_backbone, assign_ca, assign_frames, bridges, secondary, segments
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"
LIBRARY = Path(__file__).parents[3] / "shared" / "pdb"
STATE = {"H": "H", "G": "H", "I": "H", "E": "E", "B": "E"}


def native(name: str) -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


def mkdssp(b: Backbone, folder: Path) -> dict[tuple[str, str], str]:
    """(chain, number) -> three-state letter, as Debian's mkdssp says."""
    source, out = folder / "in.pdb", folder / "out.dssp"
    replace(b, metadata={}).to_pdb(source)
    text = source.read_text()
    cell = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
    source.write_text(text.replace("ATOM  ", cell + "ATOM  ", 1))
    subprocess.run(["mkdssp", "--output-format", "dssp", source, out], check=True, capture_output=True)
    lines = out.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  #  RESIDUE"))
    return {(x[11], x[5:11].strip()): STATE.get(x[16], "C") for x in lines[first + 1 :] if x[13] != "!"}


@pytest.mark.skipif(shutil.which("mkdssp") is None, reason="needs mkdssp (Debian package dssp)")
@pytest.mark.skipif(not (LIBRARY / "manifest.csv").exists(), reason="needs the library of natives")
def test_agrees_with_mkdssp_on_natives(tmp_path: Path) -> None:
    with (LIBRARY / "manifest.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen = [rows[k]["file"] for k in np.random.default_rng(0).permutation(len(rows))[:50]]
    mine, theirs = "", ""
    # mkdssp spends its time on starting: 25 natives a file, as chains far apart.
    for part in (chosen[:25], chosen[25:]):
        natives = [read_structure(LIBRARY / file) for file in part]
        for k, b in enumerate(natives):
            mine += assign_backbone(b)
            centred = b.coords - np.nanmean(b.coords, axis=(0, 1)) + [300.0 * k, 0, 0]
            natives[k] = Backbone.from_coords(centred, sequence=b.sequence)
        numbers = np.concatenate([np.arange(len(b)) + 1 for b in natives])
        chains = tuple(chain for b, chain in zip(natives, ascii_uppercase, strict=False) for _ in range(len(b)))
        joined = replace(
            Backbone.from_coords(np.concatenate([b.coords for b in natives])),
            sequence="".join(b.sequence for b in natives),
            chain_ids=chains,
            residue_numbers=numbers,
        )
        found = mkdssp(joined, tmp_path)
        theirs += "".join(found.get(key, " ") for key in zip(chains, map(str, numbers), strict=True))
    known = [pair for pair in zip(mine, theirs, strict=True) if pair[1] != " "]
    assert len(known) > 5000
    assert np.mean([a == b for a, b in known]) >= 0.95


def plain_bridges(b: Backbone) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Kabsch & Sander's definitions in loops; energies in kcal/mol with their charges."""
    x = b.coords.astype(float)
    n, ca, c, o = (x[:, k] for k in range(4))
    length = len(b)

    def bond(i: int, j: int) -> bool:
        """CO of i to NH of j."""
        if not (0 <= i < length and 0 < j < length) or j in (i, i + 1, i + 2):
            return False
        u, v = n[j] - c[j - 1], n[j] - ca[j]
        h = u / np.linalg.norm(u) + v / np.linalg.norm(v)
        h = n[j] + 1.01 * h / np.linalg.norm(h)

        def gap(p: np.ndarray, q: np.ndarray) -> float:
            return 1 / np.linalg.norm(p - q)

        return 332 * 0.084 * (gap(o[i], n[j]) + gap(c[i], h) - gap(o[i], h) - gap(c[i], n[j])) < -0.5

    parallel, anti = set(), set()
    for i in range(1, length - 1):
        for j in range(i + 3, length - 1):
            if (bond(i - 1, j) and bond(j, i + 1)) or (bond(j - 1, i) and bond(i, j + 1)):
                parallel.add((i, j))
            if (bond(i, j) and bond(j, i)) or (bond(i - 1, j + 1) and bond(j - 1, i + 1)):
                anti.add((i, j))
    return parallel, anti


@pytest.mark.parametrize("name", ["1EJG_A", "1CC8_A", "1NB0_A"])
def test_bridges_are_those_of_the_definition(name: str) -> None:
    b = native(name)
    expected = plain_bridges(b)
    assert expected[1]
    for found, wanted in zip(bridges(b), expected, strict=True):
        assert {(int(i), int(j)) for i, j in found} == wanted


def test_summary_of_a_ferredoxin_like_fold() -> None:
    """1CC8: two helices on an antiparallel sheet."""
    report = secondary(native("1CC8_A"))
    assert report.parallel == 0
    assert report.antiparallel > 10
    assert report.helices == 2
    assert report.helix == pytest.approx(report.states.count("H") / 72)


def test_segments_end_at_breaks() -> None:
    assert segments("HHHCEE") == [("H", 0, 3), ("C", 3, 4), ("E", 4, 6)]
    assert segments("HHHH", [False, True, False, True]) == [("H", 0, 2), ("H", 2, 4)]
    assert segments("") == []


def test_a_chain_does_not_continue_in_the_next() -> None:
    """A helix cut into two chains loses the residues whose hydrogen bond spanned nothing else."""
    b = native("1NB0_A")
    states = assign_backbone(b)
    start = states.index("H" * 10)
    helix = b.select(slice(start, start + 10))
    halves = replace(helix, chain_ids=("A",) * 5 + ("B",) * 5)
    assert assign_backbone(helix).count("H") >= 6
    assert assign_backbone(halves).count("H") == 0


@pytest.mark.parametrize("name", ["1EJG_A", "1CC8_A", "1NB0_A"])
def test_ca_only_agrees_on_four_residues_of_five(name: str) -> None:
    b = native(name)
    states = assign_backbone(b)
    bare = np.full_like(b.coords, np.nan)
    bare[:, 1] = b.coords[:, 1]
    ca_only = replace(b, coords=bare)
    assert np.mean([a == c for a, c in zip(states, assign_backbone(ca_only), strict=True)]) >= 0.8
    assert secondary(ca_only).parallel is None


def test_ca_of_missing_atoms_and_short_chains() -> None:
    assert assign_ca(np.zeros((3, 3))) == "CCC"
    x = native("1NB0_A").coords[:, 1].copy()
    x[40] = np.nan
    assert len(assign_ca(x)) == 147


def test_trajectory_is_assigned_frame_by_frame() -> None:
    b = native("1CC8_A")
    straight = b.coords * 0 + np.arange(72)[:, None, None] * 3.8
    states = assign_frames(np.stack((straight, b.coords)))
    assert states[0] == "C" * 72
    assert states[1] == assign_backbone(b)


def test_nothing_at_all() -> None:
    report = secondary(Backbone.from_coords(np.zeros((0, 4, 3))))
    assert report.states == ""
    assert report.helices == 0
