"""Fetching from a server that answers, fails, stalls, truncates and lies."""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest

from protgm.cli import main
from protgm.data import prepare
from protgm.data.download import Downloader, Failed
from protgm.data.fetch import FAILED, FETCHED, fetch, read_ids
from protgm.files import read_lines
from protgm.lock import locked

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


FAST = {"timeout": 0.4, "backoff": 0.01}


def files(out: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".bcif.gz"): path.read_bytes() for path in out.rglob("*.gz")}


def test_everything_comes_and_nothing_twice(server, ids, tmp_path):
    out = tmp_path / "out"
    done = fetch(ids, out, base=server.base + "/", **FAST)
    assert (done.wanted, done.new, done.there, done.failed) == (12, 12, 0, 0)
    assert {f"{name}.bcif.gz": data for name, data in files(out).items()} == server.bodies
    assert (out / "xy" / "1xyz.bcif.gz").is_file()
    assert (out / "ab" / "pdb_00001abc.bcif.gz").is_file()
    for row in read_lines(out / FETCHED):
        data = (out / row["file"]).read_bytes()
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert row["url"] == f"{server.base}/{Path(row['file']).name}"
    again = fetch(ids, out, base=server.base, **FAST)
    assert (again.new, again.there) == (0, 12)
    assert set(server.asked.values()) == {1}


def test_faults_are_overcome(server, ids, tmp_path):
    faults = ["500", "503", "429", "hangup", "short", "half", "flip", "page", "stall"]
    for name, fault in zip(server.bodies, faults, strict=False):
        server.faults[name] = [fault, fault]
    out = tmp_path / "out"
    done = fetch(ids, out, base=server.base, retries=2, **FAST)
    assert done.failed == 0
    assert {f"{name}.bcif.gz": data for name, data in files(out).items()} == server.bodies
    assert Counter(server.asked.values()) == {3: len(faults), 1: 12 - len(faults)}
    assert not list(out.rglob("*.tmp"))


def test_what_does_not_come_is_named_and_fetched_the_next_time(server, ids, tmp_path, capsys):
    out = tmp_path / "out"
    names = list(server.bodies)
    server.faults = {names[0]: ["500"] * 9, names[1]: ["stall"] * 9, names[2]: ["short"] * 9, names[3]: ["403"]}
    gone = server.bodies.pop(names[4])
    arguments = [f"ids={ids}", f"out={out}", f"base={server.base}", "retries=1", "timeout=1.5", "backoff=0.01"]
    assert main(["fetch", *arguments, "progress=false"]) == 1
    assert "12 entries: 7 fetched" in capsys.readouterr().out
    with open(out / FAILED, newline="") as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert list(reasons.values()) == [
        "the server answered 500",
        "the server stalled",
        reasons[names[2].split(".")[0]],
        "the server answered 403",
        "the server has no such entry",
    ]
    assert reasons[names[2].split(".")[0]].startswith("ended after ")
    assert [server.asked[name] for name in names[:5]] == [2, 2, 2, 1, 1]
    assert set(files(out)) == {name.split(".")[0] for name in names[5:]}
    server.faults, server.bodies[names[4]] = {}, gone
    done = fetch(ids, out, base=server.base, **FAST)
    assert (done.new, done.there, done.failed) == (5, 7, 0)
    assert not (out / FAILED).exists()


def test_files_that_changed_are_fetched_again(server, ids, tmp_path):
    out = tmp_path / "out"
    fetch(ids, out, base=server.base, **FAST)
    shorter, other, gone = sorted(out.rglob("*.gz"))[:3]
    shorter.write_bytes(b"x")
    other.write_bytes(other.read_bytes()[::-1])
    gone.unlink()
    assert fetch(ids, out, base=server.base, **FAST).new == 2
    assert fetch(ids, out, base=server.base, verify=True, **FAST).new == 1
    assert {f"{name}.bcif.gz": data for name, data in files(out).items()} == server.bodies


def test_a_killed_fetch_goes_on(server, ids, tmp_path):
    out = tmp_path / "out"
    fetch(ids, out, base=server.base, **FAST)
    manifest = (out / FETCHED).read_bytes()
    # What a kill leaves: a torn line, a file without a line, half a file under a temporary name.
    (out / FETCHED).write_bytes(manifest[: manifest.rindex(b'"bytes"')])
    (out / "xy" / ".9xyz.bcif.gz.1-2.tmp").write_bytes(b"half")
    assert fetch(ids, out, base=server.base, **FAST).new == 1
    assert len(read_lines(out / FETCHED)) == 12
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("connections", [1, 3])
def test_connections_are_bounded(server, ids, tmp_path, connections):
    server.faults = {name: ["slow"] for name in server.bodies}
    assert fetch(ids, tmp_path / "out", base=server.base, connections=connections, timeout=5).new == 12
    assert server.most == connections


