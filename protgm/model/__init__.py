"""The SE(3)-equivariant denoiser: what it takes, what it predicts, and its settings."""

from protgm.model.config import DenoiserConfig
from protgm.model.denoiser import Denoiser
from protgm.model.state import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein, Prediction, RotationPosterior

__all__ = [
    "MASK_TOKEN",
    "UNKNOWN_STRUCTURE",
    "Denoiser",
    "DenoiserConfig",
    "NoisyProtein",
    "Prediction",
    "RotationPosterior",
]
