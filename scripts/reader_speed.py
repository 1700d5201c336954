"""Structures per second of processor time: the readers of this package beside gemmi's and Biopython's.

    python scripts/reader_speed.py folder=structures repeats=5

For each file of a folder: to a backbone with this package; to gemmi's structure, and to the arrays that a backbone
needs; to Biopython's structure; and all of `protgm prepare`'s work on a file. One thread, the files' bytes in the page
cache; the fastest of the repeats counts.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
from _options import options
from Bio.PDB import MMCIFParser, PDBParser

from protgm.data import Filters
from protgm.data.extract import Extractor, Task
from protgm.data.tree import SourceFile
from protgm.structure import read_structure

ATOMS = ("N", "CA", "C", "O")


def with_gemmi(path: Path) -> int:
    """Residues with their four atoms, one by one, as a backbone needs them."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    rows = []
    for chain in structure[0]:
        for residue in chain.get_polymer():
            found = (residue.find_atom(name, "*") for name in ATOMS)
            rows.append([atom.pos.tolist() if atom else (np.nan,) * 3 for atom in found])
    return len(np.array(rows))


def with_biopython(path: Path) -> int:
    """Biopython's structure alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = (MMCIFParser if path.suffix == ".cif" else PDBParser)(QUIET=True)
        return len(list(parser.get_structure("x", str(path)).get_residues()))


def seconds(job: Callable[[Path], object], path: Path, repeats: int) -> float:
    """Of processor time, at best."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        job(path)
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Print a table."""
    settings = options(sys.argv[1:], {"folder": "", "repeats": "5"}, needed=["folder"], words=__doc__)
    repeats = int(settings["repeats"])
    extractor = Extractor(settings["folder"], Filters())
    readers = {
        "protgm, read": read_structure,
        "protgm, prepared": lambda path: extractor([Task(SourceFile(path.name, 0, 0))]),
        "gemmi, parsed": lambda path: gemmi.read_structure(str(path)),
        "gemmi, as arrays": with_gemmi,
        "Biopython, parsed": with_biopython,
    }
    print(f"{'files':22s} {'kB':>6s} " + " ".join(f"{name:>18s}" for name in readers))
    for ending in (".cif", ".pdb", ".bcif", ".bcif.gz"):
        paths = [path for path in sorted(Path(settings["folder"]).iterdir()) if path.name.endswith(ending)]
        if not paths:
            continue
        rates = []
        for name, reader in readers.items():
            if "bcif" in ending and not name.startswith("protgm"):
                rates.append(f"{'-':>18s}")
                continue
            total = sum(seconds(reader, path, repeats) for path in paths)
            rates.append(f"{len(paths) / total:16.1f}/s")
        size = sum(path.stat().st_size for path in paths) / len(paths) / 1e3
        print(f"{len(paths):4d} {ending:17s} {size:6.0f} " + " ".join(rates))


if __name__ == "__main__":
    main()
