"""One set of rules for every format: what a reader must make of the oddities of real files."""

import gzip

import numpy as np
import pytest

from protgm.structure import StructureError, read_structure


def ids(backbone):
    return [
        f"{c}{n}{i}"
        for c, n, i in zip(backbone.chain_ids, backbone.residue_numbers, backbone.insertion_codes, strict=True)
    ]


def test_plain_chain(save, cases):
    coords = cases.helix(5)
    comps = ["MET", "GLY", "TRP", "LYS", "SER"]
    backbone = read_structure(save(cases.atoms_of(coords, comps=comps, first=11)))
    np.testing.assert_array_equal(backbone.coords, coords.astype(np.float32))
    assert backbone.coords.dtype == np.float32
    assert backbone.sequence == "MGWKS"
    assert ids(backbone) == ["A11", "A12", "A13", "A14", "A15"]
    assert backbone.name == "case"
    assert backbone.metadata["format"] == save.format


def test_gzip_whatever_the_name_says(save, cases, tmp_path):
    path = save(cases.atoms_of(cases.helix()))
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    backbone = read_structure(packed)
    np.testing.assert_array_equal(backbone.coords, read_structure(path).coords)
    assert backbone.name == "packed"


def test_line_ends_of_other_systems(cases, tmp_path):
    atoms = cases.atoms_of(cases.helix())
    for text, name in ((cases.pdb_bytes(atoms), "a.pdb"), (cases.cif_bytes(atoms), "a.cif")):
        for end in (b"\r\n", b"\r"):
            path = tmp_path / name
            path.write_bytes(text.replace(b"\n", end))
            assert len(read_structure(path)) == 6


def test_highest_occupancy_wins_for_the_whole_residue(save, cases):
    coords = cases.helix()
    atoms = []
    for atom in cases.atoms_of(coords):
        if atom.number != 3:
            atoms.append(atom)
            continue
        # O alone is higher in A: what counts is the mean over the conformer.
        low = 0.6 if atom.name == "O" else 0.3
        shifted = (atom.xyz[0] + 1.0, atom.xyz[1], atom.xyz[2])
        atoms += [atom.but(altloc="A", occupancy=low), atom.but(altloc="B", occupancy=0.7, xyz=shifted)]
    backbone = read_structure(save(atoms))
    assert len(backbone) == 6
    expected = coords.copy()
    expected[2, :, 0] += 1.0
    np.testing.assert_allclose(backbone.coords, expected, atol=1e-6)
    assert "duplicate_atoms" not in backbone.metadata


def test_ties_go_to_the_first_and_common_atoms_belong_to_all(save, cases):
    coords = cases.helix()
    atoms = []
    for atom in cases.atoms_of(coords):
        if atom.number == 3 and atom.name == "O":
            far = (atom.xyz[0] + 1.0, atom.xyz[1], atom.xyz[2])
            atoms += [atom.but(altloc="A", occupancy=0.5), atom.but(altloc="B", occupancy=0.5, xyz=far)]
        else:
            atoms.append(atom)
    np.testing.assert_allclose(read_structure(save(atoms)).coords, coords, atol=1e-6)


def test_two_residue_types_at_one_place(save, cases):
    atoms = []
    for atom in cases.atoms_of(cases.helix()):
        if atom.number == 4:
            atoms += [
                atom.but(altloc="A", comp="SER", occupancy=0.4),
                atom.but(altloc="B", comp="PRO", occupancy=0.6),
            ]
        else:
            atoms.append(atom)
    assert read_structure(save(atoms)).sequence == "AAAPAA"


@pytest.mark.parametrize(
    ("comp", "letter"),
    [("MSE", "M"), ("SEP", "S"), ("TPO", "T"), ("PTR", "Y"), ("CSO", "C"), ("HYP", "P"), ("MLY", "K"), ("SEC", "C")],
)
def test_modified_residues_inside_a_chain_get_their_parents_letter(save, cases, comp, letter):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA"] * 3 + [comp] + ["ALA"] * 2, hetero={3})
    assert read_structure(save(atoms)).sequence == f"AAA{letter}AA"


def test_unknown_residues_in_the_chain_are_x(save, cases):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA"] * 3 + ["QQQ"] + ["ALA"] * 2, hetero={3})
    assert read_structure(save(atoms)).sequence == "AAAXAA"


