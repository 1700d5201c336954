"""What can be asked of the sampler: conditions that compose, ``Motif(...) & Symmetry("C3")``."""

from protgm.condition.base import Condition, Conditions, Draw
from protgm.condition.distances import Distance, Distances
from protgm.condition.guidance import Autoguidance, Potential
from protgm.condition.motif import Motif
from protgm.condition.partial import Partial
from protgm.condition.secondary import SecondaryStructure
from protgm.condition.sequence import Sequence
from protgm.condition.symmetry import Symmetry
from protgm.condition.target import Target

__all__ = [
    "Autoguidance",
    "Condition",
    "Conditions",
    "Distance",
    "Distances",
    "Draw",
    "Motif",
    "Partial",
    "Potential",
    "SecondaryStructure",
    "Sequence",
    "Symmetry",
    "Target",
]
