"""Settings of the denoiser."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HEADS", "DenoiserConfig"]

#: What a network predicts of rotations, by the method that it is trained by.
HEADS: dict[str, tuple[str, ...]] = {
    "flow": ("velocity",),
    "score": ("score",),
    "diffusion": ("velocity", "score"),
    "jump": ("posterior",),
    "superposition": ("velocity", "posterior"),
}


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the network and which inputs it listens to.

    Parameters
    ----------
    width : int
        Channels of a residue token.
    heads : int
        Attention heads; divides ``width``.
    stages : int
        How often pair features are computed from (updated) frames.
    blocks : int
        Attention blocks in each stage.
    pair_width : int
        Hidden channels of the pair features.
    pair_values : int
        Pair channels that attention carries to the residues.
    points : int
        Value points of each head.
    feed_forward : int
        Hidden channels of a block's feed-forward layer.
    refinements : int
        Passes of the local refinement that follows the last stage.
    components : int
        Kernels in the mixture that describes the posterior of a clean rotation.
    noise_scale : float
        Standard deviation of the translation prior, Angstrom; sets the scale of translation updates.
    use_sequence, use_secondary_structure : bool
        Listen to the sequence and to secondary-structure labels (ablations).
    method : {"flow", "score", "diffusion", "jump", "superposition"}
        What is predicted of rotations (`HEADS`): their marginal velocity, score, both, the posterior of the clean one,
        or velocity and posterior. From a posterior every generator can be computed, which is why it is the default.
    """

    width: int = 256
    heads: int = 8
    stages: int = 3
    blocks: int = 3
    pair_width: int = 64
    pair_values: int = 32
    points: int = 4
    feed_forward: int = 768
    refinements: int = 2
    components: int = 4
    noise_scale: float = 10.0
    use_sequence: bool = True
    use_secondary_structure: bool = True
    method: str = "jump"

    def __post_init__(self) -> None:
        if self.method not in HEADS:
            raise ValueError(f"method={self.method!r}: must be one of {', '.join(HEADS)}")
        if self.width % self.heads:
            raise ValueError(f"model.width={self.width} must be a multiple of model.heads={self.heads}")
        for name in ("width", "heads", "stages", "blocks", "pair_width", "pair_values", "points", "components"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}={getattr(self, name)} must be at least 1")

    @property
    def predicts(self) -> tuple[str, ...]:
        """What is predicted of rotations: some of velocity, score and posterior."""
        return HEADS[self.method]
