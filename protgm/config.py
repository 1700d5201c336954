"""Settings of a command: a YAML file of `configs/`, overridden by ``key=value`` arguments (hydra), as a dataclass."""

from __future__ import annotations

import builtins
import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["arguments_of", "build", "compose", "config_folder", "describe", "keys_of"]

T = TypeVar("T")

#: Keys whose value may be a plain comma-separated list, which hydra alone would take for a sweep.
_LISTS = ("length", "sample_lengths")

#: Keys whose value is a path, and keys whose value is other text: taken as typed, whatever it looks like.
PATHS = (
    "checkpoint", "data", "directory", "folder", "ids", "init", "manifest", "out", "reference", "refold_weights",
    "source", "spec", "start", "target",
)  # fmt: skip
TEXTS = (
    "base", "chains", "clustering", "contig", "device", "distances", "export", "fixed", "format", "generator",
    "hotspots", "method", "model", "motif", "omit", "optimizer", "precision", "redesign", "refold", "refold_command",
    "secondary", "shard", "shell", "split", "symmetry", "window",
)  # fmt: skip
#: Keys that are true or false, or else text.
SWITCHES = ("sequence",)


def config_folder() -> Path:
    """Where the YAML files are: inside an installed package, or at the top of a source tree."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def describe(command: str) -> str:
    """The command's YAML file: its keys, their defaults and what they mean."""
    return (config_folder() / f"{command}.yaml").read_text(encoding="utf-8")


def keys_of(command: str) -> list[str]:
    """Names of a command's settings, with dots for those of groups."""
    return _keys(_defaults(command))


