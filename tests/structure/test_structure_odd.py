"""Files as programs and people write them: every residue is read, or the reader says what is left out."""

import csv
from itertools import groupby

import numpy as np
import pytest

from protgm.metrics.geometry import geometry
from protgm.structure import StructureError, read_structure
from protgm.structure.assemble import left_out


def shape(backbone):
    """Residues of each chain, as in ``57+57``."""
    return "+".join(str(len(list(group))) for _, group in groupby(backbone.chain_ids))


def moved(atoms, by, **changes):
    return [a.but(xyz=(a.xyz[0] + by, *a.xyz[1:]), **changes) for a in atoms]


@pytest.mark.parametrize("end", ["", "TER\n"])
@pytest.mark.parametrize("chain", ["", "A"])
def test_numbers_that_start_again(cases, pdb, chain, end):
    first = cases.atoms_of(cases.helix(8), chain=chain, first=5)
    second = moved(cases.atoms_of(cases.helix(9), chain=chain, first=2), 40)
    backbone = pdb(first, second, ends=(end,))
    assert shape(backbone) == "8+9"
    assert backbone.residue_numbers.tolist() == [*range(5, 13), *range(2, 11)]
    assert backbone.metadata["renamed_chains"] == ({"A": "", "B": ""} if chain == "" else {"B": "A"})
    assert not left_out(backbone.metadata)


def test_segids_tell_chains_without_names_apart(cases, pdb):
    first, second = (
        cases.atoms_of(cases.helix(5), chain=""),
        moved(cases.atoms_of(cases.helix(6), chain="", first=6), 40),
    )

    def segids(text):
        lines = text.splitlines()
        return "\n".join(f"{line[:72]}{'PROA' if i < 20 else 'PROB'}{line[76:]}" for i, line in enumerate(lines))

    assert shape(pdb(first, second)) == "11"
    assert shape(pdb(first, second, change=segids)) == "5+6"


def test_ter_at_a_gap_of_a_chain_does_not_end_it(cases, pdb):
    coords = cases.helix(20)
    atoms = cases.atoms_of(coords)
    first, second = [a for a in atoms if a.number <= 8], [a for a in atoms if a.number > 11]
    backbone = pdb(first, second, ends=("TER\n",))
    assert shape(backbone) == "17"
    assert backbone.chain_breaks().nonzero()[0].tolist() == [7, 16]
    # Nor does it where the chain goes on: programs write it for no reason.
    nameless = [[a.but(chain="") for a in atoms if low < a.number <= low + 10] for low in (0, 10)]
    assert shape(pdb(*nameless, ends=("TER\n",))) == "20"


def test_a_chain_in_two_stretches_is_one(save, cases):
    atoms, other = cases.atoms_of(cases.helix(9)), moved(cases.atoms_of(cases.helix(4), chain="B"), 40)
    backbone = read_structure(save([*atoms[:16], *other, *atoms[16:]]))
    assert shape(backbone) == "9+4"
    assert "renamed_chains" not in backbone.metadata
    np.testing.assert_allclose(backbone.coords[:9], cases.helix(9), atol=1e-5)


@pytest.mark.parametrize("names", [["ALA"] * 7, ["ALA", "GLY"] * 3 + ["SER"]])
def test_every_number_the_same(save, cases, names):
    atoms = [a.but(number=1) for a in cases.atoms_of(cases.helix(7), comps=names)]
    backbone = read_structure(save(atoms))
    assert shape(backbone) == "7"
    assert backbone.residue_numbers.tolist() == [*range(1, 8)]
    assert backbone.metadata["renumbered_chains"] == ["A"]
    np.testing.assert_allclose(backbone.coords, cases.helix(7), atol=1e-5)


def test_a_number_that_is_there_twice_in_a_chain(save, cases):
    numbers = [11, 12, 12, 13, 14]
    atoms = [a.but(number=numbers[a.number - 1]) for a in cases.atoms_of(cases.helix(5))]
    backbone = read_structure(save(atoms))
    assert backbone.sequence == "AAAAA"
    assert backbone.residue_numbers.tolist() == [1, 2, 3, 4, 5]


