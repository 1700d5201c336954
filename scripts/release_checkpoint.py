"""Turn a training run into the bundled checkpoint: half-precision weights with a card, and the card as a page.

python scripts/release_checkpoint.py run=RUN data=DATASET [length=64,96,128] [num=16] [keep=samples]

Writes protgm/checkpoints/base.safetensors and docs/checkpoint.md. The figures come from ``num`` samples of each length
with the default settings, beside the natives of the validation split of similar lengths.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from protgm.data import Dataset
from protgm.evaluate.gate import Gate
from protgm.evaluate.geometry import Geometry, geometry
from protgm.sample.generate import load
from protgm.sample.lengths import parse_length, work_list
from protgm.sample.settings import SamplerSettings
from protgm.structure import Backbone
from protgm.train.checkpoint import latest_checkpoint
from protgm.weights import BUNDLED, load_model, save_weights, weights_id

ROOT = Path(__file__).parents[1]
FIGURES = {
    "cn_ok": "C-N bonds within 0.15 A of 1.329 A",
    "trans": "trans peptides",
    "angle_mad": "bond angles, mean deviation, degrees",
    "rama_favoured": "Ramachandran favoured",
    "ca_clashes": "CA clashes per residue",
    "clashes": "N, CA, C, O clashes per residue",
    "rg_ratio": "radius of gyration over 2.2 L^0.38 A",
    "helix": "helix",
    "strand": "strand",
    "contact_order": "contact order",
}


def last_row(path: Path) -> dict[str, float]:
    """The last line of a CSV log, as numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        *_, row = csv.DictReader(file)
    return {key: float(value) for key, value in row.items()}


def natives(data: str, lengths: Sequence[int]) -> list[Geometry]:
    """Geometry of validation natives whose length lies within 8 of one of ``lengths``."""
    reports = []
    for example in Dataset.open(data, split="val"):
        if example.complete.all() and min(abs(len(example) - n) for n in lengths) <= 8:
            reports.append(geometry(Backbone.from_coords(example.coords, name=example.name)))
    return reports


def table(columns: dict[str, Sequence[Geometry]]) -> str:
    """Markdown: one row a figure, one column a set, means."""
    gate = Gate()
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for figure, words in FIGURES.items():
        cells = [f"{np.nanmean([getattr(r, figure) for r in reports]):.3f}" for reports in columns.values()]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    passed = [f"{np.mean([not gate.check(r) for r in reports]):.2f}" for reports in columns.values()]
    lines.append("| pass the geometry gate | " + " | ".join(passed) + " |")
    lines.append("| number | " + " | ".join(str(len(r)) for r in columns.values()) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """See the module's text."""
    torch.set_num_threads(1)
    options = {"run": "", "data": "", "length": "64,96,128", "num": "16", "keep": ""}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            raise SystemExit(f"{key}: no such option; there are {', '.join(options)}")
        options[key] = value
    run = Path(options["run"])
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        raise SystemExit(f"{run}: no complete checkpoint")
    counters = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    validation = last_row(run / "validation.csv")
    info = Dataset.open(options["data"]).info
    model, _ = load_model(run / "weights.safetensors")
    card = {
        "steps": int(counters["step"]),
        "samples_seen": int(counters["samples"]),
        "hours": round(counters["seconds"] / 3600, 2),
        "data": {"entries": info["splits"], "sha256": info["sha256"], "filters": info["settings"]["filters"]},
        "lengths": [settings["min_length"], settings["max_length"]],
        "training": {key: settings[key] for key in ("schedule", "corruption", "loss", "tokens", "processes", "ema")},
        "validation": {key: round(value, 4) for key, value in validation.items() if key != "step"},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    BUNDLED.parent.mkdir(exist_ok=True)
    save_weights(BUNDLED, model, card, half=True)
    generator = load()
    lengths = tuple(parse_length(options["length"]))
    start = time.perf_counter()
    made = list(generator.generate(work_list(lengths, int(options["num"]), 0)))
    seconds = (time.perf_counter() - start) / len(made)
    if options["keep"]:
        Path(options["keep"]).mkdir(parents=True, exist_ok=True)
        for generated in made:
            generated.backbone.to_pdb(Path(options["keep"]) / f"{generated.item.name}.pdb")
    columns: dict[str, Sequence[Geometry]] = {"natives": natives(options["data"], lengths)}
    columns["samples"] = [geometry(g.backbone) for g in made]
    columns["before refinement"] = [geometry(g.raw) for g in made]
    for length in lengths:
        columns[f"{length} residues"] = [geometry(g.backbone) for g in made if g.item.length == length]
    parameters = sum(p.numel() for p in model.parameters())
    page = PAGE.format(
        identifier=weights_id(),
        parameters=parameters / 1e6,
        megabytes=BUNDLED.stat().st_size / 1e6,
        figures=table(columns),
        seconds=seconds,
        number=len(made),
        sampler=", ".join(f"{key}={value}" for key, value in asdict(SamplerSettings()).items()),
        losses="\n".join(f"| {key} | {value} |" for key, value in card["validation"].items()),
        rates=json.dumps(settings["schedule"]),
        processes=settings["processes"],
        minimum=settings["min_length"],
        maximum=settings["max_length"],
        entries=info["splits"],
        filters=json.dumps(info["settings"]["filters"]),
        **{key: card[key] for key in ("steps", "samples_seen", "hours", "date")},
    )
    (ROOT / "docs" / "checkpoint.md").write_text(page, encoding="utf-8")
    print(page)


PAGE = """# The bundled checkpoint

`protgm/checkpoints/base.safetensors`, {identifier}: {parameters:.1f} M parameters in half precision, {megabytes:.1f} MB, {date}.

## Training

| | |
|---|---|
| data | native chains and domains of the PDB (coordinates CC0), entries {entries}; trained on the training split only |
| filters | `{filters}` |
| lengths | {minimum} to {maximum} residues, one member of each sequence cluster an epoch |
| wall-clock | {hours} h, {processes} single-threaded processes beside other work on two cores |
| optimizer steps | {steps} |
| samples seen | {samples_seen} |
| learning rate | `{rates}` |

Loss on the validation split (averaged weights):

| term | value |
|---|---|
{losses}

## Samples

Means over {number} samples, {sampler}, and the natives of the validation split of about the same lengths. `protgm.evaluate.geometry`
defines the figures; {seconds:.1f} s per sample on one core.

{figures}

## What to know before using it

The table's distance between "samples" and "natives" is the honest summary. The refinement closes peptide bonds, not topologies: a sample that passes
the geometry gate is a sound chain, and nobody has folded it. Lengths outside the training range are extrapolation.
Written by `scripts/release_checkpoint.py`.
"""

if __name__ == "__main__":
    main(sys.argv[1:])