def test_parents_that_only_the_file_knows(cases, tmp_path):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA"] * 3 + ["QQQ"] + ["ALA"] * 2, hetero={3})
    modres = "MODRES 1ABC QQQ A    4  TRP  SOMETHING"
    (tmp_path / "a.pdb").write_bytes(cases.pdb_bytes(atoms, modres))
    loop = "loop_\n_pdbx_struct_mod_residue.id\n_pdbx_struct_mod_residue.label_comp_id\n"
    loop += "_pdbx_struct_mod_residue.parent_comp_id\n1 QQQ TRP\n#"
    (tmp_path / "a.cif").write_bytes(cases.cif_bytes(atoms, loop))
    assert read_structure(tmp_path / "a.pdb").sequence == "AAAWAA"
    assert read_structure(tmp_path / "a.cif").sequence == "AAAWAA"


def test_ligands_ions_water_and_nucleic_acids_stay_out(save, cases):
    atoms = cases.atoms_of(cases.helix())
    far = (40.0, 40.0, 40.0)
    atoms += [
        cases.Atom("O", "HOH", "A", 201, far, hetero=True, label=None),
        cases.Atom("CA", "CA", "A", 202, far, hetero=True, label=None, element="CA"),
        # A free amino acid: complete, but bonded to nothing.
        *(
            cases.Atom(name, "GLU", "A", 203, (40.0 + i, 40.0, 41.0), hetero=True, label=None)
            for i, name in enumerate(("N", "CA", "C", "O"))
        ),
        cases.Atom("P", "DA", "B", 1, (50.0, 0.0, 0.0), label=1),
        cases.Atom("C4'", "DA", "B", 1, (51.0, 0.0, 0.0), label=1),
    ]
    backbone = read_structure(save(atoms))
    assert len(backbone) == 6
    assert set(backbone.chain_ids) == {"A"}


def test_ligands_that_a_program_calls_atoms(cases, tmp_path):
    atoms = cases.atoms_of(cases.helix(), comps=["ALA"] * 3 + ["QQQ"] + ["ALA"] * 2)
    ligand = [cases.Atom(name, "LIG", "A", 300, (40.0 + i, 40.0, 41.0)) for i, name in enumerate(("N", "CA", "C", "O"))]
    (tmp_path / "x.pdb").write_bytes(cases.pdb_bytes(atoms + ligand))
    unlabelled = cases.cif_bytes(atoms + ligand).replace(b"_atom_site.label_seq_id", b"_atom_site.x")
    (tmp_path / "x.cif").write_bytes(unlabelled)
    for name in ("x.pdb", "x.cif"):
        assert read_structure(tmp_path / name).sequence == "AAAXAA"


def test_d_amino_acids_are_counted(save, cases):
    backbone = read_structure(
        save(cases.atoms_of(cases.helix(), comps=["ALA", "DAL", "DPN"] + ["GLY"] * 3, hetero={1}))
    )
    assert backbone.sequence == "AAFGGG"
    assert backbone.metadata["d_amino_acids"] == 2


def test_the_first_model_unless_another_is_asked_for(save, cases):
    coords = cases.helix()
    atoms = cases.atoms_of(coords, model=3) + cases.atoms_of(coords + 5.0, model=7)
    path = save(atoms)
    np.testing.assert_allclose(read_structure(path).coords, coords, atol=1e-5)
    np.testing.assert_allclose(read_structure(path, model=1).coords, coords + 5.0, atol=1e-5)
    with pytest.raises(StructureError, match="no model 2: there are 2, counted from 0"):
        read_structure(path, model=2)
    with pytest.raises(StructureError, match="model must be 0 or more"):
        read_structure(path, model=-1)


def test_numbers_below_zero_with_gaps_backwards_and_with_insertions(save, cases):
    numbers = [-3, -2, 0, 0, 0, 57, 12, 9999]
    codes = ["", "", "", "A", "B", "", "", ""]
    atoms = [
        atom.but(number=numbers[atom.number - 1], code=codes[atom.number - 1])
        for atom in cases.atoms_of(cases.helix(8))
    ]
    assert ids(read_structure(save(atoms))) == ["A-3", "A-2", "A0", "A0A", "A0B", "A57", "A12", "A9999"]


def test_several_chains_and_one_of_them(save, cases):
    coords = cases.helix()
    atoms = [a for chain in "BAx" for a in cases.atoms_of(coords, chain=chain)]
    path = save(atoms)
    assert "".join(read_structure(path).chain_ids) == "BBBBBBAAAAAAxxxxxx"
    assert set(read_structure(path, chain="x").chain_ids) == {"x"}
    with pytest.raises(StructureError, match="no protein chain 'Q'; there are 'B', 'A', 'x'"):
        read_structure(path, chain="Q")


