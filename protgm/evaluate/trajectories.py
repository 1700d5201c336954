"""Trajectories for the report: ``trajectories/NAME.pdb`` (or .cif, also .gz) beside a sample, one model a frame."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.metrics.secondary import assign_frames
from protgm.structure import StructureError, read_structure

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["FOLDER", "read_frames", "read_trajectories"]

#: Subfolder of a folder of samples that is looked into.
FOLDER = "trajectories"

_MOST_FRAMES = 60
_MOST_BYTES = 30_000_000  # of packed coordinates in one report
_ENDINGS = (".pdb", ".pdb.gz", ".cif", ".cif.gz")


def read_frames(path: Path) -> NDArray[np.float32]:
    """Coordinates of all models of a structure file, shape (T, L, 4, 3), Angstrom.

    Raises
    ------
    StructureError
        If the file cannot be read.
    ValueError
        If its models differ in length.
    """
    frames = [read_structure(path).coords]
    while True:
        try:
            frame = read_structure(path, model=len(frames)).coords
        except StructureError:
            break  # the last model
        if frame.shape != frames[0].shape:
            raise ValueError(f"{path}: model {len(frames) + 1} has {len(frame)} residues, the first {len(frames[0])}")
        frames.append(frame)
    return np.stack(frames)


def read_trajectories(folder: Path, backbones: Sequence[Backbone]) -> dict[str, dict[str, Any]]:
    """Trajectories of the samples in ``folder``, packed for the viewer: hundredths of an Angstrom, centred.

    At most 60 frames each, evenly chosen, the last one included; what does not fit a report, or does not fit its
    sample, is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    total = 0
    if not (folder / FOLDER).is_dir():
        return found
    for backbone in backbones:
        path = next((p for e in _ENDINGS if (p := folder / FOLDER / (backbone.name + e)).is_file()), None)
        if path is None:
            continue
        try:
            frames = read_frames(path)
        except ValueError:
            continue
        if frames.shape[1:] != backbone.coords.shape or len(frames) < 2 or not np.isfinite(frames).all():
            continue
        if len(frames) > _MOST_FRAMES:
            frames = frames[np.unique(np.linspace(0, len(frames) - 1, _MOST_FRAMES).round().astype(int))]
        frames = frames - frames[:, :, 1].mean(axis=1)[:, None, None]
        packed = np.rint(frames * 100).clip(-32_000, 32_000).astype("<i2")  # noise beyond 320 A is cut
        total += packed.nbytes
        if total > _MOST_BYTES:
            break
        coords = base64.b64encode(packed.tobytes()).decode("ascii")
        found[backbone.name] = {
            "frames": len(frames),
            "coords": coords,
            # Every frame is shown where the sample is.
            "centre": backbone.coords[:, 1].mean(axis=0).astype(float).round(3).tolist(),
            "states": list(assign_frames(frames)),
        }
    return found
