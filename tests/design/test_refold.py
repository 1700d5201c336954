"""Refolding: a fake program, a tiny ESMFold of random weights, and the figures of self-consistency."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from protgm.design import Design
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.refold import CommandRefolder, ESMFold, make_refolder, self_consistency, superposed_rmsd
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"

#: A predictor that knows two answers: the native's structure for its own sequence, a straight line for others.
FAKE = """
import sys, gzip, pathlib
fasta, out, native = map(pathlib.Path, sys.argv[1:4])
lines = fasta.read_text().split()
text = gzip.decompress(native.read_bytes()).decode()
atoms = [line for line in text.splitlines() if line.startswith("ATOM")]
own = {numbers: i for i, numbers in enumerate(dict.fromkeys(line[22:26] for line in atoms))}
for head, sequence in zip(lines[::2], lines[1::2]):
    rows = []
    for line in atoms:
        if sequence.startswith("W"):
            line = line[:30] + f"{own[line[22:26]] * 3.8:8.3f}{0:8.3f}{0:8.3f}" + line[54:]
        rows.append(line[:60] + "  0.87" + line[66:])
    name = head[1:] + "_unrelaxed_rank_001.pdb"
    (out / name).write_text("\\n".join(rows) + "\\nEND\\n")
"""


def native(name: str = "1EJG_A") -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


@pytest.fixture
def command(tmp_path: Path) -> str:
    script = tmp_path / "fake fold.py"
    script.write_text(FAKE)
    return f"{sys.executable} '{script}' {{fasta}} {{out}} {NATIVES / '1EJG_A.pdb.gz'}"


def test_rmsd_is_of_the_best_superposition() -> None:
    x = np.random.default_rng(0).normal(0, 10, (50, 3))
    turned = Rotation.from_euler("xyz", (20, 130, -60), degrees=True).apply(x) + np.array([5, -7, 100])
    assert superposed_rmsd(x, turned) == pytest.approx(0, abs=1e-5)
    assert superposed_rmsd(x, x * [1, 1, -1]) > 5
    noise = np.random.default_rng(1).normal(0, 1, (50, 3))
    aligned, _ = Rotation.align_vectors(x - x.mean(0), turned + noise - (turned + noise).mean(0))
    left = aligned.apply(turned + noise - (turned + noise).mean(0)) - (x - x.mean(0))
    assert superposed_rmsd(x, turned + noise) == pytest.approx(np.sqrt((left**2).sum(1).mean()), rel=1e-6)
    x[3] = np.nan
    assert superposed_rmsd(x, turned) == pytest.approx(0, abs=1e-5)
    assert np.isnan(superposed_rmsd(x[:2], turned[:2]))


def test_best_sequence_decides(command: str, tmp_path: Path) -> None:
    b = native()
    designs = [[Design("W" * 46, 0.5), Design(b.sequence, 1.0)], [], [Design("W" * 46, 0.5)]]
    found = self_consistency([b, b, b], designs, CommandRefolder(command), folder=tmp_path / "refolded")
    assert found[1] is None
    assert found[0].sequence == b.sequence
    assert found[0].rmsd == pytest.approx(0, abs=1e-3)
    assert found[0].tm == pytest.approx(1, abs=1e-3)
    assert found[0].plddt == pytest.approx(87, abs=0.01)
    assert found[0].folded == 2
    assert found[0].designable
    assert found[2].rmsd > 20
    assert not found[2].designable


def test_written_prediction_lies_on_the_backbone(command: str, tmp_path: Path) -> None:
    b = native()
    moved = replace(b, coords=(b.coords[..., [2, 0, 1]] + 30).astype(np.float32), name="sub/moved")
    self_consistency([moved], [[Design(b.sequence, 1.0)]], CommandRefolder(command), folder=tmp_path)
    laid = read_structure(tmp_path / "sub" / "moved.pdb")
    assert np.abs(laid.coords - moved.coords).max() < 5e-3


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("fold {fasta}", r"has no \{out\}"),
        ("fold 'x {fasta} {out}", "No closing quotation"),
    ],
)
def test_templates_are_checked(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CommandRefolder(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("no-such-program-here {fasta} {out}", "no-such-program-here is not there"),
        (f"{sys.executable} -c \"raise SystemExit('no GPU')\" {{fasta}} {{out}}", "failed with status 1: no GPU"),
        (f"{sys.executable} -c pass {{fasta}} {{out}}", "left no structure file"),
    ],
)
def test_programs_that_fail_are_named(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CommandRefolder(template).fold({"a": "ACDE"})


def test_refolders_by_name() -> None:
    assert make_refolder(None) is None
    assert isinstance(make_refolder("command", command="x {fasta} {out}"), CommandRefolder)
    with pytest.raises(ValueError, match="needs a command"):
        make_refolder("command")
    with pytest.raises(ValueError, match="must be esmfold, command or null"):
        make_refolder("omegafold")


def test_says_what_to_install_for_esmfold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'protgm\[refold\]'"):
        ESMFold()


def test_evaluate_refolds_what_it_designed(command: str, tmp_path: Path) -> None:
    class Own:
        def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
            return [Design(backbone.sequence, 1.25)] * num_seqs

        def score(self, backbone: Backbone, sequence: str) -> float:
            return 1.25

    source = tmp_path / "samples"
    source.mkdir()
    native().to_pdb(source / "good.pdb")
    found = evaluate(
        source,
        out=tmp_path / "out",
        config=EvaluateConfig(num_seqs=1, figures=False),
        designer=Own(),
        refolder=CommandRefolder(command),
        workers=1,
        progress=False,
    )
    (row,) = found.samples
    assert row["mpnn_nll"] == 1.25
    assert row["designable"] is True
    assert row["sc_rmsd"] < 0.01
    assert found.summary["designable"] == 1
    assert (tmp_path / "out" / "designs" / "good.fasta").exists()
    assert (tmp_path / "out" / "refolded" / "good.pdb").exists()
    with pytest.raises(ValueError, match="refolding needs designed sequences"):
        evaluate(source, out=tmp_path / "out", refolder=CommandRefolder(command))


@pytest.mark.filterwarnings("ignore")  # of transformers' own
def test_tiny_esmfold_of_random_weights_folds() -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    trunk = {
        "num_blocks": 1, "sequence_state_dim": 16, "pairwise_state_dim": 16, "sequence_head_width": 8,
        "pairwise_head_width": 8, "max_recycles": 1, "position_bins": 8,
        "structure_module": {
            "sequence_dim": 16, "pairwise_dim": 16, "ipa_dim": 8, "resnet_dim": 8, "num_heads_ipa": 2,
            "num_qk_points": 2, "num_v_points": 2, "num_blocks": 1, "num_transition_layers": 1, "num_resnet_blocks": 1,
        },
    }  # fmt: skip
    config = transformers.EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        pad_token_id=1, mask_token_id=32, position_embedding_type="rotary", is_folding_model=True,
        esmfold_config={"trunk": trunk, "lddt_head_hid_dim": 8},
        vocab_list=["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"],
    )  # fmt: skip
    refolder = ESMFold(model=transformers.EsmForProteinFolding(config))
    b = native().select(slice(0, 12))
    found = refolder.fold({"a": b.sequence, "b": "GX" * 5})
    assert found["a"].coords.shape == (12, 4, 3)
    assert found["b"].coords.shape == (10, 4, 3)
    assert np.isfinite(found["a"].coords).all()
    # Ideal residues come out whatever the weights: N-CA and C-O have their lengths.
    bond = np.linalg.norm(found["a"].coords[:, 0] - found["a"].coords[:, 1], axis=-1)
    assert bond == pytest.approx(1.46, abs=0.02)
    assert np.linalg.norm(found["a"].coords[:, 2] - found["a"].coords[:, 3], axis=-1) == pytest.approx(1.23, abs=0.02)
    assert 0 <= found["a"].plddt <= 100
    (check,) = self_consistency([b], [[Design(b.sequence, 1.0)]], refolder)
    assert check.rmsd > 1
