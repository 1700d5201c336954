"""What the denoiser is trained on: generator-matching losses, and terms that make chains hold together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from protgm.model import MASK_TOKEN, NoisyProtein, Prediction
from protgm.model.features import rotation_scale
from protgm.model.products import rotate_back
from protgm.structure.frames import Frames
from protgm.structure.geometry import IDEAL_N_CA_C, place_oxygen
from protgm.train.bregman import DivergenceConfig, position_error, posterior_error, token_error
from protgm.train.corrupt import Noised

__all__ = ["LossWeights", "denoising_losses", "total_loss"]

_LDDT_LIMITS = (0.5, 1.0, 2.0, 4.0)  # Angstrom


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; a term of weight 0 is still reported.

    Parameters
    ----------
    translation : float
        Squared error of clean translations over the squared noise (the conditional flow's velocity).
    rotation : float
        Squared chordal error of the point rotations over the squared noise angle.
    posterior : float
        Negative log-likelihood of the clean rotation under the predicted mixture (drives the jumps).
    stages : float
        Translation and rotation errors of the frames of each stage.
    local : float
        Atoms of the next residues, seen in each residue's frame.
    peptide : float
        Distances across the peptide bond.
    distances : float
        CA-CA and N-O distances between residues that are near in the clean protein.
    fold : float
        What a smooth lDDT of CA falls short by: distances below 15 Angstrom, right to within half an Angstrom to four,
        at every noise level alike. It asks for a decision where squared errors are least for the mean of several folds.
    clash : float
        CA atoms closer than 3.8 Angstrom.
    sequence : float
        Cross-entropy of masked residues.
    confidence : float
        Squared error of the predicted local agreement.
    velocity, score : float
        Errors of the marginal velocity and score of rotations over the squared noise angle, where the method has them.
    """

    translation: float = 1.0
    rotation: float = 0.5
    posterior: float = 0.1
    stages: float = 0.25
    local: float = 1.0
    peptide: float = 0.5
    distances: float = 1.0
    fold: float = 0.0
    clash: float = 0.5
    sequence: float = 0.1
    confidence: float = 0.1
    velocity: float = 0.1
    score: float = 0.1


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weighted sum of the terms of `denoising_losses`."""
    return torch.stack([terms[f.name] * getattr(weights, f.name) for f in fields(weights)]).sum()


def denoising_losses(
    prediction: Prediction,
    noised: Noised,
    average: Callable[[Tensor], Tensor] | None = None,
    divergence: DivergenceConfig | None = None,
) -> dict[str, Tensor]:
    """Every loss term, averaged over the residues that move.

    Parameters
    ----------
    prediction : Prediction
    noised : Noised
    average : callable, optional
        Mean of a tensor over the processes of a data-parallel run. Errors are divided by the mean number of residues
        of a process, so that the mean of the terms over the processes is the term of the whole batch.
    divergence : DivergenceConfig, optional
        Which divergence each modality is trained by.

    Returns
    -------
    dict of str to Tensor
        One scalar for each field of `LossWeights`; zero for what the network was not made to predict.
    """
    divergence = divergence or DivergenceConfig()
    protein, moving, scale = noised.protein, noised.moving.float(), noised.process.positions.scale
    remaining = (1 - protein.time).clamp_min(0.1)
    rotation_noise = rotation_scale(protein.concentration).clamp_min(0.1)
    # Local geometry is asked for once the noise leaves a chain to speak of, and ever more strictly towards the end.
    both = torch.minimum(protein.time, noised.rotation_time)
    sharp = moving * both / remaining / 10.0

    bonded = _bonded(protein, 1)

    hidden = (protein.sequence == MASK_TOKEN) & protein.mask & (noised.sequence < 20)
    counts = torch.stack((moving.sum(), hidden.float().sum()))
    if average is not None:
        counts = average(counts)

    def mean(values: Tensor, weight: Tensor = moving) -> Tensor:
        return (values * weight).sum() / counts[0].clamp_min(1)

    def frame_errors(frames: Frames) -> tuple[Tensor, Tensor]:
        shift = (frames.translations - noised.frames.translations).square().sum(-1) / (scale * remaining).square()
        turn = (frames.rotations - noised.frames.rotations).square().sum((-1, -2)) / rotation_noise.square()
        return mean(shift), mean(turn)

    translation, rotation = frame_errors(prediction.frames)
    if divergence.positions != "squared":
        places = (noised.frames.translations, prediction.frames.translations, protein.frames.translations)
        translation = mean(position_error(divergence.positions, *places, scale * remaining))
    stages = torch.stack([torch.stack(frame_errors(frames)).sum() for frames in prediction.intermediate]).sum()
    none = translation.new_zeros(())
    posterior = none
    if prediction.posterior is not None:
        clean_rotations = noised.frames.rotations
        errors = posterior_error(divergence.rotations, prediction.posterior, clean_rotations, protein.concentration)
        posterior = mean(errors)
    velocity, score = (
        none if found is None else mean((found - wanted()).square().sum(-1) / rotation_noise.square())
        for found, wanted in ((prediction.velocity, noised.velocity), (prediction.score, noised.score))
    )
    predicted, clean = _atoms(prediction.frames, bonded), _atoms(noised.frames, bonded)
    near, error = _near_errors(prediction.frames.translations, noised.frames.translations, protein.mask)
    agreement = _local_agreement(near, error.detach())
    tokens = token_error(divergence.tokens, prediction.sequence_logits, torch.where(hidden, noised.sequence, 0))
    return {
        "translation": translation,
        "rotation": rotation,
        "posterior": posterior,
        "stages": stages,
        "local": mean(_local_error(prediction, predicted, noised, clean), sharp),
        "peptide": mean(_peptide_error(predicted, clean, bonded), sharp),
        "distances": mean(_distance_error(predicted, clean, protein.mask), sharp),
        "fold": mean(_fold_error(near, error)),
        "clash": mean(_clash(prediction.frames.translations, protein.mask), sharp),
        "sequence": (tokens * hidden).sum() / counts[1].clamp_min(1),
        "confidence": mean((prediction.confidence - agreement).square()),
        "velocity": velocity,
        "score": score,
    }


def _atoms(frames: Frames, bonded: Tensor) -> Tensor:
    """N, CA, C, O of ideal residues, (B, L, 4, 3); O is only a placeholder near C where no residue follows."""
    ideal = frames.rotations.new_tensor(IDEAL_N_CA_C)
    heavy = frames[:, :, None].apply(ideal)
    beyond = 2 * heavy[:, :, 2] - heavy[:, :, 0]
    next_n = torch.where(_pad(bonded, heavy.shape[1])[..., None], heavy[:, :, 0].roll(-1, 1), beyond)
    return torch.cat((heavy, place_oxygen(heavy, next_n)[:, :, None]), dim=2)


def _bonded(protein: NoisyProtein, step: int) -> Tensor:
    """Whether residues i and i + step are there and lie that far apart on one chain, bool of shape (B, L - step)."""
    index, chain = protein.present_index, protein.chain_index
    return (chain[:, step:] == chain[:, :-step]) & (index[:, step:] - index[:, :-step] == step)


def _pad(values: Tensor, length: int) -> Tensor:
    return F.pad(values, (0, length - values.shape[1]))


def _local_error(prediction: Prediction, predicted: Tensor, noised: Noised, clean: Tensor) -> Tensor:
    """Mean distance (Angstrom) of the N, CA, C atoms of residues i+1..i+4 seen from frame i, (B, L)."""
    total = torch.zeros_like(noised.protein.time)
    for step in (1, 2, 4):
        present = _bonded(noised.protein, step)

        def seen(frames: Frames, atoms: Tensor, step: int = step) -> Tensor:
            offset = atoms[:, step:, :3] - frames.translations[:, :-step, None]
            return rotate_back(frames.rotations[:, :-step, None], offset)

        error = seen(prediction.frames, predicted) - seen(noised.frames, clean)
        distance = torch.sqrt(error.square().sum(-1) + 1e-4).mean(-1)
        total = total + _pad(distance * present, total.shape[1])
    return total


def _peptide_error(predicted: Tensor, clean: Tensor, bonded: Tensor) -> Tensor:
    """Summed absolute error (Angstrom) of C-N, CA-N and C-CA distances across each peptide bond, (B, L)."""

    def spans(atoms: Tensor) -> Tensor:
        first, second = atoms[:, :-1], atoms[:, 1:]
        pairs = ((2, 0), (1, 0), (2, 1), (1, 1))
        offsets = torch.stack([first[:, :, a] - second[:, :, b] for a, b in pairs], dim=-2)
        return torch.sqrt(offsets.square().sum(-1) + 1e-6)

    error = (spans(predicted) - spans(clean)).abs().clamp(max=5.0).sum(-1)
    return _pad(error * bonded, predicted.shape[1])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.sqrt((a[:, :, None] - b[:, None]).square().sum(-1) + 1e-4)


def _distance_error(predicted: Tensor, clean: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error (Angstrom, at most 5) of CA-CA (< 12) and N-O (< 8) distances, per residue (B, L)."""
    pairs = (mask[:, :, None] & mask[:, None]).float()
    total = torch.zeros_like(predicted[..., 0, 0])
    for a, b, cutoff in ((1, 1, 12.0), (0, 3, 8.0)):
        target = _distances(clean[:, :, a], clean[:, :, b])
        near = pairs * (target < cutoff)
        error = (_distances(predicted[:, :, a], predicted[:, :, b]) - target).abs().clamp(max=5.0)
        total = total + (error * near).sum(-1) / near.sum(-1).clamp_min(1)
    return total


