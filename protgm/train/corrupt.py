"""From a batch of clean proteins to noisy ones at random times, with the regression targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protgm.data.batches import Batch
from protgm.lie.random import Source, rand, randn
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein
from protgm.process import ProteinProcess, centre, superposed

__all__ = ["CorruptionConfig", "Noised", "corrupt"]


@dataclass(frozen=True)
class CorruptionConfig:
    """How often training shows what; every field is a probability.

    Parameters
    ----------
    early : float
        The times are drawn from the first half of the path, where folds are decided and most is to be learned;
        otherwise from all of it.
    joint_time : float
        Translations and rotations of a protein share one time; otherwise their times are independent, so that one
        network serves every schedule at sampling.
    motif : float
        Some residues (a contiguous stretch, or scattered ones) are given clean.
    secondary_structure : float
        Secondary-structure labels are given; in half of those cases only for a part of the residues.
    sequence : float
        A random share of the sequence is given; otherwise it is masked.
    breaks : float
        A stretch is taken out of the protein; what follows it is then, half of the time each, the same chain with a gap
        in its numbering or another chain.
    """

    early: float = 0.0
    joint_time: float = 0.5
    motif: float = 0.1
    secondary_structure: float = 0.5
    sequence: float = 0.3
    breaks: float = 0.1


@dataclass(frozen=True)
class Noised:
    """A noisy batch and what it came from.

    Parameters
    ----------
    protein : NoisyProtein
    rotations, translations : Tensor, shapes (B, L, 3, 3) and (B, L, 3)
        The clean frames, Angstrom.
    sequence : Tensor of int64, shape (B, L)
    rotation_time : Tensor, shape (B, L)
    rotation_flow : Tensor, shape (B, L, 3)
        Conditional velocity of the rotations over its speed scale, a rotation vector in the noisy frame.
    moving : Tensor of bool, shape (B, L)
        Residues that are neither padding nor given.
    """

    protein: NoisyProtein
    rotations: Tensor
    translations: Tensor
    sequence: Tensor
    rotation_time: Tensor
    rotation_flow: Tensor
    moving: Tensor


def corrupt(batch: Batch, process: ProteinProcess, config: CorruptionConfig, generator: Source = None) -> Noised:
    """Draw times, known residues and labels, and a point of the path for every residue.

    Parameters
    ----------
    batch : Batch
    process : ProteinProcess
    config : CorruptionConfig
    generator : torch.Generator or Streams, optional
        With streams, a protein's noise depends on neither the rest of the batch nor the device.

    Returns
    -------
    Noised
    """
    size, length = batch.mask.shape

    def uniform(*shape: int) -> Tensor:
        return rand(shape, generator, device=batch.mask.device)

    batch = _cut(batch, config.breaks, uniform)
    mask = batch.mask
    until = torch.where(uniform(size, 1) < config.early, 0.5, 1.0)
    time = until * uniform(size, 1)
    rotation_time = torch.where(uniform(size, 1) < config.joint_time, time, until * uniform(size, 1))
    known = _motif(mask, uniform) & (uniform(size, 1) < config.motif)
    time = torch.where(known, 1.0, time.expand(size, length))
    rotation_time = torch.where(known, 1.0, rotation_time.expand(size, length))

    noise = process.sample_prior(mask, generator)
    # The nearest of all rotated copies of the noise: straighter paths, and nothing an equivariant network could tell.
    noise = superposed(noise, batch.translations, mask)
    # A motif's place relative to the centre of the finished protein is not known when sampling starts.
    jitter = randn((size, 1, 3), generator, device=mask.device) * 4.0
    noise = noise + jitter * known.any(1)[:, None, None]
    translations = (1 - time)[..., None] * noise + time[..., None] * batch.translations

    path = process.rotation_path
    noisy = path.sample(batch.rotations, rotation_time, generator=generator)
    rotations = torch.where(known[..., None, None], batch.rotations, noisy)
    velocity = path.velocity(rotations, batch.rotations, rotation_time)

    protein = NoisyProtein(
        rotations=rotations,
        translations=translations * mask[..., None],
        time=time,
        concentration=process.concentration(rotation_time),
        sequence=_mask_sequence(batch.sequence, config.sequence, uniform),
        secondary=_mask_labels(batch.secondary, config.secondary_structure, uniform),
        residue_index=batch.residue_index,
        chain_index=batch.chain_index,
        mask=mask,
    )
    return Noised(
        protein=protein,
        rotations=batch.rotations,
        translations=batch.translations,
        sequence=batch.sequence,
        rotation_time=rotation_time,
        rotation_flow=velocity / path.velocity_scale(rotation_time)[..., None],
        moving=mask & ~known,
    )


def _cut(batch: Batch, probability: float, uniform) -> Batch:
    """Take 3 residues and up to a tenth of the protein out of its middle, as if they were not resolved.

    The residues after the gap may be another chain: two chains that lie on each other as in a native.
    """
    index = torch.arange(batch.padded_length, device=batch.mask.device)
    lengths = batch.mask.sum(1, keepdim=True)
    start = (0.2 + 0.5 * uniform(len(batch), 1)) * lengths
    end = start + 3 + 0.1 * uniform(len(batch), 1) * lengths
    cut = uniform(len(batch), 1) < probability
    other = cut & (uniform(len(batch), 1) < 0.5) & (index >= end)
    mask = batch.mask & ~(cut & (index >= start) & (index < end))
    translations = torch.where(cut[..., None], centre(batch.translations, mask), batch.translations)
    chains = batch.chain_index + other * (batch.chain_index.amax(1, keepdim=True) + 1)
    return replace(batch, mask=mask, translations=translations, chain_index=chains)


def _motif(mask: Tensor, uniform) -> Tensor:
    """Random residues to give away: one stretch of 5-50 % of a protein, or scattered residues; (B, L)."""
    size, length = mask.shape
    lengths = mask.sum(1, keepdim=True)
    share = 0.05 + 0.45 * uniform(size, 1)
    start = uniform(size, 1) * (1 - share) * lengths
    index = torch.arange(length, device=mask.device)
    stretch = (index >= start) & (index < start + share * lengths)
    scattered = uniform(size, length) < share
    return torch.where(uniform(size, 1) < 0.7, stretch, scattered) & mask


def _mask_sequence(sequence: Tensor, probability: float, uniform) -> Tensor:
    """Keep each token with a random probability per protein (masking path); usually mask all."""
    size, length = sequence.shape
    kept = uniform(size, length) < uniform(size, 1)
    shown = kept & (uniform(size, 1) < probability)
    return torch.where(shown, sequence, MASK_TOKEN)


def _mask_labels(labels: Tensor, probability: float, uniform) -> Tensor:
    size, length = labels.shape
    partial = (uniform(size, length) < uniform(size, 1)) | (uniform(size, 1) < 0.5)
    shown = partial & (uniform(size, 1) < probability)
    return torch.where(shown, labels, UNKNOWN_STRUCTURE)
