"""The code blocks of docs/matching.md run, one after the other, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import torch


def test_the_guide_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "matching.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/matching.md", "exec"), names)
    assert "they must sum to one" in capsys.readouterr().out
    assert names["x"].abs().mean() > 0.8  # the learned flow has gone to the two points
    assert (names["token"] < 21).all()
    assert torch.allclose(names["point"].norm(dim=-1), torch.ones(8), atol=1e-5)
