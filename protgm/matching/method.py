"""Generator matching in one class: a path, a network and a word for what is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from protgm.matching import grids
from protgm.matching.components import build
from protgm.matching.generators import Circulation, Diffusion, Langevin, Term
from protgm.matching.losses import noised
from protgm.matching.product import ProductGenerator, ProductPath, as_generator
from protgm.matching.protocols import NoisyPath, PairPath, Path, time_for
from protgm.matching.saving import Save
from protgm.matching.simulate import Adaptive, Fixed, simulate
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.solvers import Solver
from protgm.matching.superposition import Superposition, Weight
from protgm.streams import Source, rand

__all__ = ["GeneratorMatching", "output_size"]

_TRAINED_BY = {"velocity": ("flow", "superposition"), "score": ("diffusion",), "posterior": ("jump", "superposition")}


def output_size(
    path: NoisyPath | ProductPath, method: str | Sequence[str], shape: Any, *, components: int = 8
) -> int | tuple[int, ...]:
    """How many numbers a network has to give for each element of a data point (one count per path of a product).

    Arguments as for `GeneratorMatching`.
    """
    sizes = tuple(c.size for c in build(path, method, shape, components, 1.0))
    return sizes if isinstance(path, ProductPath) else sizes[0]


class GeneratorMatching(nn.Module):
    """A model of data: ``loss`` to train it, ``sample`` to draw from it.

    The network is called as ``network(x, t)`` with noised data x of shape (B, *shape) and times t of shape (B,), and
    gives (B, *elements, size): ``size`` is `output_size`, elements are the dimensions of a data point besides those of
    the space's points, such as the letters of a string. On a product it takes and gives tuples.

    Parameters
    ----------
    path : a path, or ProductPath
    network : nn.Module or callable
    method : {"flow", "score", "diffusion", "jump", "superposition"}, or one for each path of a product
        flow: the velocity, sampled by the ODE. score: the score, sampled by the reversed diffusion; where it gives the
        velocity too. diffusion: velocity and score (one head where one gives the other), sampled by an SDE. jump: the
        posterior of the clean point, sampled by jumps. superposition: velocity and posterior, sampled by any mixture.
        One word for a product is meant for its paths with a flow; tokens jump.
    shape : tuple of int, or one for each path of a product
        Of one data point.
    components : int
        Of the mixtures that stand for posteriors.
    spread : float
        Standard deviation of the data in its own units, for the scale of posteriors on R^d.
    jump_weight : float
        Share of the jump in a superposition.
    noise : float or callable of t, optional
        g of the SDE; the exact reversal where not given.

    Raises
    ------
    ValueError
        If the path lacks what the method trains.
    """

    def __init__(
        self,
        path: NoisyPath | ProductPath,
        network: Callable[[Any, Tensor], Any],
        *,
        method: str | Sequence[str] = "flow",
        shape: Any,
        components: int = 8,
        spread: float = 1.0,
        jump_weight: float = 0.5,
        noise: Weight | None = None,
    ) -> None:
        super().__init__()
        self.path, self.network, self.method = path, network, method
        self.jump_weight, self.noise = jump_weight, noise
        self._parts = build(path, method, shape, components, spread)
        self._product = isinstance(path, ProductPath)

    def get_extra_state(self) -> dict[str, list[str]]:
        """What was trained, saved with the weights."""
        return {"method": [part.method for part in self._parts]}

    def set_extra_state(self, state: dict[str, list[str]]) -> None:
        """Refuse the weights of another method."""
        mine = [part.method for part in self._parts]
        if state["method"] != mine:
            raise ValueError(f"GeneratorMatching: these weights were trained by {state['method']}, not by {mine}")

    def _look(self, x: tuple[Tensor, ...], t: Tensor) -> tuple[dict[str, Tensor], ...]:
        batch = x[0].shape[0]
        found = self.network(x if self._product else x[0], t)
        outs = tuple(found) if self._product else (found,)
        return tuple(part.split(out, batch) for part, out in zip(self._parts, outs, strict=True))

    def losses(
        self, x1: Any, *, noise: Any = None, t: Tensor | None = None, source: Source = None
    ) -> dict[str, Tensor]:
        """The mean loss of each head, named ``head`` or, on a product, ``head.number``; arguments as for `loss`."""
        data: tuple[Tensor, ...] = tuple(x1) if self._product else (x1,)
        noises = (None,) * len(data) if noise is None else tuple(noise) if self._product else (noise,)
        batch = data[0].shape[0]
        if t is None:  # one time in each of as many equal pieces
            real = next((a for a in data if a.is_floating_point()), torch.zeros((), device=data[0].device))
            t = (torch.arange(batch).to(real) + rand((batch,), source).to(real)) / batch
            t = 1e-3 + 0.998 * t
        drawn = []
        for part, z, partner in zip(self._parts, data, noises, strict=True):
            if z.shape[1:] != part.shape:
                raise ValueError(f"GeneratorMatching: data of shape {tuple(z.shape[1:])}, but shape={part.shape}")
            target = next(iter({"velocity": "velocity", "score": "score", "posterior": "rate"}[h] for h in part.heads))
            if partner is not None and len(part.heads) > 1:
                target = "rate"  # the most that is asked: refused where a coupling hides it
            now = time_for(part.path, z, t)
            drawn.append((*noised(part.path, z, now, target, noise=partner, generator=source), now))
        outs = self._look(tuple(x for x, _, _ in drawn), t)
        found = {}
        for number, (part, out, (x, z, now)) in enumerate(zip(self._parts, outs, drawn, strict=True)):
            for name, head in part.heads.items():
                key = f"{name}.{number}" if self._product else name
                found[key] = head.loss(out[name], x, z, now).mean()
        return found

    def loss(self, x1: Any, *, noise: Any = None, t: Tensor | None = None, source: Source = None) -> Tensor:
        """The sum of the heads' mean losses on noised data, a number to be descended.

        Parameters
        ----------
        x1 : Tensor, shape (B, *shape), or a tuple of them
        noise : Tensor, shape (B, *shape), optional
            The noise that a coupling gives to x1; independent where not given.
        t : Tensor, shape (B,), optional
            Uniform in (0, 1), stratified over the batch, where not given.
        source : torch.Generator, optional
        """
        return torch.stack(list(self.losses(x1, noise=noise, t=t, source=source).values())).sum()

    def predictor(self) -> Callable[[Any, Tensor], Any]:
        """The network as `simulate` asks it: from a state and a time to predictions."""

        def predict(x: Any, t: Tensor) -> Any:
            state: tuple[Tensor, ...] = tuple(x) if self._product else (x,)
            now = t.expand(state[0].shape[0]) if t.dim() == 0 else t
            outs = self._look(state, now)
            rows = zip(self._parts, outs, state, strict=True)
            answers = tuple(p.answers(out, a, time_for(p.path, a, now)) for p, out, a in rows)
            return answers if self._product else answers[0]

        return predict

    def generator(self) -> Term | Superposition | ProductGenerator:
        """What the method samples with."""
        found = [part.generator(self.noise, self.jump_weight) for part in self._parts]
        return ProductGenerator(*found) if self._product else found[0]

    def _check(self, generator: Term | Superposition | ProductGenerator) -> Superposition | ProductGenerator:
        """Refuse a term whose head was not trained, by name."""
        whole = as_generator(generator)
        sums = whole.generators if isinstance(whole, ProductGenerator) else (whole,)
        if len(sums) != len(self._parts) or isinstance(whole, ProductGenerator) != self._product:
            raise ValueError(f"GeneratorMatching: a generator of {len(sums)} parts for {len(self._parts)} paths")
        for part, own in zip(self._parts, sums, strict=True):
            for _, term in own.parts:
                for head in _needs(term):
                    if head not in part.gives():
                        words = " or ".join(repr(w) for w in _TRAINED_BY[head])
                        raise ValueError(
                            f"GeneratorMatching: {type(term).__name__} needs the {head}, which method={part.method!r} "
                            f"does not train on {type(part.path).__name__}; train with method={words}"
                        )
        return whole

    def sample(
        self,
        n: int,
        *,
        steps: int = 100,
        generator: Term | Superposition | ProductGenerator | None = None,
        start: Any = None,
        times: Tensor | Fixed | Adaptive | None = None,
        solver: Solver | None = None,
        save: Save | None = None,
        source: Source = None,
    ) -> Any:
        """Draw n data points.

        Parameters
        ----------
        n : int
        steps : int
        generator : optional
            Another one than the method's, of the same path, such as ``0.3 * Flow(path) + 0.7 * Jump(path)``.
        start : Tensor, shape (n, *shape), or a tuple of them, optional
            Noise to start from; of the path's prior where not given.
        times : optional
            Another grid, or a controller.
        solver, save, source
            As in `simulate`.

        Returns
        -------
        Tensor, shape (n, *shape), or a tuple of them

        Raises
        ------
        ValueError
            If the generator has a term whose head was not trained.
        """
        whole: Any = self._check(self.generator() if generator is None else generator)
        if start is None:
            drawn = tuple(_prior(part.path, n, part.shape, source) for part in self._parts)
            start = drawn if self._product else drawn[0]
        grid = self._grid(steps) if times is None else times
        return simulate(whole, self.predictor(), start, grid, solver=solver, save=save, source=source)

    def _grid(self, steps: int) -> Tensor:
        """Steps to t = 1, even in what the path goes by."""
        first = self._parts[0]
        if not self._product and isinstance(first.path, AntipodalVMFPath):
            return grids.log_kappa(first.path.schedule, steps)
        if not self._product and isinstance(first.path, HeatKernelPath):
            return grids.uniform(steps)
        # At t = 0 a score says nothing of the data, and that of a bridge is infinite.
        late = any(part.method == "score" or isinstance(part.path, PairPath) for part in self._parts)
        begin = 0.02 if late else 0.0
        grid = grids.log_remaining(max(1, steps - 1), begin, 0.995)
        return torch.cat((grid, grid.new_ones(1))) if steps > 1 else torch.tensor([begin, 1.0])


def _needs(term: Term) -> tuple[str, ...]:
    if isinstance(term, Diffusion):
        return ("velocity", "score")
    if isinstance(term, Langevin | Circulation):
        return ("score",)
    return ("posterior",) if type(term).jump is not Term.jump else ("velocity",)


def _prior(path: NoisyPath, n: int, shape: tuple[int, ...], source: Source) -> Tensor:
    """Draws of shape (n, *shape): a path's prior takes the shape of the batch or, where R^d has none, of the points."""
    if not isinstance(path, Path):
        raise ValueError(f"GeneratorMatching: {type(path).__name__} has no prior; give the noise, `start=`")
    batch = (n, *shape[: len(shape) - path.space.event_dim])
    for asked in (batch, (n, *shape)):
        x = path.prior(asked, generator=source)
        if x.shape == (n, *shape):
            return x
    raise ValueError(f"GeneratorMatching: the prior of {type(path).__name__} gives no points of shape {shape}")
