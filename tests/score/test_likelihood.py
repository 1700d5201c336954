"""Likelihoods of proteins against exact ones, and the derivatives they rest on."""

from __future__ import annotations

import copy
import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import protgm
from protgm.cli import main
from protgm.layout import Layout
from protgm.lie import so3, vmf
from protgm.matching.likelihood import Exact, Hutchinson, log_likelihood, normal_log_density
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import Rotations
from protgm.model import RotationPosterior
from protgm.process import ProteinProcess
from protgm.score import backbone_likelihood, protein_log_likelihood
from protgm.score.velocity import posterior_velocity
from protgm.structure.frames import Frames
from protgm.testing.proteins import ExactProteins, small_proteins


@pytest.mark.parametrize("concentration", [0.5, 6.0, 80.0, 3e3])
@pytest.mark.parametrize("time", [0.02, 0.4, 0.9])
def test_the_mean_velocity_is_that_of_draws(concentration, time):
    path, generator = ProteinProcess().rotations, torch.Generator().manual_seed(0)
    x, where = so3.random_uniform((2, 1, 3), generator=generator).double()
    t, kappa = torch.full((1, 3), time, dtype=torch.float64), torch.full((1, 3, 1), concentration, dtype=torch.float64)
    found = posterior_velocity(path, x, t, RotationPosterior(torch.zeros(1, 3, 1), where[:, :, None], kappa))
    many = 60_000
    draws = where[:, :, None] @ so3.exp(vmf.sample(kappa.expand(1, 3, many), generator=generator))
    each = path.velocity(x[:, :, None].expand_as(draws), draws, t[..., None].expand(1, 3, many))
    error = each.std(2) / np.sqrt(many)
    assert ((found - each.mean(2)).abs() < 4.5 * error + 2e-2 * each.norm(dim=-1).mean()).all()


def test_the_mean_velocity_can_be_differentiated():
    path, generator = AntipodalVMFPath(ProteinProcess().rotations.schedule), torch.Generator().manual_seed(1)
    x = so3.random_uniform((1, 4), generator=generator).double()
    where = torch.cat((so3.random_uniform((1, 4, 1), generator=generator).double(), x[:, :, None]), dim=2)
    posterior = RotationPosterior(torch.zeros(1, 4, 2), where, torch.full((1, 4, 2), 9.0).double())
    time = torch.full((1, 4), 0.5, dtype=torch.float64)

    def along(step: torch.Tensor) -> torch.Tensor:
        return posterior_velocity(path, x @ so3.exp(step), time, posterior).sum()

    zero = torch.zeros(1, 4, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(along(zero), zero)
    assert torch.isfinite(slope).all()
    for axis in range(3):
        unit = 1e-5 * torch.eye(3, dtype=torch.float64)[axis].expand(1, 4, 3)
        with torch.no_grad():
            assert float(slope[..., axis].sum()) == pytest.approx(float(along(unit) - along(-unit)) / 2e-5, rel=1e-3)


@pytest.mark.slow
def test_backward_and_forward_probes_are_one_number():
    path = ProteinProcess().rotations
    z = so3.random_uniform((6,), generator=torch.Generator().manual_seed(2)).double()
    x = z @ so3.exp(0.4 * torch.randn(6, 3, generator=torch.Generator().manual_seed(3)).double())

    def of(divergence: object) -> torch.Tensor:
        return log_likelihood(
            Rotations(),
            lambda y, t: path.velocity(y, z, t),
            x,
            torch.linspace(0, 0.6, 8),
            lambda y: torch.zeros(6, dtype=torch.float64),
            divergence=divergence,
            source=torch.Generator().manual_seed(4),
        )

    assert torch.allclose(of(Hutchinson(2)), of(Hutchinson(2, reverse=True)), atol=1e-9)
    assert torch.allclose(of(Exact()), path.log_density(x, z, torch.tensor(0.6).double()), atol=0.05)


def exact_density(exact: ExactProteins, frames: Frames, time: float) -> torch.Tensor:
    """Log density of oriented proteins, from the mixture itself."""
    process, sigma = exact.process, (1 - time) * exact.process.positions.scale
    logs = []
    for share, rotations, places in zip(exact.weights, exact.frames.rotations, exact.frames.translations, strict=True):
        gauss = normal_log_density(frames.translations.double() - time * places.double(), sigma, joint=2)
        angle = so3.angle(so3.relative(frames.rotations.double(), rotations.double()))
        kappa = process.rotations.schedule.kappa(torch.tensor(time).double())
        logs.append(torch.log(share) + gauss + vmf.log_density(angle, kappa).sum(-1))
    return torch.logsumexp(torch.stack(logs), 0)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "count"), [("flow", 1), ("jump", 2)])
