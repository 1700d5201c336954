"""Atoms and the three file formats they can be written in, by the simplest code that does it."""

from __future__ import annotations

import gzip
import math
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from protgm.structure.bcif import unpack

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
EXAMPLES = Path(__file__).resolve().parents[2] / "data" / "examples"
NAMES = ("N", "CA", "C", "O")


@dataclass(frozen=True)
class Atom:
    """One row of a structure file; ``label`` is the label_seq_id of mmCIF, None outside polymers."""

    name: str
    comp: str
    chain: str
    number: int
    xyz: tuple[float, float, float]
    altloc: str = ""
    code: str = ""
    occupancy: float = 1.0
    model: int = 1
    hetero: bool = False
    label: int | None = -1
    element: str = ""

    def but(self, **changes) -> Atom:
        return replace(self, **changes)


def place(a, b, c, bond, angle, torsion):
    """The point at ``bond`` from c, ``angle`` (degrees) b-c-d and ``torsion`` (degrees) a-b-c-d (NeRF)."""
    angle, torsion = math.radians(angle), math.radians(torsion)
    axis = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, axis)
    normal /= np.linalg.norm(normal)
    third = np.cross(normal, axis)
    return c + bond * (
        -math.cos(angle) * axis
        + math.sin(angle) * math.cos(torsion) * third
        + math.sin(angle) * math.sin(torsion) * normal
    )


def chain_coords(torsions) -> np.ndarray:
    """N, CA, C, O (L, 4, 3) of a chain with (phi, psi, omega) in degrees per residue; omega is behind the residue."""
    n, ca = np.zeros(3), np.array([1.458, 0.0, 0.0])
    c = place(np.array([0.0, 1.0, 0.0]), n, ca, 1.525, 111.0, torsions[0][0])
    rows = []
    for i, (_, psi, omega) in enumerate(torsions):
        rows.append([n, ca, c, place(n, ca, c, 1.231, 120.8, psi + 180.0)])
        if i + 1 < len(torsions):
            following = place(n, ca, c, 1.329, 116.2, psi)
            ca_next = place(ca, c, following, 1.458, 121.7, omega)
            c = place(c, following, ca_next, 1.525, 111.0, torsions[i + 1][0])
            n, ca = following, ca_next
    return np.array(rows)


def atoms_of(coords, *, comps=None, chain="A", first=1, model=1, hetero=()) -> list[Atom]:
    """Rows of a chain; residues whose index is in ``hetero`` are HETATM."""
    rows = []
    for i, residue in enumerate(coords):
        comp = "ALA" if comps is None else comps[i]
        rows += [
            Atom(
                name, comp, chain, first + i, tuple(float(v) for v in xyz), model=model, hetero=i in hetero, label=i + 1
            )
            for name, xyz in zip(NAMES, residue, strict=True)
        ]
    return rows


def pdb_line(atom: Atom, serial: int) -> str:
    name = atom.name if len(atom.element) == 2 else f" {atom.name}"
    return (
        f"{'HETATM' if atom.hetero else 'ATOM  '}{serial:5d} {name:<4s}{atom.altloc or ' '}{atom.comp:>3s} "
        f"{atom.chain or ' '}{atom.number:4d}{atom.code or ' '}   "
        f"{atom.xyz[0]:8.3f}{atom.xyz[1]:8.3f}{atom.xyz[2]:8.3f}"
        f"{atom.occupancy:6.2f}{10.0:6.2f}          {atom.element or atom.name[0]:>2s}"
    )


def pdb_bytes(atoms: list[Atom], header: str = "") -> bytes:
    models = list(dict.fromkeys(atom.model for atom in atoms))
    lines = header.splitlines()
    for model in models:
        if len(models) > 1:
            lines.append(f"MODEL     {model:4d}")
        lines += [pdb_line(atom, i) for i, atom in enumerate(atoms, 1) if atom.model == model]
        if len(models) > 1:
            lines.append("ENDMDL")
    return "\n".join([*lines, "END", ""]).encode()


def _label(atom: Atom) -> int | None:
    return atom.number if atom.label == -1 else atom.label


def cif_rows(atoms: list[Atom]) -> tuple[list[str], list[list[str]]]:
    columns = [
        "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
        "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy",
        "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num",
    ]  # fmt: skip
    rows = []
    for i, atom in enumerate(atoms, 1):
        label = _label(atom)
        values = [
            "HETATM" if atom.hetero else "ATOM", i, atom.element or atom.name[0], atom.name, atom.altloc or ".",
            atom.comp, "Z" + (atom.chain or "blank"), 1, "." if label is None else label, atom.code or "?",
            *(f"{v:.3f}" for v in atom.xyz), f"{atom.occupancy:.2f}", atom.number, atom.chain or "' '", atom.model,
        ]  # fmt: skip
        rows.append([str(value) for value in values])
    return columns, rows


