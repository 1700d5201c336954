"""Invariant features of residue frames: per residue, per neighbour along the chain, per pair.

Everything here is computed in float32 and in nanometre: rounding to bfloat16 happens only inside the layers.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from protgm.model.neighbours import take
from protgm.model.products import compose, rotate_back, rotate_points
from protgm.model.state import NoisyProtein

__all__ = [
    "LOCAL_FEATURES",
    "NOISE_FEATURES",
    "PAIR_FEATURES",
    "POSITION_FEATURES",
    "RELATION_FEATURES",
    "local_features",
    "noise_features",
    "pair_features",
    "position_features",
    "relation_features",
    "rotation_scale",
]

_OFFSETS = (-2, -1, 1, 2)
LOCAL_FEATURES = len(_OFFSETS) * 13
_RADIAL = 16
_RADIAL_MAX = 2.0  # nm
PAIR_FEATURES = _RADIAL + 2 + 8 + 8 + 9
_DECAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_NEAR = 5
_FAR = 200  # residues; the slowest decay has died out long before
RELATION_FEATURES = 2 * _NEAR + 1 + 2 * len(_DECAYS) + 1
NOISE_FEATURES = 2 + 2 + 8 + 8 + 1
POSITION_FEATURES = 7


def relation_features(residue_index: Tensor, chain_index: Tensor, edges: Tensor | None = None) -> Tensor:
    """Where residue j lies along the chain seen from residue i.

    Parameters
    ----------
    residue_index, chain_index : Tensor of int64, shape (B, L)
    edges : Tensor of int64, shape (B, L, K), optional
        The residues j of each i (default: all).

    Returns
    -------
    Tensor, shape (B, RELATION_FEATURES, L, K)
        One-hot of the separations -5..5, decays exp(-|d|/s) signed and unsigned for six lengths s, same-chain flag.
    """
    # Few separations are distinct: the features are looked up, not computed for each pair.
    separation = (take(residue_index, edges) - residue_index[:, :, None]).clamp(-_FAR, _FAR)
    distinct = torch.arange(-_FAR, _FAR + 1, device=residue_index.device, dtype=torch.float32)[:, None]
    one_hot = (distinct == torch.arange(-_NEAR, _NEAR + 1, device=distinct.device)).float()
    decay = torch.exp(-distinct.abs() / distinct.new_tensor(_DECAYS))
    table = torch.cat((one_hot, decay, decay * torch.sign(distinct), torch.ones_like(distinct)), dim=-1)
    table = torch.cat((table, torch.zeros_like(table[:1])))  # the last row: another chain
    same = take(chain_index, edges) == chain_index[:, :, None]
    row = torch.where(same, separation + _FAR, 2 * _FAR + 1)
    looked_up: Tensor = table.t().index_select(1, row.flatten()).unflatten(1, row.shape)
    return looked_up.transpose(0, 1)


def pair_features(rotations: Tensor, translations: Tensor, edges: Tensor | None = None) -> tuple[Tensor, ...]:
    """Relative placement of pairs of frames, invariant under global rotations and translations.

    Features come first, pairs last: whatever is done to all pairs then runs over memory in order.

    Parameters
    ----------
    rotations : Tensor, shape (B, L, 3, 3)
    translations : Tensor, shape (B, L, 3)
        Nanometre.
    edges : Tensor of int64, shape (B, L, K), optional
        The residues j of each i (default: all).

    Returns
    -------
    tuple of Tensor, shapes (B, F, L, K), PAIR_FEATURES in all
        Radial basis of the distance, two measures of larger ones, spherical harmonics (l = 1, 2) of the direction to j
        in i's frame and of the direction to i in j's frame, and the relative rotation.
    """
    if edges is None:
        relative, offset = _all_pairs(rotations, translations)
    else:
        relative = compose(rotations[:, :, None], take(rotations, edges), invert_first=True).permute(0, 3, 4, 1, 2)
        offset = rotate_back(rotations[:, :, None], take(translations, edges) - translations[:, :, None])
        offset = offset.permute(0, 3, 1, 2)
    distance = torch.sqrt(offset.square().sum(1, keepdim=True) + 1e-6)
    direction = offset / distance
    to_j = _harmonics(direction)
    # Of all pairs, those the other way round are there already.
    to_i = to_j.transpose(2, 3) if edges is None else _harmonics(-(relative * direction[:, :, None]).sum(1))
    centres = torch.linspace(0.2, _RADIAL_MAX, _RADIAL, device=translations.device)[:, None, None]
    width = (_RADIAL_MAX - 0.2) / (_RADIAL - 1)
    # Powers of two: torch's exp is up to twenty times as slow on processors where it underflows, as it mostly does.
    radial = (distance - centres).square_().mul_(-0.5 / (width**2 * math.log(2))).exp2_()
    return radial, distance / (1.0 + distance), 0.2 / (0.2 + distance), to_j, to_i, relative.flatten(1, 2)


def _all_pairs(rotations: Tensor, translations: Tensor) -> tuple[Tensor, Tensor]:
    """R_i^T R_j, shape (B, 3, 3, L, L), and R_i^T (x_j - x_i), shape (B, 3, L, L)."""
    length = translations.shape[1]
    with torch.autocast(translations.device.type, enabled=False):
        # R_i^T [R_j | x_j] for all pairs as one matrix product; R_i^T x_i is its own diagonal.
        seen = torch.cat((rotations, translations[..., None]), dim=-1).permute(0, 2, 3, 1).flatten(2)
        back = rotations.permute(0, 3, 1, 2).flatten(1, 2)
        local = (back @ seen).view(-1, 3, length, 4, length).transpose(2, 3)
    own = rotate_back(rotations, translations).transpose(1, 2)[..., None]
    return local[:, :, :3], local[:, :, 3] - own


def _harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics of degrees 1 and 2 of unit vectors (B, 3, L, K), shape (B, 8, L, K)."""
    x, y, z = directions.unbind(1)
    products = torch.stack((x, y, z, x * x, y * y, z * z, x * y, y * z, z * x), dim=1)
    with torch.autocast(directions.device.type, enabled=False):
        harmonics = _monomials_to_harmonics(directions.device).expand(len(products), -1, -1) @ products.flatten(2)
    whole: Tensor = harmonics.unflatten(2, directions.shape[2:])
    return whole


