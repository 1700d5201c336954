"""A parser that dies of a file dies alone: every command that reads files of others goes on, or says so in one line."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from protgm.cli import main
from protgm.condition import Motif
from protgm.data.folder import read_folder
from protgm.data.natives import read_natives
from protgm.structure import StructureError, read_structure
from protgm.structure.apart import read_apart, read_each
from protgm.workers import apart

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"
PACKED = sorted(EXAMPLES.glob("*.pdb.gz"))[:3]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="where the system forks")


def deadly(path: str | os.PathLike[str]):
    """A reader whose native code dies of some files."""
    name = os.path.basename(path)
    if name.startswith("bad"):
        faulthandler.disable()
        os.kill(os.getpid(), {"s": signal.SIGSEGV, "k": signal.SIGKILL}[name[3]])
    return read_structure(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    for file in PACKED:
        shutil.copy(file, path)
    for name in ("bads.cif", "badk.bcif", "zbadness.pdb"):
        (path / name).write_text("hostile")
    monkeypatch.setattr("protgm.structure.apart.read_structure", deadly)
    return path


def test_a_folder_is_read_without_the_files_that_kill(folder: Path) -> None:
    backbones, failed = read_folder(folder)
    assert [b.name for b in backbones] == [file.name.partition(".")[0] for file in PACKED]
    assert [b.fingerprint() for b in backbones] == [read_structure(file).fingerprint() for file in PACKED]
    assert [file for file, _ in failed] == ["badk.bcif", "bads.cif", "zbadness.pdb"]
    died = "the process that read it died (a damaged file, or too little memory)"
    assert [died in why for _, why in failed] == [True, True, False]
    assert len(read_natives(folder)) == len(PACKED)


@pytest.mark.parametrize("command", ["evaluate {folder} similarity=false html=false", "score {folder} steps=1 draws=1"])
def test_commands_go_on(command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in PACKED[1:]:
        (folder / file.name).unlink()
    arguments = command.format(folder=folder).split()
    out = tmp_path / ("out.csv" if command.startswith("score") else "out")
    assert main([*arguments, f"out={out}", "workers=1", "progress=false"]) == 0
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_motif_is_refused_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="the process that read it died"):
        Motif(folder / "bads.cif", "5,A1-5,5")
    assert main(["check", f"motif={folder}/badk.bcif", "contig=5,A1-5,5", "num=1", f"out={folder}/out"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"protgm: {folder}/badk.bcif: the process that read it died")
    assert told.count("\n") == 1


def test_what_is_wrong_is_said_as_by_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.pdb").write_text("nothing")
    with pytest.raises(StructureError, match=r"a\.pdb: no protein residue"):
        read_apart(tmp_path / "a.pdb")
    with pytest.raises(StructureError, match="No such file"):
        read_apart(tmp_path / "b.pdb")


def test_results_in_order_errors_raised_and_no_child_left(tmp_path: Path) -> None:
    def job(number: int) -> tuple[int, int]:
        if number % 5 == 3:
            os._exit(1)
        if number == 11:
            raise KeyError(number)
        return number, os.getpid()

    found = apart(job, range(20), lambda number: (-number, 0))
    first = [next(found) for _ in range(11)]
    assert [number for number, _ in first] == [0, 1, 2, -3, 4, 5, 6, 7, -8, 9, 10]
    assert os.getpid() not in {pid for _, pid in first}
    assert len({pid for number, pid in first if number >= 0}) == 3
    with pytest.raises(KeyError, match="11"):
        next(found)
    for child in {pid for number, pid in first if number >= 0}:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def test_beside_other_threads_it_is_read_here(tmp_path: Path) -> None:
    """A fork would copy locks that they hold."""
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert list(apart(lambda _: os.getpid(), [1, 2], lambda _: 0)) == [os.getpid()] * 2
        assert [len(one) for one in read_each(PACKED[:1])] == [len(read_structure(PACKED[0]))]
    finally:
        stop.set()
        other.join()
