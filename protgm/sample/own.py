"""Sequences by protgm's own network: inverse folding is the masking chain with all frames known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

import torch

from protgm.condition.source import framed, letters_to_tokens, tokens_to_letters
from protgm.design.base import Design
from protgm.device import own_defaults
from protgm.layout import Layout
from protgm.model import MASK_TOKEN, Prediction
from protgm.process import State
from protgm.sample.generate import load
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.seeds import mix

if TYPE_CHECKING:
    from protgm.design.kept import Kept
    from protgm.structure.backbone import Backbone

__all__ = ["OwnDesigner", "own_designer"]


class OwnDesigner:
    """The backbone generator as a sequence designer.

    Parameters
    ----------
    checkpoint : path, optional
        Weights; by default those that come with the package.
    temperature : float
        Of the types drawn.
    steps : int
        Evaluations of the network a sequence.
    draws : int
        Levels of masking that `score` averages over.

    Raises
    ------
    ValueError
        If a number is out of range or the weights cannot be read.
    """

    def __init__(
        self,
        checkpoint: str | PathLike[str] | None = None,
        *,
        temperature: float = 0.1,
        steps: int = 20,
        draws: int = 8,
    ) -> None:
        if draws < 1:
            raise ValueError(f"draws={draws} must be at least 1")
        self.model = load(checkpoint, device="cpu")
        config = self.model.denoiser.config
        self.sampler = SamplerSettings.fitting(
            config, steps=steps, cogenerate=True, sequence_temperature=temperature, guidance=1.0
        )
        self.draws = draws

    @property
    def settings(self) -> dict[str, object]:
        """What, beside a backbone and a seed, its sequences depend on."""
        sampler = self.sampler
        return {
            "model": "protgm",
            "checkpoint": self.model.checkpoint,
            "temperature": sampler.sequence_temperature,
            "steps": sampler.steps,
        }

    @own_defaults()
    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0, kept: Kept | None = None) -> list[Design]:
        """Sequences and their likelihoods (`score`).

        Parameters
        ----------
        kept : Kept, optional
            Residues that keep their types. Copies of a unit get a sequence each: this designer cannot tie them.

        Raises
        ------
        ValueError
            If ``num_seqs`` is below 1, or no residue has N, CA and C.
        """
        if num_seqs < 1:
            raise ValueError(f"num_seqs={num_seqs} must be at least 1")
        layout, rows = framed(backbone)
        free = torch.ones(len(rows), dtype=torch.bool)
        if kept is not None:
            free = torch.from_numpy(~kept.fixed[rows])
        layout = replace(layout, sequence=layout.sequence.masked_fill(free, MASK_TOKEN), design=free)
        source = torch.Generator().manual_seed(mix(seed, len(backbone)))
        network = partial(self.model.denoiser, neighbours=Execution().attended(len(layout)))
        found = []
        for _ in range(num_seqs):
            made = sample_frames(network, self.model.process, Layout.batch([layout]), self.sampler, source)
            letters = list(backbone.sequence)
            for row, letter in zip(rows, tokens_to_letters(made.sequence[0].tolist()), strict=True):
                letters[int(row)] = letter
            sequence = "".join(letters)
            found.append(Design(sequence, self.score(backbone, sequence)))
        return found

    @own_defaults()
    @torch.no_grad()
    def score(self, backbone: Backbone, sequence: str) -> float:
        """Negative log-likelihood per residue, nats, by the masking path's integral at fixed levels of masking.

        One order of the residues stands for all, so that it estimates a bound and is none. NaN where no type is known.

        Raises
        ------
        ValueError
            If the sequence has another length than the backbone, or no residue has N, CA and C.
        """
        if len(sequence) != len(backbone):
            raise ValueError(f"{backbone.name}: a sequence of {len(sequence)} for {len(backbone)} residues")
        layout, rows = framed(backbone)
        tokens = letters_to_tokens("".join(sequence[int(i)] for i in rows))
        known = tokens != MASK_TOKEN
        source = torch.Generator().manual_seed(0)
        order = torch.rand((1, len(rows)), generator=source).argsort().argsort() / len(rows)
        # Each level hides the residues last in the order; every share of hidden ones counts alike.
        levels = (torch.arange(self.draws) + 0.5) / self.draws
        hidden = (order >= levels[:, None]) | (order.shape[1] == 1)  # a single one at every level
        shown = torch.where(hidden, MASK_TOKEN, tokens)
        logits = self._logits(layout, shown).log_softmax(-1)
        nll = -logits.gather(-1, tokens.clamp_max(19).expand(self.draws, -1)[..., None])[..., 0]
        counted = hidden & known
        per_level = (nll * counted).sum(1) / counted.sum(1).clamp_min(1)
        return float(per_level[counted.any(1)].mean()) if bool(counted.any()) else float("nan")

    def _logits(self, layout: Layout, tokens: torch.Tensor) -> torch.Tensor:
        batch = Layout.batch([layout] * len(tokens))
        state: State = self.model.process.begin(batch)
        protein = self.model.process.seen(replace(state, sequence=tokens), batch)
        prediction: Prediction = self.model.denoiser(protein)
        return prediction.sequence_logits


def own_designer(temperature: float, omit: str) -> OwnDesigner:
    """That of ``protgm design model=protgm``.

    Raises
    ------
    ValueError
        If types are to be left out, which it cannot.
    """
    if omit:
        raise ValueError(f"omit={omit}: model=protgm cannot leave out types; use one of ProteinMPNN's")
    return OwnDesigner(temperature=temperature)
