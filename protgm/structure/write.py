"""Backbones to PDB and mmCIF files, each complete or not there at all."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping

import numpy as np

from protgm.checks import check_kind, check_path
from protgm.files import atomic
from protgm.structure.assemble import LEFT_OUT
from protgm.structure.atoms import B_FACTORS, CONFIDENCE, MAX_COORDINATE
from protgm.structure.backbone import ATOM_NAMES, Backbone
from protgm.structure.errors import StructureError, malformed
from protgm.structure.residues import THREE_LETTER
from protgm.structure.source import CIF_ENDINGS, PDB_ENDINGS, is_structure_file, unpacked_name
from protgm.structure.unpack import packed
from protgm.text import printable

__all__ = ["format_cif", "format_pdb", "is_ours", "write_cif", "write_pdb"]

#: What the reader puts into ``metadata`` that has its own record, or speaks of the file that was read.
_NOT_PROVENANCE = frozenset(
    {
        *LEFT_OUT,
        B_FACTORS,
        "d_amino_acids",
        "entry",
        "format",
        "method",
        "missing_residues",
        "renamed_chains",
        "renumbered_chains",
        "resolution",
        "seqres",
    }
)
_PDB_ATOMS, _CIF_BARE = 99_999, re.compile(r"[A-Za-z0-9+\-*/.,:()|@<>=%!&^~][^\s'\"]*\Z")
_CIF_RESERVED = re.compile(r"(data_|loop_|save_|stop_|global_|[.?]\Z)", re.IGNORECASE)


def write_pdb(backbone: Backbone, path: str | os.PathLike[str], *, remarks: Mapping[str, object] | None = None) -> None:
    """Write a PDB file (version 3.3); compressed if ``path`` ends in .gz, .bz2 or .xz.

    Parameters
    ----------
    backbone : Backbone
        Missing (NaN) atoms are left out. B factors are 100 times ``confidence``, 0 without one. Every other entry of
        ``metadata`` becomes remark 6 (``PROTGM key: value``), ``method`` EXPDTA and ``resolution`` remark 2.
    path : path-like
        Replaced as a whole when the new file is complete.
    remarks : mapping, optional
        Further remarks; they win over ``metadata`` where both have a key.

    Raises
    ------
    StructureError
        If the backbone does not fit the format, which mmCIF would hold: more than 99,999 atom and TER records, chain
        ids or insertion codes of several letters, residue numbers outside -999..9999, coordinates outside
        -999.999..9999.999 A. If a coordinate is infinite or a residue number is there twice in a chain.
    OSError
        If the file cannot be written.
    """
    _arguments(backbone, path, "PDB", PDB_ENDINGS)
    _write(path, format_pdb(backbone, remarks=remarks, source=os.fspath(path)))


def write_cif(backbone: Backbone, path: str | os.PathLike[str], *, remarks: Mapping[str, object] | None = None) -> None:
    """Write an mmCIF file; compressed if ``path`` ends in .gz, .bz2 or .xz.

    As `write_pdb`, without its limits. ``metadata`` and ``remarks`` become the category ``_protgm_provenance``.

    Raises
    ------
    StructureError
        If a chain id or insertion code has characters that no file can hold, a coordinate is beyond 100,000 A or a
        residue number is there twice in a chain.
    OSError
        If the file cannot be written.
    """
    _arguments(backbone, path, "mmCIF", CIF_ENDINGS)
    _write(path, format_cif(backbone, remarks=remarks, source=os.fspath(path)))


def _arguments(backbone: Backbone, path: str | os.PathLike[str], form: str, endings: tuple[str, ...]) -> None:
    check_kind("backbone", backbone, Backbone)
    check_path("path", path)
    name = os.fspath(path)
    if os.path.isdir(name):
        raise ValueError(f"{name}: is a folder; the name of a file is wanted")
    if is_structure_file(name) and not unpacked_name(name).lower().endswith(endings):
        raise ValueError(
            f"{name}: is not what a file of {form} is called; end it in {endings[0]}, or write the other format"
        )


def _write(path: str | os.PathLike[str], text: str) -> None:
    data = packed(path, text.encode("ascii"))
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        # The message should name the file that was asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as those do that are written here with provenance."""
    opener = gzip.open if os.fspath(path).lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            return b"PROTGM " in (start := file.read(20_000)) or b"_protgm_provenance." in start
    except (OSError, EOFError):
        return False


