"""How likely a structure is to a trained network: `log_likelihood` of backbones, and ``protgm score``."""

from protgm.score.likelihood import Likelihood, backbone_likelihood, protein_log_likelihood
from protgm.score.orientations import backbone_orientations, orientation_bound, orientation_log_likelihood
from protgm.score.run import ScoreReport, score

__all__ = [
    "Likelihood",
    "ScoreReport",
    "backbone_likelihood",
    "backbone_orientations",
    "orientation_bound",
    "orientation_log_likelihood",
    "protein_log_likelihood",
    "score",
]
