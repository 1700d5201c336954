"""How the sampler's settings change the geometry of what is generated: one row per variant, as a Markdown table.

python scripts/sampling_study.py checkpoint=run/weights.safetensors length=64,96,128 num=8 \
    "variants=generator=flow;generator=jump;steps=50;noise_scale=0.8,steps=200"

The first row is the default. Every variant starts from the same noise. Figures are means over all samples: `cn_ok` to
`ca_clashes` as `protgm.evaluate.geometry` defines them, before the refinement and after it (`refined ...`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from protgm.evaluate.gate import Gate
from protgm.evaluate.geometry import Geometry, geometry
from protgm.sample.generate import BackboneModel, Generated, load
from protgm.sample.lengths import parse_length, work_list
from protgm.sample.settings import SamplerSettings

RAW = ("cn_ok", "trans", "rama_favoured", "ca_clashes", "rg_ratio", "helix", "strand")
REFINED = ("cn_ok", "trans", "rama_favoured", "ca_clashes", "clashes", "helix", "strand")


def parse_variant(text: str) -> SamplerSettings:
    """Settings from ``key=value,key=value``; empty for the defaults."""
    settings = SamplerSettings()
    kinds = {f.name: type(getattr(settings, f.name)) for f in fields(settings)}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if key not in kinds:
            raise SystemExit(f"{key}: no such setting; there are {', '.join(kinds)}")
        kind = kinds[key]
        settings = replace(settings, **{key: value == "true" if kind is bool else kind(value)})
    return settings


def row(name: str, made: Sequence[Generated], seconds: float) -> str:
    """One line of the table."""

    def mean(reports: Sequence[Geometry], figure: str) -> float:
        return float(np.nanmean([getattr(report, figure) for report in reports]))

    raw, refined = ([geometry(b) for b in group] for group in ([g.raw for g in made], [g.backbone for g in made]))
    cells = [f"{mean(raw, f):.3f}" for f in RAW] + [f"{mean(refined, f):.3f}" for f in REFINED]
    passed = sum(not Gate().check(report) for report in refined) / len(made)
    return " | ".join(["", name or "default", *cells, f"{passed:.2f}", f"{seconds / len(made):.2f}", ""]).strip()


def main(arguments: Sequence[str]) -> None:
    """Run the variants given on the command line."""
    torch.set_num_threads(1)
    options = {"checkpoint": None, "length": "64,96,128", "num": "8", "seed": "0", "variants": "", "save": None}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            raise SystemExit(f"{key}: no such option; there are {', '.join(options)}")
        options[key] = value
    model: BackboneModel = load(options["checkpoint"])
    seed = int(options["seed"])
    items = work_list(parse_length(options["length"]), int(options["num"]), seed)
    heads = ["variant", *RAW, *(f"refined {f}" for f in REFINED), "gate", "s/sample"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    for text in dict.fromkeys(("", *options["variants"].split(";"))):
        start = time.perf_counter()
        made = list(model.generate(items, seed=seed, settings=parse_variant(text)))
        print(row(text, made, time.perf_counter() - start), flush=True)
        if options["save"]:
            folder = Path(options["save"]) / (text.replace("=", "-").replace(",", "_") or "default")
            folder.mkdir(parents=True, exist_ok=True)
            for generated in made:
                generated.backbone.to_pdb(folder / f"{generated.item.name}.pdb")


if __name__ == "__main__":
    main(sys.argv[1:])
