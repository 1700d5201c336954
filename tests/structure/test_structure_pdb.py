"""PDB records as the format has them and as programs write them."""

import numpy as np
import pytest

from protgm.structure import StructureError, read_structure


@pytest.fixture
def read(tmp_path):
    def write(text: bytes | str, **options):
        path = tmp_path / "x.pdb"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_structure(path, **options)

    return write


@pytest.fixture
def text(cases):
    return cases.pdb_bytes(cases.atoms_of(cases.helix())).decode()


@pytest.fixture
def coords(cases):
    return cases.helix().astype(np.float32)


def test_lines_that_end_with_the_coordinates(read, text, coords):
    short = "\n".join(line[:54] for line in text.splitlines())
    np.testing.assert_array_equal(read(short).coords, coords)


def test_names_that_do_not_keep_to_their_columns(read, text, coords):
    loose = text.replace(" N   ALA", "N    ALA").replace(" CA  ALA", "  CA ALA").replace(" O   ALA", " OT1 ALA")
    np.testing.assert_array_equal(read(loose).coords, coords)


def test_calcium_is_no_carbon(cases, read):
    ion = cases.Atom("CA", "CA", "A", 90, (50.0, 0.0, 0.0), hetero=True, element="CA")
    inside = ion.but(comp="ALA", number=91)
    assert len(read(cases.pdb_bytes([*cases.atoms_of(cases.helix()), ion, inside]))) == 6


def test_records_between_the_atoms_do_not_matter(read, text, coords):
    lines = []
    for line in text.splitlines():
        lines.append(line)
        if line.startswith("ATOM"):
            lines += ["ANISOU" + line[6:27] + "    100    100    100      0      0      0", "SIGATM" + line[6:]]
    np.testing.assert_array_equal(read("\n".join(lines)).coords, coords)


def test_chains_without_names_are_told_apart(cases, read):
    atoms = cases.atoms_of(cases.helix(), chain="")
    other = [a.but(xyz=(a.xyz[0] + 20, *a.xyz[1:])) for a in atoms]
    first, second = (cases.pdb_bytes(part).decode().removesuffix("END\n") for part in (atoms, other))
    for text in (first + "TER\n" + second + "TER   \n", first + second):
        together = read(text)
        assert together.chain_ids == ("A",) * 6 + ("B",) * 6
        assert together.metadata["renamed_chains"] == {"A": "", "B": ""}
        assert together.residue_numbers.tolist() == [*range(1, 7)] * 2
        assert "duplicate_atoms" not in together.metadata


def test_models_without_numbers_or_ends(cases, read):
    coords = cases.helix()
    one = "\n".join(cases.pdb_bytes(cases.atoms_of(coords)).decode().splitlines()[:-1]) + "\n"
    two = "\n".join(cases.pdb_bytes(cases.atoms_of(coords + 1)).decode().splitlines()[:-1]) + "\n"
    for text in (f"MODEL\n{one}ENDMDL\nMODEL\n{two}ENDMDL\n", f"{one}ENDMDL\n{two}", f"{one}END\n{two}END\n"):
        np.testing.assert_allclose(read(text).coords, coords, atol=1e-5)
        np.testing.assert_allclose(read(text, model=1).coords, coords + 1, atol=1e-5)


@pytest.mark.parametrize(
    ("columns", "number"),
    [("9999", 9999), ("A000", 10_000), ("A001", 10_001), ("ZZZZ", 1_223_055), ("a000", 1_223_056), ("-999", -999)],
)
def test_hybrid_36_numbers(read, text, columns, number):
    assert read(text.replace("ALA A   6", f"ALA A{columns}")).residue_numbers[-1] == number


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ALA A   2", "ALA A  2x", "line 5: residue number '2x' is not a whole number"),
        ("ALA A   2", "ALA A    ", "line 5: residue number '' is not a whole number"),
        ("ALA A   2", "ALA A 1_0", "line 5: residue number '1_0' is not a whole number"),
        ("ALA A   2", "ALA A+AbC", "line 5: residue number '.AbC' is not a whole number"),
        ("ALA A   2", "A\tA A   2", "line 5: unprintable characters in residue name, chain or code"),
    ],
)
def test_damaged_residues(read, text, old, new, reason):
    with pytest.raises(StructureError, match=reason) as caught:
        read(text.replace(old, new))
    assert "x.pdb, line 5" in str(caught.value)


@pytest.mark.parametrize(
    ("a", "b", "new", "reason"),
    [
        (30, 38, "   1.2.3", "x coordinate '1.2.3' is not a number"),
        (38, 46, "        ", "y coordinate '' is not a number"),
        (46, 54, "     inf", "z coordinate 'inf' is not finite"),
        (46, 54, "   1_0.0", "z coordinate '1_0.0' is not a number"),
        (46, 54, "   1e300", "z coordinate 1e300 is beyond 100,000 A"),
        (46, 54, "********", r"z coordinate '\*\*\*\*\*\*\*\*' is not a number"),
        (40, 80, "", r"record ends in column \d\d; coordinates stand in columns 31-54"),
    ],
)
def test_damaged_coordinates(read, text, a, b, new, reason):
    lines = text.splitlines()
    lines[6] = lines[6][:a] + new + lines[6][b:]
    with pytest.raises(StructureError, match=rf"x\.pdb, line 7: {reason}") as caught:
        read("\n".join(lines))
    assert "\n" not in str(caught.value)


def test_damaged_occupancy_only_matters_between_conformers(read, text):
    lines = text.splitlines()
    lines[6] = lines[6][:54] + "  x.00" + lines[6][60:]
    assert len(read("\n".join(lines))) == 6
    lines[6] = lines[6][:16] + "B" + lines[6][17:]
    with pytest.raises(StructureError, match=r"line 7: occupancy 'x\.00' is not a number >= 0"):
        read("\n".join(lines))
    lines[6] = lines[6][:54] + "      " + lines[6][60:]
    assert len(read("\n".join(lines))) == 6


def test_what_is_no_pdb_file_at_all(read):
    for text in ("hello\nworld\n", "ATOM", "ATOM\n" * 3, "\x00" * 200, "MODEL        1\nENDMDL\n"):
        with pytest.raises(StructureError, match="no protein residue with a CA atom"):
            read(text)


def test_more_atoms_than_are_read(cases, read, monkeypatch):
    monkeypatch.setattr("protgm.structure.atoms.MAX_ATOMS", 10)
    with pytest.raises(StructureError, match="line 11: more than 10 backbone atoms"):
        read(cases.pdb_bytes(cases.atoms_of(cases.helix())))
