"""What is written must come back: through Biopython, gemmi and the reader here."""

import gzip
import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from Bio.PDB import MMCIFParser, PDBParser
from Bio.PDB.MMCIF2Dict import MMCIF2Dict

from protgm.structure import Backbone, StructureError, read_structure, write_cif, write_pdb
from protgm.structure.residues import THREE_LETTER

WRITERS = {"pdb": write_pdb, "cif": write_cif}
PARSERS = {"pdb": PDBParser, "cif": MMCIFParser}


@pytest.fixture(params=["pdb", "cif"])
def kind(request):
    return request.param


@pytest.fixture
def awkward(cases):
    """Two chains, numbers below zero, an insertion, gaps, unknown residues, missing atoms, confidence."""
    coords = cases.chain_coords([(-63.0, -42.0, 180.0)] * 6 + [(-120.0, 130.0, 178.0)] * 4).astype(np.float32)
    coords[6:] += 30.0
    coords[2, 3] = np.nan
    coords[7, 0] = np.nan
    return Backbone(
        coords=coords,
        sequence="MKXACDWYGP",
        chain_ids=("A",) * 6 + ("b",) * 4,
        residue_numbers=np.array([-5, -4, 0, 1, 1, 900, 1, 2, 3, 4]),
        insertion_codes=("",) * 4 + ("A",) + ("",) * 5,
        name="awkward one",
        metadata={"seed": 7, "checkpoint": "sha256:abc", "settings": {"steps": 100, "generator": "flow"}},
        confidence=np.linspace(0, 1, 10, dtype=np.float32),
    )


def same(a, b):
    assert a.sequence == b.sequence
    assert a.chain_ids == b.chain_ids
    assert a.insertion_codes == b.insertion_codes
    assert a.residue_numbers.tolist() == b.residue_numbers.tolist()
    np.testing.assert_allclose(a.coords, b.coords, atol=6e-4, rtol=0)


