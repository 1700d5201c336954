"""The command line: help without torch, errors in one line that name the key."""

from __future__ import annotations

import builtins
import subprocess
import sys
import typing
from os import PathLike
from typing import Any

import pytest

from protgm.cli import COMMANDS, main
from protgm.config import PATHS, SWITCHES, TEXTS, _Names, arguments_of, build, compose, describe
from protgm.data import Filters, prepare
from protgm.data.fetch import fetch
from protgm.design import design
from protgm.doctor import report
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.refold import make_refolder
from protgm.sample import SampleConfig
from protgm.train import TrainConfig


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["smaple"], 2, "smaple: no such command; did you mean sample?"),
        (["--hepl"], 2, "--hepl: no such command; there are fetch, prepare"),
        (["train", "model.widht=64"], 2, "model.widht: no such setting; did you mean model.width=?"),
        (["train", "data=d", "out=o", "steps=1", "model.width=abc"], 1, "model.width=abc: must be a whole number"),
        (
            ["train", "data=d", "out=o", "steps=1", "model=64"],
            1,
            "model=64: is a group of settings, such as model.width=",
        ),
        (["train", "data=d", "out=o", "steps=-5"], 1, "steps=-5 must be at least 1"),
        (["train", "data=d", "out=o", "hours=nan"], 1, "hours=nan must be at least 0"),
        (
            ["train", "data=d", "out=o", "steps=1", "corruption.motif=2"],
            1,
            "corruption.motif=2.0 must lie between 0 and 1",
        ),
        (
            ["train", "data=d", "out=o", "steps=1", "min_length=200"],
            1,
            "min_length=200 must not be above max_length=128",
        ),
        (["prepare", "source=s", "out=o", "workers=abc"], 1, "workers=abc: must be a whole number"),
        (
            ["prepare", "source=s", "out=o", "filters=3"],
            1,
            "filters=3: is a group of settings, such as filters.min_length=",
        ),
        (["prepare", "source=s", "out=o", "filters.max_length=-1"], 1, "filters.max_length must not be negative"),
        (["fetch", "ids=i", "out=o", "verify=maybe"], 1, "verify=maybe: must be true or false"),
        (["verify", "steps=abc"], 1, "steps=abc: must be a whole number"),
        (["sample", "=3"], 2, "=3: arguments have the form key=value"),
        (["sample", "lenght=3"], 2, "lenght: no such setting; did you mean length=?"),
        (["sample", "length"], 2, "length: arguments have the form key=value"),
        (["sample", "--num", "3"], 2, "--num: arguments have the form key=value; did you mean num=?"),
        (["prepare", "max_length=3"], 2, "did you mean filters.max_length=?"),
        (["train", "out=x"], 2, "data= must be given (see `protgm train --help`)"),
        (["sample", "steps=abc"], 1, "steps=abc: must be a whole number"),
        (["sample", "refine=3"], 1, "refine=3: must be true or false"),
        (["sample", "length=3"], 1, "length=3 must lie between"),
        (["sample", "checkpoint=none.safetensors"], 1, "none.safetensors: no such checkpoint"),
        (["train", "data=nowhere", "out=OUT", "steps=1"], 1, "nowhere: not a dataset"),
        (["prepare", "source=nowhere", "out=OUT"], 1, "nowhere"),
        (["sample", "length=[1"], 2, "length=[1: the value cannot be read"),
        (["design", "symmetry=C3"], 2, "symmetry: no such setting; there are: directory, out"),
        (["evaluate", "contig=5"], 2, "contig: no such setting; there are: directory, out"),
        (["sample", "temp=1"], 2, "temp: no such setting; did you mean temperature=?"),
        (["sample", "checkpoint="], 2, "checkpoint=: is empty; a path is wanted (null: none)"),
        (["prepare", "source=", "out=o"], 2, "source=: is empty; a path is wanted (. is this folder)"),
        (["fetch", "ids=x", "out=  "], 2, "out=: is empty"),
        (["sample", "length=20", "num=1", "length=24"], 2, "length= is given twice"),
        (
            ["train", "data=d", "out=o", "steps=1", "sample_lengths=long"],
            1,
            "sample_lengths=long: must be a list of numbers",
        ),
        (["evaluate", "a", "split=val"], 1, "split=val says nothing without reference="),
        (["evaluate", "a", "seed=-3"], 1, "seed=-3 must be at least 0"),
        (["design", "a", "seed=-3"], 1, "seed=-3 must be at least 0"),
        (["evaluate", "a", "b"], 2, "a b: evaluate takes one directory, 2 are given"),
    ],
)
def test_mistakes_get_one_line(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("protgm: ")


def test_help_lists_commands_and_settings(capsys):
    assert main([]) == 0
    usage = capsys.readouterr().out
    for name in COMMANDS:
        assert name in usage
        assert main([name, "--help"]) == 0
        assert capsys.readouterr().out == describe(COMMANDS[name].settings or name)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["sample", "--help"], ["completion", "bash"], ["smaple"], ["sample", "lenght=3"]],
)
def test_what_computes_nothing_needs_no_library(arguments):
    heavy = ["torch", "numpy", "scipy", "hydra", "omegaconf", "rich", "e3nn", "geomstats", "gemmi", "Bio", "pyarrow"]
    code = f"import sys; from protgm.cli import main; main({arguments}); print('|', *set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rpartition("|")[2].split() == []


