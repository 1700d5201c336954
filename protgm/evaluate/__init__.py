"""Judge structures: soundness, secondary structure, similarity, distributions, design, refolding, the report."""

import sys
from types import ModuleType
from typing import Any

from protgm.evaluate.config import EvaluateConfig
from protgm.evaluate.result import Evaluation
from protgm.evaluate.run import evaluate
from protgm.evaluate.sheet import Sheet, named_apart
from protgm.metrics import Gate, geometry

__all__ = ["EvaluateConfig", "Evaluation", "Gate", "Sheet", "evaluate", "geometry", "named_apart"]


class _Callable(ModuleType):
    """This package, which ``protgm.evaluate(backbones)`` may call: the function has the package's name."""

    def __call__(self, *arguments: Any, **named: Any) -> Evaluation:
        """As `protgm.evaluate.run.evaluate`."""
        return evaluate(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
