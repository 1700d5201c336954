"""Distances between residues that are asked for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from protgm.condition import Conditions, Distance, Distances, Draw, Motif, Symmetry
from protgm.condition.distances import parse_distances
from protgm.layout import Layout
from protgm.model import Prediction, RotationPosterior
from protgm.process import State
from protgm.structure.frames import Frames

NOTHING = Draw(0, 0)


def stretched(layout: Layout, time: float = 0.3) -> tuple[Prediction, State]:
    """Every protein as a straight line of residues 3.8 A apart."""
    shape = layout.mask.shape
    places = torch.zeros(*shape, 3)
    places[..., 0] = 3.8 * torch.arange(shape[1])
    frames = Frames(Frames.identity(*shape).rotations, places)
    posterior = RotationPosterior(torch.zeros(*shape, 1), frames.rotations[:, :, None], torch.ones(*shape, 1))
    prediction = Prediction(frames, posterior, torch.zeros(*shape, 20), torch.ones(shape), (frames,))
    times = torch.full(shape, time)
    return prediction, State(frames, layout.sequence, times, times, times)


def moved(condition: Distances, layout: Layout, time: float = 0.3) -> torch.Tensor:
    prediction, state = stretched(layout, time)
    return condition.steer(prediction, state, layout).frames.translations - prediction.frames.translations


def test_pairs_are_read_as_they_are_written():
    text = "A5-A60:8,A10-B12:4.5-6,@A95-A-3:12,1_5-AB7C:20-40"
    pairs = parse_distances(text)
    assert ",".join(map(str, pairs)) == text
    assert pairs[0] == Distance("A5", "A60", 0.0, 8.0)
    assert (pairs[2].first, pairs[2].second) == ("@A95", "A-3")
    assert (pairs[3].first, pairs[3].second) == ("1_5", "AB7C")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A5-A60", "distances=A5-A60: is no pair with bounds; write A5-A60:8 (at most) or A5-B60:6-10"),
        ("A5:8", "distances=A5:8: is no pair"),
        ("A5-A60:-8", "distances=A5-A60:-8: is no pair"),
        ("A5-A60:9-8", "distances=A5-A60:9-8: distances lie between 0 and some number, least first"),
        ("A5-A60:3", "distances=A5-A60:3: CA atoms are never nearer than 3.8 A"),
        (" , ", "distances=: is empty"),
    ],
)
def test_what_is_no_pair_is_refused(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_distances(text)


def test_residues_that_are_not_there_or_all_given_are_refused(barrel):
    layout = Layout.chain(20)
    for text, told in [
        ("A5-A21:8", "distances=A5-A21:8: there is no residue A21; there are A1 to A20"),
        ("A5-@A7:8", "there is no residue @A7; no residue is given from a file"),
        ("A5-A5:8", "is one residue, and a distance takes two"),
    ]:
        with pytest.raises(ValueError, match=re.escape(told)):
            Distances(parse_distances(text)).lay_out(layout, NOTHING)
    motif = Motif(barrel, "6,A20-25,4")
    for text, told in [
        ("A7-A8:8", "both residues are given, and their distance with them"),
        ("A1-@A27:8", "there is no residue @A27; there are @A20 to @A25"),
    ]:
        with pytest.raises(ValueError, match=re.escape(told)):
            Conditions((motif, Distances(parse_distances(text)))).lay_out(layout, NOTHING)


def test_both_ends_go_half_of_the_way_and_their_neighbours_with_them():
    layout = Layout.batch([Layout.chain(10), Layout.chain(60)])
    # 9 residues apart are 34.2 A: .4 too far for at most 33.8, aimed at 31.8.
    step = moved(Distances(parse_distances("A1-A10:33.8")), layout)
    assert step[0, 0, 0] > 0
    torch.testing.assert_close(step[0, :10, 0], -step[0, :10, 0].flip(0))
    torch.testing.assert_close(step[1, 0, 0] - step[1, 9, 0], torch.tensor(2.4))
    torch.testing.assert_close(step[1, :5, 0], 1.2 * torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))
    assert (step[..., 1:] == 0).all()
    assert (step[1, 13:] == 0).all()
    assert (step[0, 10:] == 0).all()


def test_what_lies_within_its_bounds_is_left_alone():
    layout = Layout.unconditional([30])
    assert (moved(Distances(parse_distances("A1-A11:40")), layout) == 0).all()
    assert (moved(Distances(parse_distances("A1-A11:36-40")), layout) == 0).all()
    near = moved(Distances(parse_distances("A1-A11:50-60")), layout)
    assert near[0, 0, 0] < 0 < near[0, 10, 0]
    assert (near.norm(dim=-1) <= 12 + 1e-4).all()


@pytest.mark.parametrize(("time", "moves"), [(0.0, True), (0.79, True), (0.8, False), (1.0, False)])
def test_it_is_done_while_it_is_early(time, moves):
    assert (
        bool(moved(Distances(parse_distances("A1-A20:8"), until=0.8), Layout.unconditional([20]), time).any()) == moves
    )


def test_a_given_residue_stays_and_the_other_goes_all_of_the_way(barrel):
    condition = Distances(parse_distances("A1-@A25:10"))
    layout = Layout.batch([Conditions((Motif(barrel, "6,A20-25,4"), condition)).lay_out(Layout.chain(16), NOTHING)])
    step = moved(condition, layout)
    assert (step[layout.known] == 0).all()
    # 11 residues apart: 41.8 A, aimed at 8.
    assert float(step[0, 0, 0]) == pytest.approx(12.0)
    # A little at a time, it gets there.
    prediction, state = stretched(layout)
    for _ in range(8):
        prediction = condition.steer(prediction, state, layout)
    places = prediction.frames.translations[0]
    assert 7.9 < float((places[0] - places[11]).norm()) <= 10.0


def test_it_steers_an_assembly(small_model, quick):
    """Between units too; the orbit is kept, and the pair comes nearer than it was."""
    found = []
    for pairs in (None, "A1-B12:4-8"):
        asked = Symmetry("C2") if pairs is None else Symmetry("C2") & Distances(parse_distances(pairs), until=1.0)
        (made,) = small_model.sample(12, conditions=asked, settings=quick, refine=False, secondary=None)
        places = torch.from_numpy(made.coords[:, 1])
        turned = places[12:] * torch.tensor([-1.0, -1.0, 1.0])
        torch.testing.assert_close(turned, places[:12], atol=2e-3, rtol=0)
        found.append(float((places[0] - places[23]).norm()))
    assert found[1] < max(8.0, found[0])


@pytest.mark.parametrize("pair", ["A1-A12:8", "A1-B12:8", "A4-C9:8"])
def test_an_assembly_goes_as_far_as_one_chain_would(pair):
    """The pull on one unit, or on two, is not shared out among all of them."""
    symmetry = Symmetry("C3")
    asked = symmetry & Distances(parse_distances(pair))
    layout = Layout.batch([asked.lay_out(Layout.chain(12), NOTHING)])
    ends = [[site.label for site in layout.each[0]].index(label) for label in pair.split(":")[0].split("-")]
    prediction, state = stretched(layout)
    places = 12 * torch.randn(1, 36, 3, generator=torch.Generator().manual_seed(3)) + 15
    prediction = replace(prediction, frames=Frames(prediction.frames.rotations, places))
    prediction = symmetry.steer(prediction, state, layout)
    for _ in range(12):
        prediction = asked.steer(prediction, state, layout)
    places = prediction.frames.translations[0]
    assert float((places[ends[0]] - places[ends[1]]).norm()) < 8.01


def test_a_pair_within_one_body_is_refused(barrel):
    for asked in (Motif(barrel, "5,A20-25@1,5,A40-50@2,5"), Motif(barrel, "5,A20-25,5") & Symmetry("C2")):
        with pytest.raises(ValueError, match="both residues are given"):
            (asked & Distances(parse_distances("@A20-@A21:8"))).lay_out(Layout.chain(27), NOTHING)


def test_provenance_has_the_pairs():
    told = Distances(parse_distances("A1-A20:8,A3-A9:4-6")).describe()
    assert told == {"condition": "Distances", "pairs": ["A1-A20:8", "A3-A9:4-6"], "until": 1.0}


def test_a_batch_knows_its_sites():
    layouts = [Layout.chain(5), Layout.chain(8, chain="B")]
    batch = Layout.batch(layouts)
    assert batch.each == (layouts[0].sites, layouts[1].sites)
    assert replace(batch, mask=batch.mask).each == batch.each
