"""Sequences for what ``protgm sample`` has just made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protgm.data.folder import with_confidence
from protgm.design.backbones import design_backbones
from protgm.design.base import settings_of
from protgm.design.kept import kept_in
from protgm.design.run import DESIGNS, made_of
from protgm.design.write import check_targets, write_designs
from protgm.files import read_json, remove_temporary
from protgm.lock import locked
from protgm.made import write_list
from protgm.progress import Stages
from protgm.structure import read_structure

if TYPE_CHECKING:
    from protgm.design.base import Designer

__all__ = ["design_samples"]

#: Subfolder of the samples that the designs are written to.
FOLDER = "designs"


def design_samples(
    folder: Path, files: Sequence[str], *, num_seqs: int, seed: int, designer: Designer, progress: bool = True
) -> Path:
    """Design sequences for structure files that have none yet.

    Which have is known by their contents and the settings, not by their names.

    Parameters
    ----------
    folder : Path
        Folder of the samples.
    files : sequence of str
        Names in it.
    num_seqs : int
        Sequences per backbone.
    seed : int
    designer : Designer
    progress : bool
        Show progress.

    Returns
    -------
    Path
        ``folder/designs``, with NAME.fasta and NAME.pdb (the backbone with its best sequence) of each.

    Raises
    ------
    ValueError
        If one of them cannot be read or written.
    """
    out = folder / FOLDER
    settings = {**settings_of(designer), "seed": seed}
    made = _noted(out).get("made", {})
    wanted = {Path(file).stem: made_of(folder / file, settings, num_seqs) for file in files}
    todo = [folder / file for file in files if not _designed(out, Path(file).stem, made, wanted)]
    if todo:
        backbones = [with_confidence(read_structure(path)) for path in todo]
        check_targets(out, [backbone.name for backbone in backbones], todo)
        with Stages(enabled=progress) as stage:
            found = design_backbones(
                backbones, num_seqs=num_seqs, seed=seed, designer=designer, kept=kept_in(folder), stage=stage
            )
        made_now = {b.name: wanted[b.name] for b, one in zip(backbones, found, strict=True) if one}
        # Parts of one request may end here at once, each with structures of its own.
        with locked(out, "protgm sample", wait=True):
            remove_temporary(out, keep=lambda name: name.split(".", 1)[0] not in made_now)
            noted = _noted(out)
            made = {name: of for name, of in noted.get("made", {}).items() if name not in made_now}
            rest = {key: value for key, value in noted.items() if key not in ("protgm", "files", "made", "directory")}
            # Named before they are there: what is left of a call that is killed is known, and made anew.
            planned = {f"{name}{ending}" for name in made_now for ending in (".fasta", ".pdb")}
            listed = planned.union(map(str, noted.get("files", [])))
            write_list(out / DESIGNS, listed, **rest, directory="..", made=made)
            written, failed = write_designs(out, backbones, found)
            write_list(out / DESIGNS, listed.union(written), **rest, directory="..", made=made | made_now)
        if failed:
            raise ValueError(failed[0][1])
    return out


def _noted(out: Path) -> dict[str, Any]:
    """What is known of the designs in a folder."""
    try:
        noted = read_json(out / DESIGNS)
    except FileNotFoundError:
        return {}
    return noted if isinstance(noted.get("made", {}), dict) and isinstance(noted.get("files", []), list) else {}


def _designed(out: Path, name: str, made: dict[str, Any], wanted: dict[str, dict[str, Any]]) -> bool:
    """Whether there are as many sequences of the same structure, with the same settings."""
    before, now = made.get(name), wanted[name]
    if not isinstance(before, dict) or not (out / f"{name}.fasta").is_file():
        return False
    same = {**before, "num_seqs": 0} == {**now, "num_seqs": 0}
    return same and int(before.get("num_seqs", 0)) >= now["num_seqs"]
