"""mmCIF that is valid but unusual, and what it must have."""

import numpy as np
import pytest

from protgm.structure import StructureError


def test_uncertainties_in_brackets(cases, read):
    atoms = [
        a.but(altloc=letter, occupancy=share, xyz=(a.xyz[0] + shift, *a.xyz[1:])) if a.number == 2 else a
        for letter, share, shift in (("A", 0.4, 0.0), ("B", 0.6, 0.5))
        for a in cases.atoms_of(cases.helix())
        if a.number == 2 or letter == "A"
    ]
    text = cases.cif_bytes(atoms, aligned=False).decode().replace(" 0.60 ", " 0.60(2) ").replace(" 0.40 ", " 0.40(12) ")
    expected = cases.helix()
    expected[1, :, 0] += 0.5
    np.testing.assert_allclose(read(text, "x.cif").coords, expected, atol=1e-5)


def test_single_rows_without_labels(cases, read):
    text = cases.cif_bytes(cases.atoms_of(cases.helix()), aligned=False).decode()
    lines = text.splitlines()
    for i, line in enumerate(lines):
        words = line.split()
        if line.startswith("ATOM") and words[14] == "3":
            words[6] = words[8] = "."
            lines[i] = " ".join(words)
    backbone = read("\n".join(lines), "x.cif")
    assert len(backbone) == 6
    assert len(set(backbone.chain_ids)) == 1
    assert backbone.residue_numbers.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data_TEST\n#\nloop_", "data_TEST loop_"),
        ("_atom_site.pdbx_PDB_model_num\n", "_atom_site.pdbx_PDB_model_num "),
        ("data_TEST\n#\nloop_", "data_TEST\n_struct.title\n;A\nB\n; loop_"),
        ("data_TEST\n#\n", "data_TEST\n_struct.title 'one two\n_struct.x 1 2 3\n_citation.id [x\n#\n"),
        ("data_TEST\n#\n", "data_TEST\nloop_\n_citation.id\n_citation.title\n1 2 3\n#\n"),
        ("data_TEST\n#\n", "data_TEST\nloop_ # of\n_citation.id\n_citation.title\n1 2 3\n_struct.title\n#\n"),
        ("data_TEST\n#\n", "data_TEST\n_struct.title \xc5\xe4\n#\n"),
    ],
)
@pytest.mark.parametrize("aligned", [True, False])
def test_syntax_of_cif(cases, read, old, new, aligned):
    text = cases.cif_bytes(cases.atoms_of(cases.helix()), aligned=aligned).decode()
    assert old in text
    backbone = read(text.replace(old, new).encode("latin-1"), "x.cif")
    np.testing.assert_allclose(backbone.coords, cases.helix(), atol=1e-5)


def test_values_behind_the_end_of_a_text_field(cases, read):
    header = (
        "loop_\n_entity_poly.type\n_entity_poly.pdbx_seq_one_letter_code_can\n_entity_poly.pdbx_strand_id\n"
        "polypeptide(L)\n;AAA\nAAA\n; A,B 'polypeptide(L)'\n;GG\n; C\n#"
    )
    backbone = read(cases.cif_bytes(cases.atoms_of(cases.helix()), header), "x.cif")
    assert backbone.metadata["seqres"] == {"A": "AAAAAA", "B": "AAAAAA", "C": "GG"}


@pytest.mark.parametrize("broken", ["_entry.id 'x y\n", "_exptl.method a b\n", "_entry.id\n;x\n"])
def test_what_is_needed_must_be_whole(cases, read, broken):
    text = cases.cif_bytes(cases.atoms_of(cases.helix())).decode().replace("data_TEST\n", "data_TEST\n" + broken)
    with pytest.raises(StructureError, match=r"x\.cif, line \d+: CIF syntax: "):
        read(text, "x.cif")
