"""Turn a training run into the bundled checkpoint: half-precision weights with a card, and the card as a page.

python scripts/release_checkpoint.py run=RUN data=DATASET [before=RUN or FILE] [length=64,96,128] [num=16] [aligned=300]
    [processes=1] [keep=samples]

Writes protgm/checkpoints/base.safetensors and docs/checkpoint.md. The figures come from ``num`` samples of each length
with the default settings, beside the natives of the validation split of similar lengths. ``before`` is the run or the
released weights that this one began with, for the hours and steps in all; of the natives the ``aligned`` likeliest are
aligned with each sample.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from _options import options
from numpy.typing import NDArray
from sampling_study import diversity, generate, start

from protgm.data import Dataset
from protgm.metrics import Figures, geometry
from protgm.metrics.gate import Gate
from protgm.metrics.novelty import nearest_natives
from protgm.metrics.similarity import SAME_FOLD
from protgm.sample.batch import Generated
from protgm.sample.lengths import parse_length, work_list
from protgm.sample.request import batches
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


def counted(run: Path) -> dict[str, float]:
    """Steps, samples and seconds of a run, or in all of released weights."""
    if run.is_file():
        *_, card = load_model(run)
        seconds = 3600 * float(str(card["hours"]))
        return {"step": float(str(card["steps"])), "samples": float(str(card["samples_seen"])), "seconds": seconds}
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        raise SystemExit(f"{run}: no complete checkpoint")
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return {key: float(state[key]) for key in ("step", "samples", "seconds")}


def last_row(path: Path) -> dict[str, float]:
    """The last line of a CSV log, as numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        *_, row = csv.DictReader(file)
    return {key: float(value) for key, value in row.items()}


def natives(data: str, lengths: Sequence[int]) -> list[Figures]:
    """Geometry of validation natives whose length lies within 8 of one of ``lengths``."""
    reports = []
    for example in Dataset.open(data, split="val"):
        if example.complete.all() and min(abs(len(example) - n) for n in lengths) <= 8:
            reports.append(geometry(Backbone.from_coords(example.coords, name=example.name)))
    return reports


def table(columns: dict[str, Sequence[Figures]]) -> str:
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


def folds(made: Sequence[Generated], data: str, aligned: int, processes: int) -> dict[str, NDArray[np.floating]]:
    """Highest TM-score of each sample to a training native, and to any native."""
    chains = [generated.backbone.coords[:, 1] for generated in made]
    scores = []
    for split in ("train", "val"):
        natives = [example.coords[:, 1] for example in Dataset.open(data, split=split)]
        nearest = nearest_natives(chains, natives, candidates=aligned, workers=processes)
        scores.append(np.array([0.0 if one is None else one.tm for one in nearest]))
    return {"train": scores[0], "any": np.maximum(*scores)}


def folds_table(
    made: Sequence[Generated], scores: dict[str, NDArray[np.floating]], lengths: Sequence[int], processes: int
) -> str:
    """Markdown: one row a length, and one for all."""
    of_length = np.array([generated.item.length for generated in made])
    strands = np.array([geometry(generated.backbone).strand > 0.15 for generated in made])
    known = scores["any"] >= SAME_FOLD
    clustered = np.zeros(len(made))  # clusters per sample of the sample's length

    def line(name: str, chosen: NDArray[np.bool_]) -> str:
        train = scores["train"][chosen]
        return (
            f"| {name} | {known[chosen].mean():.2f} | {train.mean():.3f} | {train.max():.3f} | "
            f"{clustered[chosen].mean():.2f} | {strands[chosen].mean():.2f} |"
        )

    lines = []
    for length in lengths:
        chosen = of_length == length
        clustered[chosen] = diversity([g for g in made if g.item.length == length], processes)[1]
        lines.append(line(str(length), chosen))
    return "\n".join([*lines, line("all", np.ones(len(made), dtype=bool))])


def main(arguments: Sequence[str]) -> None:
    """See the module's text."""
    torch.set_num_threads(1)
    defaults = {"run": "", "data": "", "before": "", "length": "64,96,128", "num": "16", "aligned": "300"}
    defaults |= {"processes": "1", "keep": ""}
    asked = options(arguments, defaults, needed=["run", "data"], words=__doc__)
    run, processes = Path(asked["run"]), int(asked["processes"])
    counters = counted(run)
    if asked["before"]:
        counters = {key: value + counted(Path(asked["before"]))[key] for key, value in counters.items()}
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    validation = last_row(run / "validation.csv")
    info = Dataset.open(asked["data"]).info
    model, process, _ = load_model(run / "weights.safetensors")
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
    save_weights(BUNDLED, model, card, process=process, half=True)
    lengths = tuple(parse_length(asked["length"]))
    items = work_list(lengths, int(asked["num"]), 0)
    with ProcessPoolExecutor(processes, get_context("spawn"), start, (None,)) as pool:
        made = [one for part in pool.map(partial(generate, "", seed=0), batches(items)) for one in part]
    seconds = float(np.mean([generated.seconds for generated in made]))
    if asked["keep"]:
        Path(asked["keep"]).mkdir(parents=True, exist_ok=True)
        for generated in made:
            generated.backbone.to_pdb(Path(asked["keep"]) / f"{generated.item.name}.pdb")
    columns: dict[str, Sequence[Figures]] = {"natives": natives(asked["data"], lengths)}
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
        folds=folds_table(made, folds(made, asked["data"], int(asked["aligned"]), processes), lengths, processes),
        seconds=seconds,
        same=SAME_FOLD,
        aligned=asked["aligned"],
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

Means over {number} samples, {sampler}, and the natives of the validation split of about the same lengths. `protgm.metrics.geometry`
defines the figures; {seconds:.1f} s per sample on one core.

{figures}

Folds: the share of samples for which TM-align finds a native (training or validation split) of TM-score {same} or more among the {aligned} likeliest of either, normalised by the sample's length; the mean
and the largest highest TM-score to a training native; clusters at TM {same} per sample of one length; the share of samples with more than 0.15 strand.

| residues | has a native's fold | nearest in training | at most | clusters | strands |
|---|---|---|---|---|---|
{folds}

## What to know before using it

The table's distance between "samples" and "natives" is the honest summary. The refinement closes peptide bonds, not topologies: a sample that passes
the geometry gate is a sound chain, and nobody has folded it. Lengths outside the training range are extrapolation.
Written by `scripts/release_checkpoint.py`.
"""

if __name__ == "__main__":
    main(sys.argv[1:])
