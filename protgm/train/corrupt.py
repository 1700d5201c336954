"""From a batch of clean proteins to noisy ones at random times, with the regression targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protgm.data.batches import Batch
from protgm.layout import FIXED, FREE, Layout
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein
from protgm.process import ProteinProcess, State
from protgm.streams import Source, rand
from protgm.structure.frames import Frames

__all__ = ["CorruptionConfig", "Noised", "corrupt"]

#: CA atoms of residues that touch lie nearer than this, Angstrom.
_TOUCHING = 9.0
#: Uniform random numbers of a shape.
_Uniform = Callable[..., Tensor]


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
        Some residues are given clean: a stretch, several, scattered ones, or a neighbourhood in space. Their types are
        then usually given too.
    structure : float
        All residues are given clean, and their types are to be found (inverse folding).
    secondary_structure : float
        Secondary-structure labels are given; in half of those cases only for a part of the residues.
    sequence : float
        A random share of the sequence is given; otherwise it is masked.
    target : float
        Of proteins with several chains: all but one are given, most of the time with hotspots.
    breaks : float
        A stretch is taken out of the protein; what follows it is then, half of the time each, the same chain with a gap
        in its numbering or another chain.
    """

    early: float = 0.0
    joint_time: float = 0.5
    motif: float = 0.1
    structure: float = 0.0
    secondary_structure: float = 0.5
    sequence: float = 0.3
    target: float = 0.5
    breaks: float = 0.1


@dataclass(frozen=True)
class Noised:
    """A noisy batch and what it came from.

    Parameters
    ----------
    protein : NoisyProtein
    frames : Frames, shape (B, L)
        The clean ones.
    sequence : Tensor of int64, shape (B, L)
    rotation_time : Tensor, shape (B, L)
    moving : Tensor of bool, shape (B, L)
        Residues that are neither padding nor given.
    process : ProteinProcess
        What made it noisy.
    """

    protein: NoisyProtein
    frames: Frames
    sequence: Tensor
    rotation_time: Tensor
    moving: Tensor
    process: ProteinProcess

    def velocity(self) -> Tensor:
        """Conditional velocity of the rotations over the path's velocity scale, shape (B, L, 3)."""
        path, time = self.process.rotations, self.rotation_time
        velocity = path.velocity(self.protein.frames.rotations, self.frames.rotations, time)
        return velocity / path.velocity_scale(time)[..., None]

    def score(self) -> Tensor:
        """Conditional score of the rotations times 4 / kappa, shape (B, L, 3)."""
        path, time = self.process.rotations, self.rotation_time
        score = path.score(self.protein.frames.rotations, self.frames.rotations, time)
        return score * (4 / path.schedule.kappa(time))[..., None]


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
    whole = uniform(size, 1) < config.structure
    known = _motif(mask, batch.frames.translations, uniform) & (uniform(size, 1) < config.motif)
    against, hotspot = _target(batch, uniform)
    given = (uniform(size, 1) < config.target) & against.any(1, keepdim=True) & ~whole
    known = torch.where(given, against, known | (mask & whole))
    hotspot = hotspot & given
    time = torch.where(known, 1.0, time.expand(size, length))
    rotation_time = torch.where(known, 1.0, rotation_time.expand(size, length))

    layout = _layout(batch, known, hotspot)
    frames = process.noised(layout, time, process.noise(layout, generator), rotation_time, generator)
    frames = Frames(frames.rotations, frames.translations * mask[..., None])
    tokens = _mask_sequence(batch.sequence, known & ~whole, config.sequence, uniform)
    labels = _mask_labels(batch.secondary, config.secondary_structure, uniform)
    state = State(frames, tokens, time, rotation_time, time)
    protein = process.seen(state, replace(layout, secondary=labels))
    return Noised(
        protein=protein,
        frames=layout.frames,
        sequence=batch.sequence,
        rotation_time=rotation_time,
        moving=mask & ~known,
        process=process,
    )