def _fold_error(near: Tensor, error: Tensor) -> Tensor:
    """What the smooth lDDT of CA (Abramson et al. 2024, algorithm 27) falls short of that of no error by, (B, L)."""
    kept = torch.stack([torch.sigmoid(limit - error) for limit in _LDDT_LIMITS]).mean(0)
    most = torch.sigmoid(error.new_tensor(_LDDT_LIMITS)).mean()
    return ((most - kept) * near).sum(-1) / near.sum(-1).clamp_min(1)


def _clash(translations: Tensor, mask: Tensor, limit: float = 3.8) -> Tensor:
    """Overlap (Angstrom) of CA atoms three or more residues apart in the chain, summed over partners, (B, L)."""
    length = mask.shape[1]
    index = torch.arange(length, device=mask.device)
    apart = (index[:, None] - index).abs() >= 3
    pairs = (mask[:, :, None] & mask[:, None] & apart).float()
    return (F.relu(limit - _distances(translations, translations)) * pairs).sum(-1)


def _local_agreement(near: Tensor, error: Tensor) -> Tensor:
    """lDDT on CA (Mariani et al. 2013): share of distances below 15 A kept to within .5, 1, 2, 4 A; (B, L)."""
    kept = torch.stack([(error < limit).float() for limit in _LDDT_LIMITS]).mean(0)
    return (kept * near).sum(-1) / near.sum(-1).clamp_min(1)


def _near_errors(predicted: Tensor, clean: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of different residues nearer than 15 A (0 or 1), and the errors of their distances, both (B, L, L)."""
    target = _distances(clean, clean)
    others = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    near = (mask[:, :, None] & mask[:, None] & others & (target < 15.0)).float()
    return near, (_distances(predicted, predicted) - target).abs()