def test_the_likelihood_of_exact_proteins_is_their_density(method, count):
    process, time, batch, length = ProteinProcess(), 0.8, 6, 4
    frames, sequences = small_proteins(length, 2)
    frames, sequences = Frames(frames.rotations[:count], frames.translations[:count]), sequences[:count]
    shares = torch.tensor([0.6, 0.4])[:count] / sum([0.6, 0.4][:count])
    exact = ExactProteins(frames, sequences, shares, process, True, method)
    layout = replace(Layout.unconditional([length] * batch), oriented=torch.ones(batch, dtype=torch.bool))
    source = torch.Generator().manual_seed(0)
    chosen = torch.arange(batch) % count
    layout = replace(layout, frames=frames[chosen])
    times = torch.full(layout.mask.shape, time)
    noisy = process.noised(layout, times, process.noise(layout, source), times, source)
    found = torch.stack(
        [
            protein_log_likelihood(
                exact, process, layout, noisy, torch.linspace(0, time, 41),
                divergence=Hutchinson(4, reverse=True), source=source,
            )
            for _ in range(3)
        ]
    )  # fmt: skip
    wanted = exact_density(exact, noisy, time)
    error = found.std(0) / 3**0.5
    assert ((found.mean(0) - wanted).abs() < 5 * error + 0.15 * length**0.5).all()


@pytest.mark.slow
def test_a_free_protein_is_as_likely_wherever_it_lies(small_denoiser):
    process, length = ProteinProcess(), 7
    layout, source = Layout.unconditional([length]), torch.Generator().manual_seed(1)
    state = process.begin(layout, source)
    moved = state.frames.moved(so3.random_uniform((), generator=source), torch.tensor([4.0, 5.0, -6.0]))

    def likelihood(frames: Frames) -> float:
        grid, network = torch.linspace(0, 0.3, 2), partial(small_denoiser, exact=True)
        found = protein_log_likelihood(network, process, layout, frames, grid, divergence=_Everything())
        return float(found)

    assert likelihood(moved) == pytest.approx(likelihood(state.frames), abs=0.02)


class _Everything:
    """The divergence over all directions, by reverse differentiation: no noise, but as many passes as dimensions."""

    def __call__(self, place, field, x, t, source):
        none, total, value = place.zeros(x), 0.0, ()
        for part, zero in enumerate(none):
            for i in range(zero.numel()):
                unit = [torch.zeros_like(v) for v in none]
                unit[part].view(-1)[i] = 1
                value, slope = place.against(field, x, t, tuple(unit))
                total = total + slope[part].flatten()[i]
        return value, total


def test_a_padded_batch_and_times_up_to_one_are_refused(small_denoiser):
    process, layout = ProteinProcess(), Layout.unconditional([5, 7])
    with pytest.raises(ValueError, match="without padding"):
        protein_log_likelihood(small_denoiser, process, layout, layout.frames, torch.linspace(0, 0.5, 3))
    layout = Layout.unconditional([5, 5])
    with pytest.raises(ValueError, match="must end before 1"):
        protein_log_likelihood(small_denoiser, process, layout, layout.frames, torch.linspace(0, 1, 3))


def test_the_exact_mode_has_the_derivative_of_finite_differences(small_denoiser):
    process, layout = ProteinProcess(), Layout.unconditional([9])
    network = copy.deepcopy(small_denoiser)
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():  # layers that begin at zero would leave nothing to differentiate
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    state = process.begin(layout, generator)
    half = torch.full((1, 9), 0.5)
    seen = process.seen(replace(state, time=half, rotation_time=half), layout)
    shift, turn = torch.randn(2, 1, 9, 3, generator=generator)

    def output(step: torch.Tensor, exact: bool) -> torch.Tensor:
        moved = Frames(seen.frames.rotations @ so3.exp(step * turn), seen.frames.translations + step * shift)
        made = network(replace(seen, frames=moved), exact=exact).frames
        return (made.translations * shift).sum()

    for exact in (True, False):
        step = torch.zeros((), requires_grad=True)
        (slope,) = torch.autograd.grad(output(step, exact), step)
        with torch.no_grad():
            wanted = float(output(torch.tensor(5e-3), exact) - output(torch.tensor(-5e-3), exact)) / 1e-2
        assert (float(slope) == pytest.approx(wanted, rel=0.02)) == exact


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = protgm.load().sample(length=48, num=2, settings=protgm.SamplerSettings(steps=4), seed=1)
    where = tmp_path_factory.mktemp("scored")
    for number, backbone in enumerate(made):
        backbone.to_pdb(where / f"{number}.pdb")
    (where / "broken.pdb").write_text("ATOM      1  CA  ALA A   1      x\n")
    return where


@pytest.mark.slow
def test_a_folder_is_scored(folder, capsys):
    assert main(["score", str(folder), "steps=2", "draws=2", "until=0.9", "progress=false", "workers=1"]) == 0
    said = capsys.readouterr().out
    assert "2 structures at " in said
    assert "1 failed; the first: " in said
    with open(folder / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["0", "1"]
    assert all(row["residues"] == "48" and np.isfinite(float(row["structure"])) for row in rows)
    assert all(row["sequence"] == "" for row in rows)  # glycine throughout says nothing


@pytest.mark.slow
def test_a_bad_request_is_one_line(folder, capsys):
    for words, message in (
        (["until=1"], "until=1.0 must lie between 0 and 1"),
        (["draws=0"], "draws=0 must be at least 1"),
        ([f"out={folder}"], "is a folder"),
    ):
        assert main(["score", str(folder), "progress=false", *words]) == 1
        assert message in capsys.readouterr().err


def test_numbers_out_of_range_are_refused(small_denoiser, folder):
    backbone = protgm.read_structure(folder / "0.pdb")
    with pytest.raises(ValueError, match=r"until=0 must lie"):
        backbone_likelihood(small_denoiser, ProteinProcess(), backbone, until=0)