def test_bombs_and_floods_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("protgm.data.download.MAX_BYTES", 100_000)
    server.bodies = {"bomb": gzip.compress(bytes(10**6)), "flood": os.urandom(200_000)}
    server.bodies["flood"] = gzip.compress(server.bodies["flood"])
    for name, reason in (("bomb", "unpacks to more than 100,000"), ("flood", "more than 100,000 bytes")):
        with pytest.raises(Failed, match=reason):
            Downloader(**FAST)(f"{server.base}/{name}", tmp_path / name)
        assert server.asked[name] == 1
        assert not (tmp_path / name).exists()


def test_several_gzip_members_are_one_file(server, tmp_path):
    server.bodies = {"two": gzip.compress(b"a" * 99) + gzip.compress(b"b" * 99)}
    Downloader(**FAST)(f"{server.base}/two", tmp_path / "two.gz")
    assert gzip.decompress((tmp_path / "two.gz").read_bytes()) == b"a" * 99 + b"b" * 99


def test_nobody_there(tmp_path, ids, server):
    server.server_close()
    done = fetch(ids, tmp_path / "out", base=server.base, retries=0, **FAST)
    assert done.failed == 12
    assert "onnection refused" in (tmp_path / "out" / FAILED).read_text()


def test_a_full_disk_is_one_line_and_ends_all(server, ids, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    calls = itertools.count()
    real = os.fsync

    def full(handle: int) -> None:
        if next(calls) > 6:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["fetch", f"ids={ids}", f"out={out}", f"base={server.base}", "progress=false", "connections=1"]) == 1
    line = capsys.readouterr().err
    assert "cannot be written (No space left on device); what was there before is unchanged" in line
    assert line.count("\n") == 1
    monkeypatch.setattr(os, "fsync", real)
    assert not list(out.rglob("*.tmp"))
    assert fetch(ids, out, base=server.base, **FAST).failed == 0
    assert {f"{name}.bcif.gz": data for name, data in files(out).items()} == server.bodies


def test_two_in_one_folder_are_refused(server, ids, tmp_path):
    out = tmp_path / "out"
    with locked(out, "protgm fetch"), pytest.raises(ValueError, match=r"protgm fetch \(process \d+\) is writing there"):
        fetch(ids, out, base=server.base)


def test_what_was_fetched_can_be_prepared(server, tmp_path):
    pytest.importorskip("gemmi")
    paths = sorted(EXAMPLES.glob("*.pdb.gz"))[:3]
    import gemmi

    codes = [f"{i}abc" for i in range(1, len(paths) + 1)]
    for code, path in zip(codes, paths, strict=True):
        text = gemmi.read_structure(str(path)).make_mmcif_document().as_string()
        server.bodies[f"{code}.cif.gz"] = gzip.compress(text.encode())
    (tmp_path / "ids").write_text(" ".join(codes))
    fetch(tmp_path / "ids", tmp_path / "files", format="cif", base=server.base, **FAST)
    summary = prepare(tmp_path / "files", tmp_path / "dataset", workers=1, progress=False)
    assert (summary.files, summary.entries) == (3, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no entry"),
        ("# 1abc\n", "names no entry"),
        ("1abc\n../x", r"line 2: \.\./x is no PDB code"),
        ("1abc 2abcd", "line 1: 2abcd is no PDB code"),
        ("1abc\x1b[2J", r"line 1: 1abc\\x1b\[2J is no PDB code"),
        (b"\xff\xfe1", "not a text file"),
        (None, "cannot be read: No such file"),
    ],
)
def test_lists_are_checked(tmp_path, text, message):
    path = tmp_path / "ids.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_ids(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "pdb"}, "format='pdb': must be one of bcif, cif"),
        ({"base": "file:///etc"}, "must start with https:// or http://"),
        ({"connections": 0}, "connections=0 must be at least 1"),
        ({"retries": -1}, "retries=-1 must be at least 0"),
        ({"timeout": 0.0}, "timeout=0.0 must be a positive number"),
        ({"backoff": float("inf")}, "backoff=inf must be a positive number"),
    ],
)
def test_settings_are_checked(tmp_path, ids, settings, message):
    with pytest.raises(ValueError, match=message):
        fetch(ids, tmp_path / "out", **settings)
