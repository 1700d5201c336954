"""Many requests in one file, and what a walk writes down step by step."""

from __future__ import annotations

import json

import numpy as np
import pytest

from protgm.cli import main
from protgm.evaluate.trajectories import read_frames
from protgm.sample.manifest import read_manifest
from protgm.structure import read_structure
from protgm.weights import save_weights


@pytest.fixture
def words(small_denoiser, tmp_path):
    """Quick settings of ``protgm sample``; a campaign of two tasks that can be made and two that cannot."""
    save_weights(tmp_path / "small.safetensors", small_denoiser, {})
    path = tmp_path / "campaign.yaml"
    path.write_text(
        "defaults: {num: 2, secondary: null, refine: false}\n"
        "tasks:\n"
        "  ring: {symmetry: C3, length: 8}\n"
        "  nowhere: {start: none.pdb}\n"
        "  wrong: {symmetry: C13}\n"
        "  chain: {length: 9}\n"
    )
    return [f"checkpoint={tmp_path / 'small.safetensors'}", "steps=2", "progress=false", f"spec={path}"]


def test_a_campaign_goes_on_with_its_other_tasks_and_where_it_was(words, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sample", *words, f"out={out}"]) == 1
    told = capsys.readouterr().err
    assert [line for line in told.splitlines() if line.startswith(("nowhere: ", "wrong: symmetry=C13: must be C2 to"))]
    assert "2 of 4 tasks failed" in told
    assert {path.name for path in out.iterdir()} == {"ring", "chain"}
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/*.pdb")}
    assert len(made) == 4
    lost = next(iter(made))
    before = lost.read_bytes()
    lost.unlink()
    assert main(["sample", *words, f"out={out}"]) == 1
    assert lost.read_bytes() == before
    assert all(path.stat().st_mtime_ns == when for path, when in made.items() if path != lost)


def test_shards_of_a_campaign_make_the_same(words, tmp_path):
    for shard in ("1/2", "2/2"):
        assert main(["sample", *words, f"out={tmp_path / 'parts'}", f"shard={shard}", "batch=1"]) == 1
    assert main(["sample", *words, f"out={tmp_path / 'whole'}", "batch=1"]) == 1
    for task in ("ring", "chain"):
        rows, parts = (read_manifest(tmp_path / name / task) for name in ("whole", "parts"))
        assert [row["sha256"] for row in rows] == [row["sha256"] for row in parts]


def test_check_tells_of_every_task(words, tmp_path, capsys):
    assert main(["check", *words[3:], f"out={tmp_path / 'out'}"]) == 1
    told = capsys.readouterr().out
    assert "  chain C: 8 residues: 8 new" in told
    assert "none.pdb" in told
    assert "wrong: symmetry=C13: must be" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "asked", [{"length": 9}, {"symmetry": "C2", "length": 12}, {"target": "EX/1CSP_A.pdb.gz", "length": 8}]
)
def test_what_the_network_saw_and_predicted_is_written_step_by_step(words, asked, examples, tmp_path):
    spec, out = tmp_path / "one.json", tmp_path / "out"
    asked = {key: str(value).replace("EX", str(examples)) for key, value in asked.items()}
    spec.write_text(json.dumps({"defaults": {"num": 1, "refine": False}, "tasks": {"x": asked}}))
    assert main(["sample", *words[:3], f"spec={spec}", f"out={out}", "trajectory=true"]) == 0
    (row,) = read_manifest(out / "x")
    made = read_structure(out / "x" / row["file"])
    seen, predicted = (
        read_frames(out / "x" / "trajectories" / f"{row['name']}{end}") for end in (".pdb.gz", ".predicted.pdb.gz")
    )
    # Two evaluations, and what came out; without refinement that is what was predicted last.
    assert len(seen) == len(predicted) == 3
    np.testing.assert_allclose(predicted[1], made.coords, atol=2e-3)
    for path in (seen, predicted):
        np.testing.assert_allclose(path[2], made.coords, atol=2e-3)
    new = [i for i, chain in enumerate(made.chain_ids) if "target" not in asked or chain != "A"]
    assert np.abs(seen[0][new] - seen[1][new]).max() > 1
    if "target" in asked:
        given = [i for i in range(len(made)) if i not in new]
        np.testing.assert_allclose(seen[0][given], made.coords[given], atol=2e-3)
