"""Long chains: each residue attends to some others only, whatever is sampled beside it."""

from __future__ import annotations

import numpy as np
import pytest

from protgm.sample.generate import BackboneModel, batches
from protgm.sample.lengths import work_list
from protgm.sample.settings import SamplerSettings


def test_how_many_are_attended_to():
    settings = SamplerSettings()
    assert [settings.attended(length) for length in (64, 512, 513, 2048)] == [None, None, 128, 128]
    assert [SamplerSettings(neighbours=64).attended(length) for length in (64, 65, 513)] == [None, 64, 64]
    with pytest.raises(ValueError, match="neighbours=8 must be at least 48"):
        SamplerSettings(neighbours=8)


def test_chains_of_both_kinds_do_not_share_a_batch():
    items = work_list((40, 50, 60, 70), 1, 0)
    cut = list(batches(items, 8, SamplerSettings(neighbours=55)))
    assert [[item.length for item in chunk] for chunk in cut] == [[70, 60], [50, 40]]
    assert [len(chunk) for chunk in batches(items, 3, SamplerSettings())] == [3, 1]


def test_neighbours_reach_the_network(small_denoiser):
    model = BackboneModel(small_denoiser, {}, "test")

    def coords(**settings: int) -> np.ndarray:
        return model.sample(70, settings=SamplerSettings(steps=3, **settings), refine=False)[0].coords

    everything = coords()
    np.testing.assert_array_equal(coords(neighbours=70), everything)
    assert np.abs(coords(neighbours=48) - everything).max() > 0.01
    # A protein does not depend on the longer ones beside it.
    mixed = model.sample((50, 70), 1, settings=SamplerSettings(steps=3, neighbours=50), refine=False)
    alone = model.sample(50, 1, settings=SamplerSettings(steps=3), refine=False)[0].coords
    np.testing.assert_array_equal(mixed[0].coords, alone)
