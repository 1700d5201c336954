"""`protgm sample`: files and manifest, going on after a stop, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from Bio.PDB import MMCIFParser, PDBParser

import protgm
from protgm.device import bfloat16_is_fast
from protgm.sample import SampleConfig, sample
from protgm.sample.manifest import MANIFEST, append, only_writer, read_manifest
from protgm.streams import Streams
from protgm.weights import save_weights


@pytest.fixture(scope="module")
def weights(small_denoiser, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, small_denoiser, {"note": "random"})
    return path


@pytest.fixture
def config(weights, tmp_path) -> SampleConfig:
    return SampleConfig(length=(20, 14), num=2, out=str(tmp_path / "out"), checkpoint=str(weights), steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_files_and_manifest_agree(config, form):
    rows = sample(replace(config, format=form))
    out = Path(config.out)
    assert [row["name"] for row in rows] == ["L14_0000", "L14_0001", "L20_0000", "L20_0001"]
    for row in rows:
        path = out / row["file"]
        parser = PDBParser(QUIET=True) if form == "pdb" else MMCIFParser(QUIET=True)
        atoms = list(parser.get_structure("x", path).get_atoms())
        assert len(atoms) == 4 * row["length"]
        assert row["geometry"]["length"] == row["length"]
        assert row["before_refinement"]["cn_ok"] <= row["geometry"]["cn_ok"]
        assert isinstance(row["gate"]["passed"], bool)
        text = path.read_text()
        for word in ("seed", "checkpoint", "settings", "version"):
            assert word in text
    assert read_manifest(out) == sorted(rows, key=lambda row: (-row["length"], row["index"]))


@pytest.mark.slow
def test_a_request_is_continued_not_repeated(config):
    first = sample(replace(config, length=(20,)))
    out = Path(config.out)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pdb")}
    rows = sample(config)
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps
    assert [row for row in rows if row["length"] == 20] == first
    assert len(read_manifest(out)) == 4


@pytest.mark.slow
def test_what_is_lost_is_made_again_the_same(config):
    sample(config)
    out = Path(config.out)
    before = {path.name: path.read_bytes() for path in out.glob("*.pdb")}
    (out / "L20_0001.pdb").unlink()
    text = (out / MANIFEST).read_text()
    (out / MANIFEST).write_text(text[: len(text) - 40])  # a torn last line
    sample(config)
    assert {path.name: path.read_bytes() for path in out.glob("*.pdb")} == before
    assert len({row["name"] for row in read_manifest(out)}) == 4


def test_other_settings_in_one_folder_are_refused(config):
    sample(config)
    with pytest.raises(ValueError, match="was made with seed=0, now seed=1; use another out= folder"):
        sample(replace(config, seed=1))


def test_what_a_stopped_run_was_writing_goes_with_it(config, monkeypatch):
    """A worker that is ended as it writes leaves its temporary file; those of other shards are theirs."""
    out = Path(config.out)

    def stopped(*_: object) -> Iterator[list[dict[str, object]]]:
        for left in (".L14_0000.pdb.17-ab.tmp", ".L99_0000.pdb.17-ab.tmp"):
            (out / left).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("protgm.sample.run.made", stopped)
    with pytest.raises(KeyboardInterrupt):
        sample(config)
    assert [path.name for path in out.glob(".*.tmp")] == [".L99_0000.pdb.17-ab.tmp"]


def test_two_writers_in_one_folder_are_refused(config):
    out = Path(config.out)
    out.mkdir()
    with only_writer(out), pytest.raises(ValueError, match=r"protgm sample \(process \d+\) is writing there"):
        sample(config)


def drawn_noise(monkeypatch) -> dict[int, list[bytes]]:
    """From now on: all that is drawn from each stream, by its seed."""
    found: dict[int, list[bytes]] = {}
    make, draw = Streams.__init__, Streams.draw

    def remembered(self, seeds, lengths):
        make(self, seeds, lengths)
        self.seeds = list(seeds)

    def noted(self, function, shape, dtype):
        out = draw(self, function, shape, dtype)
        for seed, row, length in zip(self.seeds, out, self.lengths, strict=True):
            found.setdefault(seed, []).append(row[:length].numpy().tobytes())
        return out

    monkeypatch.setattr(Streams, "__init__", remembered)
    monkeypatch.setattr(Streams, "draw", noted)
    return found


def check_same_work(one: Path, other: Path) -> None:
    """One manifest each, the same rows, coordinates within 0.01 Angstrom."""
    for out in (one, other):
        assert [path.name for path in out.glob("manifest*.jsonl")] == [MANIFEST]
    rows, others = ({row["name"]: row for row in read_manifest(out)} for out in (one, other))
    assert rows.keys() == others.keys()
    # Figures and the sum of the file follow from coordinates; the rest but the times is the same.
    differ = {"seconds", "time", "geometry", "confidence", "sha256"}
    for name, row in rows.items():
        assert {k: v for k, v in row.items() if k not in differ} == {
            k: v for k, v in others[name].items() if k not in differ
        }
        coordinates = [protgm.read_structure(out / row["file"]).coords for out in (one, other)]
        np.testing.assert_allclose(*coordinates, atol=0.01)


def test_four_shards_make_the_same_and_merge(config, tmp_path, monkeypatch):
    config = replace(config, refine=False)
    parts = replace(config, out=str(tmp_path / "parts"))
    noise = drawn_noise(monkeypatch)
    sample(config)
    whole = dict(noise)
    noise.clear()
    for part in ("3/4", "1/4", "4/4", "2/4"):
        sample(replace(parts, shard=part))
    assert len(whole) == 4
    assert noise == whole
    check_same_work(Path(config.out), Path(parts.out))
    # Nothing is left to make for a run of the whole.
    manifest = Path(parts.out) / MANIFEST
    stamp = manifest.stat().st_mtime_ns
    sample(parts)
    assert manifest.stat().st_mtime_ns == stamp


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("automatic", [False, True])
def test_four_shards_at_once_make_the_same_and_merge(config, weights, tmp_path, automatic):
    """As a job array does it: four processes, one folder, numbers from the command line or from SLURM."""
    config = replace(config, refine=False, num=6)
    sample(config)
    parts = tmp_path / "parts"
    settings = ["length=20,14", "num=6", "steps=4", "refine=false", f"checkpoint={weights}", f"out={parts}"]
    started = []
    for task in range(4):
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "4"}
        shard = "auto" if automatic else f"{task + 1}/4"
        command = [sys.executable, "-m", "protgm.cli", "sample", *settings, f"shard={shard}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(array if automatic else {})}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, told = process.communicate(timeout=1000)
        assert process.returncode == 0, told
    check_same_work(Path(config.out), parts)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_wrong_shard_is_refused(shard):
    with pytest.raises(ValueError, match="must be i/n with i from 1 to n"):
        SampleConfig(shard=shard)


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision",
    ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not bfloat16_is_fast(), reason="no such instructions"))],
)
def test_batch_size_does_not_change_the_result(config, tmp_path, precision):
    # Without the refinement, which makes more of rounding differences where atoms of a bad chain are parted.
    config = replace(config, refine=False, precision=precision)
    sample(config)
    sample(replace(config, out=str(tmp_path / "one"), batch=1))
    for path in Path(config.out).glob("*.pdb"):
        both = [protgm.read_structure(p).coords for p in (path, tmp_path / "one" / path.name)]
        np.testing.assert_allclose(both[0], both[1], atol=0.01)


@pytest.mark.parametrize("how", [{"precision": "fp32"}, {"precision": "bf16"}, {"batch": 1}, {"neighbours": 64}])
def test_how_it_is_computed_may_change_halfway(config, how):
    """What is there stays as it is; the rest is made in the other way."""
    config = replace(config, length=(14,), refine=False)
    first = sample(replace(config, num=1))
    rows = sample(replace(config, **how))
    assert [row["name"] for row in rows] == ["L14_0000", "L14_0001"]
    assert rows[:1] == first
    assert rows[0]["settings"] == rows[1]["settings"]


@pytest.mark.slow
def test_the_library_makes_what_the_command_makes(config, weights):
    sample(config)
    made = protgm.load(weights).sample(length=[20, 14], num=2, seed=0, settings=protgm.SamplerSettings(steps=4))
    assert [len(backbone) for backbone in made] == [14, 14, 20, 20]
    for backbone in made:
        from_file = protgm.read_structure(Path(config.out) / f"{backbone.name}.pdb")
        np.testing.assert_allclose(backbone.coords, from_file.coords, atol=0.01)


def test_a_manifest_that_is_none_is_refused(tmp_path):
    append(tmp_path, [{"name": "a"}])
    with open(tmp_path / MANIFEST, "a") as file:
        file.write("oops\n" + json.dumps({"name": "b"}) + "\n")
    with pytest.raises(ValueError, match="line 2 is not a JSON object"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "xyz"}, "must be one of pdb, cif"),
        ({"batch": 0}, "batch=0 must be at least 1"),
        ({"num": 0}, "num=0 must be at least 1"),
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"length": "a-b"}, "must be a number"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        SampleConfig(**values)


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.safetensors: no such checkpoint"):
        protgm.load(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"PK\x03\x04 not one")
    with pytest.raises(ValueError, match="not a safetensors checkpoint"):
        protgm.load(broken)
