"""Write protgm/condition/native_labels.txt: secondary structure of native chains, for `protgm sample secondary=native`.

python scripts/native_labels.py DATASET

One line a chain: up to ten of the training split for every two lengths, each of another sequence cluster. Chains come
from the regular half: those with less coil than most of the natives alike in length and in the ratio of helix to
strand, so that helices and strands keep their shares, and no loop of more than ten residues. Long loops are what the
network folds worst (docs/training.md).
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protgm.data import Dataset
from protgm.structure.secondary import STATES

OUT = Path(__file__).parents[1] / "protgm" / "condition" / "native_labels.txt"
_ALIKE = 40  # natives that a chain's coil is compared with
_LONGEST = 10  # residues of a loop or of a loose end


def regular(labels: list[str]) -> NDArray[np.bool_]:
    """Which chains have short loops, and less coil than the median of the 40 most alike in length and composition."""
    length = np.array([len(text) for text in labels])
    helix, strand, coil = (np.array([text.count(letter) for text in labels]) / length for letter in STATES)
    ratio = helix / np.maximum(helix + strand, 1e-9)
    chosen = []
    for i in range(len(labels)):
        apart = np.abs(np.log(length / length[i])) / 0.12 + np.abs(ratio - ratio[i]) / 0.15
        chosen.append(coil[i] < np.median(coil[np.argsort(apart, kind="stable")[:_ALIKE]]))
    return np.array(chosen) & np.array(["C" * (_LONGEST + 1) not in text for text in labels])


def main(folder: str) -> None:
    """Choose and write."""
    examples = [example for example in Dataset.open(folder, split="train") if example.complete.all()]
    random.Random(0).shuffle(examples)
    texts = ["".join(STATES[i] for i in example.secondary) for example in examples]
    chosen: dict[int, dict[str, str]] = defaultdict(dict)
    for example, labels, fits in zip(examples, texts, regular(texts), strict=True):
        same = chosen[len(labels) // 2]
        if fits and len(same) < 10:
            same.setdefault(example.cluster, labels)
    lines = sorted((labels for same in chosen.values() for labels in same.values()), key=lambda text: (len(text), text))
    OUT.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{len(lines)} chains, {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