def test_author_numbers_repeat_where_label_numbers_do_not(cases, read):
    atoms = [a.but(number=(a.number + 1) // 2, label=a.number + 10) for a in cases.atoms_of(cases.helix(6))]
    backbone = read(cases.cif_bytes(atoms), "x.cif")
    assert backbone.residue_numbers.tolist() == [11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize(("columns", "chains"), [(("AA", "AB"), "6+6"), (("%A", "%B"), "6+6")])
def test_chain_names_in_two_columns(cases, pdb, columns, chains):
    atoms, other = cases.atoms_of(cases.helix(), chain="A"), moved(cases.atoms_of(cases.helix(), chain="B"), 40)
    first, second = columns
    backbone = pdb(atoms, other, change=lambda t: t.replace("ALA A", f"ALA{first}").replace("ALA B", f"ALA{second}"))
    assert shape(backbone) == chains
    # What is no letter or digit is no part of a name.
    assert set(backbone.chain_ids) == {first.strip("%"), second.strip("%")}


def test_modified_residues_behind_ter_have_their_place(cases, pdb):
    comps = ["ALA"] * 3 + ["SEP", "TPO"] + ["ALA"] * 3
    atoms = cases.atoms_of(cases.helix(8), comps=comps, hetero={3, 4})
    rest = [a for a in atoms if not a.hetero]
    late = [a for a in atoms if a.hetero]
    free = moved(cases.atoms_of(cases.helix(1), comps=["MSE"], first=90, hetero={0}), 60)
    for order in (late, late[4:] + late[:4]):
        backbone = pdb(rest, [*order, *free], ends=("TER\n",))
        assert backbone.sequence == "AAASTAAA"
        assert backbone.residue_numbers.tolist() == [*range(1, 9)]
        assert not backbone.chain_breaks()[:-1].any()
        assert left_out(backbone.metadata) == "1 x amino acid that is bonded to no chain"
    # Between two gaps its number is all there is to say where it belongs.
    lonely = [a for a in rest if a.number not in (3, 6)]
    assert pdb(lonely, late[:4], ends=("TER\n",)).residue_numbers.tolist() == [1, 2, 4, 7, 8]


# Atoms


@pytest.mark.parametrize("comp", ["TYS", "FME", "CSX"])
def test_o1_of_a_side_chain_is_not_o(save, cases, comp):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA"] * 3 + [comp] + ["ALA"] * 2)
    far = atoms[13].but(name="O1", xyz=(50.0, 50.0, 50.0))
    for place in (13, 16):
        mixed = [*atoms[:place], far, *atoms[place:]]
        np.testing.assert_allclose(read_structure(save(mixed)).coords, cases.helix(), atol=1e-5)
    without = [a for a in [*atoms[:13], far, *atoms[13:]] if (a.number, a.name) != (4, "O")]
    assert np.isnan(read_structure(save(without)).coords[3, 3]).all()


def test_other_names_of_o_where_there_is_none(save, cases):
    for name in ("OT1", "OC1", "O1"):
        atoms = [a.but(name=name) if (a.number, a.name) == (6, "O") else a for a in cases.atoms_of(cases.helix())]
        np.testing.assert_allclose(read_structure(save(atoms)).coords, cases.helix(), atol=1e-5)


def test_what_is_no_amino_acid_is_not_validated(cases, pdb):
    water = cases.Atom("O", "HOH", "W", 9998, (10.0, 10.0, 10.0), hetero=True)
    ligand = [water.but(name=name, comp="SAM", chain="L", number=9999) for name in ("N", "CA", "C", "O")]
    others = [water, *ligand]
    for old, new in (
        ("9998", "****"),
        ("9999", "270f"),
        ("  10.000  10.000", "******** 1.2.3.4"),
        ("9999", "\x01\x02\x03\x04"),
    ):
        backbone = pdb(cases.atoms_of(cases.helix()), others, change=lambda t, o=old, n=new: t.replace(o, n))
        assert shape(backbone) == "6"
    with pytest.raises(StructureError, match=r"line 5: residue number '\*\*\*\*' is not a whole number"):
        pdb(cases.atoms_of(cases.helix()), change=lambda t: t.replace("A   2 ", "A**** "))


@pytest.mark.parametrize("push", [False, True])
def test_serials_of_six_columns(cases, pdb, push):
    def serials(text):
        lines = []
        for number, line in enumerate(text.splitlines(), 99_990):
            wide = f"{number:>6d}"
            if push and number > 99_999 and line.startswith("ATOM"):
                lines.append(line[:6] + wide + line[11:])
            else:
                lines.append(line[:5] + wide + line[11:] if line.startswith("ATOM") else line)
        return "\n".join(lines)

    backbone = pdb(cases.atoms_of(cases.helix()), change=serials)
    np.testing.assert_allclose(backbone.coords, cases.helix(), atol=1e-5)


def test_byte_order_mark(cases, save, tmp_path):
    path = save(cases.atoms_of(cases.helix()))
    if save.format != "bcif":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_structure(path)) == 6


def test_atoms_that_are_not_resolved_are_absent(save, cases):
    nan = (float("nan"),) * 3
    sites = {(2, "O"), (3, "N"), (5, "CA")}
    atoms = [a.but(xyz=nan) if (a.number, a.name) in sites else a for a in cases.atoms_of(cases.helix())]
    backbone = read_structure(save(atoms))
    assert backbone.residue_numbers.tolist() == [1, 2, 3, 4, 6]
    assert np.isnan(backbone.coords).all(-1).sum() == 2
    assert left_out(backbone.metadata) == "1 x residue without CA"


@pytest.mark.parametrize(("occupancy", "letter"), [(0.6, "L"), (0.3, "S")])
@pytest.mark.parametrize("altloc", ["A", ""])
def test_conformers_without_a_letter(save, cases, occupancy, letter, altloc):
    atoms = []
    for atom in cases.atoms_of(cases.helix()):
        if atom.number == 3:
            atoms.append(atom.but(comp="LEU", occupancy=occupancy))
        elif atom.number == 4:
            beside = [a.but(comp="SER", number=3, label=3, occupancy=1 - occupancy, altloc=altloc) for a in atoms[-4:]]
            atoms += moved(beside, 0.5) if atom.name == "N" else []
            atoms.append(atom)
        else:
            atoms.append(atom)
    backbone = read_structure(save(atoms))
    assert backbone.sequence == f"AA{letter}AAA"
    shift = 0.5 if letter == "S" else 0.0
    np.testing.assert_allclose(backbone.coords[2], cases.helix()[2] + [shift, 0, 0], atol=1e-5)
    assert left_out(backbone.metadata) == ("" if altloc else "4 x duplicate atom")


# Residues


def test_label_seq_id_does_not_make_an_amino_acid(save, cases):
    far = moved(cases.atoms_of(cases.helix(1), comps=["PLM"], chain="A", first=404), 60)
    cap = [cases.Atom(name, "NME", "A", 7, (30.0 + i, 1.0, 1.0), label=7) for i, name in enumerate(("N", "CA"))]
    base = [cases.Atom("CA", "5MU", "R", 1, (70.0, 0.0, 0.0), label=1)]
    assert shape(read_structure(save([*cases.atoms_of(cases.helix()), *cap, *base, *far]))) == "6"


def test_names_in_small_letters_and_of_force_fields(cases, save, pdb):
    comps = ["ala", "Gly", "hid", "mse", "CYX", "ser"]
    assert read_structure(save(cases.atoms_of(cases.helix(), comps=comps))).sequence == "AGHMCS"
    ends = pdb(
        cases.atoms_of(cases.helix()),
        change=lambda t: t.replace("ALA A   1", "NGLYA   1").replace("ALA A   6", "CSERA   6"),
    )
    assert (ends.sequence, set(ends.chain_ids)) == ("GAAAAS", {"A"})
    blank = pdb(cases.atoms_of(cases.helix(), chain=""), change=lambda t: t.replace("ALA     6", "CSER    6"))
    assert (blank.sequence, set(blank.chain_ids)) == ("AAAAAS", {""})


@pytest.mark.parametrize(
    ("remark", "resolution"),
    [
        ("REMARK   2 RESOLUTION.    3.5  ANGSTROMS.", 3.5),
        ("REMARK   2 RESOLUTION. 2 ANGSTROMS.", 2.0),
        ("REMARK 2 RESOLUTION.  1.85 A", 1.85),
        ("REMARK   2 RESOLUTION. NOT APPLICABLE.", None),
        ("REMARK   3   RESOLUTION RANGE HIGH (ANGSTROMS) : 1.90", 1.9),
        ("REMARK   3   RESOLUTION RANGE HIGH (ANGSTROMS) : NULL", None),
        ("REMARK   3   RESOLUTION RANGE HIGH (ANGSTROMS) : 1.90\nREMARK   2 RESOLUTION. 2.50 ANGSTROMS.", 2.5),
    ],
)
def test_resolutions(cases, pdb, remark, resolution):
    found = pdb(cases.atoms_of(cases.helix()), header=remark + "\n").metadata.get("resolution")
    assert found == resolution


# Syntax of CIF


# The examples


def test_examples(odd_files):
    with open(odd_files / "expected.csv", encoding="utf-8") as stream:
        expected = list(csv.DictReader(stream))
    assert len(expected) == 16
    found = {row["file"].partition("_")[0]: read_structure(odd_files / row["file"]) for row in expected}
    for row in expected:
        assert shape(found[row["file"].partition("_")[0]]) == row["residues_by_chain"], row["file"]
    assert [set(found[key].chain_ids) for key in ("o07", "o11", "o22")] == [{"AA", "BA"}, {"A B"}, {"A", "B"}]
    assert found["o05"].residue_numbers.tolist() == [*range(1, 58)]
    coords = found["o08"].coords
    assert np.linalg.norm(coords[:, 3] - coords[:, 2], axis=-1).max() < 1.3
    assert len(found["o12"].metadata["seqres"]["A"]) == 57
    assert np.isnan(found["o13"].coords).all(-1).sum() == 1
    assert found["o18"].sequence[25] == "L"
    assert found["o18"].coords[25, 1, 0] == pytest.approx(0.824)
    assert geometry(found["o19"]).breaks == 0
    assert found["o23"].metadata["resolution"] == 3.5
    assert np.isfinite(found["o24"].coords[:, 1]).all()
    assert not any(left_out(backbone.metadata) for backbone in found.values())
