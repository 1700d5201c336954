"""Scaffolds in MotifBench's layout: names, numbers and placements as that benchmark's readme has them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from protgm.cli import main
from protgm.data.folder import structure_files
from protgm.sample.export import motif_placements, write_motifbench
from protgm.sample.manifest import read_manifest
from protgm.structure import Backbone, read_structure
from protgm.weights import save_weights

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


@pytest.fixture(scope="module")
def weights(small_denoiser, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, small_denoiser, {})
    return path


def row(length: int, *segments: tuple[int, str, int, int]) -> dict:
    """A manifest row: of each segment its first residue in the sample, its chain, and its ends in the source."""
    motif = {
        f"A{start + k}": f"{chain}{first + k}"
        for start, chain, first, last in segments
        for k in range(last - first + 1)
    }
    return {"name": "x", "length": length, "index": 0, "given": {"motif": motif}}


@pytest.mark.parametrize(
    ("sample", "placements"),
    [
        # The readme's own example: 12 residues, B, 15, A, 29.
        (row(12 + 5 + 15 + 4 + 29, (13, "B", 1, 5), (33, "A", 1, 4)), "12/B/15/A/29"),
        (row(5 + 15 + 4 + 29, (1, "B", 1, 5), (21, "A", 1, 4)), "B/15/A/29"),
        (row(12 + 5 + 15 + 4, (13, "B", 1, 5), (33, "A", 1, 4)), "12/B/15/A"),
        # Segments of one chain have letters in the order of the file; neighbours that are far apart there are two.
        (row(40, (3, "A", 50, 54), (8, "A", 10, 14), (30, "A", 90, 92)), "2/B/A/17/C/8"),
        (row(20, (3, "A", 10, 12), (6, "A", 13, 15)), "2/A/12"),
        (row(20, (3, "1_", 10, 12), (8, "B", 13, 15)), "2/A/2/B/10"),
    ],
)
def test_placements(sample: dict, placements: str) -> None:
    assert motif_placements(sample) == placements
    numbers = [int(word) for word in placements.split("/") if word.isdigit()]
    assert sum(numbers) + len(sample["given"]["motif"]) == sample["length"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"given": {}}, "has a motif, and nothing else is given"),
        ({"given": {"motif": {"A1": "A1"}, "target": {"B1": "B1"}}}, "has a motif, and nothing else is given"),
        ({"given": {"motif": {"A1": "A1", "B2": "A2"}}}, "is one chain, numbered from 1"),
        ({"given": {"motif": {"A70": "A1"}}}, "is one chain, numbered from 1"),
        ({"given": {"motif": {"A1": "2:A1"}}}, "2:A1: a motif for MotifBench is of one file"),
    ],
)
def test_what_is_no_scaffold_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_motifbench(tmp_path, [row(20, (3, "A", 10, 12)) | change], "01_1LDB", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def ask(out: Path, weights: Path, *words: str) -> int:
    quick = ("steps=2", "refine=false", "progress=false", f"checkpoint={weights}", f"out={out}")
    export = () if any(word.startswith("export=") for word in words) else ("export=motifbench",)
    return main(["sample", *quick, *export, *words])


@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_a_folder_for_the_benchmark(weights: Path, tmp_path: Path, form: str) -> None:
    motif = tmp_path / "01_1CSP.pdb"
    barrel = read_structure(EXAMPLES / "1CSP_A.pdb.gz")
    barrel.to_pdb(motif)
    words = (f"motif={motif}", "contig=2-6,A46-50,2-6,A20-25,2-6", f"format={form}")
    assert ask(tmp_path / "out", weights, *words, "num=3") == 0
    folder = tmp_path / "out" / "motifbench" / "01_1CSP"
    assert sorted(path.name for path in folder.iterdir()) == [
        "01_1CSP_0.pdb", "01_1CSP_1.pdb", "01_1CSP_2.pdb", "samples.json", "scaffold_info.csv",
    ]  # fmt: skip
    with (folder / "scaffold_info.csv").open(newline="") as stream:
        table = list(csv.reader(stream))
    assert table[0] == ["sample_num", "motif_placements"]
    assert [line[0] for line in table[1:]] == ["0", "1", "2"]
    for number, placements in table[1:]:
        made = read_structure(folder / f"01_1CSP_{number}.pdb")
        assert made.residue_numbers.tolist() == list(range(1, len(made) + 1))
        assert set(made.chain_ids) == {"A"}
        # Read as the benchmark reads it, the segments lie where the motif's file has them.
        at = 0
        for word in placements.split("/"):
            if word.isdigit():
                at += int(word)
                continue
            source = barrel.coords[{"A": slice(19, 25), "B": slice(45, 50)}[word]]
            np.testing.assert_allclose(made.coords[at : at + len(source)], source, atol=2e-3)
            at += len(source)
        assert at == len(made)
        assert placements.split("/")[1::2] == ["B", "A"]
    # Fewer samples: what is too much goes; an evaluation of all below the samples reads each of them once.
    assert len(structure_files(tmp_path / "out", recursive=True)) == 3
    rows = read_manifest(tmp_path / "out")
    write_motifbench(tmp_path / "out", rows[:2], "01_1CSP", folder.parent)
    assert not (folder / "01_1CSP_2.pdb").exists()


def test_a_campaign_has_one_folder_of_problems(weights: Path, tmp_path: Path) -> None:
    tasks = {}
    for name in ("01_1CSP", "02_1SHG"):
        read_structure(EXAMPLES / f"{name[3:]}_A.pdb.gz").to_pdb(tmp_path / f"{name}.pdb")
        tasks[name] = {"motif": str(tmp_path / f"{name}.pdb"), "contig": "3,A20-25,4", "num": 1}
    spec = tmp_path / "campaign.json"
    spec.write_text(json.dumps({"tasks": tasks}))
    assert ask(tmp_path / "out", weights, f"spec={spec}") == 0
    for name in tasks:
        assert isinstance(read_structure(tmp_path / "out" / "motifbench" / name / f"{name}_0.pdb"), Backbone)
        assert (tmp_path / "out" / "motifbench" / name / "scaffold_info.csv").read_text().split() == [
            "sample_num,motif_placements", "0,3/A/4",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export=foldseek",), "export=foldseek: must be motifbench"),
        (("length=20",), "export=motifbench: is for one chain about a motif of one file"),
        (("symmetry=C2", "motif=EX", "contig=3,A20-25,4"), "export=motifbench: is for one chain"),
        (("motif=EX", "contig=3,A20-25,0,A30-35,4"), "export=motifbench: is for one chain"),
    ],
)
def test_requests_that_make_no_scaffolds(
    words: tuple[str, ...], message: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tuple(word.replace("EX", str(EXAMPLES / "1CSP_A.pdb.gz")) for word in words)
    assert ask(tmp_path / "out", weights, *words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
