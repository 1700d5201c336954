"""Judge structures: soundness, secondary structure, similarity, distributions, design, refolding, the report."""

from protgm.evaluate.gate import Gate
from protgm.evaluate.geometry import Geometry, geometry
from protgm.evaluate.run import Evaluation, evaluate

__all__ = ["Evaluation", "Gate", "Geometry", "evaluate", "geometry"]
