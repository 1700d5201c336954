"""Damaged files: a backbone or one clear line, whatever is in them, soon, and in little memory."""

from __future__ import annotations

import gzip
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from protgm.structure import Backbone, StructureError, read_structure
from protgm.structure.bcif import unpack

try:
    import resource
except ImportError:  # not on Windows
    resource = None


TOKENS = (
    b"NaN", b"nan", b"inf", b"-inf", b"1e308", b"-1e400", b"9" * 400, b"99999999999999999999", b"-2147483649", b"1_0",
    b"0x10", b"--5", b"", b".", b"?", b"'", b'"', b";", b"#", b"loop_", b"data_x", b"_atom_site.x", b"\x00", b"\x1b[2J",
    b"\xff\xfe", "\u0663".encode(), b"%s%n", b"ATOM", b"HETATM", b"MODEL", b"ENDMDL", b"TER",
)  # fmt: skip


LEAVES = (
    None, True, -1, 0, 1, 2**31, 2**63 - 1, -(2**63), 1e308, float("nan"), float("inf"), "", "\x1b[2J\n", "ByteArray",
    "RunLength", "StringArray", "IntegerPacking", b"", b"\xff" * 64, b"\x00" * 64, [], {}, [[]], "_atom_site",
)  # fmt: skip


class Mutator:
    """Damaged copies of a structure file; the same generator state gives the same copies."""

    def __init__(self, rng: np.random.Generator, pack: Callable[[Any], bytes]) -> None:
        self.rng, self.pack = rng, pack

    def __call__(self, data: bytes) -> tuple[str, bytes]:
        """The kind of damage and the damaged bytes; one to three kinds at once."""
        if data.startswith(b"\x1f\x8b"):
            if self.rng.random() < 0.3:
                return "gzip", self.flip(data) if self.rng.random() < 0.5 else self.truncate(data)
            data = gzip.decompress(data)
        kinds = [self.flip, self.truncate, self.number, self.repeat, self.control, self.whole]
        kinds += [self.document] * 6 if b"dataBlocks" in data[:200] else [self.swap, self.duplicate, self.lines]
        names = []
        for _ in range(int(self.rng.integers(1, 4))):
            kind = kinds[int(self.rng.integers(len(kinds)))]
            names.append(kind.__name__)
            data = kind(data)
        return "+".join(names), data

    def at(self, data) -> int:
        return int(self.rng.integers(len(data) + 1))

    def flip(self, data: bytes) -> bytes:
        array = np.frombuffer(data, dtype=np.uint8).copy()
        if len(array):
            where = self.rng.integers(len(array), size=int(self.rng.integers(1, 40)))
            array[where] = self.rng.integers(256, size=len(where))
        return array.tobytes()

    def truncate(self, data: bytes) -> bytes:
        return data[: self.at(data)]

    def number(self, data: bytes) -> bytes:
        """Some words of a text become something that is hard to read."""
        words = [m.span() for m in re.finditer(rb"[^\s\x00-\x1f]+", data[: 1 << 20])]
        if not words:
            return data
        for i in sorted({int(i) for i in self.rng.integers(len(words), size=int(self.rng.integers(1, 30)))})[::-1]:
            a, b = words[i]
            token = TOKENS[int(self.rng.integers(len(TOKENS)))]
            data = data[:a] + (token.rjust(b - a) if self.rng.random() < 0.5 else token) + data[b:]
        return data

    def repeat(self, data: bytes) -> bytes:
        a, b = sorted((self.at(data), self.at(data)))
        return data[:b] + data[a : min(b, a + 5000)] * int(self.rng.integers(1, 8)) + data[b:]

    def control(self, data: bytes) -> bytes:
        for _ in range(int(self.rng.integers(1, 10))):
            a = self.at(data)
            data = data[:a] + b"\x1b]0;x\x07\r\x08\x9b" + data[a:]
        return data

    def whole(self, data: bytes) -> bytes:
        """Something else altogether."""
        blob = self.rng.bytes(int(self.rng.integers(0, 4000)))
        others = (b"", b"\n" * 50, b" ", blob, b"\x1f\x8b" + blob, b"\x83" + blob, b"data_\n" + blob, data[::-1])
        return others[int(self.rng.integers(len(others)))]

    def swap(self, data: bytes) -> bytes:
        """Two stretches of columns change places, in some lines or in all."""
        lines = data.split(b"\n")
        a, b = sorted(self.rng.integers(0, 80, size=2).tolist())
        size = int(self.rng.integers(1, 12))
        share = self.rng.choice([0.001, 0.1, 1.0])
        for i in np.flatnonzero(self.rng.random(len(lines)) < share).tolist():
            row = lines[i]
            if b + size <= len(row) and a + size <= b:
                lines[i] = row[:a] + row[b : b + size] + row[a + size : b] + row[a : a + size] + row[b + size :]
        return b"\n".join(lines)

    def duplicate(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        a = self.at(lines)
        b = min(len(lines), a + int(self.rng.integers(1, 60)))
        to = self.at(lines)
        return b"\n".join([*lines[:to], *lines[a:b], *lines[to:]])

    def lines(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        if self.rng.random() < 0.3:
            order = self.rng.permutation(len(lines)).tolist()
            return b"\n".join(lines[i] for i in order)
        keep = self.rng.random(len(lines)) > self.rng.choice([0.001, 0.05, 0.5])
        return b"\n".join(line for line, kept in zip(lines, keep.tolist(), strict=True) if kept)

    def document(self, data: bytes) -> bytes:
        """A BinaryCIF document with some of its values replaced, in sound MessagePack."""
        try:
            document = unpack(data)
        except ValueError:
            return data
        for _ in range(int(self.rng.integers(1, 6))):
            node, name = document, ""
            while isinstance(node, dict | list) and len(node):
                parent = node
                keys = list(node) if isinstance(node, dict) else list(range(len(node)))
                # Rather where the atoms are than anywhere.
                wanted = [k for k in keys if isinstance(node[k], dict) and node[k].get("name") == "_atom_site"]
                name = wanted[0] if wanted and self.rng.random() < 0.9 else keys[int(self.rng.integers(len(keys)))]
                node = parent[name]
                if self.rng.random() < 0.05:
                    break
            if isinstance(document, dict) and document:
                parent[name] = LEAVES[int(self.rng.integers(len(LEAVES)))]
        try:
            return self.pack(document)
        except RecursionError:  # msgpack reads deeper ones than this can write
            return data


@pytest.fixture(scope="session")
def mutator(cases) -> Callable[[np.random.Generator], Mutator]:
    return partial(Mutator, pack=cases.pack)


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
