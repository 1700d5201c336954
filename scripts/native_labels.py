"""Write protgm/sample/native_labels.txt: secondary structure of native chains, for `protgm sample secondary=native`.

python scripts/native_labels.py DATASET

One line a chain: up to six of the training split for every two lengths, each of another sequence cluster, without
chains of mostly coil.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from pathlib import Path

from protgm.data import Dataset
from protgm.structure.secondary import STATES

OUT = Path(__file__).parents[1] / "protgm" / "sample" / "native_labels.txt"


def main(folder: str) -> None:
    """Choose and write."""
    chosen: dict[int, dict[str, str]] = defaultdict(dict)
    examples = list(Dataset.open(folder, split="train"))
    random.Random(0).shuffle(examples)
    for example in examples:
        labels = "".join(STATES[i] for i in example.secondary)
        same = chosen[len(example) // 2]
        if example.complete.all() and labels.count("C") < 0.6 * len(labels) and len(same) < 6:
            same.setdefault(example.cluster, labels)
    lines = sorted((labels for same in chosen.values() for labels in same.values()), key=lambda text: (len(text), text))
    OUT.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{len(lines)} chains, {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