def cif_bytes(atoms: list[Atom], header: str = "", aligned: bool = True) -> bytes:
    columns, rows = cif_rows(atoms)
    widths = [max(len(row[i]) for row in rows) if aligned else 0 for i in range(len(columns))]
    lines = ["data_TEST", "#", *header.splitlines(), "loop_", *(f"_atom_site.{c}" for c in columns)]
    lines += [" ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "#", ""]).encode()


def pack(value) -> bytes:
    """MessagePack of what a test needs."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return struct.pack(">B", value)
        return b"\xcf" + struct.pack(">Q", value) if value >= 2**63 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return (bytes([0xA0 | len(raw)]) if len(raw) < 32 else b"\xdb" + struct.pack(">I", len(raw))) + raw
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list | tuple):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(pack(v) for v in value)
    head = bytes([0x80 | len(value)]) if len(value) < 16 else b"\xdf" + struct.pack(">I", len(value))
    return head + b"".join(pack(k) + pack(v) for k, v in value.items())


def byte_array(values, kind: int) -> dict:
    dtype = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}[kind]
    return {"data": np.asarray(values, dtype=dtype).tobytes(), "encoding": [{"kind": "ByteArray", "type": kind}]}


def string_array(values: list[str]) -> dict:
    strings = list(dict.fromkeys(values))
    offsets = byte_array(np.cumsum([0] + [len(s) for s in strings]), 3)
    indices = byte_array([strings.index(v) for v in values], 3)
    encoding = {
        "kind": "StringArray", "dataEncoding": indices["encoding"], "stringData": "".join(strings),
        "offsetEncoding": offsets["encoding"], "offsets": offsets["data"],
    }  # fmt: skip
    return {"data": indices["data"], "encoding": [encoding]}


def bcif_document(atoms: list[Atom], extra: list[dict] | None = None) -> dict:
    columns, rows = cif_rows(atoms)
    encoded = []
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        mask = byte_array([1 if v == "." else 2 if v == "?" else 0 for v in values], 4)
        if name in ("Cartn_x", "Cartn_y", "Cartn_z", "occupancy"):
            data = byte_array([float(v) for v in values], 33)
        elif name in ("label_seq_id", "auth_seq_id", "pdbx_PDB_model_num"):
            data = byte_array([int(v) if v != "." else 0 for v in values], 3)
        else:
            data = string_array([v.strip("'") for v in values])
        encoded.append({"name": name, "data": data, "mask": mask if any(v in ".?" for v in values) else None})
    atom_site = {"name": "_atom_site", "rowCount": len(rows), "columns": encoded}
    block = {"header": "TEST", "categories": [*(extra or []), atom_site]}
    return {"version": "0.3.0", "encoder": "test", "dataBlocks": [block]}


def bcif_bytes(atoms: list[Atom], header: str = "") -> bytes:
    return pack(bcif_document(atoms))


WRITERS = {
    "pdb": pdb_bytes,
    "cif": cif_bytes,
    "cif-ragged": lambda atoms, header="": cif_bytes(atoms, header, aligned=False),
    "bcif": bcif_bytes,
}


class Cases:
    """What the tests here share; test modules cannot import each other."""

    Atom = Atom
    atoms_of = staticmethod(atoms_of)
    bcif_bytes = staticmethod(bcif_bytes)
    bcif_document = staticmethod(bcif_document)
    byte_array = staticmethod(byte_array)
    chain_coords = staticmethod(chain_coords)
    cif_bytes = staticmethod(cif_bytes)
    pack = staticmethod(pack)
    pdb_bytes = staticmethod(pdb_bytes)
    string_array = staticmethod(string_array)

    @staticmethod
    def helix(length: int = 6) -> np.ndarray:
        """Coordinates of a helix, rounded as files round them."""
        return chain_coords([(-63.0, -42.0, 180.0)] * length).round(3)


@pytest.fixture(scope="session")
def cases() -> type[Cases]:
    return Cases


@pytest.fixture(params=sorted(WRITERS))
def save(request, tmp_path):
    """Write atoms in one of the formats; gives the path."""

    def write(atoms, header: str = ""):
        path = tmp_path / f"case.{request.param.split('-')[0]}"
        path.write_bytes(WRITERS[request.param](atoms, header))
        return path

    write.format = request.param.split("-")[0]
    return write


@pytest.fixture(scope="session")
def raw_files() -> list[Path]:
    """Structure files as users have them."""
    files = sorted((SHARED / "raw").glob("*"))
    if not files:
        pytest.skip("no native structures beside this checkout")
    return files


@pytest.fixture(scope="session")
def odd_files() -> Path:
    """Folder of files with one oddity each, and what a reader should find in them."""
    folder = SHARED / "odd"
    if not folder.is_dir():
        pytest.skip("no odd structures beside this checkout")
    return folder


@pytest.fixture(scope="session")
def native_files() -> list[Path]:
    """Native chains: a sample of some fifty, or the examples of this repository."""
    files = sorted((SHARED / "pdb").glob("*/*.pdb.gz"))[11::100] or sorted(EXAMPLES.glob("*.pdb.gz"))
    if not files:
        pytest.skip("no native structures")
    return files


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

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

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
            return pack(document)
        except RecursionError:  # msgpack reads deeper ones than this can write
            return data


@pytest.fixture(scope="session")
def mutator() -> type[Mutator]:
    return Mutator
