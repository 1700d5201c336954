"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protgm.files import (
    Unwritable,
    append_lines,
    atomic,
    read_json,
    read_lines,
    remove_temporary,
    sha256,
    write_json,
)
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


def test_lines_are_appended_and_a_torn_one_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_lines(path) == []
    append_lines(path, [{"n": 1}, {"n": 2}])
    whole = path.read_bytes()
    for torn in (b'{"n"', b'{"n": 3}', b"x" * 200_000, b"\xff"):
        path.write_bytes(whole + torn)
        assert read_lines(path) == [{"n": 1}, {"n": 2}]
        append_lines(path, [{"n": 3}])
        assert read_lines(path) == [{"n": 1}, {"n": 2}, {"n": 3}]
    path.write_bytes(b"torn from the start")
    append_lines(path, [{"n": 4}])
    assert read_lines(path) == [{"n": 4}]


@pytest.mark.parametrize("line", [b"[1]", b"{", b"\xff\xfe", b""])
def test_another_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 2}\n')
    with pytest.raises(ValueError, match="line 2 is not a JSON object; delete that line to go on"):
        read_lines(path)


def test_a_full_disk_names_the_file_and_keeps_what_was_there(tmp_path, monkeypatch):
    path, rows = tmp_path / "a.json", tmp_path / "rows.jsonl"
    write_json(path, {"n": 1})
    append_lines(rows, [{"n": 1}])

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    told = r"cannot be written \(No space left on device\); what was there before is unchanged"
    with pytest.raises(Unwritable, match=rf"a\.json: {told}"):
        write_json(path, {"n": 2})
    with pytest.raises(Unwritable, match=rf"rows\.jsonl: {told}"):
        append_lines(rows, [{"n": 2}])
    monkeypatch.undo()
    assert read_json(path) == {"n": 1}
    assert read_lines(rows) == [{"n": 1}]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "rows.jsonl"]


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write_json(tmp_path / "nowhere" / "a.json", {})
    with pytest.raises(Unwritable, match="nowhere"):
        append_lines(tmp_path / "nowhere" / "rows.jsonl", [])


def writes_are_refused(folder: Path) -> None:
    with pytest.raises(Unwritable, match=r"a\.json: cannot be written \(Permission denied\)"):
        write_json(folder / "a.json", {})
    with pytest.raises(ValueError, match="cannot be written to; name another folder"), locked(folder, "test"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="permissions of POSIX systems")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child only writes files
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.geteuid() != 0:
            writes_are_refused(tmp_path)
            return
        # Nothing is forbidden to root: a child becomes somebody else, who must not write to root's folder.
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.chdir(tmp_path)  # while it may; the folders above may be closed to others
                tmp_path.chmod(0o555)
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                writes_are_refused(Path())
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        tmp_path.chmod(0o700)


def test_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / ".a.json.1-2.tmp").touch()
    (tmp_path / ".step-1.tmp").mkdir()
    (tmp_path / ".step-1.tmp" / "half").touch()
    (tmp_path / ".other.json.1-2.tmp").touch()
    (tmp_path / "kept.tmp").touch()
    remove_temporary(tmp_path, keep=lambda name: name.startswith("other"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.json.1-2.tmp", "kept.tmp"]
