"""One finished protein as files and as a row of the manifest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protgm.files import sha256
from protgm.metrics import Gate, Subject, measure
from protgm.sample.batch import Generated
from protgm.sample.describe import facts, given_of
from protgm.sample.generate import BackboneModel
from protgm.structure.models import write_models

if TYPE_CHECKING:
    from protgm.sample.run import SampleConfig

__all__ = ["write_sample"]


def write_sample(
    generated: Generated, recipe: Mapping[str, Any], config: SampleConfig, model: BackboneModel, out: Path
) -> dict[str, Any]:
    """Write a protein's files, and give what the manifest says of it."""
    backbone, item = generated.backbone, generated.item
    path = out / f"{item.name}.{config.format}"
    known = given_of(generated.layout, backbone, config.symmetry)
    figures = measure(Subject(backbone, known))
    reasons = Gate().check(figures)
    (backbone.to_pdb if config.format == "pdb" else backbone.to_cif)(path)
    if generated.seen:
        folder = out / "trajectories"
        folder.mkdir(exist_ok=True)
        write_models((*generated.seen, backbone), folder / f"{item.name}.pdb.gz")
        write_models((*generated.predicted, backbone), folder / f"{item.name}.predicted.pdb.gz")
    row = {
        "name": item.name,
        "file": path.name,
        "sha256": sha256(path),
        "length": item.length,
        "index": item.index,
        **facts(generated.layout, backbone, config.symmetry),
        **({"sources": sources} if (sources := config.sources(out)) else {}),
        **recipe,
        "execution": asdict(config.execution.on(model.device)),
        "confidence": round(float(backbone.confidence.mean()), 4) if backbone.confidence is not None else None,
        "gate": {"passed": not reasons, "reasons": list(reasons)},
        "geometry": _rounded(figures.to_dict()),
        "seconds": round(generated.seconds, 3),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if generated.raw is not backbone:
        row["before_refinement"] = _rounded(measure(Subject(generated.raw, known)).to_dict())
    return row


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