@pytest.mark.slow
def test_sampling_needs_neither_the_compiler_nor_libraries_of_other_commands(tmp_path):
    arguments = ["sample", "length=10", "num=1", "steps=2", "workers=1", f"out={tmp_path}"]
    heavy = ["torch._dynamo", "sympy", "e3nn", "geomstats", "pyarrow", "matplotlib", "transformers"]
    code = f"import sys; from protgm.cli import main; main({arguments}); print('|', *set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rpartition("|")[2].split() == []


@pytest.mark.parametrize("command", [c for c in COMMANDS if COMMANDS[c].settings is None])
def test_defaults_are_what_hydra_reads(command):
    from protgm.config import _defaults, _overridden

    defaults = _defaults(command)
    plain = next(key for key, value in defaults.items() if not isinstance(value, dict))
    assert _overridden(command, [f"{plain}=1"]) | {plain: None} == defaults | {plain: None}


def test_yaml_files_say_what_the_dataclasses_say():
    settings = compose("sample", [])
    assert settings.pop("spec") is None  # of the command: it gives the others
    assert build(SampleConfig, settings) == SampleConfig()
    assert build(TrainConfig, compose("train", ["data=d", "out=o", "steps=1", "sample_lengths=12"])).sample_lengths == (
        12,
    )
    settings = compose("train", ["data=d", "out=o", "steps=1"])
    assert build(TrainConfig, settings) == TrainConfig(data="d", out="o", steps=1)
    assert build(Filters, compose("prepare", ["source=s", "out=o"])["filters"]) == Filters()


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("length=60-128", "length", "60-128"),
        ("length=64,96", "length", [64, 96]),
        ("length=[64,96]", "length", [64, 96]),
        ("out=a folder (1)/x", "out", "a folder (1)/x"),
        ('out="quoted"', "out", "quoted"),
        ("out=C:\\x=y", "out", "C:\\x=y"),
        ("checkpoint=null", "checkpoint", None),
        ("checkpoint='null'", "checkpoint", "null"),
        ("secondary=null", "secondary", None),
        ("out=null", "out", "null"),
        ("out=1_000", "out", "1_000"),
        ("out=007", "out", "007"),
        ("out=1e3", "out", "1e3"),
        ("out=0x1F", "out", "0x1F"),
        ("out=.inf", "out", ".inf"),
        ("out=True", "out", "True"),
        ("out=größe/蛋白 ü", "out", "größe/蛋白 ü"),
        ('out=bob\'s "best" run', "out", 'bob\'s "best" run'),
        ("out=\\\\server\\share\\", "out", "\\\\server\\share\\"),
        ("out=${oc.env:HOME}", "out", "${oc.env:HOME}"),
        ("out=[a,b]{c}", "out", "[a,b]{c}"),
        ("out=a*b?#c!", "out", "a*b?#c!"),
        ("out=x~", "out", "x~"),
        ("out='~/x'", "out", "~/x"),
        ("out=~nobody_of_that_name/x", "out", "~nobody_of_that_name/x"),
        ("secondary=E5", "secondary", "E5"),
        ("sequence=INF", "sequence", "INF"),
        ("sequence=1e5", "sequence", "1e5"),
        ("sequence=NaN", "sequence", "NaN"),
        ("sequence=True", "sequence", True),
        ("sequence=FALSE", "sequence", False),
        ("sequence='FALSE'", "sequence", "FALSE"),
        ("sequence=null", "sequence", False),
        ("sequence=~nobody/1.fa", "sequence", "~nobody/1.fa"),
        ("shard=1/2", "shard", "1/2"),
    ],
)
def test_values_as_users_write_them(argument, key, value):
    assert compose("sample", [argument])[key] == value


