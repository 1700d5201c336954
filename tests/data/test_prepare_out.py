"""The folder that `protgm prepare` writes: made anew, left as it is, refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protgm.data import Dataset, Filters, prepare
from protgm.data import build as build_module
from protgm.lock import locked

ROOT = Path(__file__).parents[2]


def quiet(source: Path, out: Path, **settings):
    return prepare(source, out, workers=settings.pop("workers", 1), progress=False, **settings)


def contents(out: Path) -> dict[str, bytes]:
    """Everything that is left when a prepare is done, the lock's note apart."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def test_a_finished_dataset_is_left_as_it_is(few, tmp_path, monkeypatch):
    out = tmp_path / "out"
    quiet(few, out)
    before = contents(out)
    monkeypatch.setattr(build_module, "_extract", None)  # must not be called
    summary = quiet(few, out)
    assert summary.unchanged
    assert (summary.entries, summary.read) == (3, 0)
    assert "left as it is" in str(summary)
    assert contents(out) == before


def test_other_files_or_settings_make_a_new_dataset(few, tmp_path):
    out = tmp_path / "out"
    quiet(few, out)
    assert not quiet(few, out, filters=Filters(max_length=100)).unchanged
    assert len(Dataset.open(out)) == 2
    (few / "1CSP_A.pdb.gz").unlink()
    assert quiet(few, out, filters=Filters(max_length=100)).entries == 1
    assert len(list(out.glob("structures-*.arrow"))) == 1


def test_who_reads_the_old_dataset_goes_on_reading_it(few, tmp_path):
    out = tmp_path / "out"
    quiet(few, out)
    old = Dataset.open(out)
    quiet(few, out, filters=Filters(max_length=100))
    assert [len(example) for example in old] == [67, 85, 108]


def test_a_second_writer_refuses(few, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from protgm.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'protgm prepare'): print('held', flush=True); sys.stdin.read()"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match=rf"protgm prepare \(process {other.pid}\) is writing there"):
            quiet(few, out)
        other.kill()
    assert quiet(few, out).entries == 3  # the lock went with its holder


def test_a_lock_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "new" / "folder", "test"):
            pass


def test_out_that_cannot_be_written_to(few, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="is a file; a folder is wanted"):
        quiet(few, file)


def test_disk_full_is_one_line_and_leaves_the_old_dataset(few, tmp_path, monkeypatch):
    out = tmp_path / "out"
    quiet(few, out)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "_write_structures", full)
    with pytest.raises(
        OSError, match=r"cannot be written \(No space left on device\); what was there before is unchanged"
    ):
        quiet(few, out, filters=Filters(max_length=100))
    assert len(Dataset.open(out)) == 3
    monkeypatch.undo()
    assert quiet(few, out, filters=Filters(max_length=100)).entries == 2
