"""Several models of one structure in one PDB file: trajectories."""

from __future__ import annotations

import os
from collections.abc import Sequence

from protgm.checks import check_path, several
from protgm.files import atomic
from protgm.structure.backbone import Backbone
from protgm.structure.unpack import packed
from protgm.structure.write import format_pdb

__all__ = ["write_models"]


def write_models(frames: Sequence[Backbone], path: str | os.PathLike[str]) -> None:
    """Write a PDB file of one model a frame, compressed if ``path`` ends in .gz, .bz2 or .xz.

    Parameters
    ----------
    frames : sequence of Backbone
        Of the same residues.
    path : path-like
        Replaced as a whole when the new file is complete.

    Raises
    ------
    StructureError
        If one does not fit the format.
    OSError
        If the file cannot be written.
    """
    check_path("path", path)
    lines: list[str] = []
    for number, frame in enumerate(several("frames", frames, Backbone), 1):
        text = format_pdb(frame).splitlines()
        atoms = [line for line in text if line.startswith(("ATOM", "TER"))]
        if number == 1:
            lines += [line for line in text if not line.startswith(("ATOM", "TER", "END"))]
        lines += [f"MODEL {number:8d}", *atoms, "ENDMDL"]
    data = ("\n".join([*lines, "END   "]) + "\n").encode("ascii")
    with atomic(path) as temporary:
        temporary.write_bytes(packed(path, data))
