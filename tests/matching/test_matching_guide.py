"""The code blocks of docs/matching.md run, one after the other, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch


@pytest.mark.slow
def test_the_guide_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "matching.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 6
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/matching.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "they must sum to one" in shown
    assert "Jump needs the posterior, which method='flow' does not train" in shown
    for drawn in (names["halves"], *names["others"]):  # each has gone to both of the points
        assert drawn.shape == (500, 1)
        assert (drawn.abs() - 1).abs().median() < 0.2
        assert 0.35 < float((drawn > 0).float().mean()) < 0.65
    assert names["found"] <= 0.0205
    assert names["x"].abs().mean() > 0.8  # the learned flow has gone to the two points
    assert (names["token"] < 21).all()
    assert torch.allclose(names["point"].norm(dim=-1), torch.ones(8), atol=1e-5)
