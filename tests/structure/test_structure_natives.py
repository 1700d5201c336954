"""Files as users have them, against Biopython and gemmi."""

import gzip
import io

import numpy as np
import pytest
from Bio.PDB import MMCIFParser, PDBParser
from Bio.PDB.PDBExceptions import PDBConstructionWarning

from protgm.structure import read_structure
from protgm.structure.residues import LETTERS

gemmi = pytest.importorskip("gemmi")


def sites(backbone):
    return list(zip(backbone.chain_ids, backbone.residue_numbers.tolist(), backbone.insertion_codes, strict=True))


def text_files(files):
    return [file for file in files if ".bcif" not in file.name]


def test_every_raw_file_is_read(raw_files):
    for file in raw_files:
        backbone = read_structure(file)
        chain = file.name.split("_")[1].split("-")[0]
        # Files are named for a chain of theirs; one has none.
        assert chain in backbone.chain_ids or backbone.chain_ids[0] == ""
        assert 40 <= len(backbone) <= 1184
        assert backbone.complete.mean() > 0.99
        assert backbone.sequence.count("X") <= 1


def biopython_atoms(file):
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    parser = MMCIFParser(QUIET=True) if ".cif" in file.name else PDBParser(QUIET=True)
    structure = parser.get_structure("x", io.StringIO(text.decode("latin-1")))
    for chain in structure[0]:
        for residue in chain:
            if residue.id[0] == " " and "CA" in residue and residue.resname in LETTERS:
                site = (chain.id.strip(), residue.id[1], residue.id[2].strip())
                yield site, residue.resname, {a: residue[a].coord for a in ("N", "CA", "C", "O") if a in residue}


@pytest.mark.filterwarnings("ignore::Bio.PDB.PDBExceptions.PDBConstructionWarning")
def test_against_biopython(raw_files, native_files):
    assert issubclass(PDBConstructionWarning, Warning)
    compared = different = 0
    for file in [*text_files(raw_files)[::3], *native_files[::8]]:
        backbone = read_structure(file)
        of_site = {site: i for i, site in enumerate(sites(backbone))}
        for site, comp, atoms in biopython_atoms(file):
            i = of_site[site]
            if backbone.sequence[i] != LETTERS[comp]:
                different += 4
                continue
            for a, name in enumerate(("N", "CA", "C", "O")):
                assert (name in atoms) == np.isfinite(backbone.coords[i, a]).all()
                if name in atoms:
                    compared += 1
                    different += np.abs(atoms[name] - backbone.coords[i, a]).max() > 1e-3
    assert compared > 10_000
    # Atoms that a file has twice, and conformers: Biopython chooses atom by atom.
    assert different <= 20


def test_against_gemmi(raw_files, native_files):
    compared = different = 0
    for file in [*text_files(raw_files), *native_files[::4]]:
        # gemmi makes two-letter chain names of a column that the format leaves blank.
        if "1FNE" in file.name:
            continue
        backbone = read_structure(file)
        structure = gemmi.read_structure(str(file))
        structure.setup_entities()
        polymers = set()
        for chain in structure[0]:
            for residue in chain.get_polymer():
                atoms = {a.name for a in residue}
                if gemmi.find_tabulated_residue(residue.name).is_amino_acid() and "CA" in atoms:
                    site = (chain.name.strip(), residue.seqid.num, residue.seqid.icode.strip())
                    polymers.add(site)
        ours = set(sites(backbone))
        compared += len(ours)
        different += len(ours ^ polymers)
    assert compared > 10_000
    assert different <= 5


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        # 0.54 A, alternate locations everywhere, two residue types at 22 and 25: the more frequent ones are in SEQRES.
        ("1EJG", {"sequence": "TTCCPSIVARSNFNVCRLPGTPEALCATYTGCIIIPGATCPGDYAN"}),
        ("5MAT", {"length": 598, "chains": "AC", "format": "bcif"}),
        ("1LCD", {"length": 51, "chains": "A", "method": "SOLUTION NMR"}),
        ("2ERL", {"length": 40, "chains": ""}),
        ("1CC8", {"missing": {"A": ["1"]}, "resolution": 1.02}),
        ("1OJ6", {"length": 147, "missing_a": ["1", "2", "150", "151"]}),
        # Two residues of chains L and M have the number of the one before.
        ("1MDA", {"length": 1184, "renumbered": ["L", "M"]}),
    ],
)
def test_known_files(raw_files, name, facts):
    backbone = read_structure(next(f for f in raw_files if f.name.startswith(name)))
    metadata = backbone.metadata
    found = {
        "sequence": backbone.sequence,
        "length": len(backbone),
        "chains": "".join(dict.fromkeys(backbone.chain_ids)),
        "format": metadata["format"],
        "method": metadata.get("method"),
        "missing": metadata.get("missing_residues"),
        "missing_a": metadata.get("missing_residues", {}).get("A"),
        "resolution": metadata.get("resolution"),
        "renumbered": metadata.get("renumbered_chains"),
    }
    assert {key: found[key] for key in facts} == facts
