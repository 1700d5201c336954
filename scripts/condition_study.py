"""What comes out when something is asked: partial generation, symmetric assemblies, binders; Markdown tables.

python scripts/condition_study.py what=partial natives=24
python scripts/condition_study.py what=symmetry groups=C2,C3,C6,D2 length=60 num=8
python scripts/condition_study.py what=target complexes=../shared/complexes num=4

`partial`: mean TM-score of the result to the start for each start time. `symmetry`: share of units that pass the
geometry gate, largest deviation from the orbit (Angstrom), share of assemblies whose units touch (10 CA pairs below 8 A
or more for each) and do not clash (no CA pair of two units below 3.6 A). `target`: the same of binder and target, and
hotspots touched (the metric `hotspots_touched`), for hetero complexes of the test split: the shorter chain is built
anew, the six of the other's residues that were nearest to it are the hotspots (`only=1AY7,1BRS`: of these).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _options import options
from scipy.spatial.distance import cdist

from protgm.condition import Condition, Partial, Symmetry, Target
from protgm.lie.point_groups import point_group
from protgm.metrics import Figures, Gate, Subject, geometry, measure
from protgm.metrics.similarity import tm_score
from protgm.sample.batch import Generated
from protgm.sample.describe import given_of
from protgm.sample.generate import BackboneModel, load
from protgm.sample.request import requested, with_labels
from protgm.sample.settings import SamplerSettings
from protgm.structure import read_structure


def made(model: BackboneModel, condition: Condition, length: int | str | None, num: int, steps: int) -> list[Generated]:
    """The samples of a request."""
    asked = with_labels(condition, "native")
    items = requested(asked, length, num, 0)
    return list(model.generate(items, conditions=asked, settings=SamplerSettings(steps=steps)))


def figures(made: Generated, group: str | None = None) -> Figures:
    """What is measured on a sample; of what was generated, where something was given."""
    return measure(Subject(made.backbone, given_of(made.layout, made.backbone, group)))


def partial(model: BackboneModel, folder: Path, natives: int, num: int, steps: int) -> None:
    """TM-score to the start against the start time."""
    files = sorted(folder.glob("*.pdb.gz"))[:natives]
    print("| start time | TM-score to the start | gate |\n|---|---|---|")
    for time in (0.2, 0.4, 0.6, 0.8, 0.9):
        scores, gate = [], []
        for file in files:
            start = read_structure(file)
            for one in made(model, Partial(start, time), None, num, steps):
                scores.append(tm_score(one.backbone.coords[:, 1], start.coords[:, 1])[0])
                gate.append(not Gate().check(figures(one)))
        print(
            f"| {time} | {np.mean(scores):.3f} ± {np.std(scores) / len(scores) ** 0.5:.3f} | {np.mean(gate):.2f} |",
            flush=True,
        )


def symmetry(model: BackboneModel, groups: Sequence[str], length: str, num: int, steps: int) -> None:
    """Units, orbits and contacts of assemblies."""
    print("| group | units | gate a unit | off the orbit, A | in contact, no clash | s/sample |")
    print("|---|---|---|---|---|---|")
    for name in groups:
        units = len(point_group(name))
        gate, off, good, seconds = [], [], [], []
        for one in made(model, Symmetry(name), length, num, steps):
            found = figures(one, name)
            gate.append(not Gate().check(geometry(one.backbone.select(slice(0, len(one.backbone) // units)))))
            off.append(found.off_orbit)
            good.append(found.unit_contacts >= 10 and not found.unit_clashes)
            seconds.append(one.seconds)
        cells = f"{np.mean(gate):.2f} | {max(off):.4f} | {np.mean(good):.2f} | {np.mean(seconds):.1f}"
        print(f"| {name} | {units} | {cells} |", flush=True)


def target(model: BackboneModel, folder: Path, only: Sequence[str], num: int, steps: int) -> None:
    """Binders against chains of complexes."""
    print("| complex | binder | gate | hotspots touched | two or more, no clash |\n|---|---|---|---|---|")
    with open(folder / "manifest.csv", encoding="utf-8") as table:
        rows = [
            r for r in csv.DictReader(table) if r["split"] == "test" and r["kind"] == "hetero" and r["n_chains"] == "2"
        ]
    shares = []
    for row in [r for r in rows if not only or r["pdb_id"] in only][:8]:
        whole = read_structure(folder / row["file"])
        chains = {c: np.array([x == c for x in whole.chain_ids]) for c in dict.fromkeys(whole.chain_ids)}
        short, long = sorted(chains, key=lambda c: chains[c].sum())
        fixed, gone = whole.select(chains[long]), whole.select(chains[short])
        near = cdist(fixed.coords[:, 1], gone.coords[:, 1]).min(1)
        spots = np.argsort(near)[:6]
        names = tuple(fixed.label(int(i)) for i in sorted(spots))
        length = int(np.clip(len(gone), 50, 100))
        touched, gate, good = [], [], []
        for one in made(model, Target(fixed, hotspots=names), length, num, steps):
            found = figures(one)
            touched.append(found.hotspots_touched)
            gate.append(not Gate().check(found))
            good.append(touched[-1] >= 2 and not found.target_clashes)
        shares += good
        print(
            f"| {row['pdb_id']} | {length} | {np.mean(gate):.2f} | {np.mean(touched):.1f} of 6 | {np.mean(good):.2f} |",
            flush=True,
        )
    print(f"\n{np.mean(shares):.2f} of {len(shares)} binders touch two hotspots or more and clash with nothing.")


def main(arguments: Sequence[str]) -> None:
    """Run one of the studies."""
    defaults = {"what": "partial", "natives": "11", "num": "4", "steps": "40", "groups": "C2,C3,C6,D2", "length": "60"}
    defaults |= {"complexes": "../shared/complexes", "folder": "data/examples", "only": "", "checkpoint": ""}
    asked = options(arguments, defaults)
    torch.set_num_threads(1)
    model, num, steps = load(asked["checkpoint"] or None), int(asked["num"]), int(asked["steps"])
    if asked["what"] == "partial":
        partial(model, Path(asked["folder"]), int(asked["natives"]), num, steps)
    elif asked["what"] == "symmetry":
        symmetry(model, asked["groups"].split(","), asked["length"], num, steps)
    elif asked["what"] == "target":
        target(model, Path(asked["complexes"]), asked["only"].split(",") if asked["only"] else (), num, steps)
    else:
        raise SystemExit(f"what={asked['what']}: must be partial, symmetry or target")


if __name__ == "__main__":
    main(sys.argv[1:])
