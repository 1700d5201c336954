"""Long chains: each residue attends to some others only, whatever is sampled beside it."""

from __future__ import annotations

import numpy as np
import pytest

from protgm.process import ProteinProcess
from protgm.sample.generate import BackboneModel
from protgm.sample.lengths import work_list
from protgm.sample.request import batches
from protgm.sample.settings import Execution, SamplerSettings


def test_how_many_are_attended_to():
    execution = Execution()
    assert [execution.attended(length) for length in (64, 512, 513, 2048)] == [None, None, 128, 128]
    assert [Execution(neighbours=64).attended(length) for length in (64, 65, 513)] == [None, 64, 64]
    with pytest.raises(ValueError, match="neighbours=8 must be at least 48"):
        Execution(neighbours=8)


def test_chains_of_both_kinds_do_not_share_a_batch():
    items = work_list((40, 50, 60, 70), 1, 0)
    cut = list(batches(items, Execution(batch=8, neighbours=55)))
    assert [[item.length for item in chunk] for chunk in cut] == [[70, 60], [50, 40]]
    assert [len(chunk) for chunk in batches(items, Execution(batch=3))] == [3, 1]


def test_neighbours_reach_the_network(small_denoiser):
    model = BackboneModel(small_denoiser, ProteinProcess(), {}, "test")

    settings = SamplerSettings(steps=3)

    def made(length, num: int = 1, **execution: int) -> list[np.ndarray]:
        sampled = model.sample(length, num, settings=settings, execution=Execution(**execution), refine=False)
        return [backbone.coords for backbone in sampled]

    (everything,) = made(70)
    np.testing.assert_array_equal(made(70, neighbours=70)[0], everything)
    assert np.abs(made(70, neighbours=48)[0] - everything).max() > 0.01
    # A protein does not depend on the longer ones beside it.
    np.testing.assert_array_equal(made((50, 70), neighbours=50)[0], made(50)[0])
