"""CIF syntax beyond rows of plain words."""

import numpy as np
import pytest

from protgm.structure import StructureError, mmcif, read_structure
from protgm.structure.aligned import aligned_atoms


@pytest.fixture
def read(tmp_path):
    def write(text: bytes | str, **options):
        path = tmp_path / "x.cif"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_structure(path, **options)

    return write


@pytest.fixture
def text(cases):
    return cases.cif_bytes(cases.atoms_of(cases.helix()), aligned=False).decode()


@pytest.fixture
def coords(cases):
    return cases.helix().astype(np.float32)


def rows(text):
    return [line for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]


def test_rows_over_several_lines(read, text, coords):
    wrapped = text
    for i, row in enumerate(rows(text)):
        words = row.split()
        cut = 3 + i % 10
        wrapped = wrapped.replace(row, " ".join(words[:cut]) + "\n" + " ".join(words[cut:]))
    np.testing.assert_array_equal(read(wrapped).coords, coords)
    everything = text.replace("\n".join(rows(text)), " ".join(rows(text)))
    np.testing.assert_array_equal(read(everything).coords, coords)


def test_quotes_comments_and_text_fields(read, text, coords):
    first = rows(text)[0]
    words = first.split()
    words[3], words[13] = "'N'", '"1.00"'
    quoted = " ".join(words) + " # the nitrogen"
    words[3] = "\n;N\n;\n"
    for row in (quoted, " ".join(words)):
        np.testing.assert_array_equal(read(text.replace(first, row)).coords, coords)


def test_quotes_in_the_aligned_rows(cases, read, coords):
    """Atoms with a prime are quoted, and so might be any other: it must not matter."""
    atoms = cases.atoms_of(cases.helix())
    prime = cases.Atom('"O5\'"', "DA", "B", 1, (1.0, 2.0, 3.0), element="O")
    aligned = cases.cif_bytes([*atoms, prime]).decode()
    np.testing.assert_array_equal(read(aligned).coords, coords)
    quoted = cases.cif_bytes([a.but(name=f'"{a.name}"', element=a.name[0]) for a in atoms]).decode()
    np.testing.assert_array_equal(read(quoted).coords, coords)
    blank = cases.cif_bytes([a.but(comp="'A B'") for a in atoms]).decode()
    assert read(blank).sequence == "XXXXXX"


def test_names_have_no_case(read, text, coords):
    shouted = text.replace("_atom_site.", "_ATOM_Site.").replace("loop_", "LOOP_").replace("data_", "DATA_")
    np.testing.assert_array_equal(read(shouted).coords, coords)


def test_aligned_and_ragged_rows_are_the_same(cases, read):
    atoms = cases.atoms_of(cases.helix(9), chain="A") + cases.atoms_of(cases.helix(4) + 30, chain="Longer", first=995)
    aligned, ragged = (read(cases.cif_bytes(atoms, aligned=flag)) for flag in (True, False))
    np.testing.assert_array_equal(aligned.coords, ragged.coords)
    assert aligned.chain_ids == ragged.chain_ids == ("A",) * 9 + ("Longer",) * 4
    assert aligned.residue_numbers.tolist() == ragged.residue_numbers.tolist()


def test_the_first_block_that_has_atoms(read, text, coords):
    other = text.replace("ALA", "GLY")
    backbone = read("data_EMPTY\n_entry.id X\n" + text + other)
    assert backbone.sequence == "A" * 6
    assert "entry" not in backbone.metadata


def test_other_categories_are_stepped_over(read, text, coords):
    before = (
        "_struct.title\n;loop_\n_atom_site.id\ndata_x\n;\nloop_\n_citation.id\n_citation.title\n1 'a; b_ loop_'\n"
        "2\n;several\nlines\n;\n3 ? # _atom_site.x\n_audit.revision_id 1\n"
    )
    text = text.replace("loop_\n_atom_site", before + "loop_\n_atom_site", 1) + "loop_\n_atom_type.symbol\nC\nN\n"
    np.testing.assert_array_equal(read(text).coords, coords)


