"""What was asked is known to an evaluation: motifs, junctions, targets, hotspots and symmetry, from the manifest."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.cli import main
from protgm.condition import Motif, Partial, Symmetry, Target
from protgm.data.folder import read_folder
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.evaluate.known import given_from, known_in
from protgm.metrics import Gate, Subject, measure, registered
from protgm.sample import SamplerSettings, load
from protgm.sample.manifest import read_manifest
from protgm.structure import Backbone, read_structure

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small samples of the bundled weights: a folder for each kind of request."""
    folder = tmp_path_factory.mktemp("asked")
    spec = {
        "defaults": {"num": 1, "steps": 3, "secondary": None, "refine": False},
        "tasks": {
            "site": {"motif": f"{EXAMPLES}/1CSP_A.pdb.gz", "contig": "6,A20-30,8,A46-53,5", "num": 2,
                     "refine": True},
            "ring": {"symmetry": "C3", "length": 24},
            "cage": {"symmetry": "C2", "motif": f"{EXAMPLES}/1CSP_A.pdb.gz", "contig": "6,A20-27,8"},
            "binder": {
                "target": f"{EXAMPLES}/3wbm.bcif.gz", "chains": "A", "hotspots": "A20,A24", "crop": 40, "length": 30,
            },
            "two": {
                "motif": f"{EXAMPLES}/1CSP_A.pdb.gz,{EXAMPLES}/3wbm.bcif.gz", "contig": "4,A20-25,6,2:C30-35@2,4",
            },
            "varied": {"start": f"{EXAMPLES}/1SHG_A.pdb.gz", "start_time": 0.8, "fixed": "A10-20"},
        },
    }  # fmt: skip
    path = folder / "campaign.json"
    path.write_text(json.dumps(spec))
    assert main(["sample", f"spec={path}", f"out={folder}", "progress=false", "workers=1"]) == 0
    return folder


def figures(folder: Path) -> dict:
    (row, *_) = evaluate(folder, workers=1, progress=False, config=EvaluateConfig(similarity=False)).samples
    return row


def test_a_motif_is_where_its_source_has_it(asked: Path) -> None:
    for row in evaluate(asked / "site", workers=1, progress=False, config=EvaluateConfig(similarity=False)).samples:
        assert row["length"] == 38
        assert 0 < row["motif_rmsd"] < 0.003
        assert 0 <= row["junction_ok"] <= 1
        assert row["junction_cn"] < 0.4
        assert row["junction_angle"] < 40
        assert "target_contacts" not in row
        assert "off_orbit" not in row


