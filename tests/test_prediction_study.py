"""`scripts/prediction_study.py`: its TM-score, what it gives away, and the page it writes."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from protgm.lie import so3
from protgm.metrics.similarity import tm_score
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE
from protgm.process import ProteinProcess
from protgm.streams import Streams
from protgm.structure.frames import centre
from protgm.weights import save_weights

SCRIPT = Path(__file__).parents[1] / "scripts" / "prediction_study.py"


@pytest.fixture(scope="module")
def study() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # as for a script that is run
        return SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="prediction_study"))


@pytest.fixture(scope="module")
def batch(study, example_dataset):
    return next(study.batches(str(example_dataset), 40, 256, 3))


def test_tm_scores_are_those_of_tm_align_where_residues_match(study, batch):
    generator = torch.Generator().manual_seed(0)
    turn = so3.random_uniform((len(batch), 1), generator=generator)
    blurred = batch.frames.translations + 1.5 * torch.randn(batch.frames.translations.shape, generator=generator)
    for made in (batch.frames.translations, blurred):
        moved = centre((turn @ made[..., None]).squeeze(-1), batch.mask)
        scores = study.tm_scores(moved, batch.frames.translations, batch.mask)
        for i, score in enumerate(scores.tolist()):
            kept = batch.mask[i]
            aligned = tm_score(moved[i, kept].numpy(), batch.frames.translations[i, kept].numpy())[0]
            assert score == pytest.approx(aligned, abs=0.02)
    assert study.tm_scores(batch.frames.translations, batch.frames.translations, batch.mask).min() > 0.999


def test_only_what_is_given_is_shown(study, batch):
    def noised(*given: str):
        return study.noised(batch, study.Question(0.3, frozenset(given)), ProteinProcess(), seed=0)

    nothing, everything = noised(), noised("secondary", "sequence", "motif")
    assert (nothing.sequence == MASK_TOKEN).all()
    assert (nothing.secondary == UNKNOWN_STRUCTURE).all()
    assert (nothing.time == torch.tensor(0.3)).all()
    assert torch.equal(everything.sequence, batch.sequence)
    assert torch.equal(everything.secondary, batch.secondary)
    known = (everything.time == 1) & batch.mask
    assert 0.3 < known.sum() / batch.mask.sum() < 0.37
    torch.testing.assert_close(everything.frames.translations[known], batch.frames.translations[known])
    assert torch.equal(everything.frames.rotations[known], batch.frames.rotations[known])
    # The rest is turned as before, and its noise lies about what is known.
    assert torch.equal(everything.frames.rotations[~known], nothing.frames.rotations[~known])
    middle = torch.stack([x[k].mean(0) for x, k in zip(batch.frames.translations, known, strict=True)])[:, None]
    streams = Streams(range(len(batch)), [batch.padded_length] * len(batch))
    noise = ProteinProcess().positions.prior(batch.frames.translations.shape, generator=streams) + middle
    rest = batch.mask & ~known
    expected = torch.lerp(noise, batch.frames.translations, 0.3)[rest]
    torch.testing.assert_close(everything.frames.translations[rest], expected, atol=1e-4, rtol=0)


def test_a_gap_is_a_tenth_in_the_middle(study, batch):
    gap, chains = (study.cut(batch, frozenset({what})) for what in ("gap", "chains"))
    assert torch.equal(gap.mask, chains.mask)
    for i, (before, after) in enumerate(zip(batch.mask.sum(1).tolist(), gap.mask, strict=True)):
        gone = (batch.mask[i] & ~after).nonzero().flatten().float()
        assert abs(len(gone) - before / 10) <= 1
        assert abs(float(gone.mean()) - (before - 1) / 2) <= 1
        assert gap.chain_index[i, 0] == gap.chain_index[i, before - 1]
        assert chains.chain_index[i, 0] != chains.chain_index[i, before - 1]
    assert gap.frames.translations.sum(1).abs().max() < 1e-2
    assert study.cut(batch, frozenset({"motif"})) is batch


def test_the_page_has_a_row_for_all_that_is_asked(study, example_dataset, small_denoiser, tmp_path):
    weights, page = tmp_path / "weights.safetensors", tmp_path / "page.md"
    save_weights(weights, small_denoiser, {})
    arguments = [f"data={example_dataset}", f"checkpoint={weights}", "num=2", "length=40-256", "time=0.5", "looks=1,2"]
    study.main([*arguments, "given=nothing;sequence", f"page={page}"])
    text = page.read_text(encoding="utf-8")
    assert "| weights | given | t = 0.5: 1 | t = 0.5: 2 |" in text
    assert text.count("| nothing | 0.") == 2
    assert text.count("| sequence | 0.") == 1  # nothing is hidden in the second table
    with pytest.raises(
        SystemExit, match="given=fold: should be nothing, or some of secondary, sequence, motif, gap, chains"
    ):
        study.main([*arguments, "given=fold"])
    with pytest.raises(SystemExit, match="steps: no such option; there are data, checkpoint"):
        study.main(["steps=3"])
