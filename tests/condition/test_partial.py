"""Structures noised to a time and taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.condition import Draw, Partial
from protgm.layout import Layout
from protgm.process import ProteinProcess
from protgm.sample.lengths import Item
from protgm.sample.sampler import sample_frames
from protgm.streams import Streams


def laid(partial: Partial) -> Layout:
    return partial.lay_out(Layout.chain(100), Draw(0, 0))


def test_all_chains_come_with_their_names_numbers_and_gaps(complex_):
    layout = laid(Partial(complex_, 0.6))
    names = [(site.chain, site.number, site.source) for site in layout.sites]
    assert names == [
        (chain, number, f"{chain}{number}")
        for chain, number in zip(complex_.chain_ids, complex_.residue_numbers.tolist(), strict=True)
    ]
    assert layout.chain_index.unique().tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(layout.breaks, torch.from_numpy(complex_.chain_breaks()))
    within = layout.chain_index.diff() == 0
    steps = torch.from_numpy(np.diff(complex_.residue_numbers))
    assert torch.equal(layout.residue_index.diff()[within], steps[within])
    assert (layout.time == 0.6).all()
    assert layout.design.all()
    assert not bool(layout.oriented)
    assert layout.frames.translations.mean(0).norm() < 1e-3


def test_little_noise_leaves_the_structure_and_much_does_not(small_model, barrel, quick, rmsd):
    """The network is random and pulls anywhere: what is near is what noise of that time leaves of the start."""
    apart = {}
    for time in (0.99, 0.5):
        (made,) = small_model.sample(conditions=Partial(barrel, time), settings=quick, refine=False)
        assert made.chain_ids == barrel.chain_ids
        assert made.residue_numbers.tolist() == barrel.residue_numbers.tolist()
        assert set(made.sequence) == {"G"}
        apart[time] = rmsd(made.coords[:, 1], barrel.coords[:, 1])
        # Laid on the start: no rotation brings it nearer.
        gap = made.coords[:, 1].astype(float) - barrel.coords[:, 1]
        assert np.sqrt(np.square(gap).sum(-1).mean()) == pytest.approx(apart[time], abs=1e-3)
    assert apart[0.99] < 2 < apart[0.5]


@pytest.mark.slow
@pytest.mark.parametrize("refine", [False, True])
def test_fixed_residues_stay(small_model, complex_, quick, refine):
    chains = complex_.select(np.array([c in "AB" for c in complex_.chain_ids]))
    partial = Partial(chains, 0.7, "A10-20,B")
    settings = replace(quick, steps=4)
    (made,) = small_model.generate([Item(len(chains), 0)], conditions=partial, settings=settings, refine=refine)
    still = np.array([site.part == "fixed" for site in made.layout.sites])
    assert still.sum() == 11 + chains.chain_ids.count("B")
    assert torch.equal(made.layout.known, torch.from_numpy(still))
    np.testing.assert_allclose(made.backbone.coords[still], chains.coords[still], atol=5e-5, rtol=0)
    assert np.abs(made.backbone.coords[~still] - chains.coords[~still]).max() > 0.5
    letters, own = np.array(list(made.backbone.sequence)), np.array(list(chains.sequence))
    assert (letters[still] == own[still]).all()
    assert made.backbone.residue_numbers.tolist() == chains.residue_numbers.tolist()


def test_frames_of_fixed_residues_stay_to_the_bit(small_denoiser, barrel, quick):
    partial = Partial(barrel, 0.5, "A10-20")
    layout = Layout.batch([laid(partial).anchored()])
    found = sample_frames(
        small_denoiser, ProteinProcess(), layout, quick, Streams([1], [67]), conditions=partial
    ).frames
    assert torch.equal(found.translations[layout.known], layout.frames.translations[layout.known])
    assert torch.equal(found.rotations[layout.known], layout.frames.rotations[layout.known])


@pytest.mark.parametrize(
    ("time", "fixed", "message"),
    [
        (1.0, None, r"start_time=1.0 must be at least 0 \(all noise\) and below 1"),
        (-0.1, None, "start_time=-0.1 must be"),
        (float("nan"), None, "start_time=nan must be"),
        (0.5, "A60-70", r"residue A70 \(A60-70\) is not there"),
        (0.5, "B", "there is no chain B"),
        (0.5, "5,A6", "fixed=5,A6: must name residues of the structure, such as A10-20,A55"),
        (0.5, "A", "fixed=A: holds all residues of 1CSP_A; nothing is left to vary"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(barrel, time, fixed, message):
    with pytest.raises(ValueError, match=message) as refused:
        Partial(barrel, time, fixed)
    assert "\n" not in str(refused.value)


def test_a_start_that_lacks_atoms_or_cannot_be_read_is_named(barrel, tmp_path):
    coords = barrel.coords.copy()
    coords[4, 0] = np.nan
    with pytest.raises(ValueError, match="1CSP_A: residue A5 lacks N, CA or C; leave it out of the file"):
        Partial(replace(barrel, coords=coords), 0.5)
    with pytest.raises(ValueError, match=r"none\.pdb"):
        Partial(tmp_path / "none.pdb", 0.5)
    mixed = replace(barrel, chain_ids=("A",) * 20 + ("B",) * 20 + ("A",) * 27)
    with pytest.raises(ValueError, match="the residues of each chain must follow one another"):
        laid(Partial(mixed, 0.5))
