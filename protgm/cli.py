"""``protgm <command> key=value ...``: one command per job, settings by hydra, errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from protgm.config import arguments_of, build, compose, describe, keys_of
from protgm.files import sha256
from protgm.interrupt import between_imports
from protgm.stopping import heeded
from protgm.text import printable
from protgm.version import BUNDLED, __version__

__all__ = ["main"]


_LESS = "fewer residues a batch (tokens=), shorter chains (max_length=) or fewer processes= take less"


@dataclass(frozen=True)
class _Command:
    """A command: what it does in one line, and a function of its settings that returns an exit status.

    ``first`` is the setting that an argument without a key is for. A command that ``heeds`` takes SIGTERM
    and Ctrl-C as requests to stop, which it ends upon with status 0. ``settings`` names another command whose settings
    it takes, ``lighter`` says how it takes less memory.
    """

    summary: str
    run: Callable[[dict[str, Any]], int]
    first: str | None = None
    heeds: bool = False
    settings: str | None = None
    lighter: str = "fewer workers= take less"


def _fetch(settings: dict[str, Any]) -> int:
    from protgm.data.fetch import fetch

    done = fetch(**arguments_of(fetch, settings))
    print(done)
    return 1 if done.failed else 0


def _prepare(settings: dict[str, Any]) -> int:
    from protgm.data import Filters, prepare

    filters = build(Filters, settings.pop("filters"), where="filters.")
    print(prepare(filters=filters, **arguments_of(prepare, settings)))
    return 0


def _train(settings: dict[str, Any]) -> int:
    from protgm.allocator import keep_freed_memory
    from protgm.train import TrainConfig, train

    keep_freed_memory()
    train(build(TrainConfig, settings))
    return 0


def _sample(settings: dict[str, Any]) -> int:
    from protgm.allocator import keep_freed_memory
    from protgm.sample.campaign import run

    keep_freed_memory()
    return run(settings.pop("spec"), settings)


def _check(settings: dict[str, Any]) -> int:
    from protgm.sample.campaign import check

    return check(settings.pop("spec"), settings)


def _evaluate(settings: dict[str, Any]) -> int:
    from protgm.evaluate import EvaluateConfig, Gate, evaluate
    from protgm.refold import make_refolder

    kind, weights, command = (settings.pop(key) for key in ("refold", "refold_weights", "refold_command"))
    gate = Gate.of(settings.pop("gate"))
    where = {key: settings.pop(key) for key in ("directory", "reference", "out", "workers", "progress")}
    config = replace(build(EvaluateConfig, settings), gate=gate)
    refolder = make_refolder(kind, weights=weights, command=command)
    print(evaluate(**arguments_of(evaluate, where), config=config, refolder=refolder))
    return 0


def _design(settings: dict[str, Any]) -> int:
    from protgm.design import design

    checked = arguments_of(design, settings)
    if checked["model"] != "protgm":
        print(design(**checked))
    else:
        from protgm.sample.own import own_designer

        print(design(**checked, designer=own_designer(checked["temperature"], checked["omit"])))
    return 0


def _score(settings: dict[str, Any]) -> int:
    from protgm.score import score

    report = score(**arguments_of(score, settings))
    print(report)
    return 1 if report.failed and not report.scored else 0


def _verify(settings: dict[str, Any]) -> int:
    from protgm.sample import load
    from protgm.selftest import measure_equivariance
    from protgm.testing.verify import verify_table

    checkpoint = settings.pop("checkpoint")
    checked = arguments_of(verify_table, settings)
    model = load(checkpoint)
    laws = verify_table(**checked)
    found = measure_equivariance(model.denoiser)
    print(
        f"equivariance of {model.checkpoint}: {found.translations:.1e} A and {found.rotations:.1e} rad, for moves of "
        f"{found.scale:.1f} A: {'ok' if found.ok else 'FAILS'}"
    )
    return 0 if laws and found.ok else 1


def _doctor(settings: dict[str, Any]) -> int:
    from protgm.doctor import report

    print(report(**arguments_of(report, settings)))
    return 0


def _completion(settings: dict[str, Any]) -> int:
    from protgm.completion import script

    commands = {name: (command.summary, keys_of(command.settings or name)) for name, command in COMMANDS.items()}
    print(script(settings["shell"], commands), end="")
    return 0


COMMANDS = {
    "fetch": _Command("entries of the Protein Data Bank to structure files", _fetch),
    "prepare": _Command("structure files to a dataset", _prepare),
    "train": _Command("a denoiser from a dataset", _train, heeds=True, lighter=_LESS),
    "sample": _Command("new backbones as PDB or mmCIF files", _sample),
    "check": _Command("what a request to sample would make, before computing", _check, settings="sample"),
    "evaluate": _Command("are structures sound, native-like, diverse and new: a report", _evaluate, first="directory"),
    "design": _Command("sequences for structures, by ProteinMPNN", _design, first="directory"),
    "score": _Command("likelihoods of structures, by the probability flow", _score, first="directory"),
    "verify": _Command("paths, generators and solvers against exact laws; equivariance of a checkpoint", _verify),
    "doctor": _Command("the installation and the machine, for a bug report", _doctor),
    "completion": _Command("a script that completes commands and settings in a shell", _completion, first="shell"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        Exit status: 0, 1 where something failed, 2 for a wrong command line, 130 after Ctrl-C, 141 where what reads
        the output has gone (``| head``).
    """
    try:
        with between_imports():
            status = _main(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # As the documentation of `signal` has it: nothing more is said when Python ends.
        with suppress(OSError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on from here", 130)
    return status


def _main(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command in ("--version", "version"):
        print(f"protgm {__version__}, weights {sha256(BUNDLED)[:12]}")
        return 0
    if command in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if command not in COMMANDS:
        near = get_close_matches(command.lower(), COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        return _fail(f"{command}: no such command; {hint}", 2)
    if {"--help", "-h"} & set(rest):
        print(describe(COMMANDS[command].settings or command), end="")
        return 0
    try:
        os.getcwd()
    except OSError as error:
        return _fail(f"the current folder is not there any more ({error.strerror}); change to another one", 1)
    first = COMMANDS[command].first
    bare = [i for i, argument in enumerate(rest) if "=" not in argument and not argument.startswith("-")]
    if first and len(bare) == 1:
        rest[bare[0]] = f"{first}={rest[bare[0]]}"
    elif first and len(bare) > 1:
        return _fail(f"{' '.join(rest[i] for i in bare)}: {command} takes one {first}, {len(bare)} are given", 2)
    with heeded() if COMMANDS[command].heeds else nullcontext():  # from here on: torch takes seconds to import
        return _execute(command, rest)


def _execute(command: str, arguments: list[str]) -> int:
    """Run a command; its errors are one line."""
    try:
        settings = compose(COMMANDS[command].settings or command, arguments)
    except ValueError as error:
        return _fail(str(error), 2)
    try:
        return COMMANDS[command].run(settings)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error), 1)
    except (ValueError, ImportError) as error:
        return _fail(str(error), 1)
    except (RuntimeError, MemoryError) as error:
        from protgm.memory import out_of_memory

        if not out_of_memory(error):
            raise
        said = str(error).strip().splitlines()[:1] or [""]
        return _fail(f"memory ran out; {COMMANDS[command].lighter} ({said[0][:200]})", 1)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"protgm {__version__}: protein backbones by generator matching", "", "protgm <command> key=value ...", ""]
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "protgm <command> --help shows a command's settings."])


def _fail(message: str, status: int) -> int:
    # Names of files, keys and chains may hold whatever: no escape sequence reaches the terminal.
    print(f"protgm: {printable(message, limit=4000)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