@pytest.mark.parametrize("packed", [False, True])
def test_comes_back_through_the_reader(awkward, kind, packed, tmp_path):
    path = tmp_path / f"x.{kind}{'.gz' if packed else ''}"
    WRITERS[kind](awkward, path)
    assert path.read_bytes().startswith(b"\x1f\x8b") == packed
    same(read_structure(path), awkward)
    assert read_structure(path).metadata["format"] == kind
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_comes_back_through_biopython(awkward, kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    WRITERS[kind](awkward, path)
    structure = PARSERS[kind]().get_structure("x", str(path))
    residues = [r for chain in structure[0] for r in chain]
    assert [(r.get_parent().id, r.id[1], r.id[2].strip()) for r in residues] == list(
        zip(awkward.chain_ids, awkward.residue_numbers.tolist(), awkward.insertion_codes, strict=True)
    )
    for i, residue in enumerate(residues):
        assert residue.resname == THREE_LETTER[awkward.sequence[i]]
        for atom, name in enumerate(("N", "CA", "C", "O")):
            there = np.isfinite(awkward.coords[i, atom]).all()
            assert (name in residue) == there
            if there:
                assert np.abs(residue[name].coord - awkward.coords[i, atom]).max() <= 1e-3
                assert residue[name].bfactor == pytest.approx(100 * awkward.confidence[i], abs=0.01)
                assert residue[name].element == name[0]


def test_comes_back_through_gemmi(awkward, kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    WRITERS[kind](awkward, path)
    structure = gemmi.read_structure(str(path))
    assert [c.name for c in structure[0]] == ["A", "b"]
    assert sum(len(c) for c in structure[0]) == 10
    assert structure[0]["A"][0]["CA"][0].pos.tolist() == pytest.approx(awkward.coords[0, 1].tolist(), abs=1e-3)


def test_provenance_of_pdb(awkward, tmp_path):
    path = tmp_path / "x.pdb"
    write_pdb(awkward, path, remarks={"version": "1.2.3", "seed": 8, "note": "two\nlines \x1b[31m\u00c5 " + "w" * 200})
    lines = path.read_text(encoding="ascii").splitlines()
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    text = "\n".join(lines)
    assert "REMARK   6 PROTGM version: 1.2.3" in text
    assert "REMARK   6 PROTGM seed: 8" in text
    assert "seed: 7" not in text
    assert 'PROTGM settings: {"generator": "flow", "steps": 100}' in text
    assert "two\\nlines \\x1b[31m" in text
    assert sum("w" * 20 in line for line in lines) >= 3


def test_provenance_of_mmcif(awkward, tmp_path):
    path = tmp_path / "x.cif"
    nasty = "two\nlines 'and' \"quotes\" _loop_ ; # data_x"
    write_cif(awkward, path, remarks={"version": "1.2.3", "nasty": nasty, "?": ".", "long": "ab " * 900})
    found = MMCIF2Dict(str(path))
    entries = dict(zip(found["_protgm_provenance.key"], found["_protgm_provenance.value"], strict=True))
    assert entries["version"] == "1.2.3"
    assert entries["checkpoint"] == "sha256:abc"
    assert json.loads(entries["settings"]) == {"steps": 100, "generator": "flow"}
    assert entries["nasty"] == nasty.replace("\n", "\\n")
    assert entries["?"] == "."
    assert entries["long"].split() == ["ab"] * 900
    assert found["_entry.id"] == ["awkward_one"]
    gemmi.cif.read(str(path))


def test_the_same_backbone_gives_the_same_bytes(awkward, kind, tmp_path):
    paths = [tmp_path / f"{i}.{kind}.gz" for i in range(2)]
    for path in paths:
        WRITERS[kind](awkward, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert gzip.decompress(paths[0].read_bytes()).endswith((b"END   \n", b"#\n"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain_ids": ("AA",) * 6 + ("b",) * 4}, "chain id 'AA' has 2 letters"),
        ({"insertion_codes": ("",) * 4 + ("AB",) + ("",) * 5}, "insertion code 'AB' has 2 letters"),
        ({"residue_numbers": np.arange(9995, 10005)}, r"residue number 10000 is outside -999..9999"),
        ({"residue_numbers": np.arange(-1000, -990)}, r"residue number -1000 is outside -999..9999"),
        ({"coords": np.full((10, 4, 3), 9999.9996)}, "coordinates .* of residue -5"),
        ({"coords": np.full((10, 4, 3), -1000.0)}, "coordinates .* of residue -5"),
    ],
)
def test_beyond_the_limits_of_pdb(awkward, change, reason, tmp_path):
    backbone = replace(awkward, **change)
    with pytest.raises(StructureError, match=rf"{reason}; the PDB format cannot hold that: write \.cif instead"):
        write_pdb(backbone, tmp_path / "x.pdb")
    assert list(tmp_path.iterdir()) == []
    write_cif(backbone, tmp_path / "x.cif")
    again = read_structure(tmp_path / "x.cif")
    assert again.chain_ids == backbone.chain_ids
    assert again.residue_numbers.tolist() == backbone.residue_numbers.tolist()
    np.testing.assert_allclose(again.coords, backbone.coords, atol=1e-3)


def test_more_atoms_than_pdb_has_serials(tmp_path):
    coords = np.zeros((25_000, 4, 3), dtype=np.float32)
    backbone = replace(
        Backbone.from_coords(coords),
        chain_ids=tuple("ABCDE"[i // 5000] for i in range(25_000)),
        residue_numbers=np.tile(np.arange(5000), 5),
    )
    with pytest.raises(StructureError, match=r"more than 99,999 records.*write \.cif instead"):
        write_pdb(backbone, tmp_path / "x.pdb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain_ids": ("A\n",) * 10}, r"chain id 'A\\\\n' must be printable ASCII without spaces"),
        ({"chain_ids": ("\u00c5",) * 10}, "must be printable ASCII"),
        ({"insertion_codes": (" ",) * 10}, "insertion code ' ' must be"),
        ({"coords": np.full((10, 4, 3), np.inf)}, "residue -5 has a coordinate beyond 100,000 A"),
        ({"coords": np.full((10, 4, 3), -1e30)}, "residue -5 has a coordinate beyond 100,000 A"),
        ({"residue_numbers": np.zeros(10, dtype=int)}, "residue 0 of chain 'A' is there twice"),
    ],
)
def test_what_no_file_can_hold(awkward, kind, change, reason, tmp_path):
    path = tmp_path / f"x.{kind}"
    path.write_text("as before")
    with pytest.raises(StructureError, match=reason) as caught:
        WRITERS[kind](replace(awkward, **change), path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert path.read_text() == "as before"


def test_chain_names_that_mean_something_in_cif(awkward, tmp_path):
    for chain in ("'", '"', "#", "_a", "data_", ";", "?", ".", "loop_", "$", "[", "A'B", ""):
        backbone = replace(awkward, chain_ids=(chain,) * 10, residue_numbers=np.arange(10))
        write_cif(backbone, tmp_path / "x.cif")
        if chain not in (".", "?"):
            assert set(read_structure(tmp_path / "x.cif").chain_ids) == {chain}
        # Biopython takes a quoted loop_ for the reserved word.
        if chain == "loop_":
            continue
        assert [c.id for c in MMCIFParser(QUIET=True).get_structure("x", str(tmp_path / "x.cif"))[0]] == [chain or " "]


def test_a_folder_that_is_not_there(awkward, kind, tmp_path):
    path = tmp_path / "no" / f"x.{kind}"
    with pytest.raises(OSError, match="No such file") as caught:
        WRITERS[kind](awkward, path)
    assert caught.value.filename == str(path)


def test_methods_of_backbone(awkward, tmp_path):
    awkward.to_pdb(tmp_path / "x.pdb")
    awkward.to_cif(tmp_path / "x.cif")
    same(read_structure(tmp_path / "x.pdb"), read_structure(tmp_path / "x.cif"))


def test_an_empty_backbone(kind, tmp_path):
    WRITERS[kind](Backbone.from_coords(np.empty((0, 4, 3))), tmp_path / f"x.{kind}")
    with pytest.raises(StructureError):
        read_structure(tmp_path / f"x.{kind}")


def test_natives_come_back(native_files, kind, tmp_path):
    for file in native_files[:6]:
        native = read_structure(file)
        path = tmp_path / f"x.{kind}"
        WRITERS[kind](native, path)
        same(read_structure(path), native)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".XZ"])
@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_a_file_is_what_its_ending_says(ending, kind, tmp_path):
    from protgm.structure.models import write_models
    from protgm.structure.unpack import packing_of

    backbone = Backbone.from_coords(np.arange(60.0).reshape(5, 4, 3))
    path = tmp_path / f"a.{kind}{ending}"
    (backbone.to_pdb if kind == "pdb" else backbone.to_cif)(path)
    first = path.read_bytes()
    assert packing_of(first) == {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}[ending.lower()]
    assert np.allclose(read_structure(path).coords, backbone.coords, atol=1e-3)
    (backbone.to_pdb if kind == "pdb" else backbone.to_cif)(path)
    assert path.read_bytes() == first
    write_models([backbone, backbone], tmp_path / f"m.pdb{ending}")
    assert len(read_structure(tmp_path / f"m.pdb{ending}", model=1)) == 5
    with pytest.raises(StructureError, match=r"zstd is not written; \.gz, \.bz2 and \.xz are"):
        backbone.to_pdb(tmp_path / "a.pdb.zst")


def test_a_name_that_says_something_else_is_refused(tmp_path):
    """Other programs go by the name; without one that is known, or with that of another spelling, it is free."""
    backbone = Backbone.from_coords(np.arange(60.0).reshape(5, 4, 3))
    for name in ("a.cif", "a.bcif", "a.mmcif.gz", "A.CIF"):
        with pytest.raises(ValueError, match=f"{name}: is not what a file of PDB is called; end it in .pdb"):
            backbone.to_pdb(tmp_path / name)
    for name in ("a.pdb", "a.ENT.xz", "a.bcif"):
        with pytest.raises(ValueError, match=f"{name}: is not what a file of mmCIF is called; end it in .cif"):
            backbone.to_cif(tmp_path / name)
    with pytest.raises(ValueError, match="is a folder; the name of a file is wanted"):
        backbone.to_pdb(tmp_path)
    assert not list(tmp_path.iterdir())
    for name in ("a.ent", "a", "a.txt"):
        backbone.to_pdb(tmp_path / name)
        assert len(read_structure(tmp_path / name)) == 5
