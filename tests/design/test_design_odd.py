"""Files with one oddity each through the commands: what the reader makes of them reaches FASTA, gate and dataset."""

from __future__ import annotations

import csv
import gzip
import shutil
from pathlib import Path

import pytest

from protgm.data import Filters, prepare
from protgm.design import Design, design
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.structure import Backbone

ROOT = Path(__file__).parents[2]
ODD = ROOT.parent / "shared" / "odd"


class Alanines:
    """A designer that needs no package."""

    settings: dict[str, object] = {"letter": "A"}  # noqa: RUF012

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
        return [Design("A" * len(backbone), 1.0)]

    def score(self, backbone: Backbone, sequence: str) -> float:
        return 1.0


def sequences(fasta: Path) -> list[int]:
    """Lengths of the chains in a FASTA file."""
    return [len(chain) for chain in fasta.read_text().splitlines()[1].split("/")]


def atoms(name: str, chain: str, shift: float = 0.0) -> list[str]:
    """ATOM records of an example, under another chain's name and moved along x."""
    text = gzip.decompress((ROOT / "data" / "examples" / f"{name}.pdb.gz").read_bytes()).decode()
    found = [line for line in text.splitlines() if line.startswith("ATOM")]
    return [f"{line[:21]}{chain}{line[22:30]}{float(line[30:38]) + shift:8.3f}{line[38:]}" for line in found]


def test_a_chain_in_two_blocks_is_one_sequence(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    first, other = atoms("1CSP_A", "A"), atoms("1POH_A", "B", 80.0)
    (folder / "blocks.pdb").write_text("\n".join([*first[:100], *other, *first[100:], "END"]) + "\n")
    report = design(folder, out=tmp_path / "out", num_seqs=1, designer=Alanines(), workers=1, progress=False)
    assert not report.failed
    assert sequences(tmp_path / "out" / "blocks.fasta") == [67, 85]


def test_a_resolution_of_any_spacing_is_filtered(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, remark in (("a", "REMARK   2 RESOLUTION.   3.50  ANGSTROMS."), ("b", "REMARK 2 RESOLUTION. 2 A")):
        (folder / f"{name}.pdb").write_text("\n".join([remark, *atoms("1CSP_A", "A"), "END"]) + "\n")
    summary = prepare(folder, tmp_path / "data", filters=Filters(max_resolution=3.0), workers=1, progress=False)
    assert (summary.entries, summary.rejected) == (1, {"resolution": 1})


@pytest.mark.slow
def test_the_examples(tmp_path: Path) -> None:
    if not ODD.is_dir():
        pytest.skip("no odd structures beside this checkout")
    folder = tmp_path / "in"
    shutil.copytree(ODD, folder)
    designed = design(folder, out=tmp_path / "designs", num_seqs=1, designer=Alanines(), workers=1, progress=False)
    assert not designed.failed
    with open(ODD / "expected.csv", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            name = Path(row["file"]).stem
            expected = [int(length) for length in row["residues_by_chain"].split("+")]
            assert sequences(tmp_path / "designs" / f"{name}.fasta") == expected, name
    judged = evaluate(folder, workers=1, progress=False, config=EvaluateConfig(similarity=False))
    assert {row["name"]: row["breaks"] for row in judged.samples}["o19_amber_tetramer"] == 0
    assert not judged.failed
    summary = prepare(folder, tmp_path / "data", filters=Filters(max_resolution=3.0), workers=1, progress=False)
    assert summary.rejected["resolution"] == 1
