"""Many named requests in one file: ``protgm sample spec=campaign.yaml``, ``protgm check spec=campaign.yaml``.

defaults: {num: 16, steps: 40}
tasks:
  site: {motif: 1bcf.pdb, contig: "8-15,A92-99,16-30,A123-130,20"}
  ring: {symmetry: C3, length: 60}
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from yaml import YAMLError

from protgm.config import build
from protgm.device import usable_device
from protgm.files import check_folder
from protgm.sample.describe import layout_lines
from protgm.sample.request import doubt, lay_out
from protgm.sample.run import SampleConfig, sample
from protgm.text import printable
from protgm.weights import load_model

__all__ = ["check", "read_tasks", "run"]


def read_tasks(spec: str | None, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings of each task by its name; without a file one task without a name.

    Parameters
    ----------
    spec : str, optional
        YAML or JSON with ``tasks`` (name to settings) and, if wanted, ``defaults`` for all of them. Paths in it start
        from the current folder, as on the command line. What the file says wins over the command line.
    settings : mapping
        Of the command line.

    Raises
    ------
    ValueError
        If the file cannot be read, or is not of that form.
    """
    if spec is None:
        return {"": dict(settings)}
    where = printable(spec, limit=1000)
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(spec), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ValueError(f"spec={where}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("tasks"), dict) or not loaded["tasks"]:
        raise ValueError(f"spec={where}: needs an entry `tasks` with a name and settings for each")
    for key in loaded.keys() - {"tasks", "defaults"}:
        raise ValueError(f"spec={where}: {key!s} is unknown; it may have `tasks` and `defaults`")
    parts = {"`defaults`": loaded.get("defaults"), **{f"task {name}": own for name, own in loaded["tasks"].items()}}
    for key, part in parts.items():
        if part is not None and not isinstance(part, dict):
            raise ValueError(f"spec={where}: {printable(key)}: must have settings with their values, as {{num: 4}}")
    defaults, tasks = loaded.get("defaults") or {}, {}
    for name, own in loaded["tasks"].items():
        text = str(name)
        if not text or Path(text).name != text or text.startswith("."):
            raise ValueError(f"spec={where}: task {printable(text)}: its name must be fit for a folder")
        for key in {**defaults, **(own or {})}:
            if key not in settings or key in ("out", "spec"):
                near = get_close_matches(str(key), settings, n=1)
                hint = f"; did you mean {near[0]}?" if near and key not in settings else ""
                raise ValueError(f"spec={where}: task {text}: there is no setting {key}{hint}")
        tasks[text] = {**settings, **defaults, **(own or {}), "out": str(Path(str(settings["out"])) / text)}
    return tasks


def run(spec: str | None, settings: Mapping[str, Any]) -> int:
    """Make what is asked for; returns the exit status.

    Tasks that cannot be made are told before anything is computed, and the others go on.

    Raises
    ------
    ValueError
        As `protgm.sample.sample`, where there is no campaign.
    """
    tasks = read_tasks(spec, settings)
    if spec is None:
        sample(build(SampleConfig, tasks[""]))
        return 0
    console, good, bad = Console(stderr=True, markup=False), {}, 0
    for name, own in tasks.items():
        try:
            good[name] = build(SampleConfig, own)
            good[name].request()
        except (ValueError, OSError) as error:
            good.pop(name, None)
            bad += 1
            console.print(f"{name}: {error}", highlight=False, soft_wrap=True)
    for name, config in good.items():
        console.print(f"{name}:", highlight=False)
        try:
            # Scaffolds of all tasks in one folder.
            sample(config, console, None if config.export is None else Path(str(settings["out"])) / config.export)
        except (ValueError, OSError) as error:
            bad += 1
            console.print(f"{name}: {error}", highlight=False, soft_wrap=True)
    if bad:
        console.print(f"{bad} of {len(tasks)} tasks failed", highlight=False)
    return 1 if bad else 0


def _check_means(config: SampleConfig, read: set[str]) -> None:
    """Refuse a folder, a device or weights that are not to be had; weights that were ``read`` before are."""
    check_folder("out", config.out)
    if config.device is not None:
        usable_device(config.device)
    if config.checkpoint is not None and config.checkpoint not in read:
        load_model(config.checkpoint)
        read.add(config.checkpoint)


def check(spec: str | None, settings: Mapping[str, Any]) -> int:
    """Print what would be made, or what is wrong with the request; nothing is computed."""
    status, read = 0, set[str]()
    for name, own in read_tasks(spec, settings).items():
        try:
            config = build(SampleConfig, own)
            conditions, items = config.request()
            _check_means(config, read)
        except (ValueError, OSError) as error:
            if spec is None:
                raise
            print(f"{name}: {error}")
            status = 1
            continue
        if name:
            print(f"{name}:")
        lengths = sorted({item.residues for item in items})
        span = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        print(f"{len(items)} protein{'s' * (len(items) > 1)} of {span} residues in {config.out}")
        first = min(items, key=lambda item: (item.index, item.length))
        print(f"{first.name}:")
        for line in layout_lines(lay_out(conditions, first, config.seed)):
            print(f"  {line}")
        if (word := doubt(conditions, items)) is not None:
            print(word)
    return status
