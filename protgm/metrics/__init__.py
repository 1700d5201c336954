"""What is measured on structures, and the gate: below everything that makes, trains on or judges them."""

# isort: off
# Tables have the metrics in the order in which they are registered here.
from protgm.metrics.gate import Gate
from protgm.metrics.geometry import geometry
from protgm.metrics import handedness, packing, content, conditions, similarity, novelty

# isort: on
from protgm.metrics.given import Given
from protgm.metrics.metric import At, Figures, Metric, measure, metric, register, registered, unregister
from protgm.metrics.subject import Subject

__all__ = [
    "At",
    "Figures",
    "Gate",
    "Given",
    "Metric",
    "Subject",
    "conditions",
    "content",
    "geometry",
    "handedness",
    "measure",
    "metric",
    "novelty",
    "packing",
    "register",
    "registered",
    "similarity",
    "unregister",
]
