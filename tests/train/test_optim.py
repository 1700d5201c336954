"""Learning-rate schedule and weight averaging."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from protgm.device import bfloat16_is_fast
from protgm.model import Denoiser, DenoiserConfig
from protgm.train.muon import Muon, orthogonalised
from protgm.train.optim import EMA, Schedule, make_optimizer
from protgm.train.parallel import World, launch


def test_the_rate_warms_up_stays_and_falls_to_zero():
    schedule = Schedule(peak=1e-3, warmup_steps=100, decay_share=0.4)
    assert schedule.rate(0, 0.0) == pytest.approx(1e-5)
    assert schedule.rate(99, 0.01) == pytest.approx(1e-3)
    assert schedule.rate(5000, 0.6) == pytest.approx(1e-3)
    assert schedule.rate(7000, 0.8) == pytest.approx(5e-4)
    assert schedule.rate(9999, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert Schedule(decay_share=0.0, warmup_steps=1).rate(10, 1.0) == Schedule().peak


def test_the_average_follows_its_recursion():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    ema = EMA(model, decay=0.9)
    expected = model.weight.detach().clone()
    for n in range(1, 40):
        with torch.no_grad():
            model.weight.add_(torch.randn_like(model.weight))
        ema.update(model)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    other = torch.nn.Linear(3, 2)
    ema.copy_to(other)
    torch.testing.assert_close(other.weight.detach(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_optimizer_goes_on_as_the_one_it_came_from(kind):
    def model():
        torch.manual_seed(0)
        return Denoiser(DenoiserConfig(width=32, heads=2, stages=1, blocks=1, pair_width=8, feed_forward=32))

    def push(network, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(1e-3)

    first, second = model(), model()
    one, other = (make_optimizer(network, kind, 0.01) for network in (first, second))
    for seed in range(3):
        push(first, one, seed)
    second.load_state_dict(first.state_dict())
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        other.restore(right, {key: value.clone() for key, value in one.state(left).items()})
    push(first, one, 3)
    push(second, other, 3)
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_muon_moves_the_blocks_matrices_along_orthogonal_directions_and_adamw_the_rest():
    torch.manual_seed(0)
    model = Denoiser(DenoiserConfig(width=32, heads=2, stages=1, blocks=1, pair_width=8, feed_forward=32))
    optimizer = make_optimizer(model, "muon", 0.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step(1e-2)
    moved = {name: before[name] - p.detach() for name, p in model.named_parameters()}
    assert all(float(step.abs().max()) > 0 for step in moved.values())
    step = moved["stages.0.blocks.0.feed_in.weight"]
    values = torch.linalg.svdvals(step)
    assert float(values.max() / values.min()) < 3  # four Newton-Schulz steps: between 0.6 and 1.3
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)
    assert float(moved["posterior.linear.weight"].abs().max()) == pytest.approx(1e-2, rel=1e-3)


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 40)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, values, vh = torch.linalg.svd(orthogonalised(matrix, 5), full_matrices=False)
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(u @ vh, left @ right, atol=1e-8, rtol=0)


def test_steps_are_those_of_torchs_muon_up_to_its_bfloat16():
    generator = torch.Generator().manual_seed(0)
    first = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((32, 32), (48, 16), (32, 32))]
    second = [torch.nn.Parameter(p.detach().clone()) for p in first]
    ours = Muon(first, weight_decay=0.1)
    theirs = torch.optim.Muon(second, weight_decay=0.1, adjust_lr_fn="match_rms_adamw", ns_steps=4)
    before = [p.detach().clone() for p in first]
    for _ in range(4):
        for one, other in zip(first, second, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        ours.step()
        theirs.step()
    for start, one, other in zip(before, first, second, strict=True):
        assert float((one - other).detach().norm() / (other.detach() - start).norm()) < 0.05


def test_products_are_in_the_precision_that_is_asked_for_or_that_the_processor_is_fast_in():
    matrix = torch.nn.Parameter(torch.eye(4))
    assert Muon([matrix]).half == bfloat16_is_fast()
    assert not Muon([matrix], half=False).half


def _three_muon_steps(folder: Path, world: World) -> None:
    """Leaves the weights and momenta of process r of n in ``folder``."""
    torch.manual_seed(0)
    model = Denoiser(DenoiserConfig(width=32, heads=2, stages=1, blocks=2, pair_width=8, feed_forward=32))
    optimizer = make_optimizer(model, "muon", 0.01, rank=world.rank, processes=world.size)
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(1e-2)
    held = {name: p.detach() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        held |= {f"{name}:{key}": torch.as_tensor(value) for key, value in optimizer.state(parameter).items()}
    save_file(held, folder / f"{world.rank}-of-{world.size}.safetensors")


def test_processes_that_share_muons_work_end_where_one_alone_does(tmp_path):
    for processes in (1, 2):
        launch(partial(_three_muon_steps, tmp_path), processes)
    alone, first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("0-of-1", "0-of-2", "1-of-2"))
    assert sum(":momentum_buffer" in name for name in alone) == 8
    assert first.keys() == second.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        # A step is 2e-3 for these matrices; products in bfloat16 depend a little on the number of threads.
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-4)
