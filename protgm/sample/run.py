"""``protgm sample``: a work list to structure files and a manifest; when stopped, it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from protgm.checks import check_kind
from protgm.condition import Conditions
from protgm.condition.secondary import NATIVE, check_secondary
from protgm.files import check_folder, remove_temporary, sha256
from protgm.layout import MAX_LENGTH
from protgm.progress import ItemProgress
from protgm.sample.asked import Asked
from protgm.sample.export import EXPORTS, write_motifbench
from protgm.sample.generate import BackboneModel, load
from protgm.sample.lengths import Item, Shard, parse_length, work_list
from protgm.sample.manifest import MANIFEST, append, merge, only_writer, read_manifest
from protgm.sample.request import batches, doubt, lay_out, requested, with_labels
from protgm.sample.settings import Execution, SamplerSettings
from protgm.sample.work import Work, made, remember
from protgm.structure.contig import Break, parse_contig
from protgm.structure.source import stem
from protgm.structure.write import is_ours
from protgm.text import printable
from protgm.version import __version__

if TYPE_CHECKING:
    from protgm.design import Designer

__all__ = ["SampleConfig", "sample"]

_FORMATS = ("pdb", "cif")


@dataclass(frozen=True)
class SampleConfig(Asked, Execution, SamplerSettings):
    """Settings of ``protgm sample``; `configs/sample.yaml` explains each.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    length: int | str | tuple[int, ...] | None = None
    num: int = 8
    out: str = "samples"
    seed: int = 0
    checkpoint: str | None = None
    format: str = "pdb"
    refine: bool = True
    secondary: str | None = NATIVE
    shard: str | None = None
    design: bool = False
    num_seqs: int = 8
    trajectory: bool = False
    export: str | None = None
    workers: int | None = None
    device: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        SamplerSettings.__post_init__(self)
        Execution.__post_init__(self)
        if self.format not in _FORMATS:
            raise ValueError(f"format={self.format!r}: must be one of {', '.join(_FORMATS)}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers={self.workers} must be at least 1")
        if self.num_seqs < 1:
            raise ValueError(f"num_seqs={self.num_seqs} must be at least 1")
        work_list((MAX_LENGTH,), self.num, self.seed)
        if self.length is not None:
            lengths = parse_length(self.length)
            if (
                self.secondary is not None and self.motif is None
            ):  # a scaffold's labels are checked where it is laid out
                check_secondary(self.secondary, lengths)
        if self.shard is not None:
            Shard.parse(self.shard)
        if self.export is not None:
            self._check_export()

    def _check_export(self) -> None:
        if self.export not in EXPORTS:
            raise ValueError(f"export={self.export}: must be {' or '.join(EXPORTS)}")
        several = self.target is not None or self.symmetry is not None or len(self.motif_files()) > 1
        if several or self.contig is None or any(isinstance(part, Break) for part in parse_contig(self.contig)):
            raise ValueError(f"export={self.export}: is for one chain about a motif of one file (motif=, contig=)")

    @property
    def sampler(self) -> SamplerSettings:
        """The part that the sampler is told."""
        values = {name: getattr(self, name) for name in SamplerSettings.__dataclass_fields__}
        return SamplerSettings(**values | {"cogenerate": self.sequence is True})

    @property
    def execution(self) -> Execution:
        """How it computes."""
        return Execution(**{name: getattr(self, name) for name in Execution.__dataclass_fields__})

    def request(self) -> tuple[Conditions, list[Item]]:
        """What is asked for, and the work list.

        Raises
        ------
        ValueError
            If it cannot be laid out, or a file that it names cannot be read.
        """
        conditions = with_labels(self.conditions(self.length), self.secondary)
        items = requested(conditions, None if conditions.sizes else self.length, self.num, self.seed)
        if self.contacts and self.symmetry is None and lay_out(conditions, items[0], self.seed).chain_index.max() == 0:
            raise ValueError(
                f"contacts={self.contacts} are those between chains, and one chain is asked for; symmetry=, target= "
                "or a contig or start of several chains makes more"
            )
        return conditions, items


