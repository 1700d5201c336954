"""The SE(3)-equivariant denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protgm.model.block import Block
from protgm.model.config import DenoiserConfig
from protgm.model.features import (
    LOCAL_FEATURES,
    NOISE_FEATURES,
    PAIR_FEATURES,
    POSITION_FEATURES,
    RELATION_FEATURES,
    local_features,
    noise_features,
    pair_features,
    position_features,
    relation_features,
    rotation_scale,
)
from protgm.model.heads import FrameUpdate, LocalRefinement, PosteriorHead, TangentHead
from protgm.model.neighbours import choose_edges, take
from protgm.model.state import NoisyProtein, Prediction
from protgm.structure.frames import Frames

__all__ = ["Denoiser"]

#: Frames are never trusted beyond this noise level (fraction of the prior's): a sampler's own errors need mending too.
_FLOOR = 0.02
_NANOMETRE = 0.1  # per Angstrom


class Denoiser(nn.Module):
    """Predict the clean protein from a noisy one, equivariantly under SE(3).

    Parameters
    ----------
    config : DenoiserConfig
    """

    def __init__(self, config: DenoiserConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DenoiserConfig()
        width = config.width
        self.embed_residue = nn.Linear(NOISE_FEATURES + POSITION_FEATURES + 2 * LOCAL_FEATURES, width)
        self.embed_sequence = nn.Embedding(22, width)
        self.embed_secondary = nn.Embedding(4, width)
        # Zero, so that weights which never saw a hotspot go on as they were.
        self.embed_hotspot = nn.Parameter(torch.zeros(width))
        self.stages = nn.ModuleList(_Stage(config, first=i == 0) for i in range(config.stages))
        self.refinement = LocalRefinement(config)
        self.norm = nn.LayerNorm(width)
        predicts = config.predicts
        self.posterior = PosteriorHead(config) if "posterior" in predicts else None
        self.velocity = TangentHead(config) if "velocity" in predicts else None
        self.score = TangentHead(config) if "score" in predicts else None
        self.sequence = nn.Linear(width, 20)
        self.confidence = nn.Linear(width, 1)
        for table in (self.embed_sequence, self.embed_secondary):
            nn.init.normal_(table.weight, std=0.1)

    def forward(
        self,
        protein: NoisyProtein,
        guess: Frames | None = None,
        use_guess: Tensor | None = None,
        *,
        neighbours: int | None = None,
        exact: bool = False,
    ) -> Prediction:
        """Denoise.

        Parameters
        ----------
        protein : NoisyProtein
        guess : Frames, shape (B, L), optional
            Clean frames predicted at an earlier step (self-conditioning).
        use_guess : Tensor of bool, shape (B,), optional
            Which proteins of the batch listen to their guess (default: all, where there is one).
        neighbours : int, optional
            Residues that each residue attends to (see `protgm.model.neighbours`): memory and time grow linearly with
            the chain, up to a search that is a small part of them. By default each attends to all.
        exact : bool
            Let derivatives go through everything: for the divergence of a flow, say. By default a stage reads the
            frames of the one before as constants: its own loss trains them, and no gradient has to go back through pair
            geometry, which would double the cost of a training step.

        Returns
        -------
        Prediction
        """
        rotations = protein.frames.rotations.float()
        translations = protein.frames.translations.float() * _NANOMETRE
        rotation_step, translation_step = self._steps(protein)
        residue_index = protein.present_index

        def near(rotations: Tensor, translations: Tensor) -> Tensor:
            return local_features(rotations, translations, residue_index, protein.chain_index)

        beside = near(rotations, translations)
        earlier = _Guess.of(guess, use_guess)
        near_guess = torch.zeros_like(beside) if earlier is None else earlier.heard(near(*earlier.frames))
        tokens = self._embed(protein, beside, near_guess)
        relation = relation_features(residue_index, protein.chain_index) if neighbours is None else None
        intermediate = []
        for stage in self.stages:
            edges = None
            if neighbours is not None:
                places: list[tuple[Tensor, Tensor | None]] = [(translations.detach(), None)]
                if earlier is not None:
                    places.append((earlier.frames[1], earlier.heeded))
                edges = choose_edges(places, protein.mask, neighbours)
                relation = relation_features(residue_index, protein.chain_index, edges)
            parts = [] if relation is None else [relation]
            if earlier is not None:
                parts += [earlier.heard(part) for part in pair_features(*earlier.frames, edges)]
            here = Frames(rotations, translations)
            seen = here if exact else here.map(Tensor.detach)
            tokens, here = stage(tokens, here, seen, parts, near, protein.mask, rotation_step, translation_step, edges)
            rotations, translations = here.rotations, here.translations
            earlier = None  # what later stages see is better
            intermediate.append(Frames(rotations, translations / _NANOMETRE))
        rotations, translations = self.refinement(
            tokens, rotations, translations, near, rotation_step, translation_step
        )
        final, noisy, concentration = self.norm(tokens), protein.frames.rotations.float(), protein.concentration
        return Prediction(
            frames=Frames(rotations, translations / _NANOMETRE),
            posterior=None if self.posterior is None else self.posterior(final, noisy, rotation_step, concentration),
            sequence_logits=self.sequence(final).float(),
            confidence=torch.sigmoid(self.confidence(final).float().squeeze(-1)),
            intermediate=tuple(intermediate),
            velocity=None if self.velocity is None else self.velocity(final, rotation_step),
            score=None if self.score is None else self.score(final, rotation_step),
        )

    def compile_blocks(self) -> None:
        """Compile the attention blocks: as they are all alike, one compilation serves all of them.

        Compiling the whole network takes minutes of processor time for every graph, with gradients and without.
        """
        for module in self.modules():
            if isinstance(module, Block):
                module.compile(dynamic=True)

    def _steps(self, protein: NoisyProtein) -> tuple[Tensor, Tensor]:
        """How far a residue's frame may have to move: radian and nanometre, zero for known residues."""
        moves = (protein.time < 1)[..., None].float()
        rotation = rotation_scale(protein.concentration)[..., None].clamp_min(_FLOOR)
        translation = (1 - protein.time)[..., None].clamp_min(_FLOOR) * self.config.noise_scale * _NANOMETRE
        return rotation * moves, translation * moves

    def _embed(self, protein: NoisyProtein, near: Tensor, near_guess: Tensor) -> Tensor:
        features = torch.cat((noise_features(protein), position_features(protein), near, near_guess), dim=-1)
        tokens: Tensor = self.embed_residue(features)
        if self.config.use_sequence:
            tokens = tokens + self.embed_sequence(protein.sequence)
        if self.config.use_secondary_structure:
            tokens = tokens + self.embed_secondary(protein.secondary)
        return tokens + protein.hotspot[..., None] * self.embed_hotspot