def _ascii(value: object, limit: int = 100_000) -> str:
    """One line of printable ASCII: strings as they are, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return printable(text, limit=limit).encode("ascii", "backslashreplace").decode("ascii")


def _provenance(backbone: Backbone, remarks: Mapping[str, object] | None) -> dict[str, str]:
    entries = {key: value for key, value in backbone.metadata.items() if key not in _NOT_PROVENANCE}
    if backbone.confidence is not None:
        # So that the reader knows what the B factors are.
        entries[B_FACTORS] = CONFIDENCE
    return {_ascii(key, 60): _ascii(value) for key, value in (entries | dict(remarks or {})).items()}


def _check(backbone: Backbone, source: str) -> None:
    """Refuse what no format can hold, or what would not come back as it is."""
    for what, values in (("chain id", backbone.chain_ids), ("insertion code", backbone.insertion_codes)):
        for value in dict.fromkeys(values):
            if not (value.isascii() and value.isprintable()) or value != value.strip():
                raise malformed(source, f"{what} {printable(value)!r} must be printable ASCII without spaces around it")
    seen = set()
    for site in zip(backbone.chain_ids, backbone.residue_numbers.tolist(), backbone.insertion_codes, strict=True):
        if site in seen:
            chain, number, code = site
            raise malformed(source, f"residue {number}{code} of chain {chain!r} is there twice; number it anew")
        seen.add(site)
    # NaN is a missing atom; anything else must be a place.
    far = (np.abs(backbone.coords) >= MAX_COORDINATE).any(axis=(1, 2))
    if far.any():
        number = backbone.residue_numbers[int(far.argmax())]
        raise malformed(source, f"residue {number} has a coordinate beyond {MAX_COORDINATE:,.0f} A")


def _atoms(backbone: Backbone) -> Iterator[tuple[int, int, float, float, float, float]]:
    """Residue, atom, x, y, z and B factor of every atom that is there."""
    confidence = backbone.confidence
    for residue, atoms in enumerate(backbone.coords.astype(float).tolist()):
        b_factor = 0.0 if confidence is None else 100.0 * float(confidence[residue])
        if not math.isfinite(b_factor):
            b_factor = 0.0
        for atom, (x, y, z) in enumerate(atoms):
            if math.isfinite(x) and math.isfinite(y) and math.isfinite(z):
                yield residue, atom, x, y, z, b_factor


def _remark(number: int, text: str) -> list[str]:
    """A remark of as many lines of at most 80 columns as it takes."""
    lines = textwrap.wrap(text, width=68, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return [f"REMARK {number:3d} {line}" for line in lines]


def format_pdb(backbone: Backbone, *, remarks: Mapping[str, object] | None = None, source: str | None = None) -> str:
    """The text of a PDB file; see `write_pdb`. ``source`` is what errors call it."""
    source = source or backbone.name

    def too_much(reason: str) -> StructureError:
        return malformed(source, f"{reason}; the PDB format cannot hold that: write .cif instead")

    _check(backbone, source)
    metadata = backbone.metadata
    lines = [f"HEADER    PROTEIN BACKBONE{'':36s}{_ascii(metadata.get('entry', ''), 4):4s}".rstrip()]
    if title := _ascii(backbone.name, 60):
        lines.append(f"TITLE     {title}")
    if method := _ascii(metadata.get("method", ""), 60):
        lines.append(f"EXPDTA    {method}")
    resolution = metadata.get("resolution")
    if isinstance(resolution, int | float):
        lines += ["REMARK   2", f"REMARK   2 RESOLUTION. {resolution:7.2f} ANGSTROMS."]
    for key, value in _provenance(backbone, remarks).items():
        lines += _remark(6, f"PROTGM {key}: {value}")
    serial = 0
    last = None
    chains, codes, numbers = backbone.chain_ids, backbone.insertion_codes, backbone.residue_numbers.tolist()
    for value, length in (
        (max(chains, key=len, default=""), "chain id"),
        (max(codes, key=len, default=""), "insertion code"),
    ):
        if len(value) > 1:
            raise too_much(f"{length} {value!r} has {len(value)} letters")

    def residue_columns(i: int) -> str:
        if not -999 <= numbers[i] <= 9999:
            raise too_much(f"residue number {numbers[i]} is outside -999..9999")
        return f"{THREE_LETTER.get(backbone.sequence[i], 'UNK')} {chains[i] or ' '}{numbers[i]:4d}{codes[i] or ' '}"

    def end_chain(i: int) -> str:
        return f"TER   {serial:5d}      {residue_columns(i)}"

    for residue, atom, x, y, z, b_factor in _atoms(backbone):
        if last is not None and chains[residue] != chains[last]:
            serial += 1
            lines.append(end_chain(last))
        serial += 1
        # One is kept for the TER record that follows.
        if serial >= _PDB_ATOMS:
            raise too_much(f"more than {_PDB_ATOMS:,} records")
        if not (min(x, y, z) > -999.9995 and max(x, y, z) < 9999.9995):
            raise too_much(f"coordinates ({x:.3f}, {y:.3f}, {z:.3f}) of residue {numbers[residue]}")
        name = ATOM_NAMES[atom]
        lines.append(
            f"ATOM  {serial:5d}  {name:<3s} {residue_columns(residue)}   {x:8.3f}{y:8.3f}{z:8.3f}"
            f"{1.0:6.2f}{min(b_factor, 999.99):6.2f}{'':10s}{name[0]:>2s}"
        )
        last = residue
    if last is not None:
        serial += 1
        lines.append(end_chain(last))
    # Six columns: Biopython warns of a shorter record.
    lines.append("END   ")
    return "\n".join(lines) + "\n"


def _cif_value(text: str) -> str:
    """``text`` (one line of ASCII) as a CIF value; a long one is folded at blanks."""
    if len(text) < 200:
        if _CIF_BARE.match(text) and not _CIF_RESERVED.match(text):
            return text
        for quote in "'\"":
            if f"{quote} " not in text and f"{quote}\t" not in text:
                return f"{quote}{text}{quote}"
    lines = textwrap.wrap(text, width=1000, break_on_hyphens=False)
    return "\n;" + "\n".join(" " + line if line.startswith(";") else line for line in lines) + "\n;\n"


def format_cif(backbone: Backbone, *, remarks: Mapping[str, object] | None = None, source: str | None = None) -> str:
    """The text of an mmCIF file; see `write_cif`. ``source`` is what errors call it."""
    _check(backbone, source or backbone.name)
    metadata = backbone.metadata
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", backbone.name)[:60] or "backbone"
    out = [f"data_{name}", "#", f"_entry.id {_cif_value(_ascii(metadata.get('entry', '') or name, 60))}", "#"]
    if method := _ascii(metadata.get("method", "")):
        out += [f"_exptl.method {_cif_value(method)}", "#"]
    resolution = metadata.get("resolution")
    if isinstance(resolution, int | float):
        out += [f"_refine.ls_d_res_high {resolution:g}", "#"]
    if provenance := _provenance(backbone, remarks):
        out += ["loop_", "_protgm_provenance.key", "_protgm_provenance.value"]
        out += [f"{_cif_value(key)} {_cif_value(value)}" for key, value in provenance.items()]
        out.append("#")
    chains = list(dict.fromkeys(backbone.chain_ids))
    # Every chain is an entity of its own: whether two are alike is not for a writer to say.
    entity = {chain: number for number, chain in enumerate(chains, 1)}
    out += ["loop_", "_entity.id", "_entity.type", *(f"{number} polymer" for number in entity.values()), "#", "loop_"]
    out += [
        f"_atom_site.{column}"
        for column in (
            "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
            "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy",
            "B_iso_or_equiv", "auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id", "pdbx_PDB_model_num",
        )
    ]  # fmt: skip
    # A chain without a name: label ids may not be blank, author ids are a quoted blank.
    labels = {chain: chain or next(c for c in ("A", "B", "_") if c not in chains) for chain in chains}
    position: dict[str, int] = dict.fromkeys(chains, 0)
    sequence_ids = []
    for chain in backbone.chain_ids:
        position[chain] += 1
        sequence_ids.append(position[chain])
    columns = [
        (
            THREE_LETTER.get(letter, "UNK"),
            f"{_cif_value(labels[chain])} {entity[chain]} {number}",
            _cif_value(code) if code else "?",
            "' '" if not chain else _cif_value(chain),
        )
        for letter, chain, number, code in zip(
            backbone.sequence, backbone.chain_ids, sequence_ids, backbone.insertion_codes, strict=True
        )
    ]
    numbers = backbone.residue_numbers.tolist()
    for serial, (residue, atom, x, y, z, b_factor) in enumerate(_atoms(backbone), 1):
        comp, label, code, chain = columns[residue]
        atom_name = ATOM_NAMES[atom]
        out.append(
            f"ATOM {serial} {atom_name[0]} {atom_name} . {comp} {label} {code} {x:.3f} {y:.3f} {z:.3f} 1.00 "
            f"{b_factor:.2f} {numbers[residue]} {comp} {chain} {atom_name} 1"
        )
    out.append("#")
    return "\n".join(out) + "\n"
