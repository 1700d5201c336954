"""What a condition is: a few hooks around one sampler, each of which does nothing by default.

    class Helical(Condition):
        def lay_out(self, layout, draw):
            return replace(layout, secondary=torch.zeros_like(layout.secondary))

    model.sample(length=80, conditions=Helical() & Symmetry("C3"))

A condition never holds the state of a walk: what differs between the proteins of a batch lies in their `Layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.layout import Layout
from protgm.model.state import NoisyProtein, Prediction
from protgm.process import State
from protgm.seeds import mix
from protgm.streams import Source
from protgm.structure.backbone import Backbone

__all__ = ["Condition", "Conditions", "Draw", "Network"]

#: From a noisy protein and the frames guessed before (None at first) to what is predicted.
Network = Callable[..., Prediction]


@dataclass(frozen=True)
class Draw:
    """Where a protein's own choices (lengths, labels, orders) come from.

    Parameters
    ----------
    seed : int
        Of the request.
    index : int
        Of the protein in it.
    """

    seed: int
    index: int

    def integer(self, low: int, high: int, *what: int) -> int:
        """A number from ``low`` to ``high``, both included; ``what`` tells draws of one protein apart."""
        generator = torch.Generator().manual_seed(mix(self.seed, self.index, *what))
        return low + int(torch.randint(high - low + 1, (), generator=generator))

    def order(self, count: int, *what: int) -> list[int]:
        """A permutation of so many things."""
        generator = torch.Generator().manual_seed(mix(self.seed, self.index, *what))
        return torch.randperm(count, generator=generator).tolist()


class Condition:
    """Base of all conditions. ``a & b`` is both."""

    #: Conditions lay out in this order, and steer in the reverse of it: 0 says how many residues there are, 1 what is
    #: asked of them, 2 adds chains, 3 copies all of it, 4 only steers, 5 steers before all others.
    rank: int = 1
    #: Whether the condition itself says how long the protein is.
    sizes: bool = False
    #: Whether two of its kind contradict each other.
    once: bool = False

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """One protein's layout, changed.

        Raises
        ------
        ValueError
            If what is asked for cannot be laid out; the message names the item and what would be right.
        """
        return layout

    def start(self, state: State, layout: Layout, source: Source = None) -> State:
        """The batch that the walk starts from, changed."""
        return state

    def show(self, protein: NoisyProtein, layout: Layout) -> NoisyProtein:
        """What the network is told, changed."""
        return protein

    def ask(self, network: Network, layout: Layout) -> Network:
        """The network of a walk, asked in another way: of a part of what there is, say."""
        return network

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """What the step aims at, changed."""
        return prediction

    def noise(self, noise: Tensor, layout: Layout) -> Tensor:
        """Draws of the prior of positions, (B, L, 3), that refill a walk, changed."""
        return noise

    def couple(self, deviation: Tensor, clean: Tensor, layout: Layout) -> Tensor | None:
        """What the deviation of positions from what is predicted, both (B, L, 3), becomes when it was refilled.

        None: as usual, which for free proteins is turned onto the prediction as well as may be (`ProteinProcess`).
        """
        return None

    def constrain(self, state: State, layout: Layout) -> State:
        """The state after a step, and what comes out at the end, changed."""
        return state

    def finish(self, backbone: Backbone, layout: Layout) -> Backbone:
        """One finished protein, changed; ``layout`` is its own."""
        return backbone

    def describe(self) -> dict[str, object]:
        """What provenance keeps of it: JSON values that tell it from others of its kind."""
        return {"condition": type(self).__name__}

    def __and__(self, other: Condition) -> Conditions:
        return Conditions((*_parts(self), *_parts(other)))


@dataclass(frozen=True, repr=False)
class Conditions(Condition):
    """Several conditions as one; hooks run in the order of ``rank`` (`steer`: in its reverse)."""

    parts: tuple[Condition, ...] = field(default=())

    def __post_init__(self) -> None:
        parts = [one for part in self.parts for one in _parts(part)]
        object.__setattr__(self, "parts", tuple(sorted(parts, key=lambda part: part.rank)))
        kinds = [type(part) for part in self.parts if part.once]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise ValueError(f"{kind.__name__} is asked for twice; one of them must say everything")
        if sum(part.sizes for part in self.parts) > 1:
            names = " and ".join(type(part).__name__ for part in self.parts if part.sizes)
            raise ValueError(f"{names} both say how long the protein is; ask for one of them")

    def __repr__(self) -> str:
        return " & ".join(map(repr, self.parts)) or "Conditions()"

    def __iter__(self) -> Iterator[Condition]:
        return iter(self.parts)

    @property
    def sizes(self) -> bool:  # type: ignore[override]
        """Whether one of them says how long the protein is."""
        return any(part.sizes for part in self.parts)

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """As each lays out in turn."""
        for part in self.parts:
            layout = part.lay_out(layout, draw)
        return layout

    def start(self, state: State, layout: Layout, source: Source = None) -> State:
        """As each starts in turn."""
        for part in self.parts:
            state = part.start(state, layout, source)
        return state

    def show(self, protein: NoisyProtein, layout: Layout) -> NoisyProtein:
        """As each shows in turn."""
        for part in self.parts:
            protein = part.show(protein, layout)
        return protein

    def ask(self, network: Network, layout: Layout) -> Network:
        """As each asks in turn."""
        for part in self.parts:
            network = part.ask(network, layout)
        return network

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """As each steers in turn."""
        for part in reversed(self.parts):
            prediction = part.steer(prediction, state, layout)
        return prediction

    def noise(self, noise: Tensor, layout: Layout) -> Tensor:
        """As each has it in turn."""
        for part in self.parts:
            noise = part.noise(noise, layout)
        return noise

    def couple(self, deviation: Tensor, clean: Tensor, layout: Layout) -> Tensor | None:
        """As the first does that has a way of its own."""
        for part in self.parts:
            coupled = part.couple(deviation, clean, layout)
            if coupled is not None:
                return coupled
        return None

    def constrain(self, state: State, layout: Layout) -> State:
        """As each constrains in turn."""
        for part in self.parts:
            state = part.constrain(state, layout)
        return state

    def finish(self, backbone: Backbone, layout: Layout) -> Backbone:
        """As each finishes in turn."""
        for part in self.parts:
            backbone = part.finish(backbone, layout)
        return backbone

    def describe(self) -> dict[str, object]:
        """Descriptions of all, in order."""
        return {"conditions": [part.describe() for part in self.parts]}


def _parts(condition: Condition) -> tuple[Condition, ...]:
    if not isinstance(condition, Condition):
        hint = "; several are joined with &" if isinstance(condition, list | tuple) else ""
        raise ValueError(f"conditions: a Condition is wanted, got {type(condition).__name__}{hint}")
    return condition.parts if isinstance(condition, Conditions) else (condition,)
