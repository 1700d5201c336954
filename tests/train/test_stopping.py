"""Requests to stop, and kills, at moments when a run is not ready for them."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

import protgm.cli
from protgm.cli import main
from protgm.lock import locked
from protgm.stopping import heed, heeded
from protgm.train.parallel import World, launch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")


class Early:
    """What processes of a run are to call; once each has it, but before it can heed anything, a signal is sent."""

    def __init__(self, folder: Path, number: int, to_parent: bool = False) -> None:
        self.folder, self.number, self.to_parent = folder, number, to_parent

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state
        self.life = ExitStack()  # the lock is held as long as the process lives
        self.life.enter_context(locked(self.folder / "lives", "process", name=str(os.getpid())))
        os.kill(os.getppid() if self.to_parent else os.getpid(), self.number)

    def __call__(self, world: World) -> None:
        (self.folder / f"{world.rank}").write_text(str(heed().asked))


def last_dies(world: World) -> None:
    if world.rank == world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    world.mean(torch.zeros(1))


def launch_orphans(folder: Path) -> None:
    launch(Early(folder, signal.SIGKILL, to_parent=True), 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_process_that_is_starting_keeps_a_request_for_later(tmp_path, number):
    assert launch(Early(tmp_path, number), 2)
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["True", "True"]


def test_a_request_while_processes_are_starting_ends_them(tmp_path):
    assert not launch(Early(tmp_path, signal.SIGTERM, to_parent=True), 2)
    assert not (tmp_path / "0").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_request_while_the_command_is_starting_ends_it_well(tmp_path, monkeypatch, capsys, processes):
    compose = protgm.cli.compose

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return compose(*arguments)

    monkeypatch.setattr("protgm.cli.compose", interrupted)
    out = tmp_path / "run"
    assert main(["train", "data=nowhere", f"out={out}", "steps=1", f"processes={processes}"]) == 0
    assert "run is as it was, and the same command goes on" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_process_that_is_killed_is_named_and_the_others_end():
    with pytest.raises(ValueError, match=r"training process 1 was killed \(SIGKILL\): out of memory\?"):
        launch(last_dies, 2)


@pytest.mark.long
def test_processes_end_whose_parent_was_killed_before_they_met(tmp_path):
    process = get_context("spawn").Process(target=launch_orphans, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    lives = list((tmp_path / "lives").iterdir())
    assert lives
    for life in lives:
        with locked(tmp_path / "lives", "test", name=life.name, wait=True):
            pass
    assert not (tmp_path / "0").exists()


def test_signals_do_again_what_they_did_before():
    def other(_number, _frame) -> None: ...

    before = signal.signal(signal.SIGTERM, other)
    try:
        with heeded() as stop, heeded() as same:
            assert same is stop
            elsewhere: list = []
            thread = threading.Thread(target=lambda: elsewhere.append(heed()))
            thread.start()
            thread.join()
            assert elsewhere == [stop]
            told: list[str] = []
            stop.tell(lambda: told.append("a"))
            os.kill(os.getpid(), signal.SIGTERM)
            stop.tell(lambda: told.append("b"))
            assert stop.asked
            assert told == ["a", "b"]
        assert signal.getsignal(signal.SIGTERM) is other
        with heeded() as fresh:
            assert not fresh.asked
    finally:
        signal.signal(signal.SIGTERM, before)
