"""A network whose predictions are looked at before they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protgm.model.state import NoisyProtein, Prediction

__all__ = ["NotFinite", "finite"]


class NotFinite(ValueError):
    """A network predicts frames that are not finite."""


def finite(network: Callable[..., Prediction], weights: str) -> Callable[..., Prediction]:
    """``network``, but a prediction with NaN or infinity in it is an error, which ``weights`` are named in.

    Raises
    ------
    NotFinite
        From the function that is returned. What is computed with such frames is anything, errors of indices included.
    """

    def call(protein: NoisyProtein, *rest: Any) -> Prediction:
        prediction = network(protein, *rest)
        if not all(
            bool(x[protein.mask].isfinite().all())
            for x in (prediction.frames.rotations, prediction.frames.translations)
        ):
            raise NotFinite(
                f"weights {weights}: the network predicts coordinates that are not finite, as after a training that "
                "has diverged; use other weights"
            )
        return prediction

    return call
