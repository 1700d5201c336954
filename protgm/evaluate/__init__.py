"""Judge structures: soundness, secondary structure, similarity, distributions, design, refolding, the report."""

import sys
from types import ModuleType
from typing import Any

from protgm.evaluate.result import Evaluation
from protgm.evaluate.run import evaluate
from protgm.metrics.gate import Gate
from protgm.metrics.geometry import Geometry, geometry

__all__ = ["Evaluation", "Gate", "Geometry", "evaluate", "geometry"]


class _Callable(ModuleType):
    """This package, which ``protgm.evaluate(backbones)`` may call: the function has the package's name."""

    def __call__(self, *arguments: Any, **named: Any) -> Evaluation:
        """As `protgm.evaluate.run.evaluate`."""
        return evaluate(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