@pytest.mark.filterwarnings("ignore:length")
@pytest.mark.parametrize("task", ["site", "ring", "binder", "varied", "plain"])
def test_backbones_in_memory_are_judged_as_their_files(asked: Path, tmp_path: Path, task: str) -> None:
    """What comes of `sample` knows what was given of it."""
    own = EXAMPLES / "1CSP_A.pdb.gz"
    conditions, length = {
        "site": (Motif(own, "6,A20-30,8,A46-53,5"), None),
        "ring": (Symmetry("C3"), 24),
        "binder": (Target(EXAMPLES / "3wbm.bcif.gz", chains=("A",), hotspots=("A20", "A24"), crop=40), 30),
        "varied": (Partial(EXAMPLES / "1SHG_A.pdb.gz", 0.8, "A10-20"), None),
        "plain": (None, 30),
    }[task]
    found = load().sample(length, conditions=conditions, settings=SamplerSettings(steps=3), secondary=None)
    (row,) = evaluate(found, workers=1, progress=False, config=EvaluateConfig(similarity=False)).samples
    if task == "plain":
        assert "motif_rmsd" not in row
        return
    spec = json.loads((asked / "campaign.json").read_text())["tasks"][task] | {"num": "1"}
    out = [f"{key}={value}" for key, value in spec.items() if key != "refine"]
    assert main(["sample", *out, "steps=3", "secondary=null", f"out={tmp_path}", "progress=false", "workers=1"]) == 0
    (filed,) = evaluate(tmp_path, workers=1, progress=False, config=EvaluateConfig(similarity=False)).samples
    kinds = {"motif_rmsd", "junction_ok", "hotspots_touched", "target_contacts", "target_clashes", "unit_contacts"}
    assert kinds & row.keys() == kinds & filed.keys() != set()
    for key in kinds & row.keys():
        # Three decimals in a file may turn a contact.
        assert row[key] == pytest.approx(filed[key], abs=5e-3 if isinstance(row[key], float) else 1)
    assert row["length"] == filed["length"]
    assert row["helix"] == pytest.approx(filed["helix"], abs=0.1)
    # A part of it is judged as what it is.
    part = found[0].select(np.arange(len(found[0]) // 2))
    assert evaluate(part, progress=False, config=EvaluateConfig(similarity=False)).samples[0]["length"] <= len(part)


def test_figures_of_the_manifest_are_those_of_the_evaluation(asked: Path) -> None:
    """What a sample's layout says of it and what its manifest says are the same."""
    units = {one.name: one.unit for one in registered()}
    for task in ("site", "ring", "cage", "binder", "two", "varied"):
        rows = {row["file"]: row for row in read_manifest(asked / task)}
        for found in evaluate(asked / task, workers=1, progress=False, config=EvaluateConfig(similarity=False)).samples:
            noted = rows[found["file"]]["geometry"]
            assert rows[found["file"]]["gate"]["passed"] == found["passed"]
            for key in {*noted} - {"confidence"}:
                if noted[key] is None:
                    assert found[key] is None
                else:
                    # The file has three decimals, which turn angles and may bring a residue over a threshold or into
                    # the next cell of the table of densities, where its log ratio is another.
                    off = {"degrees": 0.5, "A": 6e-3, "": 0.3}.get(units[key], 2 / found["length"])
                    assert found[key] == pytest.approx(noted[key], rel=5e-3, abs=off), (task, key)


def test_bodies_are_compared_each_on_its_own(asked: Path) -> None:
    row = figures(asked / "two")
    assert 0 < row["motif_rmsd"] < 0.003
    (noted,) = read_manifest(asked / "two")
    assert set(noted["given"]["motif"].values()) >= {"A20", "2:C30"}
    assert set(noted["bodies"].values()) == {1}
    # As one body the two do not fit.
    (backbone,), _ = read_folder(asked / "two")
    (given,), _ = known_in(asked / "two", [backbone])
    assert given is not None
    one = replace(given, bodies=np.zeros_like(given.bodies))
    assert measure(Subject(backbone, one)).motif_rmsd > 1


def test_an_assembly_lies_on_its_orbit(asked: Path) -> None:
    row = figures(asked / "ring")
    assert row["off_orbit"] < 0.004
    assert row["unit_contacts"] >= 0
    assert row["chains"] == 3
    assert "motif_rmsd" not in row
    assert "junction_cn" not in row
    cage = figures(asked / "cage")
    assert cage["off_orbit"] < 0.004
    assert 0 < cage["motif_rmsd"] < 0.003


def test_a_binder_is_judged_without_its_target(asked: Path) -> None:
    row = figures(asked / "binder")
    assert row["length"] == 30
    assert row["chains"] == 2
    assert 0 <= row["hotspots_touched"] <= 2
    assert row["target_contacts"] >= 0
    (noted,) = read_manifest(asked / "binder")
    # All of the target is named, also what the network was not shown.
    (backbone,), _ = read_folder(asked / "binder")
    assert len(noted["given"]["target"]) == len(backbone) - 30 > 40
    assert noted["hotspots"] == ["A20", "A24"]
    assert noted["keep"]["chains"] == ["A"]


def test_a_varied_structure_is_judged_where_it_was_varied(asked: Path) -> None:
    row = figures(asked / "varied")
    assert row["motif_rmsd"] < 0.003
    (backbone,), _ = read_folder(asked / "varied")
    (given,), _ = known_in(asked / "varied", [backbone])
    assert given is not None
    assert given.made.sum() == len(backbone) - 11


def damaged(backbone: Backbone, residue: int, degrees: float = 180.0) -> Backbone:
    """What comes behind C of a residue turned about its C-N bond: a cis peptide."""
    from scipy.spatial.transform import Rotation

    x = backbone.coords.astype(float)
    start, end = x[residue, 2].copy(), x[residue + 1, 0].copy()
    turn = Rotation.from_rotvec(np.radians(degrees) * (end - start) / np.linalg.norm(end - start))
    x[residue + 1 :] = turn.apply((x[residue + 1 :] - end).reshape(-1, 3)).reshape(-1, 4, 3) + end
    return replace(backbone, coords=x.astype(np.float32))


def test_defects_of_what_was_given_are_not_held_against_the_rest(asked: Path) -> None:
    backbones, _ = read_folder(asked / "site")
    given, _ = known_in(asked / "site", backbones)
    backbone, known = backbones[0], given[0]
    assert known is not None
    rows = np.flatnonzero(~known.made)
    before = measure(Subject(backbone, known))
    inside = measure(Subject(damaged(backbone, int(rows[4])), known))
    for name in ("cis", "trans", "twisted", "cn_worst", "angle_worst", "bond_mad", "o_worst"):
        assert inside[name] == pytest.approx(before[name], abs=1e-3), name
    # The same at a junction, or in what was generated, is.
    at_junction = measure(Subject(damaged(backbone, int(rows[0]) - 1), known))
    assert at_junction.cis > before.cis
    assert "cis" in {r.split(":")[0] for r in Gate(cis=before.cis).check(at_junction)}
    assert measure(Subject(damaged(backbone, 2), known)).cis > before.cis
    # And all of it, where nothing is known to be given.
    assert measure(damaged(backbone, int(rows[4]))).cis > measure(backbone).cis


def test_a_motif_that_moved_fails(asked: Path) -> None:
    backbones, _ = read_folder(asked / "site")
    given, _ = known_in(asked / "site", backbones)
    assert given[0] is not None
    coords = backbones[0].coords.copy()
    coords[np.flatnonzero(~given[0].made)[0]] += 1.0
    found = measure(Subject(replace(backbones[0], coords=coords), given[0]))
    assert found.motif_rmsd > 0.05
    assert any(reason.startswith("motif_rmsd: ") for reason in Gate().check(found))


def test_a_source_that_is_gone_or_another_is_said(
    asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(asked / "site", tmp_path / "moved" / "site")
    row = figures(tmp_path / "moved" / "site")
    assert row["motif_rmsd"] is None
    assert row["junction_cn"] is not None
    assert "1CSP_A.pdb.gz: is not there as it was" in capsys.readouterr().err
    # Beside the samples it is found again, unless it is another structure of that name.
    shutil.copy(EXAMPLES / "1CSP_A.pdb.gz", tmp_path / "moved")
    assert figures(tmp_path / "moved" / "site")["motif_rmsd"] < 0.003
    shutil.copy(EXAMPLES / "1SHG_A.pdb.gz", tmp_path / "moved" / "1CSP_A.pdb.gz")
    assert figures(tmp_path / "moved" / "site")["motif_rmsd"] is None


def test_a_structure_that_is_not_the_manifest_s_is_refused(asked: Path) -> None:
    (row, *_) = read_manifest(asked / "site")
    with pytest.raises(ValueError, match="has no residue A7, which its manifest says was given; move one of the two"):
        given_from(read_structure(EXAMPLES / "1CSP_A.pdb.gz").select(slice(0, 3)), row)


def test_the_report_tells_parts_apart(asked: Path, tmp_path: Path) -> None:
    evaluate(
        asked,
        out=tmp_path,
        workers=1,
        progress=False,
        config=EvaluateConfig(recursive=True, similarity=False, figures=False),
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('type="application/json" id="data">')[1].split("</script>")[0])
    parts = {row["name"].split("/")[0]: one["parts"] for row, one in zip(data["rows"], data["structures"], strict=True)}
    assert parts["site"] == "n" * 6 + "m" * 11 + "n" * 8 + "m" * 8 + "n" * 5
    assert set(parts["binder"]) == {"n", "t"}
    assert set(parts["varied"]) == {"s", "f"}
    assert parts["ring"] == "n" * 72
    assert {"motif_rmsd", "junction_ok", "hotspots_touched", "off_orbit"} <= set(data["columns"])
    assert "motif RMSD (A)" in [tile["label"] for tile in data["tiles"]]
