"""How the sampler's settings change what is generated: one row per variant, as a Markdown table with intervals.

python scripts/sampling_study.py checkpoint=run/weights.safetensors length=64,96,128 num=8 \
    "variants=generator=flow;generator=jump;steps=50;temperature=1,steps=200"
python scripts/sampling_study.py preset=superposition base=steps=40 data=dataset num=64 processes=2 \
    page=docs/studies/superposition.md

The first row is the defaults (``only=true`` leaves it out), or what ``base=`` makes of them for all rows. Every variant
starts from the same noise. Figures are means over all samples, with half the width of their 95 % bootstrap interval:
`cn_ok` to `strand`, as in `protgm.metrics.geometry`, before the refinement; `gate` is the share that passes the
geometry gate after it. `pair TM` is the mean TM-score of two samples of one length, `clusters` the number of TM-0.5
clusters per sample, `nearest` the mean highest TM-score to a training native and `TM >= 0.5` the share of samples that
have such a native (with data=; of the ``aligned`` likeliest natives). A second table has the differences from the first
row, sample by sample: noise, lengths and labels are the same, so their intervals are narrower than those of the rows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from _options import options
from numpy.typing import ArrayLike, NDArray

from protgm.allocator import keep_freed_memory
from protgm.condition.secondary import NATIVE
from protgm.files import atomic
from protgm.metrics.gate import Gate
from protgm.metrics.geometry import geometry
from protgm.metrics.novelty import nearest_natives
from protgm.metrics.similarity import SAME_FOLD, clusters, tm_matrix
from protgm.sample.batch import Generated
from protgm.sample.generate import BackboneModel, load
from protgm.sample.lengths import Item, parse_length, work_list
from protgm.sample.request import batches, with_labels
from protgm.sample.settings import Execution, SamplerSettings
from protgm.weights import weights_id

RAW = ("cn_ok", "trans", "rama_favoured", "ca_clashes", "rg_ratio", "helix", "strand")
#: What drives the rotations, on the same weights, noise and steps.
SUPERPOSITION = (
    "generator=flow;generator=jump;jump_weight=0.25;jump_weight=0.75;generator=diffusion;rotation_noise=0.5;"
    "temperature=1;translation_noise=0;translation_noise=0,guidance=2"
)


@dataclass(frozen=True)
class Variant:
    """What a row of the table is made with."""

    settings: SamplerSettings = field(default_factory=SamplerSettings)
    execution: Execution = field(default_factory=Execution)
    secondary: str | None = NATIVE

    @classmethod
    def parse(cls, text: str) -> Variant:
        """From ``key=value,key=value``; empty for the defaults."""
        parts, secondary = [SamplerSettings(), Execution()], NATIVE
        kinds = [{f.name: type(getattr(part, f.name)) for f in fields(part)} for part in parts]
        for word in filter(None, text.split(",")):
            key, _, value = word.partition("=")
            if key == "secondary":
                secondary = None if value == "null" else value
                continue
            if not any(key in names for names in kinds):
                raise SystemExit(f"{key}: no such setting; there are {', '.join((*kinds[0], *kinds[1]))}, secondary")
            where = int(key in kinds[1])
            kind = kinds[where][key]
            kind = int if kind is type(None) else kind
            parts[where] = replace(parts[where], **{key: value == "true" if kind is bool else kind(value)})
        return cls(parts[0], parts[1], secondary)


def interval(values: ArrayLike, statistic: Callable[[NDArray], float] = np.nanmean) -> str:
    """A statistic over samples with half the width of its 95 % bootstrap interval."""
    values = np.asarray(values, dtype=float)
    rng = np.random.default_rng(0)
    draws = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(1000)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{statistic(values):.3f} ± {(high - low) / 2:.3f}"


def diversity(made: Sequence[Generated], workers: int) -> tuple[NDArray[np.float64], float]:
    """Mean TM-score of each sample to the others of its length, and TM-0.5 clusters per sample."""
    means, found = [], 0
    for length in sorted({g.item.length for g in made}):
        group = [g.backbone.coords[:, 1] for g in made if g.item.length == length]
        matrix = tm_matrix(group, workers=workers)
        found += int(clusters(matrix).max()) + 1
        means += list((matrix.sum(1) - 1) / max(1, len(group) - 1))
    return np.array(means), found / len(made)


_MODEL: list[BackboneModel] = []  # of a worker


def start(checkpoint: str | None) -> None:
    """Load the weights in a worker."""
    torch.set_num_threads(1)
    keep_freed_memory()
    _MODEL[:] = [load(checkpoint)]


def generate(variant: str, chunk: Sequence[Item], seed: int) -> list[Generated]:
    """The samples of one batch, in a worker."""
    asked = Variant.parse(variant)
    conditions = with_labels(None, asked.secondary)
    return list(
        _MODEL[0].generate(chunk, conditions=conditions, seed=seed, settings=asked.settings, execution=asked.execution)
    )


def figures(made: Sequence[Generated], natives: Sequence[NDArray], aligned: int) -> dict[str, NDArray[np.float64]]:
    """One number a sample for each figure of the table, in the order of its columns; `clusters` has one for all."""
    workers = os.cpu_count() or 1
    raw, refined = ([geometry(b) for b in group] for group in ([g.raw for g in made], [g.backbone for g in made]))
    found = {figure: np.array([getattr(report, figure) for report in raw], dtype=float) for figure in RAW}
    found["gate"] = np.array([float(not Gate().check(report)) for report in refined])
    alike, per_sample = diversity(made, workers)
    found |= {"pair TM": alike, "clusters": np.array([per_sample])}
    if natives:
        nearest = nearest_natives([g.backbone.coords[:, 1] for g in made], natives, candidates=aligned, workers=workers)
        scores = np.array([np.nan if n is None else n.tm for n in nearest])
        found |= {"nearest": scores, "TM >= 0.5": (scores >= SAME_FOLD).astype(float)}
    found["s/sample"] = np.array([np.mean([g.seconds for g in made])])
    return found


def row(name: str, found: Mapping[str, NDArray]) -> str:
    """One line of the table: means with their intervals, and what has none."""
    cells = [interval(values) if len(values) > 1 else f"{values[0]:.2f}" for values in found.values()]
    return " | ".join(["", name or "default", *cells, ""]).strip()


def differences(name: str, found: Mapping[str, NDArray], first: Mapping[str, NDArray]) -> str:
    """One line of the table of differences from the first variant, sample by sample of the same noise and length."""
    return row(name, {figure: values - first[figure] for figure, values in found.items()})


def main(arguments: Sequence[str]) -> None:
    """Run the variants given on the command line."""
    defaults = {
        "length": "64,96,128",
        "num": "8",
        "seed": "0",
        "variants": "",
        "preset": "",
        "base": "",
        "processes": "1",
    }
    defaults |= {"checkpoint": "", "data": "", "page": "", "save": "", "text": "", "only": "", "aligned": "60"}
    asked = options(arguments, defaults)
    if asked["preset"] == "superposition":
        asked["variants"] = SUPERPOSITION
    natives: list[NDArray] = []
    if asked["data"]:
        from protgm.data import Dataset

        natives = [example.coords[:, 1] for example in Dataset.open(asked["data"], split="train")]
    checkpoint, seed, base = asked["checkpoint"] or None, int(asked["seed"]), asked["base"]
    items = work_list(parse_length(asked["length"]), int(asked["num"]), seed)
    heads = ["variant", *RAW, "gate", "pair TM", "clusters", *(["nearest", "TM >= 0.5"] if natives else []), "s/sample"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    print(*lines, sep="\n", flush=True)
    found: dict[str, dict[str, NDArray]] = {}
    first = () if asked["only"] == "true" else ("",)
    with ProcessPoolExecutor(int(asked["processes"]), get_context("spawn"), start, (checkpoint,)) as pool:
        for text in dict.fromkeys((*first, *asked["variants"].split(";"))):
            variant = ",".join(filter(None, (base, text)))
            chunks = batches(items, Variant.parse(variant).execution)
            made = [one for part in pool.map(partial(generate, variant, seed=seed), chunks) for one in part]
            found[text or base] = figures(made, natives, int(asked["aligned"]))
            lines.append(row(text or base, found[text or base]))
            print(lines[-1], flush=True)
            if asked["save"]:
                folder = Path(asked["save"]) / (text.replace("=", "-").replace(",", "_") or "default")
                folder.mkdir(parents=True, exist_ok=True)
                for generated in made:
                    generated.backbone.to_pdb(folder / f"{generated.item.name}.pdb")
    (reference, compared), *others = found.items()
    lines += ["", f"Less `{reference or 'default'}`, sample by sample:", "", *lines[:2]]
    lines += [differences(name, values, compared) for name, values in others]
    print(*lines[-len(others) - 5 :], sep="\n")
    if asked["page"]:
        command = " ".join(["python scripts/sampling_study.py", *arguments])
        page = [
            f"# {asked['text'] or 'Sampler settings compared'}",
            "",
            f"Checkpoint {weights_id(checkpoint)}; `{command}`.",
            "",
        ]
        with atomic(asked["page"]) as temporary:
            Path(temporary).write_text("\n".join([*page, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