def compose(command: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Settings of a command as plain nested dicts.

    Parameters
    ----------
    command : str
        Name of a file in `configs/`.
    overrides : sequence of str
        ``key=value``; dots reach into groups (``filters.max_length=512``). Numbers, lists and the like are written as
        in hydra's grammar. Text is taken as it is typed, in a path ``~`` is the home folder; ``null`` is no value, and
        quotes around all of it are taken off (``out='"null"'`` is a folder of that name).

    Raises
    ------
    ValueError
        With one line that names the argument: not of the form key=value, an unknown key (and the nearest one that
        exists), a value that does not parse, a path that is empty, or a required key that is not given.
    """
    defaults = _defaults(command)
    known = _keys(defaults)
    arguments: list[str] = []
    texts: dict[str, Any] = {}
    given: set[str] = set()
    for argument in overrides:
        key, value = _split(argument, known)
        if key in given:
            raise ValueError(f"{key}= is given twice")
        given.add(key)
        if key in SWITCHES and value.lower() in ("true", "false", "null"):
            texts[key] = value.lower() == "true"
        elif key in PATHS + TEXTS + SWITCHES and not isinstance(defaults[key], dict):
            texts[key] = _text(key, value, optional=defaults[key] is None or key == "secondary")
        else:
            arguments.append(_for_hydra(key, value))
    settings = (_overridden(command, arguments) if arguments else defaults) | texts
    missing = sorted(key for key in known if _value(settings, key) == MISSING)
    if missing:
        raise ValueError(f"{missing[0]}= must be given (see `protgm {command} --help`)")
    return settings


#: What a YAML file of `configs/` has for a setting that must be given.
MISSING = "???"


def _defaults(command: str) -> dict[str, Any]:
    """Settings that nobody has changed; hydra, which would say the same, takes as long to import as all of this."""
    import yaml

    loaded = yaml.load(describe(command), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return typing.cast(dict[str, Any], loaded)


def _overridden(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Settings with arguments in hydra's grammar."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parser = OverridesParser.create()
    for argument in arguments:
        try:
            parser.parse_override(argument)
        except HydraException:
            raise ValueError(
                f"{argument}: the value cannot be read; quote what has special characters, as in "
                f"'{argument.split('=', 1)[0]}=\"...\"'"
            ) from None
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra_compose(command, overrides=list(arguments))
        return typing.cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"settings of {command}: {str(error).splitlines()[0]}") from None


def _value(settings: Mapping[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def build(kind: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """A dataclass (and those nested in it) from plain values, with the types checked.

    Not by OmegaConf's structured configs: they know no union with a list in it, as ``length`` and ``sample_lengths``
    have, and say "could not be converted to Integer" over three lines where one names the key and what would be right.

    Raises
    ------
    ValueError
        If a value has the wrong type, or the dataclass refuses it; the message names the key, with the group ``where``
        that it is in.
    """
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        group = where.rstrip(".")
        raise ValueError(f"{group}={values}: is a group of settings, such as {group}.{names[0]}=")
    arguments = {}
    for key, value in values.items():
        if key not in names:
            raise ValueError(f"{where}{key}: no such setting{_suggest(key, names)}")
        arguments[key] = _convert(hints[key], value, f"{where}{key}")
    try:
        return kind(**arguments)
    except ValueError as error:
        # A dataclass does not know the name of the group that it is.
        if any(re.match(rf"{re.escape(name)}\b", str(error)) for name in names):
            raise ValueError(f"{where}{error}") from None
        raise


def arguments_of(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a function from plain values, by name, with the types of its annotations checked.

    Raises
    ------
    ValueError
        As `build` does.
    """
    hints = typing.get_type_hints(function, localns=_Names({**vars(builtins), **function.__globals__}))
    names = [name for name in hints if name != "return"]
    for key in values:
        if key not in names:
            raise ValueError(f"{key}: no such setting{_suggest(key, names)}")
    return {key: _convert(hints[key], value, key) for key, value in values.items()}


class _Names(dict[str, Any]):
    """Names of annotations; what is imported for type checkers only may be anything."""

    def __missing__(self, name: str) -> Any:
        return Any


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        keys.append(prefix + key)
        if isinstance(value, dict):
            keys += _keys(value, f"{prefix}{key}.")
    return keys


def _split(argument: str, known: Sequence[str]) -> tuple[str, str]:
    """Key and value of an argument, the key one that there is."""
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise ValueError(f"{argument}: arguments have the form key=value{_suggest(argument.lstrip('-'), known)}")
    if key not in known:
        raise ValueError(f"{key}: no such setting{_suggest(key, known)}")
    return key, value


def _text(key: str, value: str, *, optional: bool) -> str | None:
    """A value that is text, as it is meant."""
    if optional and value == "null":
        return None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    value = value[1:-1] if quoted else value
    if key in PATHS:
        if not value.strip():
            raise ValueError(f"{key}=: is empty; a path is wanted ({'null: none' if optional else '. is this folder'})")
        if "\0" in value:
            raise ValueError(f"{key}={value}: a path has no zero byte in it")
        if not quoted and value.startswith("~"):
            return os.path.expanduser(value)
    return value


def _for_hydra(key: str, value: str) -> str:
    """A value that may be something else than text, in hydra's grammar."""
    if key in _LISTS and "," in value and not value.startswith("["):
        return f"{key}=[{value}]"
    # Text with characters of the grammar in it is quoted for the user.
    if re.search(r"[\s(){}:=,]", value) and value[:1] not in "'\"[{":
        escaped = value.replace('"', '\\"')
        return f'{key}="{escaped}"'
    return f"{key}={value}"


#: What settings were called once.
_RENAMED = {"looks": "recycles"}


def _suggest(key: str, known: Sequence[str]) -> str:
    ends = [k for k in known if k.rsplit(".", 1)[-1] == _RENAMED.get(key, key)]
    begun = [k for k in known if len(key) > 2 and k.startswith(key)]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.65)  # motif is not out, symmetry not recursive
    found = (ends or begun or near)[:1]
    return f"; did you mean {found[0]}=?" if found else f"; there are: {', '.join(k for k in known if '.' not in k)}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return build(typing.cast(type, hint), value, where=f"{where}.")
    if dataclasses.is_dataclass(hint):
        raise ValueError(
            f"{where}={value}: is a group of settings, such as {where}.{dataclasses.fields(hint)[0].name}="
        )
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        problems: list[ValueError] = []
        for option in options:
            if option is not type(None):
                try:
                    return _convert(option, value, where)
                except ValueError as problem:
                    problems.append(problem)
        raise problems[0]
    if origin is tuple and not isinstance(value, str | None):
        items = value if isinstance(value, list) else [value]  # one is a list of one
        return tuple(_convert(options[0], item, where) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if hint is Any or (
        isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool)
    ):
        return value
    if origin is tuple:
        raise ValueError(f"{where}={value}: must be a list of numbers, such as [64,96]")
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))
    raise ValueError(f"{where}={value}: must be {wanted}")
