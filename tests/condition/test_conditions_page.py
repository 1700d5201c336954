"""The commands and code of docs/conditions.md run as they stand, with a small network and two steps."""

from __future__ import annotations

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from protgm import condition
from protgm.cli import main
from protgm.lie.point_groups import point_group
from protgm.process import ProteinProcess
from protgm.sample.asked import Asked
from protgm.sample.manifest import read_manifest
from protgm.sample.refine import refine_frames
from protgm.sample.settings import SamplerSettings
from protgm.structure import read_structure

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "conditions.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(autouse=True)
def _quick(small_denoiser, tmp_path, monkeypatch):
    monkeypatch.setattr("protgm.sample.generate.load_model", lambda _: (small_denoiser, ProteinProcess(), {}))
    monkeypatch.setattr("protgm.sample.batch.refine_frames", partial(refine_frames, steps=2))
    monkeypatch.setattr(SamplerSettings, "grid", lambda self: torch.tensor([0.0, 0.5]))
    shutil.copytree(ROOT / "data" / "examples", tmp_path / "data" / "examples")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "campaign.yaml").write_text(re.search(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[1])


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "sh"])
def test_commands(code, tmp_path, capsys):
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        assert words.pop(0) == "protgm"
        assert main(words) == 0, capsys.readouterr().err
        settings = dict(word.split("=", 1) for word in words[1:])
        if words[0] == "check":
            lines = capsys.readouterr().out.splitlines()
            assert re.search(r"chain A: \d+ residues: \d+ new, A20-A30", "".join(lines))
            assert re.search(r"chain B: \d+ residues: \d+ new, A20-A30", "".join(lines))
            continue
        if "spec" in settings:
            assert [len(read_manifest(tmp_path / "campaign" / task)) for task in ("site", "ring")] == [2, 2]
            continue
        rows = read_manifest(tmp_path / settings["out"])
        assert len(rows) == int(settings["num"])
        for row in rows:
            made = read_structure(tmp_path / settings["out"] / row["file"])
            assert len(made) >= row["length"]
            chains = {"C3": 3, "D2": 4}.get(settings.get("symmetry", ""), 2 if "target" in settings else 1)
            assert len(set(made.chain_ids)) == chains
            if settings.get("sequence") == "true":
                assert set(made.sequence) != {"G"}


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_code(code, tmp_path):
    names: dict[str, object] = {"__name__": "page"}
    exec(compile(code, "docs/conditions.md", "exec", dont_inherit=True), names)
    if "ring" in names:
        ring = names["ring"]
        assert 90 <= len(ring) <= 120
        assert set(ring.chain_ids) == {"A", "B", "C"}
    elif "bundle" in names:
        made = read_structure(tmp_path / "bundle.pdb")
        units = made.coords[:, 1].reshape(3, 40, 3)
        # Three decimals in the file: as near to the orbit, and as far from the axis, as they tell.
        turned = units[0] @ point_group("C3")[1].numpy().T
        np.testing.assert_allclose(units[1], turned, atol=2e-3)
        assert (np.linalg.norm(units[:, :14].mean(1)[:, :2], axis=-1) > 7.5).all()
    else:
        assert len(read_structure(tmp_path / "apart.pdb")) == 40


def test_the_page_shows_every_condition_and_every_setting():
    for name in set(condition.__all__) - {"Autoguidance", "Condition", "Conditions", "Draw"}:
        assert f"`{name}`" in PAGE, name
    for name in Asked.__dataclass_fields__:
        assert f"{name}=" in PAGE, name
