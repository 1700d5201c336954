"""Training a denoiser on prepared structures."""

from protgm.train.config import TrainConfig
from protgm.train.run import train

__all__ = ["TrainConfig", "train"]