def sample(config: SampleConfig, console: Console | None = None, export_to: Path | None = None) -> list[dict[str, Any]]:
    """Generate what ``config`` asks for and is not in the folder's manifest yet.

    Parameters
    ----------
    config : SampleConfig
    console : Console, optional
        Where it says what it does; stderr by default.
    export_to : Path, optional
        Folder for ``export=``; by default one of its name in that of the samples.

    Returns
    -------
    list of dict
        The manifest rows of the request (of its shard), those made before included.

    Raises
    ------
    ValueError
        If the folder holds proteins made with other settings under the same names, or another process writes to it.
    """
    check_kind("config", config, SampleConfig)
    console = console or Console(stderr=True, markup=False)
    check_folder("out", config.out)
    conditions, request = config.request()
    designer = _designer() if config.design else None
    model = load(config.checkpoint, device=config.device)  # before there is a folder: it may not be there
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    shard = None if config.shard is None else Shard.parse(config.shard)
    items = request if shard is None else shard.take(request)
    with only_writer(out, shard), _cleared(out, items):
        recipe = _recipe(config, conditions, model)
        rows = {row["name"]: row for row in read_manifest(out)}
        missing = {item for item in items if not _made(item, rows.get(item.name), recipe, config.format, out)}
        for word in filter(None, (model.beyond(item.length for item in request), doubt(conditions, request))):
            console.print(word, highlight=False, soft_wrap=True)
        if len(missing) < len(items):
            there = f"{printable(out, 1000)}: {len(items) - len(missing)} of {len(items)} are there already"
            console.print(there, highlight=False, soft_wrap=True)
        # Batches are cut from the whole list and made whole, whatever is missing of them: rounding depends on what is
        # multiplied together, and a run that was stopped is to end in the same bytes as one that was not.
        todo = [chunk for chunk in batches(items, config.execution) if missing.intersection(chunk)]
        total = sum(item.residues for chunk in todo for item in chunk)
        with ItemProgress(
            "sample", "proteins", len(missing), total, enabled=config.progress, console=console
        ) as progress:
            remember(model)
            work = Work(config, conditions, recipe, frozenset(missing))
            for chunk, new in zip(todo, made(work, todo, config.workers), strict=True):
                append(out, new, shard)
                rows.update((row["name"], row) for row in new)
                progress.advance(len(new), sum(item.residues for item in chunk))
    if {item.name for item in request} <= {row["name"] for row in read_manifest(out)}:
        merge(out)
        if config.export is not None:
            (motif,) = config.motif_files()
            every = {row["name"]: row for row in read_manifest(out)}
            scaffolds = write_motifbench(
                out, [every[item.name] for item in request], stem(Path(motif).name), export_to or out / config.export
            )
            console.print(f"scaffolds for MotifBench in {printable(scaffolds, 1000)}", highlight=False, soft_wrap=True)
    wanted = [rows[item.name] for item in sorted(items)]
    passed, noun = sum(row["gate"]["passed"] for row in wanted), "backbone" if len(wanted) == 1 else "backbones"
    console.print(
        f"{len(wanted)} {noun} in {printable(out, 1000)} ({passed} pass the geometry gate); "
        f"figures of each in {printable(out / MANIFEST, 1000)}",
        highlight=False,
        soft_wrap=True,
    )
    if designer is not None:
        from protgm.design.samples import design_samples

        files = [row["file"] for row in wanted]
        made_in = design_samples(
            out, files, num_seqs=config.num_seqs, seed=config.seed, designer=designer, progress=config.progress
        )
        console.print(f"{config.num_seqs} sequences for each in {made_in}", highlight=False, soft_wrap=True)
    return wanted


@contextmanager
def _cleared(out: Path, items: Sequence[Item]) -> Iterator[None]:
    """Without what processes that were ended as they wrote these proteins have left, before the block and behind it."""
    own = {item.name for item in items}
    clear = partial(remove_temporary, out, keep=lambda name: name.split(".", 1)[0] not in own)
    clear()
    try:
        yield
    finally:
        clear()


def _designer() -> Designer:
    """ProteinMPNN, asked for before anything is sampled: it may not be installed."""
    from protgm.design import ProteinMPNN

    return ProteinMPNN()


def _recipe(config: SampleConfig, conditions: Conditions, model: BackboneModel) -> dict[str, Any]:
    """What, beside length and index, determines a protein."""
    asked: dict[str, Any] = json.loads(json.dumps(conditions.describe()))
    settings = config.sampler.to_dict() | {"refine": config.refine}
    recipe = {"seed": config.seed, "checkpoint": model.checkpoint, "version": __version__, "settings": settings}
    return recipe | asked


def _made(item: Item, row: Mapping[str, Any] | None, recipe: Mapping[str, Any], form: str, out: Path) -> bool:
    """Whether a protein is there, whole and as it is wanted; what else has its name is left alone."""
    path = out / (f"{item.name}.{form}" if row is None else str(row["file"]))
    if not path.is_file():
        return False
    if row is None:  # a killed run leaves files that are in no manifest yet
        if not is_ours(path):
            raise ValueError(f"{path}: is there, and not from protgm sample; use another out= folder")
        return False
    if differences := _differences(dict(row) | {"format": path.suffix[1:]}, dict(recipe) | {"format": form}):
        raise ValueError(f"{out / MANIFEST}: {item.name} was made with {differences}; use another out= folder")
    if "sha256" in row and sha256(path) != row["sha256"]:
        raise ValueError(
            f"{path}: has changed since it was made (its checksum is not that of {MANIFEST}); move it away to have it "
            "made again, or use another out= folder"
        )
    return True


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is not now as it was before, in words; empty where everything is."""
    found = []
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            names = [name for name in {**old, **value} if old.get(name) != value.get(name)]
            found += [f"{name}={old.get(name)}, now {name}={value.get(name)}" for name in names]
        elif key == "conditions":
            found += _asked(old or [], value)
        elif old != value:
            found.append(f"{key}={old}, now {key}={value}")
    return "; ".join(found)


def _asked(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """Conditions that are not the same, in words."""

    def words(conditions: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
        own = [one for one in conditions if one not in others]
        return ", ".join(
            f"{one.get('condition')}({', '.join(f'{k}={v}' for k, v in one.items() if k != 'condition')})"
            for one in own
        )

    if before == now:
        return []
    return [f"{words(before, now) or 'fewer conditions'}, now {words(now, before) or 'without'}"]
