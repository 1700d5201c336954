"""Conditions as the command line asks for them: what comes out, and what is refused before weights are loaded."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from protgm.cli import main
from protgm.condition import Symmetry
from protgm.sample.manifest import read_manifest
from protgm.structure import read_structure
from protgm.weights import save_weights


@pytest.fixture(scope="module")
def weights(small_denoiser, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, small_denoiser, {})
    return path


@pytest.fixture
def ask(weights, tmp_path, examples):
    """Run ``protgm sample`` with few steps in an empty folder; EX stands for the examples."""

    def run(*words: str) -> list[dict]:
        words = tuple(word.replace("EX", str(examples)) for word in words)
        quick = (
            "steps=2",
            "num=1",
            "refine=false",
            "progress=false",
            f"checkpoint={weights}",
            f"out={tmp_path / 'out'}",
        )
        assert main(["sample", *quick, *words]) == 0
        return read_manifest(tmp_path / "out")

    return run


def test_a_motif_with_bounds(ask, barrel, tmp_path):
    (row,) = ask("motif=EX/1CSP_A.pdb.gz", "contig=2-30,A20-25,2-30", "length=20-24", "redesign=A21")
    assert 20 <= row["length"] <= 24
    given = row["given"]["motif"]
    assert list(given.values()) == [f"A{n}" for n in range(20, 26)]
    made = read_structure(tmp_path / "out" / row["file"])
    rows = [f"{c}{n}" for c, n in zip(made.chain_ids, made.residue_numbers, strict=True)]
    kept = made.coords[[rows.index(name) for name in given]]
    np.testing.assert_allclose(kept, barrel.coords[19:25], atol=2e-3)  # files have three decimals


def test_motifs_of_two_files_in_any_order(ask):
    contig = "2,A20-25,2,2:C30-33@2,2"
    (row,) = ask("motif=EX/1CSP_A.pdb.gz,EX/3wbm.bcif.gz", f"contig={contig}", "unordered=true")
    assert row["length"] == 16
    assert set(row["given"]["motif"].values()) == {
        *(f"A{n}" for n in range(20, 26)),
        *(f"2:C{n}" for n in range(30, 34)),
    }


def test_a_start(ask, tmp_path):
    (row,) = ask("start=EX/1CSP_A.pdb.gz", "start_time=0.7", "fixed=A10-20")
    assert row["length"] == 67
    assert len(row["given"]["fixed"]) == 11
    assert len(row["given"]["start"]) == 56


def test_an_assembly(ask, tmp_path):
    (row,) = ask("symmetry=C3", "length=8", "compact=1", "contacts=1", "window=.2-0.9")
    assert row["length"] == 8
    assert set(read_structure(tmp_path / "out" / row["file"]).chain_ids) == {"A", "B", "C"}
    assert [one["condition"] for one in row["conditions"]][:2] == ["SecondaryStructure", "Symmetry"]
    assert [(one["name"], one["after"], one["until"]) for one in row["conditions"][2:]] == [
        ("compact", 0.2, 0.9),
        ("contacts", 0.2, 0.9),
    ]


def test_distances(ask, tmp_path):
    (row,) = ask("length=12", "distances=A1-A12:8,A2-A9:6-12")
    assert row["conditions"][-1] == {"condition": "Distances", "pairs": ["A1-A12:8", "A2-A9:6-12"], "until": 1.0}


def test_a_binder(ask, tmp_path):
    (row,) = ask("target=EX/3wbm.bcif.gz", "chains=A,B", "hotspots=A20,A24", "crop=20", "length=8-12")
    made = read_structure(tmp_path / "out" / row["file"])
    assert made.chain_ids[:1] == ("E",)
    assert set(made.chain_ids) == {"A", "B", "E"}


@pytest.mark.parametrize("form", ["letters", "fasta"])
def test_types(ask, tmp_path, form):
    text = "acdxefgh"
    if form == "fasta":
        (tmp_path / "x.fasta").write_text(f">one\n{text[:4]}\n{text[4:]}\n>two\nWWW\n")
        text = str(tmp_path / "x.fasta")
    (row,) = ask(f"sequence={text}")
    assert read_structure(tmp_path / "out" / row["file"]).sequence == "ACDGEFGH"


def test_types_that_are_found(ask, tmp_path):
    (row,) = ask("sequence=true", "length=30", "sequence_temperature=1")
    assert len(set(read_structure(tmp_path / "out" / row["file"]).sequence)) > 3
    assert row["settings"]["cogenerate"] is True


def test_other_conditions_in_one_folder_are_refused(ask, capsys, weights, tmp_path):
    ask("symmetry=C3", "length=8")
    quick = ["steps=2", "num=1", "refine=false", f"checkpoint={weights}", f"out={tmp_path / 'out'}", "length=8"]
    capsys.readouterr()
    assert main(["sample", *quick, "symmetry=C2"]) == 1
    told = capsys.readouterr().err
    assert "L8_0000 was made with" in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("key", ["motif", "start", "target"])
def test_a_file_that_has_changed_under_its_name_is_another_request(ask, barrel, weights, tmp_path, capsys, key):
    barrel.to_pdb(tmp_path / "x.pdb")
    words = {"motif": ["contig=2,A20-25,2"], "start": [], "target": ["length=6"]}[key]
    ask(f"{key}={tmp_path / 'x.pdb'}", *words)
    replace(barrel, coords=barrel.coords + np.float32(1)).to_pdb(tmp_path / "x.pdb")
    capsys.readouterr()
    quick = ["steps=2", "num=1", "refine=false", f"checkpoint={weights}", f"out={tmp_path / 'out'}"]
    assert main(["sample", *quick, f"{key}={tmp_path / 'x.pdb'}", *words]) == 1
    told = capsys.readouterr().err
    assert re.search(r"was made with .*content=.*, now .*content=", told)
    assert len(told.strip().splitlines()) == 1


REFUSED = [
    (("contig=8,A5-9",), "contig=8,A5-9 says nothing without motif="),
    (("motif=EX/1CSP_A.pdb.gz",), "says nothing without contig="),
    (("redesign=A5",), "redesign=A5 says nothing without motif="),
    (("unordered=true",), "unordered=True says nothing without motif="),
    (("fixed=A5",), "fixed=A5 says nothing without start="),
    (("start_time=0.5",), "start_time=0.5 says nothing without start="),
    (("chains=A",), "chains=A says nothing without target="),
    (("hotspots=A5",), "hotspots=A5 says nothing without target="),
    (("crop=50",), "crop=50 says nothing without target="),
    (("touch=1",), "touch=1.0 says nothing without hotspots="),
    (("contacts=1",), "contacts=1.0 are those between chains, and one chain is asked for"),
    (("contacts=1", "motif=EX/1CSP_A.pdb.gz", "contig=8,A5-9"), "contacts=1.0 are those between chains, and one chain"),
    (("contacts=0.5", "start=EX/1CSP_A.pdb.gz"), "contacts=0.5 are those between chains, and one chain"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,9-15"), "keeps no residue of the motif (as A5-9 would)"),
    (("distances=A1-A5",), "distances=A1-A5: is no pair with bounds; write A5-A60:8"),
    (("distances=A1-A999:8",), "distances=A1-A999:8: there is no residue A999; there are A1 to A100"),
    (("sequence=NAN",), "sequence=NAN: has 3 residues; 4 at least can be made"),
    (("sequence=1e10",), "sequence=1E10: letter '1' (place 1) is no amino acid's"),
    (("sequence=",), "sequence=: is empty; true (found with the backbone), letters or a FASTA file"),
    (("motif=none.pdb", "contig=8,A5"), "none.pdb"),
    (("motif=EX/README.md", "contig=8,A5"), "README.md"),
    (("motif=broken.pdb", "contig=8,A5"), "broken.pdb"),
    (("target=broken.cif.gz",), "broken.cif.gz"),
    (("start=broken.pdb",), "broken.pdb"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,A60-70"), "residue A70 (A60-70) is not there"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,A5-9", "length=60,80"), "takes one length or a range such as 60-80"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,A5-9", "length=60"), "which cannot meet length=60"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,A5-9", "secondary=H40"), "secondary=H40: says 40 residues"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=A5-9"), "everything is given, and nothing is left to be made"),
    (("start=EX/1CSP_A.pdb.gz", "length=60"), "says itself how long the protein is"),
    (("start=EX/1CSP_A.pdb.gz", "start_time=1"), "start_time=1.0 must be at least 0"),
    (("motif=EX/1CSP_A.pdb.gz", "contig=8,A5", "start=EX/1CSP_A.pdb.gz"), "both say how long the protein is"),
    (("symmetry=C13",), "symmetry=C13: must be C2 to C12, D2 to D6, T or O"),
    (("symmetry=C3", "target=EX/1CSP_A.pdb.gz"), "cannot be combined with a target"),
    (("target=EX/1CSP_A.pdb.gz", "hotspots=B5"), "hotspots=B5: chain B is not part of the target (A)"),
    (("sequence=ACBA",), "letter 'B' (place 3) is no amino acid's"),
    (("sequence=ACDE", "length=8"), "has 4 letters for 8 new residues"),
    (("sequence=" + "A" * 2049,), "length=2049 must lie between 4 and 2048 residues"),
    (("compact=-1", "length=40"), "compact=-1.0: must be 0 (not at all) or more"),
    (("compact=1", "window=.9-.2", "length=40"), "window=.9-.2: must be two times between 0 (noise) and 1"),
    (("compact=1", "window=soon", "length=40"), "window=soon: must be two times between 0 (noise) and 1"),
    (("window=0-1", "length=40"), "window=0-1 says nothing without compact=, contacts=, packing=, touch="),
    (("sequence=none.fasta",), "sequence=none.fasta: cannot be read"),
    (("sequence=empty.fasta",), "empty.fasta: there is no sequence in it"),
    (("symmetry=O", "length=200"), "4800 residues in all are more than the 2048 that can be made"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words)[:60] for words, _ in REFUSED])
def test_mistakes_are_told_in_one_line_before_weights_are_loaded(
    words, message, examples, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.pdb").write_bytes(b"\x00\xff no structure\n")
    (tmp_path / "broken.cif.gz").write_bytes(b"\x1f\x8b\x08 no archive")
    (tmp_path / "empty.fasta").write_text(">one\n")

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("protgm.sample.run.load", loaded)
    words = [word.replace("EX", str(examples)) for word in words]
    assert main(["sample", "num=1", *words]) == 1
    told = capsys.readouterr().err.strip()
    assert message in told
    assert len(told.splitlines()) == 1
    assert "Traceback" not in told
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize(
    ("words", "few"),
    [
        (
            ("symmetry=C2", "length=8,40"),
            "symmetry=C2: units of 8 residues make about 7 contacts with their neighbours",
        ),
        (("symmetry=C3", "length=5"), "6 or more residues make 10"),
        (("symmetry=C2", "length=12"), None),
        (("symmetry=O", "length=6"), None),
        (("length=8",), None),
    ],
)
def test_units_too_small_to_hold_together_are_told_of_beforehand(words, few, tmp_path, capsys):
    assert main(["check", "num=20", f"out={tmp_path / 'x'}", *words]) == 0
    told = capsys.readouterr().out
    assert ("too few to hold together" in told) == (few is not None)
    assert few is None or few in told.splitlines()[-1]


def test_a_sample_says_so_too(ask, capsys, small_model, quick):
    ask("symmetry=C2", "length=8")
    assert "symmetry=C2: units of 8 residues make about 7 contacts" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="units of 8 residues make about 7 contacts"):
        small_model.sample(8, conditions=Symmetry("C2"), settings=quick)
