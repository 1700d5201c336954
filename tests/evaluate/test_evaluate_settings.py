"""Settings of `protgm evaluate` and `protgm design`: the files have them all, the results keep them."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import pytest

from protgm.evaluate import EvaluateConfig, Gate, evaluate
from protgm.evaluate.run import evaluate as evaluate_function

NATIVES = Path(__file__).parent / "natives"


CONFIGS = Path(__file__).parents[2] / "configs"


def test_configuration_names_every_argument_and_the_gate_s_limits() -> None:
    import inspect

    yaml = pytest.importorskip("omegaconf").OmegaConf.load(CONFIGS / "evaluate.yaml")
    settings = {field.name: getattr(EvaluateConfig(), field.name) for field in fields(EvaluateConfig)}
    arguments = set(inspect.signature(evaluate_function).parameters) - {"designer", "refolder", "config"}
    assert set(yaml) == arguments | set(settings) | {"refold", "refold_weights", "refold_command"}
    assert {**settings, "gate": settings["gate"].limits} == {key: yaml[key] for key in settings}
    assert dict(yaml.gate) == Gate().limits
    assert Gate(trans=-math.inf).trans == -math.inf


def test_design_s_configuration_names_every_argument() -> None:
    import inspect

    from protgm.design import design

    yaml = pytest.importorskip("omegaconf").OmegaConf.load(CONFIGS / "design.yaml")
    parameters = dict(inspect.signature(design).parameters)
    del parameters["designer"]
    assert set(yaml) == set(parameters)
    assert {k: v.default for k, v in parameters.items() if k != "directory"} == {
        k: yaml[k] for k in yaml if k != "directory"
    }


def test_settings_are_kept_with_the_figures(tmp_path: Path) -> None:
    found = evaluate(
        NATIVES,
        out=tmp_path,
        workers=1,
        progress=False,
        config=EvaluateConfig(gate=Gate(breaks=3), html=False, figures=False),
    )
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["settings"]["gate"]["breaks"] == 3
    assert stored["settings"]["reference"] is None
    assert len(stored["samples"]) == len(found.samples) == 3
