"""The protein sampler itself, on small proteins whose posterior is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from scipy.stats import ks_2samp
from torch import Tensor

from protgm.layout import Layout
from protgm.lie import so3, vmf
from protgm.model import MASK_TOKEN, NoisyProtein, Prediction, RotationPosterior
from protgm.model.config import HEADS
from protgm.process import ProteinProcess, State
from protgm.sample.sampler import Sampled, sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.structure.frames import Frames, centre, kabsch
from protgm.structure.size import globular_radius

__all__ = ["ExactProteins", "ProteinCase", "held_radii", "protein_cases", "radius", "small_proteins"]


#: What a type that is not a protein's takes off the logarithm of its probability.
_CONTRADICTION = 50.0


@dataclass(frozen=True)
class ExactProteins:
    """What a perfect network would predict if the data were a few proteins of one length.

    Parameters
    ----------
    frames : Frames, shape (K, L)
        Centred.
    sequences : Tensor of int64, shape (K, L)
    weights : Tensor, shape (K,)
    process : ProteinProcess
    oriented : bool
        Proteins lie in space as given, and noise is independent, about the known residues where there are any; else
        they may be turned, and noise is turned onto them (`ProteinProcess`).
    method : str
        Of rotations it predicts what a network trained by this method does.

    Notes
    -----
    For a free protein z, let C be the cross-covariance of a point set with z laid on x_t, and M = tr(C) I - C, which
    is positive where z lies best. Noise that is turned onto z has the density of the noise times det M(noise), and
    x_t is then turned at random, which divides by det M(x_t). With ``y = (x_t - t z) / (1 - t)`` that is ``p(x_t | z)
    ~ exp(-|y|^2 / 2 s^2) det M(y) / det M(x_t)``, and no density where M(y) is not positive.
    """

    frames: Frames
    sequences: Tensor
    weights: Tensor
    process: ProteinProcess
    oriented: bool = False
    method: str = "jump"

    def posterior(self, protein: NoisyProtein) -> tuple[Tensor, Frames]:
        """Probability of each protein, (B, K), and its frames as they lie to x_t, (B, K, L)."""
        x, time = protein.frames.translations.double(), protein.time.double()
        size, count = len(x), len(self.weights)
        clean = Frames(*(v.double().expand(size, *v.shape) for v in (self.frames.rotations, self.frames.translations)))
        if self.oriented:
            log_p = self._gaussian(x[:, None], clean.translations, time)
        else:
            seen = centre(x, protein.mask)[:, None].expand_as(clean.translations)
            turn = kabsch(clean.translations, seen)
            clean = clean.moved(turn[:, :, None], clean.translations.new_zeros(3))
            log_p = self._turned(seen, clean.translations, time[:, 0])
        angle = so3.angle(so3.relative(protein.frames.rotations.double()[:, None], clean.rotations))
        log_p = log_p + vmf.log_density(angle, protein.concentration.double()[:, None]).sum(-1)
        shown = protein.sequence[:, None]
        agrees = (shown == MASK_TOKEN) | (shown == self.sequences)
        # Two types that are found in one step may be of two proteins: then those with fewest contradictions.
        log_p = log_p - _CONTRADICTION * (~agrees).sum(-1) + torch.log(self.weights.double())
        return torch.softmax(log_p, dim=-1).view(size, count), clean

    def _gaussian(self, x: Tensor, clean: Tensor, time: Tensor) -> Tensor:
        moves = (time < 1)[:, None, :, None]
        spread = ((1 - time) * self.process.positions.scale)[:, None, :, None].clamp_min(1e-9)
        known = (~moves).to(x.dtype)
        anchor = (x * known).sum(2, keepdim=True) / known.sum(2, keepdim=True).clamp_min(1)
        now = time[:, None, :, None]
        deviation = (x - now * clean - (1 - now) * anchor) / spread
        return -0.5 * torch.where(moves, deviation.square(), 0.0).sum((-1, -2))

    def _turned(self, x: Tensor, clean: Tensor, time: Tensor) -> Tensor:
        t = time[:, None, None, None]
        noise = (x - t * clean) / (1 - t)
        of_noise, of_x = _definite(noise, clean), _definite(x, clean)
        log_p = -0.5 * (noise / self.process.positions.scale).square().sum((-1, -2))
        log_p = log_p + torch.linalg.slogdet(of_noise).logabsdet - torch.linalg.slogdet(of_x).logabsdet
        possible = torch.linalg.eigvalsh(of_noise)[..., 0] > 0
        # Rounding may leave none: then as if all were.
        impossible = ~possible & possible.any(1, keepdim=True)
        return torch.where(impossible, -torch.inf, log_p)

    def __call__(self, protein: NoisyProtein, *_: object) -> Prediction:
        """The posterior means and marginals."""
        weights, clean = self.posterior(protein)
        mean = torch.einsum("bk,bkli->bli", weights, clean.translations).float()
        logits = torch.log(weights).clamp_min(-80).float()[:, None].expand(*protein.time.shape, -1)
        likeliest = weights.argmax(1)
        posterior = RotationPosterior(logits, clean.rotations.movedim(1, 2).float(), torch.full_like(logits, 1e6))
        velocity, score = self._tangents(protein, weights, clean)
        predicts = HEADS[self.method]
        letters = torch.nn.functional.one_hot(self.sequences, 20).double()
        tokens = torch.einsum("bk,klc->blc", weights, letters)
        return Prediction(
            frames=Frames(clean.rotations[torch.arange(len(weights)), likeliest].float(), mean),
            posterior=posterior if "posterior" in predicts else None,
            velocity=velocity if "velocity" in predicts else None,
            score=score if "score" in predicts else None,
            sequence_logits=torch.log(tokens).clamp_min(-80).float(),
            confidence=torch.ones_like(protein.time),
            intermediate=(),
        )

    def _tangents(self, protein: NoisyProtein, weights: Tensor, clean: Frames) -> tuple[Tensor, Tensor]:
        """Marginal velocity and score of the rotations, in the units of a prediction, (B, L, 3)."""
        kappa = protein.concentration.double()[:, None]
        toward = so3.log(so3.relative(protein.frames.rotations.double()[:, None], clean.rotations))
        angle = toward.norm(dim=-1)
        speed = vmf.flow_speed(angle, kappa) * 2 * kappa / (vmf.ratio(kappa) * torch.tanh(kappa))
        steep = -vmf.score(angle, kappa) * 4 / kappa
        share = (weights[:, :, None] / angle.clamp_min(1e-12), toward)
        velocity, score = (torch.einsum("bkl,bkli->bli", length * share[0], share[1]) for length in (speed, steep))
        return velocity.float(), score.float()


def _definite(points: Tensor, clean: Tensor) -> Tensor:
    """``tr(C) I - C`` of the cross-covariance C of aligned point sets, shape (..., 3, 3)."""
    covariance = points.mT @ clean
    covariance = (covariance + covariance.mT) / 2
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return trace * torch.eye(3, dtype=points.dtype) - covariance


def small_proteins(length: int = 12, count: int = 2) -> tuple[Frames, Tensor]:
    """Random walks of the radius of natives with random orientations and types, (K, L)."""
    source = torch.Generator().manual_seed(1)
    walks = torch.cumsum(torch.randn(count, length, 3, generator=source, dtype=torch.float64) * 2.2, 1)
    mask = torch.ones(count, length, dtype=torch.bool)
    walks = centre(walks, mask)
    radius = walks.square().sum(-1).mean(-1).sqrt()
    walks = walks * (globular_radius(length) / radius)[:, None, None]
    frames = Frames(so3.random_uniform((count, length), generator=source), walks.float())
    return frames, torch.randint(0, 20, (count, length), generator=source)


@dataclass(frozen=True)
class ProteinCase:
    """One walk of many copies.

    Parameters
    ----------
    name : str
        What the table shows of the settings.
    settings : SamplerSettings
    oriented : bool
    known : int
        So many residues at the start of the chain are given, those of protein 0 in the first half of the batch.
    method : str
        By which the exact network would have been trained.
    """

    name: str
    settings: SamplerSettings
    oriented: bool = False
    known: int = 0
    method: str = "jump"

    def run(self, samples: int, seed: int = 0) -> tuple[float, list[float]]:
        """How the walk's law differs from the exact one.

        Returns
        -------
        share : float
            Difference of the share of walks that end at the first protein from its weight, .6.
        radii : list of float
            Kolmogorov-Smirnov distances of the radii of x_t from those of noised data at t = .25, .5, .75.
        """
        process, share = ProteinProcess(), torch.tensor([0.6, 0.4])
        frames, sequences = small_proteins()
        if self.known:  # two proteins that share what is given
            same = torch.arange(frames.shape[1]) < self.known
            frames = frames.where(~same.expand(frames.shape), frames[:1])
            sequences = torch.where(same, sequences[:1], sequences)
        exact = ExactProteins(frames, sequences, share, process, self.oriented or self.known > 0, self.method)
        source = torch.Generator().manual_seed(seed)
        layout = Layout.unconditional([frames.shape[1]] * samples)
        chosen = torch.multinomial(share, samples, replacement=True, generator=source)
        clean = replace(layout, frames=frames[chosen], oriented=torch.full((samples,), exact.oriented))
        if self.known:
            time = (torch.arange(len(layout)) < self.known).float().expand(samples, -1)
            clean = replace(clean, time=time).anchored()
        layout = replace(
            clean,
            frames=Frames(
                frames.rotations[:1].expand_as(clean.frames.rotations),
                frames.translations[:1].expand_as(clean.frames.translations),
            ),
        )
        seen: dict[float, Tensor] = {}

        def watch(step: int, state: State, _: Prediction) -> None:
            seen[round(float(state.time.min()), 4)] = radius(state.frames.translations)

        ended = sample_frames(exact, process, layout, self.settings, source, on_step=watch)

        def noised(t: float) -> Tensor:
            noise = process.noise(clean, source)
            at = torch.where(clean.time >= 1, 1.0, torch.full_like(clean.time, t))
            return process.noised(clean, at, noise, at, source).translations

        return _share(ended, frames, sequences, self.settings) - float(share[0]), held_radii(seen, noised)


def held_radii(seen: Mapping[float, Tensor], noised: Callable[[float], Tensor]) -> list[float]:
    """Kolmogorov-Smirnov distances of the radii that a walk went through from those of noised data, at three times."""
    return [float(ks_2samp(seen[t].numpy(), radius(noised(t)).numpy()).statistic) for t in (0.25, 0.5, 0.75)]


def radius(x: Tensor) -> Tensor:
    """Radii of gyration of points (B, L, 3), shape (B,)."""
    return (x - x.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()


def _share(ended: Sampled, frames: Frames, sequences: Tensor, settings: SamplerSettings) -> float:
    """Share of walks that end at the first protein: by their types where those are found, else by their distances."""
    if settings.cogenerate:
        return float((ended.sequence == sequences[0]).all(1).float().mean())
    made, clean = (torch.cdist(x, x).flatten(1) for x in (ended.frames.translations, frames.translations))
    return float(((made[:, None] - clean).square().sum(-1).argmin(1) == 0).float().mean())


def protein_cases(steps: int = 100) -> Iterator[ProteinCase]:
    """Every generator, with noise on translations and without, free, oriented, with known residues and with tokens."""
    for generator in ("flow", "jump", "superposition", "diffusion"):
        for noise in (0.0, 1.0):
            settings = SamplerSettings(
                steps=steps, generator=generator, translation_noise=noise, temperature=1.0, guidance=1.0
            )
            name = f"{generator}, translations by {'the SDE' if noise else 'the flow'}"
            yield ProteinCase(name, settings)
    usual = SamplerSettings(steps=steps, temperature=1.0, guidance=1.0, sequence_temperature=1.0)
    yield ProteinCase("superposition, oriented", usual, oriented=True)
    yield ProteinCase("superposition, 4 residues known", usual, known=4)
    yield ProteinCase("superposition with tokens", replace(usual, cogenerate=True))
    yield ProteinCase("superposition with tokens and corrector", replace(usual, cogenerate=True, sequence_noise=0.5))
    for method in ("flow", "score", "diffusion"):
        by = replace(usual, generator=method)
        heads = " and the ".join(HEADS[method])
        yield ProteinCase(f"{method}, by the {heads} alone", by, method=method)
    yield ProteinCase("superposition, its flow by the velocity", usual, method="superposition")
