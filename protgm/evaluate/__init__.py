"""Judge structures: soundness, secondary structure, similarity, distributions, design, refolding, the report."""

from protgm.evaluate.gate import Gate
from protgm.evaluate.geometry import Geometry, geometry
from protgm.evaluate.result import Evaluation
from protgm.evaluate.run import evaluate

__all__ = ["Evaluation", "Gate", "Geometry", "evaluate", "geometry"]
