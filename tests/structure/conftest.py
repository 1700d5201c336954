"""Atoms and the three file formats they can be written in, by the simplest code that does it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from protgm.structure import read_structure

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


@pytest.fixture
def read(tmp_path):
    def write(text, name="x.pdb"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_structure(path)

    return write


@pytest.fixture
def pdb(cases, read):
    """Read groups of atoms as PDB records; ``ends`` stand behind the groups, ``change`` is made to the text."""

    def make(*groups, ends=("",), header="", change=lambda text: text):
        parts = [cases.pdb_bytes(group).decode().removesuffix("END\n") for group in groups]
        ends = list(ends) * len(parts) if len(ends) == 1 else [*ends, ""]
        text = header + "".join(part + end for part, end in zip(parts, ends, strict=True)) + "END\n"
        return read(change(text))

    return make


# Chains and numbers