@pytest.mark.parametrize(
    "header",
    [
        "loop_\n_citation.id\n_citation.title\n",
        "loop_ _citation.id\n_citation.title\n",
        "loop_ # of two\n\n _citation.id # the first\n# and\n\t_citation.title\n",
        "loop_\n_citation.id _citation.title\n",
        "loop_\n_citation.id\n_citation.title 0 no\n",
    ],
)
@pytest.mark.parametrize("values", ["1 a\n2 b\n", "d 'l_'\nloop L\n", "1\n;_entry.id NONE\nloop_\n;\n data 2\n"])
def test_unwanted_loops_end_where_the_next_tag_begins(read, text, coords, header, values):
    backbone = read(text.replace("loop_\n_atom_site", header + values + " _entry.id 9XYZ\nloop_\n_atom_site", 1))
    np.testing.assert_array_equal(backbone.coords, coords)
    assert backbone.metadata["entry"] == "9XYZ"


@pytest.mark.parametrize("place", [str.ljust, str.rjust, str.center])
@pytest.mark.parametrize("prime", [False, True])
def test_columns_aligned_on_either_side(cases, read, coords, monkeypatch, place, prime):
    atoms = cases.atoms_of(cases.helix())
    if prime:
        atoms.append(atoms[-1].but(name='"C5\'"', comp="A", chain="R", number=9, label=1, element="C"))
    lines = cases.cif_bytes(atoms, aligned=False).decode().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("ATOM"))
    rows = [line.replace("' '", "W").split() for line in lines[first:-1]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines[first:-1] = [" ".join(place(w, n) for w, n in zip(row, widths, strict=True)) for row in rows]
    seen = []
    monkeypatch.setattr(mmcif, "aligned_atoms", lambda *a: seen.append(aligned_atoms(*a)) or seen[-1])
    np.testing.assert_array_equal(read("\n".join(lines)).coords, coords)
    assert seen[0] is not None


def test_label_ids_where_author_ids_are_not_given(read, text):
    dropped = text.replace("_atom_site.auth_asym_id", "_atom_site.x").replace("_atom_site.auth_seq_id", "_atom_site.y")
    backbone = read(dropped)
    assert set(backbone.chain_ids) == {"ZA"}
    assert backbone.residue_numbers.tolist() == [1, 2, 3, 4, 5, 6]


def test_without_label_seq_id_hetero_groups_are_judged_by_their_bonds(cases, read):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA", "ALA", "MSE", "ALA", "ALA", "ALA"], hetero={2})
    free = [a.but(comp="GLU", number=99, hetero=True, xyz=(a.xyz[0] + 40, *a.xyz[1:])) for a in atoms[:4]]
    text = cases.cif_bytes(atoms + free).decode().replace("_atom_site.label_seq_id", "_atom_site.x")
    assert read(text).sequence == "AAMAAA"


def test_sequences_from_the_residues_of_the_polymer(cases, read):
    scheme = "loop_\n_pdbx_poly_seq_scheme.mon_id\n_pdbx_poly_seq_scheme.pdb_strand_id\n"
    scheme += "GLY A\nMSE A\nALA A\nDA B\nDC B\nHOH C\n#"
    assert read(cases.cif_bytes(cases.atoms_of(cases.helix()), scheme)).metadata["seqres"] == {"A": "GMA"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("_atom_site.Cartn_y", "_atom_site.y", "no column cartn_y"),
        ("_atom_site.label_atom_id", "_atom_site.z", "no column label_atom_id"),
        ("_atom_site.", "_site.", "no _atom_site category: there are no atoms in it"),
        ("#\nloop_", "loop_", None),
    ],
)
def test_columns_that_are_not_there(read, text, old, new, reason):
    if reason is None:
        assert len(read(text.replace(old, new))) == 6
        return
    with pytest.raises(StructureError, match=reason):
        read(text.replace(old, new))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda row: row.replace("ALA", "'ALA"), "line 27: CIF syntax: unterminated 'string'"),
        (lambda row: ";" + row, "CIF syntax: unterminated text field"),
        (lambda row: row.rsplit(" ", 2)[0], "CIF syntax: Wrong number of values in loop _atom_site"),
        (lambda row: row.replace(" 2 A 1", " 2.5 A 1"), "atom_site row 7: residue number '2.5' is not a whole number"),
        (lambda row: row.replace(" 2 A 1", " 99999999999 A 1"), "atom_site row 7: residue number '99999999999'"),
        (lambda row: row.replace(" 2 A 1", " 1_0 A 1"), "atom_site row 7: residue number '1_0'"),
        (
            lambda row: row.replace(" 1.00 2", " x 2").replace(" . ALA", " B ALA"),
            "atom_site row 7: occupancy 'x' is not a number",
        ),
    ],
)
@pytest.mark.parametrize("aligned", [True, False])
def test_damaged_rows(cases, read, damage, reason, aligned):
    text = cases.cif_bytes(cases.atoms_of(cases.helix()), aligned=aligned).decode()
    row = rows(text)[6]
    squeezed = " ".join(row.split())
    damaged = text.replace(row, damage(squeezed))
    with pytest.raises(StructureError, match=reason) as caught:
        read(damaged)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["1e5", "-100000.0", "1_0.5", "0x1", "", "\u0663.0", "1e999", "--1", "1,5"])
