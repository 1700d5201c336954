"""Damaged files: a backbone or one clear line, whatever is in them, soon, and in little memory."""

import time
from collections import Counter

import numpy as np
import pytest

from protgm.structure import Backbone, StructureError, read_structure

try:
    import resource
except ImportError:  # not on Windows
    resource = None


def check(path):
    """Read a file that may be anything; returns what came of it."""
    start = time.perf_counter()
    try:
        backbone = read_structure(path)
    except StructureError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert message.isprintable(), "control characters and line ends must not reach a terminal"
        reason = message.removeprefix(str(path))
        assert 5 < len(reason) < 500
        outcome = "refused"
    else:
        assert isinstance(backbone, Backbone)
        assert len(backbone) > 0
        assert not np.isinf(backbone.coords).any()
        assert np.isfinite(backbone.coords[:, 1]).all()
        assert "".join((*backbone.chain_ids, *backbone.insertion_codes, backbone.sequence)).isprintable()
        assert str(backbone.metadata).isprintable()
        outcome = "read"
    assert time.perf_counter() - start < 5.0
    return outcome


def shorten(data: bytes) -> bytes:
    """The first lines of a text file and of its atoms: most of what is in the rest is more of the same."""
    start = max(data.find(b"\nATOM "), 0)
    if b"_atom_site." in data:
        return data[: start + 20_000]
    return data[: min(start, 8_000)] + data[start : start + 30_000]


def run(sources, mutator, number, folder, seed):
    outcomes = Counter()
    path = folder / "damaged"
    for index in range(number):
        rng = np.random.default_rng([seed, index])
        name, data = sources[index % len(sources)]
        kind, damaged = mutator(rng)(data)
        path.write_bytes(damaged)
        try:
            outcomes[check(path)] += 1
        except Exception as error:
            raise AssertionError(f"mutation {index} ({kind}) of {name}: {type(error).__name__}: {error}") from error
    return outcomes


def test_damaged_small_files(cases, mutator, tmp_path):
    coords = cases.helix(12)
    atoms = cases.atoms_of(coords, comps=["MSE", *["ALA"] * 11], hetero={0}) + cases.atoms_of(coords + 20, chain="B")
    atoms += [a.but(altloc="B", occupancy=0.5) for a in cases.atoms_of(coords[:2] + 40, chain="C")]
    sources = [
        ("pdb", cases.pdb_bytes(atoms, "HEADER    X\nREMARK 465     GLY A    -1\nSEQRES   1 A    1  GLY")),
        ("cif", cases.cif_bytes(atoms, "_entry.id 1ABC\n_exptl.method 'X-RAY'")),
        ("ragged cif", cases.cif_bytes(atoms, aligned=False)),
        ("bcif", cases.bcif_bytes(atoms)),
    ]
    outcomes = run(sources, mutator, 800, tmp_path, seed=1)
    # Neither everything nor nothing: the damage is of interest.
    assert outcomes["read"] > 80
    assert outcomes["refused"] > 80


def test_damaged_real_files(raw_files, mutator, tmp_path):
    small = sorted(raw_files, key=lambda file: file.stat().st_size)
    by_format = [
        file for ending in (".pdb", ".cif", ".bcif", ".bcif.gz") for file in small if file.name.endswith(ending)
    ]
    chosen = [*by_format[:4], *[f for f in by_format if ".cif" in f.name][:2], *by_format[-4:]]
    outcomes = run([(f.name, f.read_bytes()) for f in chosen], mutator, 120, tmp_path, seed=2)
    assert sum(outcomes.values()) == 120
    assert len(outcomes) == 2


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_real_files(raw_files, mutator, tmp_path):
    whole = [(f.name, f.read_bytes()) for f in raw_files]
    short = [(name, shorten(data)) if name.endswith((".pdb", ".cif")) else (name, data) for name, data in whole]
    outcomes = run([*whole, *short * 9], mutator, 10_000, tmp_path, seed=3)
    print(dict(outcomes))
    assert sum(outcomes.values()) == 10_000
    if resource is not None:
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{kilobytes / 1024:.0f} MB")
        assert kilobytes < 1024**2
