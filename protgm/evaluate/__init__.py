"""Judge structures: soundness, secondary structure, similarity, distributions, design, refolding, the report."""

from protgm.evaluate.gate import Gate
from protgm.evaluate.geometry import Geometry, geometry

__all__ = ["Gate", "Geometry", "geometry"]