def _layout(batch: Batch, known: Tensor, hotspot: Tensor) -> Layout:
    """What sampling would be told of proteins of which this much is known."""
    return Layout(
        mask=batch.mask,
        residue_index=batch.residue_index,
        chain_index=batch.chain_index,
        secondary=batch.secondary,
        sequence=batch.sequence,
        frames=batch.frames,
        time=known.float(),
        body=torch.where(known, FIXED, FREE),
        hotspot=hotspot,
        design=batch.mask,
        atoms=torch.full((*known.shape, 4, 3), torch.nan, device=known.device),
        anchor=torch.zeros_like(batch.frames.translations),
        oriented=known.any(1),
    ).anchored()


def _cut(batch: Batch, probability: float, uniform: _Uniform) -> Batch:
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
    centred = batch.frames.centre(mask).where(cut.expand(mask.shape), batch.frames)
    chains = batch.chain_index + other * (batch.chain_index.amax(1, keepdim=True) + 1)
    return replace(batch, frames=centred, mask=mask, chain_index=chains)


def _motif(mask: Tensor, translations: Tensor, uniform: _Uniform) -> Tensor:
    """Random residues to give away, (B, L): half of them at most.

    One stretch of 5-50 % of a protein, scattered residues, two to six stretches of up to 40 residues, or what lies
    within 5 to 13 Angstrom of a residue.
    """
    size, length = mask.shape
    lengths = mask.sum(1, keepdim=True)
    index = torch.arange(length, device=mask.device)
    share = 0.05 + 0.45 * uniform(size, 1)
    start = uniform(size, 1) * (1 - share) * lengths
    stretch = (index >= start) & (index < start + share * lengths)
    scattered = uniform(size, length) < share
    # Stretches begin anywhere; together they are at most half of the protein.
    count = 2 + (uniform(size, 1, 1) * 5).floor()
    longest = torch.minimum(0.5 * lengths[..., None] / count, torch.tensor(40.0, device=mask.device))
    begins = uniform(size, 6, 1) * lengths[..., None]
    ends = begins + 1 + uniform(size, 6, 1) * (longest - 1)
    taken = torch.arange(6, device=mask.device)[:, None] < count
    several = ((index >= begins.floor()) & (index < ends.floor()) & taken).any(1)
    centre_of = (uniform(size, 1) * lengths).long().clamp_max(length - 1)
    middle = translations.gather(1, centre_of[..., None].expand(-1, -1, 3))
    near = (translations - middle).norm(dim=-1) < 5 + 8 * uniform(size, 1)
    kind = uniform(size, 1)
    motif = torch.where(kind < 0.75, several, near)
    motif = torch.where(kind < 0.45, scattered, motif)
    return torch.where(kind < 0.3, stretch, motif) & mask


def _target(batch: Batch, uniform: _Uniform) -> tuple[Tensor, Tensor]:
    """All chains but a random one, and some of their residues that touch it, both (B, L); empty for single chains."""
    mask, chain, places = batch.mask, batch.chain_index, batch.frames.translations
    count = (chain * mask).amax(1, keepdim=True) + 1
    new = mask & (chain == (uniform(len(mask), 1) * count).long())
    known = mask & ~new & new.any(1, keepdim=True)
    pairs = new[:, :, None] & known[:, None]
    nearest = torch.cdist(places, places).masked_fill(~pairs, torch.inf).amin(1)
    chosen = uniform(*mask.shape) < 0.05 + 0.45 * uniform(len(mask), 1)
    return known, known & (nearest < _TOUCHING) & chosen & (uniform(len(mask), 1) < 0.85)


def _mask_sequence(sequence: Tensor, known: Tensor, probability: float, uniform: _Uniform) -> Tensor:
    """Keep tokens: a random share of a protein or all of it, and usually those of a motif; usually mask all others."""
    size, length = sequence.shape
    share = torch.where(uniform(size, 1) < 0.25, 1.0, uniform(size, 1))
    shown = (uniform(size, length) < share) & (uniform(size, 1) < probability)
    shown = shown | (known & (uniform(size, 1) < 0.8))
    return torch.where(shown, sequence, MASK_TOKEN)


def _mask_labels(labels: Tensor, probability: float, uniform: _Uniform) -> Tensor:
    size, length = labels.shape
    partial = (uniform(size, length) < uniform(size, 1)) | (uniform(size, 1) < 0.5)
    shown = partial & (uniform(size, 1) < probability)
    return torch.where(shown, labels, UNKNOWN_STRUCTURE)
