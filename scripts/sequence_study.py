"""Residue types and backbones together: what the masking chain makes of both, as Markdown tables.

python scripts/sequence_study.py what=cogeneration length=100 num=64
python scripts/sequence_study.py what=inverse natives=FOLDER
python scripts/sequence_study.py what=folding natives=FOLDER

`cogeneration`: backbones with the types found beside them (``sequence=true``): their composition beside the natives'
(``data=`` a dataset), and the negative log-likelihood by ProteinMPNN, nats a residue, of those types, of the same ones
shuffled, of ProteinMPNN's own design and of protgm's for the finished backbone; the latter also with a corrector, which
masks types again and finds them anew. `inverse`: share of natives' types that are found again on their backbones, with
the same likelihoods. `folding`: TM-score to a native of what is made for its sequence, and for the same letters
shuffled.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _options import options
from sampling_study import interval

from protgm.condition import Sequence as Given
from protgm.condition.source import tokens_to_letters
from protgm.design.base import Designer
from protgm.design.mpnn import ProteinMPNN
from protgm.metrics import Gate, Subject, measure
from protgm.metrics.similarity import tm_score
from protgm.sample.generate import BackboneModel, load
from protgm.sample.own import OwnDesigner
from protgm.sample.request import requested, with_labels
from protgm.sample.settings import SamplerSettings
from protgm.structure import Backbone, read_structure

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def shuffled(sequence: str, seed: int) -> str:
    """The same letters in another order."""
    return "".join(np.random.default_rng(seed).permutation(list(sequence)))


def shares(sequences: Iterable[str]) -> np.ndarray:
    """How often each of twenty letters is there."""
    count = Counter("".join(sequences))
    total = sum(count[letter] for letter in LETTERS)
    return np.array([count[letter] / total for letter in LETTERS])


def likelihoods(rows: Sequence[tuple[Backbone, str]], designers: dict[str, Designer], judge: Designer) -> None:
    """Table of what the judge thinks of each row's own sequence, the same shuffled, and of what designers make."""
    print("\n| sequence | ProteinMPNN, nats a residue | the same letters as its own |\n|---|---|---|")
    print(f"| its own | {interval([judge.score(b, s) for b, s in rows])} | |", flush=True)
    mixed = [judge.score(b, shuffled(s, i)) for i, (b, s) in enumerate(rows)]
    print(f"| its own, shuffled | {interval(mixed)} | |", flush=True)
    for name, designer in designers.items():
        made = [designer.design(backbone, 1, seed=i)[0].sequence for i, (backbone, _) in enumerate(rows)]
        scores = [judge.score(b, s) for (b, _), s in zip(rows, made, strict=True)]
        same = [np.mean([x == y for x, y in zip(s, own, strict=True)]) for s, (_, own) in zip(made, rows, strict=True)]
        print(f"| {name} | {interval(scores)} | {interval(same)} |", flush=True)


def cogeneration(model: BackboneModel, asked: dict[str, str], designers: dict[str, Designer]) -> None:
    """Backbones and types made together."""
    settings = SamplerSettings(steps=int(asked["steps"]), cogenerate=True)
    conditions = with_labels(None, "native")
    items = requested(conditions, asked["length"], int(asked["num"]), 0)
    made = [one.backbone for one in model.generate(items, conditions=conditions, settings=settings)]
    plain = SamplerSettings(steps=int(asked["steps"]))
    alone = [one.backbone for one in model.generate(items, conditions=conditions, settings=plain)]
    print("| 100-mers | gate | Ramachandran | Rg |\n|---|---|---|---|")
    for name, group in (("with their types", made), ("alone", alone)):
        found = [measure(Subject(one)) for one in group]
        gate = interval([float(not Gate().check(one)) for one in found])
        rama, radius = (interval([getattr(f, key) for f in found]) for key in ("rama_favoured", "rg_ratio"))
        print(f"| {name} | {gate} | {rama} | {radius} |")
    if asked["data"]:
        from protgm.data import Dataset

        natives = Dataset.open(asked["data"], split="train")
        theirs = shares(tokens_to_letters(example.sequence.tolist()) for example in natives)
        ours = shares(one.sequence for one in made)
        print("\n| | " + " | ".join(LETTERS) + " |\n|" + "---|" * 21)
        for name, row in (("natives", theirs), ("made", ours)):
            print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in row) + " |")
        apart = 0.5 * np.abs(ours - theirs).sum()
        print(f"\nPer cent of residues; total variation {apart:.3f}.", flush=True)
    likelihoods([(one, one.sequence) for one in made], designers, designers["ProteinMPNN"])


def folding(model: BackboneModel, natives: Sequence[Backbone], steps: int) -> None:
    """Backbones for given sequences."""
    print("| sequence | TM-score to the native | of .5 and more |\n|---|---|---|")
    settings = SamplerSettings(steps=steps)
    for name in ("the native's", "the same, shuffled"):
        scores = []
        for number, native in enumerate(natives):
            letters = native.sequence if name == "the native's" else shuffled(native.sequence, number)
            asked = with_labels(Given("".join(x if x in LETTERS else "X" for x in letters)), None)
            items = requested(asked, len(native), 1, number)
            (one,) = model.generate(items, conditions=asked, settings=settings, seed=number)
            scores.append(tm_score(one.backbone.coords[:, 1], native.coords[:, 1])[0])
        print(f"| {name} | {interval(scores)} | {interval([float(s >= 0.5) for s in scores])} |", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Make one of the tables."""
    defaults = {"what": "cogeneration", "length": "100", "num": "64", "steps": "40", "checkpoint": "", "data": ""}
    asked = options(arguments, defaults | {"natives": "data/examples"})
    torch.set_num_threads(1)
    model = load(asked["checkpoint"] or None)
    own, corrected = (OwnDesigner(asked["checkpoint"] or None) for _ in range(2))
    corrected.sampler = replace(corrected.sampler, sequence_noise=1.0)
    designers: dict[str, Designer] = {
        "ProteinMPNN": ProteinMPNN(),
        "protgm": own,
        "protgm, with a corrector": corrected,
    }
    if asked["what"] == "cogeneration":
        cogeneration(model, asked, designers)
        return
    natives = [read_structure(path) for path in sorted(Path(asked["natives"]).glob("*.pdb.gz"))]
    if asked["what"] == "inverse":
        likelihoods([(native, native.sequence) for native in natives], designers, designers["ProteinMPNN"])
    elif asked["what"] == "folding":
        folding(model, natives, int(asked["steps"]))
    else:
        raise SystemExit(f"what={options['what']}: there are cogeneration, inverse, folding")


if __name__ == "__main__":
    main(sys.argv[1:])
