"""Neighbours by index: layouts and losses say the same of which residues are bonded."""

from __future__ import annotations

from dataclasses import replace

import torch

from protgm.layout import Layout
from protgm.process import ProteinProcess
from protgm.train.losses import _bonded


def test_layouts_and_losses_agree():
    process = ProteinProcess()
    source = torch.Generator().manual_seed(0)
    layouts = []
    for length in (1, 7, 12):
        one = Layout.chain(length)
        steps = torch.randint(1, 3, (length,), generator=source)
        chains = (torch.arange(length) >= 5).long()
        layouts.append(replace(one, residue_index=steps.cumsum(0), chain_index=chains))
    layout = Layout.batch(layouts)
    protein = process.seen(process.begin(layout, source), layout)
    bonded = _bonded(protein, 1)
    assert bonded.any()
    assert not bonded.all()
    assert torch.equal(bonded, ~layout.breaks[:, :-1])