@pytest.mark.parametrize("aligned", [True, False])
def test_coordinates_that_are_none(cases, read, word, aligned):
    marked = cases.atoms_of(cases.helix())
    marked[6] = marked[6].but(xyz=(77.777, 0.0, 0.0))
    text = cases.cif_bytes(marked, aligned=aligned).decode()
    with pytest.raises(StructureError, match=r"x coordinate|CIF syntax|unprintable|residue number"):
        read(text.replace("77.777", word))


def test_columns_of_different_lengths(read, text):
    text = text.replace("_atom_site.occupancy", "_atom_site.x")
    with pytest.raises(StructureError, match="column occupancy of _atom_site has 1 values, others 24"):
        read(text + "_atom_site.occupancy 1.0\n")


def test_a_loop_of_very_many_columns(read):
    with pytest.raises(StructureError, match="no _atom_site category: there are no atoms in it"):
        read("data_x\nloop_\n" + "_a.b " * 200_000)


def test_a_very_long_line(read):
    with pytest.raises(
        StructureError, match="line 2: a line of 2,000,010 characters, more than the limit of 1,048,576"
    ):
        read("data_x\n_entry.id " + "a" * 2_000_000 + "\n" + "_x.y z\n")


def test_one_atom_without_a_loop(read):
    text = "data_x\n" + "".join(
        f"_atom_site.{name} {value}\n"
        for name, value in (
            ("group_PDB", "ATOM"),
            ("label_atom_id", "CA"),
            ("label_comp_id", "GLY"),
            ("auth_asym_id", "A"),
            ("auth_seq_id", "7"),
            ("label_seq_id", "1"),
            ("Cartn_x", "1.5"),
            ("Cartn_y", "\n;2.5\n;"),
            ("Cartn_z", "'3.5'"),
        )
    )
    backbone = read(text)
    assert backbone.sequence == "G"
    assert backbone.coords[0, 1].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("aligned", [True, False])
def test_more_atoms_than_are_read(cases, read, monkeypatch, aligned):
    monkeypatch.setattr("protgm.structure.atoms.MAX_ATOMS", 23)
    text = cases.cif_bytes(cases.atoms_of(cases.helix()), aligned=aligned)
    with pytest.raises(StructureError, match=r"(line|row) .*: more than 23 backbone atoms"):
        read(text)
    monkeypatch.setattr("protgm.structure.atoms.MAX_ATOMS", 24)
    assert len(read(text)) == 6
