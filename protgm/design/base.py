"""What a sequence designer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from protgm.design.kept import Kept
    from protgm.structure.backbone import Backbone

__all__ = ["Design", "Designer", "settings_of"]


@dataclass(frozen=True)
class Design:
    """One sequence for a backbone.

    Parameters
    ----------
    sequence : str
        One letter per residue of the backbone, all chains in a row.
    nll : float
        Negative log-likelihood per residue under the designer, nats; lower is better.
    """

    sequence: str
    nll: float


class Designer(Protocol):
    """Anything that finds sequences for a backbone."""

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0, kept: Kept | None = None) -> list[Design]:
        """``num_seqs`` sequences, the same for the same seed; ``kept`` says what of them is given."""
        ...

    def score(self, backbone: Backbone, sequence: str) -> float:
        """Negative log-likelihood per residue of a sequence on a backbone, nats."""
        ...


def settings_of(designer: Designer) -> dict[str, object]:
    """What, beside a backbone and a seed, its sequences depend on: its ``settings``, or its name where it has none."""
    return dict(getattr(designer, "settings", {"designer": type(designer).__name__}))
