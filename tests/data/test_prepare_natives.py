"""Every file of the native structures beside the repository, checked against Biopython."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest

from protgm.data import Dataset, Filters, prepare
from protgm.data.schema import REJECTED_FILE

EVERYTHING = Filters(
    min_length=1,
    max_length=100_000,
    max_breaks=None,
    max_missing=None,
    max_rg_ratio=None,
    max_coil=None,
    max_positive_phi=None,
)


@pytest.fixture(scope="module")
def raw(shared) -> Path:
    return shared / "raw"


@pytest.fixture(scope="module")
def everything(raw, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("everything")
    prepare(raw, out, filters=EVERYTHING, workers=1, progress=False)
    return out


def rows(out: Path) -> list[dict]:
    return Dataset.open(out).table.drop_columns(["coords"]).to_pylist()


def test_every_original_file_is_read(raw, everything):
    with open(everything / REJECTED_FILE, newline="") as file:
        assert {row["reason"] for row in csv.DictReader(file)} == {"left out"}
    assert {row["source"] for row in rows(everything)} == {path.name for path in raw.iterdir()}


@pytest.mark.slow
def test_chains_and_lengths_are_those_that_biopython_sees(raw, everything):
    """Residues of standard amino acids with a CA; we may have more (modified ones) but not fewer."""
    from Bio.PDB import MMCIFParser, PDBParser
    from Bio.PDB.PDBExceptions import PDBConstructionWarning

    ours = {(row["source"], row["chain"]): row["length"] for row in rows(everything)}
    compared = 0
    for path in sorted(raw.iterdir()):
        if ".bcif" in path.name:  # Biopython's reader gives these other chain names, or fails
            continue
        parser = MMCIFParser(QUIET=True) if path.suffix == ".cif" else PDBParser(QUIET=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PDBConstructionWarning)
            model = parser.get_structure("x", str(path))[0]
        for chain in model:
            standard = sum(residue.id[0] == " " and "CA" in residue for residue in chain)
            modified = sum(residue.id[0] != " " and {"N", "CA", "C"} <= {a.id for a in residue} for residue in chain)
            if standard:
                length = ours[path.name, chain.id.strip()]
                assert standard <= length <= standard + modified, (path.name, chain.id)
                compared += 1
    assert compared > 60


def test_with_the_default_filters_each_file_or_chain_has_its_reason(raw, tmp_path):
    summary = prepare(raw, tmp_path, workers=1, progress=False)
    kept = {(row["source"], row["chain"]): row for row in rows(tmp_path)}
    with open(tmp_path / REJECTED_FILE, newline="") as file:
        table = list(csv.DictReader(file))
    reasons = {(row["file"], row["chain"]): row["reason"] for row in table if row["reason"] != "left out"}
    parts = {row["file"]: row["detail"] for row in table if row["reason"] == "left out"}
    # Amino acids that are ligands, and a residue without CA.
    assert parts.keys() == {"1O8X_A-1O8X.pdb", "1R6A_A-1R6A.pdb", "5V7P_D-5v7p.pdb"}
    assert summary.left_out == 3
    assert not kept.keys() & reasons.keys()
    assert {file for file, _ in kept.keys() | reasons.keys()} == {path.name for path in raw.iterdir()}
    assert summary.entries + sum(summary.rejected.values()) == len(kept) + len(reasons)
    # One chain of a racemic crystal is made of D-amino acids.
    assert reasons["5GOB_A-5gob.pdb", "B"] == "mirror image"
    assert ("5GOB_A-5gob.pdb", "A") in kept
    # A nine-residue peptide in the groove of its receptor, and a receptor beyond 256 residues.
    assert reasons["3MRC_M-3MRC.pdb", "P"] == "too short"
    assert reasons["3MRC_M-3MRC.pdb", "M"] == "too long"
    assert kept["1NB0_A-1nb0.cif", "A"]["resolution"] == pytest.approx(1.7)
    assert kept["input1_C-input1.pdb", "A"]["pdb_id"] == ""  # HEADER says XXXX, which is no entry
    # Entries of the same protein in different files share a cluster.
    assert kept["1FNE_A-1fne.pdb", "A"]["cluster"] == kept["1FNE_B-1fne.pdb", "A"]["cluster"]


def test_splits_of_a_manifest_reach_the_dataset(shared, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with open(shared / "pdb" / "manifest.csv", newline="") as file:
        table = list(csv.DictReader(file))[::60]
    with open(source / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    for row in table:
        (source / row["file"]).parent.mkdir(exist_ok=True)
        (source / row["file"]).symlink_to(shared / "pdb" / row["file"])
    out = tmp_path / "out"
    summary = prepare(source, out, filters=Filters(max_rg_ratio=1.5), workers=1, progress=False)
    assert summary.entries > 0.7 * len(table)
    assert "unreadable" not in summary.rejected
    known = {row["file"]: row for row in table}
    for row in rows(out):
        told = known[row["source"]]
        assert (row["cluster"], row["split"], row["pdb_id"]) == (told["cluster30"], told["split"], told["pdb_id"])
        assert row["length"] == int(told["length"])
        assert row["rg_ratio"] == pytest.approx(float(told["rg_ratio"]), abs=0.01)
    helix = np.array([(row["helix"], float(known[row["source"]]["helix"])) for row in rows(out)])
    assert np.abs(helix[:, 0] - helix[:, 1]).mean() < 0.05
