"""Attention with a geometric pair bias, value points and pair values."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protgm.model.config import DenoiserConfig
from protgm.model.neighbours import dot, mix
from protgm.model.products import rotate_points

__all__ = ["Block"]


class Block(nn.Module):
    """One transformer block on residue tokens.

    Attention weights come from tokens plus a bias computed once per stage from pair features; each head carries token
    values, points placed in the residues' frames (returned to the receiver's frame, so the block is invariant), and
    pair values.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.heads, self.points = config.heads, config.points
        width, heads = config.width, config.heads
        self.head_width = width // heads
        self.norm_attention = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width + heads * config.points * 3, bias=False)
        gathered = width + heads * config.points * 4 + heads * config.pair_values
        self.out = nn.Linear(gathered, width)
        self.norm_feed = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, config.feed_forward)
        self.feed_out = nn.Linear(config.feed_forward, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.feed_out.weight)

    def forward(
        self,
        tokens: Tensor,
        bias: Tensor,
        pair_values: Tensor,
        rotations: Tensor,
        translations: Tensor,
        edges: Tensor | None = None,
    ) -> Tensor:
        """Update the tokens.

        Parameters
        ----------
        tokens : Tensor, shape (B, L, width)
        bias : Tensor, shape (B, heads, L, K)
            Added to the attention logits; -inf-like where the key is padding.
        pair_values : Tensor, shape (B, L, pair_values, K)
        rotations : Tensor, shape (B, L, 3, 3)
        translations : Tensor, shape (B, L, 3)
            Nanometre.
        edges : Tensor of int64, shape (B, L, K), optional
            The residues that each attends to (default: all L).

        Returns
        -------
        Tensor, shape (B, L, width)
        """
        tokens = tokens + self.out(
            self._attend(self.norm_attention(tokens), bias, pair_values, rotations, translations, edges)
        )
        fed: Tensor = self.feed_out(F.gelu(self.feed_in(self.norm_feed(tokens))))
        return tokens + fed

    def _attend(
        self,
        x: Tensor,
        bias: Tensor,
        pair_values: Tensor,
        rotations: Tensor,
        translations: Tensor,
        edges: Tensor | None,
    ) -> Tensor:
        batch, length, width = x.shape
        heads, points = self.heads, self.points
        query, key, value, local = self.project(x).split((width, width, width, heads * points * 3), dim=-1)
        query, key, value = (y.view(batch, length, heads, self.head_width) for y in (query, key, value))
        attention = torch.softmax(dot(query * self.head_width**-0.5, key, edges).float() + bias, dim=-1)
        # Points: out of the sender's frame, averaged, into the receiver's frame. In float32 throughout: weights rounded
        # to bfloat16 no longer sum to one, and the block would feel where in space the protein sits.
        placed = rotate_points(rotations, local.view(batch, length, heads * points, 3)) + translations[:, :, None]
        with torch.autocast(x.device.type, enabled=False):
            seen = mix(attention, placed.view(batch, length, heads, points * 3), edges)
        seen = seen.reshape(batch, length, heads * points, 3) - translations[:, :, None]
        seen = rotate_points(rotations, seen, invert=True)
        attention = attention.to(value.dtype)
        norms = torch.sqrt(seen.square().sum(-1) + 1e-6)
        pairs = attention.transpose(1, 2).flatten(0, 1) @ pair_values.flatten(0, 1).transpose(1, 2)
        return torch.cat(
            (
                mix(attention, value, edges).reshape(batch, length, width),
                seen.flatten(-2).to(value.dtype),
                norms.to(value.dtype),
                pairs.view(batch, length, -1),
            ),
            dim=-1,
        )
