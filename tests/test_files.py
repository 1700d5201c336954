"""Files are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protgm.files import atomic, read_json, sha256, write_json
from protgm.lock import Locked, locked


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_permissions_are_those_of_a_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "private") as temporary:
        temporary.touch(mode=0o600)
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(("text", "message"), [("[1]", "expected a JSON object"), ("{", "not a JSON file")])
def test_other_json_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json")


def test_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_a_lock_excludes_and_is_gone_with_its_process(tmp_path):
    with locked(tmp_path, "one"), pytest.raises(Locked, match=rf"one \(process {os.getpid()}\) is writing there"):
        locked(tmp_path, "two").__enter__()
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom protgm.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'other'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Locked, match="other"):
        locked(Path(tmp_path), "me").__enter__()
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with locked(tmp_path, "me"):
                return
        except Locked:
            time.sleep(0.05)
    pytest.fail("the lock outlived its process")