@cache
def _monomials_to_harmonics(device: torch.device) -> Tensor:
    """The linear map from x, y, z and their products in pairs to the harmonics, shape (8, 9).

    In e3nn's order and "component" normalisation; e3nn itself, which is the tests' oracle, takes seconds to import.
    """
    r3, r5, r15 = math.sqrt(3), math.sqrt(5), math.sqrt(15)
    # Of x, y, z, xx, yy, zz, xy, yz, zx.
    rows = (
        (r3, 0, 0, 0, 0, 0, 0, 0, 0),
        (0, r3, 0, 0, 0, 0, 0, 0, 0),
        (0, 0, r3, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 0, 0, 0, r15),
        (0, 0, 0, 0, 0, 0, r15, 0, 0),
        (0, 0, 0, -r5 / 2, r5, -r5 / 2, 0, 0, 0),
        (0, 0, 0, 0, 0, 0, 0, r15, 0),
        (0, 0, 0, -r15 / 2, 0, r15 / 2, 0, 0, 0),
    )
    return torch.tensor(rows, dtype=torch.float32, device=device)


def local_features(rotations: Tensor, translations: Tensor, residue_index: Tensor, chain_index: Tensor) -> Tensor:
    """Frames of the residues two before to two after along the chain, seen from each residue's own frame.

    Parameters
    ----------
    rotations : Tensor, shape (B, L, 3, 3)
    translations : Tensor, shape (B, L, 3)
        Nanometre.
    residue_index, chain_index : Tensor of int64, shape (B, L)

    Returns
    -------
    Tensor, shape (B, L, LOCAL_FEATURES)
        For each neighbour: softened position (3), relative rotation (9), presence (1); zero where there is none.
    """
    index = torch.arange(residue_index.shape[1], device=residue_index.device)
    beside = index[:, None] + torch.tensor(_OFFSETS, device=index.device)
    inside = (beside >= 0) & (beside < len(index))
    beside = beside.clamp(0, len(index) - 1)
    apart = residue_index[:, beside] - residue_index[:, :, None] == torch.tensor(_OFFSETS, device=index.device)
    present = inside & apart & (chain_index[:, beside] == chain_index[:, :, None])
    position = rotate_points(rotations, translations[:, beside] - translations[:, :, None], invert=True)
    squared = position.square().sum(-1, keepdim=True)
    scaled = position * torch.log1p(squared.add(1e-8).sqrt() / 0.3) / torch.sqrt(0.3 * 0.3 + squared)
    # R_i^T [columns of the neighbours' rotations], all twelve at once.
    columns = rotations[:, beside].transpose(-1, -2).flatten(2, 3)
    relative = rotate_points(rotations, columns, invert=True).unflatten(2, (-1, 3)).transpose(-1, -2).flatten(3)
    there = present[..., None].to(translations.dtype)
    return torch.cat((scaled * there, relative * there, there), dim=-1).flatten(2)


def noise_features(protein: NoisyProtein) -> Tensor:
    """Noise levels of each residue as smooth functions, shape (B, L, NOISE_FEATURES)."""
    rotation_noise = rotation_scale(protein.concentration)
    levels = torch.stack((1 - protein.time, rotation_noise), dim=-1)
    frequencies = math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0], device=levels.device)
    waves = (levels[..., None] * frequencies).flatten(-2)
    fine = torch.log(levels + 0.01)
    known = (protein.time >= 1).to(levels.dtype)[..., None]
    return torch.cat((levels, fine, waves.sin(), waves.cos(), known), dim=-1)


def position_features(protein: NoisyProtein) -> Tensor:
    """Length of a residue's chain and distance to its ends, shape (B, L, POSITION_FEATURES); chains lie in order."""
    present = protein.mask.to(protein.frames.translations.dtype)
    chain = protein.chain_index
    lengths = present.new_zeros(len(present), int(chain.max()) + 1).scatter_add_(1, chain, present)
    before = (lengths.cumsum(1) - lengths).gather(1, chain)
    length = lengths.gather(1, chain).clamp_min(1)
    to_start = present.cumsum(1) - 1 - before
    ends = torch.stack((to_start, length - 1 - to_start), dim=-1).clamp_min(0)
    size = (length / 100).log()[..., None]
    return torch.cat((size, torch.exp(-ends / 2), torch.exp(-ends / 8), torch.exp(-ends / 32)), dim=-1)


def rotation_scale(concentration: Tensor) -> Tensor:
    """Typical half-angle of a rotation kernel, radian: 1 for uniform, 2/sqrt(kappa) for a narrow one."""
    return torch.rsqrt(1.0 + 0.25 * concentration)