def test_a_path_may_begin_with_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for command, key in (("train", "init"), ("evaluate", "reference"), ("prepare", "manifest"), ("fetch", "ids")):
        given = {"train": ["data=d", "out=o"], "prepare": ["source=s", "out=o"], "fetch": ["out=o"]}
        arguments = [*given.get(command, ["directory=d"]), f"{key}=~/a b"]
        assert compose(command, arguments)[key] == str(tmp_path / "a b")


def test_every_text_is_taken_as_typed():
    """What the functions and dataclasses say is text or a path is known as such, and nothing else is."""
    read: list[Any] = [fetch, prepare, TrainConfig, SampleConfig, evaluate, EvaluateConfig]
    read += [make_refolder, design, report]
    names = {"kind": "refold", "weights": "refold_weights", "command": "refold_command"}
    found: dict[str, set[str]] = {"path": set(), "text": set()}
    for function in read:
        names_of = _Names(vars(builtins) | getattr(function, "__globals__", {}))
        for name, hint in typing.get_type_hints(function, localns=names_of).items():
            options = {typing.get_origin(o) or o for o in (typing.get_args(hint) or (hint,))} - {type(None)}
            if name != "return" and str in options and int not in options:
                found["path" if PathLike in options else "text"].add(names.get(name, name))
    assert found["path"] <= set(PATHS)
    # A motif is several paths, the residues of sequence= may be true instead.
    assert found["path"] | found["text"] == (set(PATHS) | set(TEXTS) | set(SWITCHES)) - {"shell", "spec"}


@pytest.mark.parametrize("name", ["5e10", "2026_11_27", "~", "it's", "données", "-x"])
def test_a_folder_of_any_name_is_the_one_that_is_looked_in(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "~"))
    (tmp_path / name).mkdir()
    for arguments in (["evaluate", f"directory={name}"], ["design", "num_seqs=1", f"directory={name}"]):
        assert main(arguments) == 1
        assert f"{name}: no structure file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_first_argument_may_be_the_folder(tmp_path, capsys):
    empty = tmp_path / "a folder"
    empty.mkdir()
    for command in ("evaluate", "design"):
        assert main([command, str(empty)]) == 1
        assert "a folder: no structure file" in capsys.readouterr().err
    assert main(["evaluate", "progress=false", str(empty), "html=false"]) == 1
    assert "a folder: no structure file" in capsys.readouterr().err
    assert main(["evaluate"]) == 2
    assert "directory= must be given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "argument", "message"),
    [
        ("evaluate", "natives=many", "natives=many: must be a whole number"),
        ("evaluate", "gate.breaks=some", "gate.breaks=some: must be a number"),
        ("evaluate", "html=3", "html=3: must be true or false"),
        ("evaluate", "refold=command", "refold=command needs a command"),
        ("design", "temperature=hot", "temperature=hot: must be a number"),
        ("design", "num_seqs=0", "num_seqs=0 must be at least 1"),
    ],
)
def test_values_of_evaluate_and_design_are_checked(command, argument, message, tmp_path, capsys):
    assert main([command, str(tmp_path), argument]) == 1
    assert message in capsys.readouterr().err


def test_arguments_of_a_function_are_checked_by_its_annotations():
    def shown(name: str, count: int = 1, share: float | None = None) -> None: ...

    assert arguments_of(shown, {"name": 3, "share": 1}) == {"name": "3", "share": 1.0}
    assert isinstance(arguments_of(shown, {"share": 1})["share"], float)
    with pytest.raises(ValueError, match="count=x: must be a whole number"):
        arguments_of(shown, {"count": "x"})
    with pytest.raises(ValueError, match=r"nmae: no such setting; did you mean name=\?"):
        arguments_of(shown, {"nmae": "x"})
