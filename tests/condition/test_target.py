"""New chains against given ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import protgm
from protgm.condition import Draw, Motif, Partial, SecondaryStructure, Target
from protgm.layout import Layout
from protgm.model import Prediction
from protgm.process import State
from protgm.sample.lengths import Item
from protgm.structure.frames import Frames, kabsch


@pytest.mark.slow
def test_the_target_stays_as_it_is_and_a_new_chain_comes_before_it(small_model, complex_, quick, tmp_path):
    target = Target(complex_, chains=("C", "D"), hotspots=("C20", "C24-25"), crop=60)
    (made,) = small_model.generate([Item(12, 0, 72)], conditions=target, settings=quick)
    own = complex_.select(np.array([chain in "CD" for chain in complex_.chain_ids]))
    built = made.backbone
    assert built.chain_ids == ("E",) * 12 + own.chain_ids  # A and B are in the file, though not in the target
    assert built.residue_numbers.tolist() == [*range(1, 13), *own.residue_numbers.tolist()]
    assert np.array_equal(built.coords[12:], own.coords)
    assert built.sequence == "G" * 12 + own.sequence
    assert len(built.confidence) == len(built)
    # The file says the same.
    built.to_pdb(tmp_path / "x.pdb")
    read = protgm.read_structure(tmp_path / "x.pdb")
    assert read.chain_ids == built.chain_ids
    assert read.residue_numbers.tolist() == built.residue_numbers.tolist()
    np.testing.assert_allclose(read.coords[12:], own.coords, atol=6e-4)


def test_the_network_sees_what_is_nearest_to_the_hotspots(complex_):
    target = Target(complex_, chains=("C",), hotspots=("C20", "C24"), crop=30)
    layout = target.lay_out(Layout.chain(10), Draw(0, 0))
    seen = [site.source for site in layout.sites if site.part == "target"]
    assert len(seen) == 30
    assert [s.source for s, hot in zip(layout.sites, layout.hotspot, strict=True) if hot] == ["C20", "C24"]
    chain = complex_.select(np.array([c == "C" for c in complex_.chain_ids]))
    names = [f"C{n}" for n in chain.residue_numbers]
    spots = chain.coords[[names.index("C20"), names.index("C24")], 1]
    distance = np.linalg.norm(chain.coords[:, None, 1] - spots, axis=-1).min(1)
    assert set(seen) == {names[i] for i in np.argsort(distance, kind="stable")[:30]}
    assert seen == [name for name in names if name in seen]
    said = target.describe()
    assert said["seen"] == 30
    assert said["residues"] == len(chain)
    assert said["crop"] == 30
    # Residues on both sides of what was left out are no neighbours.
    places = torch.tensor([names.index(name) for name in seen])
    bonded = layout.residue_index[10:].diff() == 1
    assert torch.equal(bonded, (places.diff() == 1) & torch.from_numpy(~chain.chain_breaks())[places[:-1]])
    assert int(layout.chain_index.max()) == 1
    assert layout.known.tolist() == [False] * 10 + [True] * 30
    assert layout.design.tolist() == [True] * 10 + [False] * 30


def test_noise_lies_in_front_of_the_hotspots(complex_):
    layout = Target(complex_, chains=("C",), hotspots=("C20",)).lay_out(Layout.chain(10), Draw(0, 0)).anchored()
    known = layout.frames.translations[layout.known]
    spot = layout.frames.translations[layout.hotspot].mean(0)
    anchor = layout.anchor[0]
    assert (anchor - spot).norm() == pytest.approx(12.0, abs=1e-3)
    weight = (-(known - spot).square().sum(-1) / 128).exp()
    outwards = torch.nn.functional.normalize(spot - weight @ known / weight.sum(), dim=-1)
    assert float(torch.nn.functional.normalize(anchor - spot, dim=-1) @ outwards) > 0.999


def test_noise_lies_before_the_surface_that_is_near_and_not_before_the_whole():
    """A plate with a long tail to one side: the noise lies above the plate, not away from the tail."""
    plate = torch.cartesian_prod(torch.arange(5) * 5.0 - 10, torch.arange(5) * 5.0 - 10, torch.tensor([0.0, -5.0]))
    tail = torch.tensor([60.0, 0.0, 0.0]) + torch.arange(200)[:, None] * torch.tensor([0.2, 0.0, 0.0])
    places = torch.cat((plate, tail))
    layout = Layout.chain(len(places))
    hot = torch.arange(len(places)) == 24  # the middle of the upper layer
    layout = replace(layout, frames=Frames(layout.frames.rotations, places), time=torch.ones(len(places)), hotspot=hot)
    torch.testing.assert_close(layout.anchored().anchor[0], torch.tensor([0.0, 0.0, 12.0]), atol=0.05, rtol=0)


@pytest.mark.parametrize("front", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("hotspots", [("A14", "A32"), ()])
def test_late_in_a_walk_a_binder_is_as_near_as_native_partners_are(barrel, front, hotspots):
    """A plate as a binder, in the target or out of its reach."""
    target = Target(barrel, hotspots=hotspots)
    layout = Layout.batch([target.lay_out(Layout.chain(9), Draw(0, 0)).anchored()])
    plate = torch.cartesian_prod(torch.arange(3) * 3.8, torch.arange(3) * 3.8, torch.zeros(1))
    spot = layout.frames.translations[0, [9 + 13, 9 + 31]].mean(0)
    outward = torch.nn.functional.normalize(spot - layout.frames.translations[0, 9:].mean(0), dim=0)
    rotations, places = layout.frames.rotations, layout.frames.translations.clone()
    places[0, :9] = spot + 12.0 * front * outward + plate - plate.mean(0)
    shape = layout.mask.shape
    prediction = Prediction(Frames(rotations, places), None, torch.zeros(*shape, 20), torch.ones(shape), ())

    def steered(time: float) -> torch.Tensor:
        times = torch.where(layout.known, 1.0, time)
        state = State(prediction.frames, layout.sequence, times, times, times)
        return target.steer(prediction, state, layout).frames.translations[0]

    assert torch.equal(steered(0.6), places[0])
    moved = steered(0.7)
    assert torch.equal(moved[9:], places[0, 9:])
    torch.testing.assert_close(torch.cdist(moved[:9], moved[:9]), torch.cdist(places[0, :9], places[0, :9]))
    nearest = torch.cdist(moved[:9], moved[9:]).min()
    assert nearest > 4 - 1e-3
    before = torch.cdist(places[0, :9], places[0, 9:]).min()
    if hotspots:
        assert nearest < 5 + 1e-3
    elif before > 4:
        assert torch.equal(moved, places[0])


def test_residues_that_lack_atoms_are_not_seen_but_written(small_model, barrel, quick):
    coords = barrel.coords.copy()
    coords[30, 2] = np.nan
    target = Target(replace(barrel, coords=coords), hotspots=("A10",))
    (made,) = small_model.generate([Item(6, 0, 72)], conditions=target, settings=quick, refine=False)
    assert "A31" not in {site.source for site in made.layout.sites}
    np.testing.assert_array_equal(made.backbone.coords[6:], coords)
    assert target.describe()["seen"] == 66
    with pytest.raises(ValueError, match=r"1CSP_A: residue A31 \(A31\) lacks N, CA or C"):
        Target(replace(barrel, coords=coords), hotspots=("A31",))


def test_what_is_asked_of_the_new_chain_is_asked_of_it_alone(barrel):
    layout = (SecondaryStructure("H8") & Target(barrel)).lay_out(Layout.chain(8), Draw(0, 0))
    assert layout.secondary.tolist() == [0] * 8 + [3] * 67


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chains": ("A", "X")}, "3wbm: there is no chain X; it has A, B, C, D"),
        ({"hotspots": ("X5",)}, r"hotspots=X5: chain X is not part of the target \(A, B, C, D\)"),
        ({"chains": ("A", "B"), "hotspots": ("C20",)}, r"hotspots=C20: chain C is not part of the target \(A, B\)"),
        ({"hotspots": ("A500",)}, r"residue A500 \(A500\) is not there; chain A has residues 5 to 97"),
        ({"hotspots": ("A",)}, "hotspots=A: must name residues of the target, such as A45,A49"),
        ({"hotspots": ("12",)}, "hotspots=12: must name residues"),
        ({"hotspots": ("A20-25",), "crop": 5}, "crop=5 must be at least the number of hotspots, 6"),
        ({"crop": 0}, "crop=0 must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(complex_, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        Target(complex_, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("refine", [False, True])
def test_a_motif_in_a_new_chain_keeps_its_shape_and_finds_its_place(small_model, barrel, complex_, quick, refine):
    """A binder about a motif of another file: the motif moves as a body, the target stays."""
    asked = Motif(barrel, "3,A20-27,2-4,A46-50,2") & Target(complex_, chains=("C",), hotspots=("C20", "C24"), crop=40)
    (made,) = small_model.sample(conditions=asked, settings=quick, refine=refine)
    own = complex_.select(np.array([chain == "C" for chain in complex_.chain_ids]))
    assert np.array_equal(made.coords[-len(own) :], own.coords)
    assert dict.fromkeys(made.chain_ids) == dict.fromkeys("EC")
    source = barrel.select(np.r_[19:27, 45:50])
    held = np.flatnonzero(made.given.parts == "motif")
    assert made.sequence[held[0] : held[0] + 8] == source.sequence[:8]
    found, wanted = (torch.from_numpy(x.reshape(-1, 3)).double() for x in (made.coords[held], source.coords))
    turn = kabsch(found - found.mean(0), wanted - wanted.mean(0))
    off = (found - found.mean(0)) @ turn.mT - (wanted - wanted.mean(0))
    assert off.norm(dim=-1).max() < 0.01
    assert (found.mean(0) - wanted.mean(0)).norm() > 1
    assert set(made.given.bodies[held]) == {1}
    assert set(made.given.bodies[-len(own) :]) == {0}


def test_other_conditions_that_fix_residues_are_refused(small_model, barrel, quick):
    target = Target(barrel)
    for fixed in (None, "A5-9"):
        with pytest.raises(ValueError, match="target=: cannot be combined with a start; give the complex as start="):
            small_model.sample(conditions=Partial(barrel, 0.0, fixed) & target, settings=quick)
    with pytest.raises(ValueError, match="Target is asked for twice"):
        target & Target(barrel)