def test_a_chain_without_a_name(save, cases):
    backbone = read_structure(save(cases.atoms_of(cases.helix(), chain="")))
    assert set(backbone.chain_ids) == {""}


def test_missing_atoms_are_nan_and_residues_without_ca_are_counted(save, cases):
    coords = cases.helix()
    atoms = [a for a in cases.atoms_of(coords) if (a.number, a.name) not in {(2, "O"), (5, "CA"), (6, "N"), (6, "O")}]
    backbone = read_structure(save(atoms))
    assert ids(backbone) == ["A1", "A2", "A3", "A4", "A6"]
    missing = np.isnan(backbone.coords).all(axis=-1)
    assert [tuple(m) for m in np.argwhere(missing).tolist()] == [(1, 3), (4, 0), (4, 3)]
    assert backbone.complete.tolist() == [True, True, True, True, False]
    assert backbone.metadata["residues_without_ca"] == 1


def test_of_atoms_that_are_there_twice_the_first_stays(save, cases):
    coords = cases.helix()
    atoms = cases.atoms_of(coords)
    atoms.insert(8, atoms[5].but(xyz=(9.0, 9.0, 9.0)))
    backbone = read_structure(save(atoms))
    np.testing.assert_allclose(backbone.coords, coords, atol=1e-6)
    assert backbone.metadata["duplicate_atoms"] == 1


def test_what_the_header_says(cases, tmp_path):
    atoms = cases.atoms_of(cases.helix(), comps=["MET", "ALA", "GLY", "SER", "LYS", "TRP"], first=3)
    header = (
        f"HEADER    {'HYDROLASE':40s}01-JAN-00   1ABC\nEXPDTA    X-RAY DIFFRACTION\n"
        "REMARK   2 RESOLUTION.    1.85 ANGSTROMS.\n"
        "REMARK 465   M RES C SSSEQI\nREMARK 465     GLY A    -1\nREMARK 465     SER A     2A\n"
        "SEQRES   1 A    8  GLY SER MET ALA GLY SER LYS TRP"
    )
    (tmp_path / "a.pdb").write_bytes(cases.pdb_bytes(atoms, header))
    loops = (
        "_entry.id 1ABC\n_exptl.method 'X-RAY DIFFRACTION'\n_refine.ls_d_res_high 1.85\n"
        "_entity_poly.type 'polypeptide(L)'\n_entity_poly.pdbx_strand_id A\n"
        "_entity_poly.pdbx_seq_one_letter_code_can\n;GSMA\nGSKW\n;\nloop_\n"
        "_pdbx_unobs_or_zero_occ_residues.polymer_flag\n_pdbx_unobs_or_zero_occ_residues.occupancy_flag\n"
        "_pdbx_unobs_or_zero_occ_residues.auth_asym_id\n_pdbx_unobs_or_zero_occ_residues.auth_seq_id\n"
        "_pdbx_unobs_or_zero_occ_residues.PDB_ins_code\nY 1 A -1 ?\nY 1 A 2 A\n#"
    )
    (tmp_path / "a.cif").write_bytes(cases.cif_bytes(atoms, loops))
    for name in ("a.pdb", "a.cif"):
        metadata = read_structure(tmp_path / name).metadata
        assert metadata["entry"] == "1ABC"
        assert metadata["method"] == "X-RAY DIFFRACTION"
        assert metadata["resolution"] == 1.85
        assert metadata["missing_residues"] == {"A": ["-1", "2A"]}
        assert metadata["seqres"] == {"A": "GSMAGSKW"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"xyz": (float("-inf"), 0.0, 0.0)}, "x coordinate '-inf' is not finite"),
        ({"xyz": (0.0, float("inf"), 0.0)}, "y coordinate 'inf' is not finite"),
    ],
)
def test_coordinates_that_are_none(save, cases, change, reason):
    atoms = cases.atoms_of(cases.helix())
    atoms[9] = atoms[9].but(**change)
    with pytest.raises(StructureError, match=reason) as caught:
        read_structure(save(atoms))
    assert "\n" not in str(caught.value)
    assert "case." in str(caught.value)
    assert any(f", {where}: " in str(caught.value) for where in ("line 10", "line 30", "atom_site row 10"))


def test_a_file_without_protein(save, cases):
    atoms = [cases.Atom("P", "DA", "B", 1, (50.0, 0.0, 0.0)), cases.Atom("O", "HOH", "A", 201, (1.0, 1.0, 1.0))]
    with pytest.raises(StructureError, match="no protein residue with a CA atom"):
        read_structure(save(atoms))