@dataclass(frozen=True)
class _Guess:
    """An earlier prediction in nanometre, and which proteins (B,) listen to it; None: all."""

    frames: tuple[Tensor, Tensor]
    heeded: Tensor | None

    @classmethod
    def of(cls, guess: Frames | None, use_guess: Tensor | None) -> _Guess | None:
        if guess is None:
            return None
        return cls((guess.rotations.float(), guess.translations.float() * _NANOMETRE), use_guess)

    def heard(self, features: Tensor) -> Tensor:
        """Features (B, ...) of the guess, zero in proteins that do not listen."""
        if self.heeded is None:
            return features
        return features * self.heeded.float().view(-1, *[1] * (features.ndim - 1))


class _Stage(nn.Module):
    """Pair features from the frames as they stand, some blocks, one frame update."""

    def __init__(self, config: DenoiserConfig, *, first: bool) -> None:
        super().__init__()
        features = PAIR_FEATURES * (2 if first else 1) + RELATION_FEATURES
        self.split = (config.heads * config.blocks, config.pair_values)
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.embed_near = None if first else nn.Linear(LOCAL_FEATURES, config.width)
        self.embed_pair = nn.Linear(features, config.pair_width)
        self.embed_ends = nn.Linear(config.width, 2 * config.pair_width, bias=False)
        self.read_pair = nn.Linear(config.pair_width, sum(self.split))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.update = FrameUpdate(config)

    def forward(
        self,
        tokens: Tensor,
        frames: Frames,
        seen: Frames,
        parts: list[Tensor],
        near: Callable[[Tensor, Tensor], Tensor],
        mask: Tensor,
        rotation_step: Tensor,
        translation_step: Tensor,
        edges: Tensor | None,
    ) -> tuple[Tensor, Frames]:
        """Tokens (B, L, width) and frames (B, L), nanometre, after the stage, which reads the frames as ``seen``."""
        there = (seen.rotations, seen.translations)
        if self.embed_near is not None:
            tokens = tokens + self.embed_near(near(*there))
        biases, pair_values = self.pairs(tokens, *there, parts, mask, edges)
        for block, bias in zip(self.blocks, biases.split(self.heads, dim=1), strict=True):
            tokens = block(tokens, bias, pair_values, *there, edges)
        return tokens, Frames(
            *self.update(tokens, frames.rotations, frames.translations, rotation_step, translation_step)
        )

    def pairs(
        self,
        tokens: Tensor,
        rotations: Tensor,
        translations: Tensor,
        parts: list[Tensor],
        mask: Tensor,
        edges: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Attention biases (B, heads * blocks, L, K) and pair values (B, L, pair_values, K)."""
        features = _together([*pair_features(rotations, translations, edges), *parts])
        size, count, length, seen = features.shape
        from_i, from_j = (end.movedim(-1, 1).contiguous() for end in self._ends(tokens, edges))
        # Without a guess its columns of the weight, the last, have nothing to multiply.
        hidden = _linear(self.embed_pair.weight[:, :count], features.flatten(2), (from_i + from_j).flatten(2)).relu_()
        to_biases, to_values = self.read_pair.weight.split(self.split)
        for_biases, for_values = (bias[None, :, None] for bias in self.read_pair.bias.split(self.split))
        absent = ~take(mask, edges).expand(size, length, seen).flatten(1)[:, None]
        biases = _linear(to_biases, hidden, for_biases).masked_fill_(absent, -1e4).view(size, -1, length, seen)
        values = _linear(to_values, hidden, for_values).view(size, -1, length, seen)
        return biases, values.transpose(1, 2).contiguous()

    def _ends(self, tokens: Tensor, edges: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the residues of a pair bring to it themselves, (B, L, 1, pair_width) and (B, 1 or L, K, pair_width)."""
        from_i, from_j = self.embed_ends(self.norm(tokens)).chunk(2, dim=-1)
        return (from_i + self.embed_pair.bias.to(from_i.dtype))[:, :, None], take(from_j, edges)


def _together(features: list[Tensor]) -> Tensor:
    """Features (B, F, L, K) of pairs one after another, in the precision in which they will be multiplied."""
    first, counts = features[0], [part.shape[1] for part in features]
    kind = first.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    if any(part.requires_grad for part in features):
        return torch.cat([part.to(dtype) for part in features], dim=1)
    # Each part is converted in its place: no copy of all of them is made.
    together = torch.empty(len(first), sum(counts), *first.shape[2:], dtype=dtype, device=first.device)
    for part, place in zip(features, together.split(counts, dim=1), strict=True):
        place.copy_(part)
    return together


def _linear(weight: Tensor, features: Tensor, bias: Tensor) -> Tensor:
    """A linear layer (out, F) on features (B, F, N) that come before the pairs, and a bias, (B, out, N)."""
    return torch.bmm(weight.expand(len(features), -1, -1), features).add_(bias.to(features.dtype))
