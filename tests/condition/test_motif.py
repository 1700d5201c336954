"""Motifs: what is laid out, what comes out, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.condition import Draw, Motif
from protgm.layout import FIXED, FREE, Layout
from protgm.model import MASK_TOKEN
from protgm.sample.lengths import Item
from protgm.structure.residues import AMINO_ACIDS


def laid(motif: Motif, index: int = 0, seed: int = 0) -> Layout:
    return motif.lay_out(Layout.chain(100), Draw(seed, index))


def runs(layout: Layout) -> list[tuple[str, int]]:
    """``new`` or source residues of stretches, with their lengths."""
    found: list[tuple[str, int]] = []
    before = None
    for site, chain in zip(layout.sites, layout.chain_index.tolist(), strict=True):
        key = (site.part, chain)
        if key == before:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((site.source or site.part, 1))
        before = key
    return found


def test_segments_and_stretches_are_in_the_contigs_order(barrel):
    layout = laid(Motif(barrel, "4,A20-25,6,A40,3/0/2,A5-7"))
    assert runs(layout) == [("new", 4), ("A20", 6), ("new", 6), ("A40", 1), ("new", 3), ("new", 2), ("A5", 3)]
    assert layout.chain_index.tolist() == [0] * 20 + [1] * 5
    assert layout.residue_index.diff().tolist() == [1] * 19 + [201] + [1] * 4
    kept = torch.tensor([site.part == "motif" for site in layout.sites])
    assert torch.equal(layout.known, kept)
    assert torch.equal(layout.design, ~kept)
    assert torch.equal(layout.body == FIXED, kept)
    assert (layout.sequence[~kept] == MASK_TOKEN).all()
    letters = "".join(AMINO_ACIDS[token] for token in layout.sequence[kept].tolist())
    assert letters == barrel.sequence[19:25] + barrel.sequence[39] + barrel.sequence[4:7]
    np.testing.assert_allclose(
        layout.to_atoms(layout.frames)[kept].numpy(), barrel.coords[[*range(19, 25), 39, 4, 5, 6]], atol=2e-5
    )


def test_output_is_numbered_from_one_and_knows_its_source(barrel):
    layout = laid(Motif(barrel, "4,A20-22/0/A5-6,2"))
    assert [(s.chain, s.number, s.code, s.source) for s in layout.sites] == [
        *(("A", n, "", "") for n in range(1, 5)),
        ("A", 5, "", "A20"),
        ("A", 6, "", "A21"),
        ("A", 7, "", "A22"),
        ("B", 1, "", "A5"),
        ("B", 2, "", "A6"),
        ("B", 3, "", ""),
        ("B", 4, "", ""),
    ]


def test_chains_that_are_all_given_keep_their_names_and_others_get_free_ones(complex_):
    layout = laid(Motif(complex_, "5/0/A20-23/0/C30-31/0/5,C40,2/0/A30-31"))
    names = {
        chain: [s for s, c in zip(layout.sites, layout.chain_index, strict=True) if c == chain] for chain in range(5)
    }
    letters = [{site.chain for site in sites} for sites in names.values()]
    assert all(len(of) == 1 for of in letters)
    # The second stretch of A is a chain of its own, and cannot be called A too.
    assert [of.pop() for of in letters] == ["B", "A", "C", "D", "E"]
    assert [site.number for site in names[1]] == [20, 21, 22, 23]
    assert [site.number for site in names[3]] == [*range(1, 9)]
    assert [site.number for site in names[4]] == [1, 2]


def test_each_sample_draws_its_own_lengths_within_the_bounds(barrel):
    motif = Motif(barrel, "3-9,A20-25,0-4,A40,5-6")
    seen = [tuple(n for what, n in runs(laid(motif, index)) if what == "new") for index in range(40)]
    totals = {len(laid(motif, index)) for index in range(40)}
    assert len(set(seen)) > 15
    assert min(totals) >= 3 + 6 + 0 + 1 + 5
    assert max(totals) <= 9 + 6 + 4 + 1 + 6
    first, last = {lengths[0] for lengths in seen}, {lengths[-1] for lengths in seen}
    assert first == set(range(3, 10))
    assert last == {5, 6}


def test_a_layout_depends_on_seed_and_index_alone(barrel):
    motif = Motif(barrel, "3-9,A20-25,0-4,A40,5-26", unordered=True)
    before = laid(motif, 3, seed=7)
    again = laid(Motif(barrel, "3-9,A20-25,0-4,A40,5-26", unordered=True), 3, seed=7)
    assert before.sites == again.sites
    assert torch.equal(before.sequence, again.sequence)
    others = {tuple(runs(laid(motif, index, seed))) for index, seed in ((3, 8), (4, 7), (5, 7))}
    assert tuple(runs(before)) not in others


@pytest.mark.parametrize("length", [(40, 40), (30, 34), (17, 200)])
def test_length_bounds_the_whole(barrel, length):
    motif = Motif(barrel, "3-30,A20-25,0-4,A40,7-50", length=length)
    totals = set()
    for index in range(40):
        lengths = dict(enumerate(runs(laid(motif, index))))
        fresh = [n for what, n in lengths.values() if what == "new"]
        total = sum(n for _, n in lengths.values())
        assert length[0] <= total <= length[1]
        assert 3 <= fresh[0] <= 30
        assert 7 <= fresh[-1] <= 50
        totals.add(total)
    assert len(totals) == 1 if length[0] == length[1] else len(totals) > 3


def test_one_number_is_a_length_too(barrel):
    assert len(laid(Motif(barrel, "3-30,A20-25,7-50", length=44))) == 44


def test_unordered_segments_come_in_every_order(barrel):
    motif = Motif(barrel, "2,A20-25,2,A40,2,A5-6,2", unordered=True)
    orders = set()
    for index in range(40):
        found = [(what, n) for what, n in runs(laid(motif, index)) if what != "new"]
        assert sorted(found) == [("A20", 6), ("A40", 1), ("A5", 2)]
        orders.add(tuple(found))
    assert len(orders) == 6


def test_types_of_redesigned_residues_are_open(barrel):
    layout = laid(Motif(barrel, "2,A20-25,2", redesign=("A21", "A24")))
    opened = [site.source for site, design in zip(layout.sites, layout.design, strict=True) if design and site.source]
    assert opened == ["A21", "A24"]
    assert (layout.sequence[layout.design] == MASK_TOKEN).all()
    assert layout.known.sum() == 6


def test_of_several_bodies_the_largest_is_fixed(barrel, complex_):
    layout = laid(Motif([barrel, complex_], "2,A20-22@2,2,2:C30-35,2,A40@3,1"))
    bodies = {site.source: body for site, body in zip(layout.sites, layout.body.tolist(), strict=True) if site.source}
    assert {bodies[f"C{n}"] for n in range(30, 36)} == {FIXED}
    assert bodies["A20"] == bodies["A21"] == bodies["A22"] == 1
    assert bodies["A40"] == 2
    assert (layout.body[layout.design] == FREE).all()
    assert torch.equal(layout.known, layout.body == FIXED)
    assert bool(layout.oriented)


@pytest.mark.slow
@pytest.mark.parametrize("refine", [False, True])
def test_a_motif_is_held(small_model, barrel, quick, refine):
    motif = Motif(barrel, "4,A20-25,6,A40,3")
    for made in small_model.generate([Item(20, 0)], conditions=motif, settings=quick, refine=refine):
        kept = np.array([site.part == "motif" for site in made.layout.sites])
        assert np.abs(made.backbone.coords[kept] - barrel.coords[[*range(19, 25), 39]]).max() < 1e-3
        assert "".join(np.array(list(made.backbone.sequence))[kept]) == barrel.sequence[19:25] + barrel.sequence[39]
        assert set(np.array(list(made.backbone.sequence))[~kept]) == {"G"}
        if refine:
            assert np.abs(made.backbone.coords[~kept] - made.raw.coords[~kept]).max() > 0.05


@pytest.mark.slow
def test_bodies_move_independently_and_keep_their_shape(small_model, barrel, complex_, quick, rmsd):
    motif = Motif([barrel, complex_], "3,A20-25@2,4,2:C30-37,2,A40@3,3,A50-51@3,2")
    for made in small_model.generate([Item(28, 0)], conditions=motif, settings=quick):
        at = {site.source: i for i, site in enumerate(made.layout.sites) if site.source}
        fixed = [at[f"C{n}"] for n in range(30, 38)]
        second, third = [at[f"A{n}"] for n in range(20, 26)], [at[f"A{n}"] for n in (40, 50, 51)]
        originals = {n: barrel.coords[n - 1] for n in (*range(20, 26), 40, 50, 51)}
        rows = [
            i for i in range(len(complex_)) if complex_.chain_ids[i] == "C" and 30 <= complex_.residue_numbers[i] < 38
        ]
        for coords in (made.backbone.coords, made.raw.coords):
            assert np.abs(coords[fixed] - complex_.coords[rows]).max() < 1e-3
            wanted = [np.stack([originals[n] for n in of]) for of in (range(20, 26), (40, 50, 51))]
            assert rmsd(coords[second], wanted[0]) < 1e-3
            assert rmsd(coords[third], wanted[1]) < 1e-3
            # Together they are no longer as they were: each has found a place of its own.
            assert rmsd(coords[second + third], np.concatenate(wanted)) > 0.5
            assert np.abs(coords[second] - wanted[0]).max() > 0.5


def test_a_kept_residue_of_no_known_type_stays_one(small_model, barrel, quick):
    unknown = replace(barrel, sequence=barrel.sequence[:20] + "X" + barrel.sequence[21:])
    motif = Motif(unknown, "2,A20-23,2", redesign=("A23",))
    (made,) = small_model.sample(conditions=motif, settings=quick, refine=False)
    assert made.sequence == "GG" + barrel.sequence[19] + "X" + barrel.sequence[21] + "GGG"


@pytest.mark.slow
def test_motifs_without_oxygen_get_one(small_model, barrel, quick):
    coords = barrel.coords.copy()
    coords[21, 3] = np.nan
    (made,) = small_model.sample(conditions=Motif(replace(barrel, coords=coords), "2,A20-24,2"), settings=quick)
    assert np.isfinite(made.coords).all()
    assert np.abs(made.coords[2:7, :3] - barrel.coords[19:24, :3]).max() < 1e-3


@pytest.mark.parametrize(
    ("contig", "options", "message"),
    [
        ("8,B5-9", {}, r"1CSP_A: there is no chain B \(B5-9\); it has A"),
        ("8,A60-70", {}, r"residue A70 \(A60-70\) is not there; chain A has residues 1 to 67"),
        ("8,2:A5", {}, r"contig=8,2:A5: 2:A5: only 1 motif file\(s\) are given"),
        ("A5-9,3,A8-12", {}, r"contig=A5-9,3,A8-12: residue A8 is in 2 segments"),
        ("A5,3,A5", {}, "residue A5 is in 2 segments"),
        ("8-20", {}, r"contig=8-20: keeps no residue of the motif \(as A5-9 would\); for none say length= alone"),
        ("8,A5", {"redesign": ("A6",)}, "redesign=A6: is not among the residues that the contig keeps"),
        ("8-10,A5-6", {"length": (20, 30)}, "makes 10 to 12 residues, which cannot meet length=20-30"),
        ("8-10,A5-6", {"length": (4, 9)}, "makes 10 to 12 residues, which cannot meet length=4-9"),
        ("8-10,A5-6", {"length": (12, 10)}, "length=12-10: the range runs backwards; write 10-12"),
        ("8-10,A5-6", {"length": 20}, "makes 10 to 12 residues, which cannot meet length=20"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(barrel, contig, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        Motif(barrel, contig, **options)
    assert "\n" not in str(refused.value)


def test_a_motif_that_lacks_atoms_and_a_file_that_is_none_are_named(barrel, tmp_path):
    coords = barrel.coords.copy()
    coords[7, 0] = np.nan
    with pytest.raises(ValueError, match=r"1CSP_A: residue A8 \(A5-9\) lacks N, CA or C"):
        Motif(replace(barrel, coords=coords), "5,A5-9,5")
    with pytest.raises(ValueError, match=r"none\.pdb"):
        Motif(tmp_path / "none.pdb", "5,A5-9,5")
    (tmp_path / "broken.pdb").write_bytes(b"\x00\x01 no structure")
    with pytest.raises(ValueError, match=r"broken\.pdb") as refused:
        Motif(tmp_path / "broken.pdb", "5,A5-9,5")
    assert "\n" not in str(refused.value)


def test_everything_given_is_refused(small_model, barrel):
    with pytest.raises(ValueError, match="everything is given, and nothing is left to be made"):
        small_model.sample(conditions=Motif(barrel, "A5-20"))


def test_gaps_of_a_given_chain_are_gaps(complex_):
    layout = laid(Motif(complex_, "3,A,2"))
    own = np.array([chain == "A" for chain in complex_.chain_ids])
    inside = complex_.select(own).chain_breaks()[:-1]
    assert inside.sum() > 0
    assert layout.breaks.tolist() == [False] * 3 + inside.tolist() + [False] * 2 + [True]


def test_chains_that_may_come_out_empty_and_too_many_are_refused(barrel):
    with pytest.raises(ValueError, match=r"contig=A5-9/0/0-3: chain 2 may come out empty; let it have a residue"):
        Motif(barrel, "A5-9/0/0-3")
    with pytest.raises(ValueError, match="63 chains are more than there are letters"):
        Motif(barrel, "/0/".join(["A5", *["3"] * 62]))


def test_chains_go_on_where_the_given_carbonyl_puts_them(small_model, barrel, quick):
    """Before any refinement, and whatever the network says: bond, angle and planarity of the peptide behind a motif."""
    motif = Motif(barrel, "4,A20-25,6,A40-42@2,3")
    (made,) = small_model.generate([Item(22, 0)], conditions=motif, settings=quick, refine=False)
    for site in ("A25", "A42"):
        last = next(i for i, s in enumerate(made.layout.sites) if s.source == site)
        (_, alpha, carbon, oxygen), (nitrogen, *_) = made.backbone.coords[last : last + 2].astype(float)
        assert np.linalg.norm(nitrogen - carbon) == pytest.approx(1.329, abs=0.02)
        sides = [(x - carbon) / np.linalg.norm(x - carbon) for x in (alpha, oxygen, nitrogen)]
        assert np.degrees(np.arccos(sides[0] @ sides[2])) == pytest.approx(116.2, abs=3)
        assert abs(np.linalg.det(np.stack(sides))) < 0.02
