"""What is measured on structures, and the gate: below everything that makes, trains on or judges them."""

from protgm.metrics.gate import Gate
from protgm.metrics.geometry import Geometry, geometry

__all__ = ["Gate", "Geometry", "geometry"]
