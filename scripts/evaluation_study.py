"""How far the judge can be trusted: the figures of docs/evaluation.md, measured on natives.

python scripts/evaluation_study.py gate data=dataset [num=200]
python scripts/evaluation_study.py dssp data=dataset [num=50]             needs mkdssp (Debian's package dssp)
python scripts/evaluation_study.py recall data=dataset [num=16] [folder=samples] [wide=300]
python scripts/evaluation_study.py likelihood data=dataset [num=12]       needs protgm[design]

`gate`: share of natives of the validation split that pass, and of damaged copies. `dssp`: residues whose state is
mkdssp's. `recall`: how often the prefilter keeps the native that TM-align finds nearest among all training natives,
or among so many of the likeliest (`wide`), for natives of the validation split or the structures of a folder.
`likelihood`: ProteinMPNN's negative log-likelihood of natives' own sequences, on their backbones and on these with 1
A of noise.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from _options import options

from protgm.data.folder import read_folder
from protgm.data.natives import read_natives
from protgm.evaluate import Gate, geometry
from protgm.metrics.prefilter import prefilter
from protgm.metrics.secondary import assign_backbone
from protgm.metrics.similarity import tm_pairs
from protgm.structure import Backbone

STATE = {"H": "H", "G": "H", "I": "H", "E": "E", "B": "E"}
KEPT = (20, 40, 60, 100)


def some(data: str, split: str | None, count: int) -> list[Backbone]:
    """Natives of a split, drawn with a fixed seed."""
    natives = read_natives(data, split=split)
    rows = np.random.default_rng(0).permutation(len(natives))[:count]
    return [natives[int(row)] for row in rows]


def gate(data: str, num: int) -> None:
    """Pass rate, the reasons of those that fail, and how many copies with 0.5 A of noise pass."""
    natives, verdicts = some(data, "val", num), Counter()
    rng = np.random.default_rng(0)
    passed = noisy = mirrored = 0
    for b in natives:
        reasons = Gate().check(geometry(b))
        passed += not reasons
        verdicts.update(reason.split(":")[0] for reason in reasons)
        noise = rng.normal(0, 0.5, b.coords.shape).astype(np.float32)
        noisy += not Gate().check(geometry(replace(b, coords=b.coords + noise)))
        mirrored += not Gate().check(geometry(replace(b, coords=b.coords * np.float32([1, 1, -1]))))
    print(f"{passed} of {len(natives)} natives pass; reasons: {dict(verdicts.most_common())}")
    print(f"with 0.5 A of noise {noisy} pass, as mirror images {mirrored}")


def mkdssp(b: Backbone) -> str:
    """mkdssp's states of one chain, a blank where it says nothing."""
    numbered = Backbone.from_coords(b.coords - np.nanmean(b.coords, axis=(0, 1)), sequence=b.sequence)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.pdb", Path(folder) / "out.dssp"
        numbered.to_pdb(source)
        cell = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
        source.write_text(source.read_text().replace("ATOM  ", cell + "ATOM  ", 1))
        subprocess.run(["mkdssp", "--output-format", "dssp", source, out], check=True, capture_output=True)
        lines = out.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  #  RESIDUE"))
    found = {int(x[5:10]): STATE.get(x[16], "C") for x in lines[first + 1 :] if x[13] != "!"}
    return "".join(found.get(int(number), " ") for number in numbered.residue_numbers)


def dssp(data: str, num: int) -> None:
    """Agreement in three states, and what is taken for what."""
    pairs: Counter[tuple[str, str]] = Counter()
    worst = (1.0, "")
    for b in some(data, "val", num):
        known = [(a, c) for a, c in zip(assign_backbone(b), mkdssp(b), strict=True) if c != " "]
        pairs.update(known)
        worst = min(worst, (float(np.mean([a == c for a, c in known])), b.name))
    total = sum(pairs.values())
    agree = sum(count for (a, c), count in pairs.items() if a == c)
    print(f"{num} natives, {total} residues: {agree / total:.4f} agree; the worst chain {worst[1]} {worst[0]:.3f}")
    print({f"{a} where mkdssp has {c}": count for (a, c), count in pairs.most_common() if a != c})


def recall(data: str, num: int, folder: str | None, wide: int | None) -> None:
    """TM-align of every query with all natives, or the ``wide`` likeliest, and what the prefilter would have kept."""
    library = [b.coords[np.isfinite(b.coords[:, 1]).all(axis=-1), 1] for b in read_natives(data, split="train")]
    chosen = some(data, "val", num) if folder is None else read_folder(folder)[0][:num]
    queries = [b.coords[np.isfinite(b.coords[:, 1]).all(axis=-1), 1] for b in chosen]
    start = time.process_time()
    ranked = prefilter(queries, library, wide or len(library))
    spent = (time.process_time() - start) / len(queries)
    print(
        f"{len(queries)} queries, {len(library)} natives; the prefilter took {spent:.2f} s of a core each", flush=True
    )
    lost: dict[int, list[float]] = {keep: [] for keep in KEPT}
    missed = Counter()
    for b, query, rows in zip(chosen, queries, ranked, strict=True):
        tm = tm_pairs([(query, library[row]) for row in rows])[:, 0]
        best = float(np.nanmax(tm))
        for keep in KEPT:
            found = float(np.nanmax(tm[:keep]))
            lost[keep].append(best - found)
            missed[keep] += best >= 0.5 > found
        print(f"{b.name} {len(b)} best {best:.3f} kept {[round(best - lost[k][-1], 3) for k in KEPT]}", flush=True)
    for keep in KEPT:
        x = np.array(lost[keep])
        print(
            f"{keep} kept: the nearest itself {np.mean(x == 0):.2f}, TM within 0.02 {np.mean(x <= 0.02):.2f}, loss "
            f"{x.mean():.4f} on average, largest {x.max():.3f}, called new though it is not: {missed[keep]}"
        )


def likelihood(data: str, num: int) -> None:
    """Natives' own sequences on their backbones, and on noised ones."""
    from protgm.design import ProteinMPNN

    network, rng, own, noised = ProteinMPNN(), np.random.default_rng(0), [], []
    for b in some(data, "val", num):
        own.append(network.score(b, b.sequence))
        noise = rng.normal(0, 1.0, b.coords.shape).astype(np.float32)
        noised.append(network.score(replace(b, coords=b.coords + noise), b.sequence))
    lower = sum(a < c for a, c in zip(own, noised, strict=True))
    print(f"{num} natives: {np.mean(own):.3f} nats per residue, {np.mean(noised):.3f} with 1 A of noise; {lower} lower")


def main(arguments: Sequence[str]) -> None:
    """Run one of the studies."""
    name, *rest = list(arguments) or ["--help"]
    counts = {"gate": "200", "dssp": "50", "recall": "16", "likelihood": "12"}
    if name not in counts:
        raise SystemExit(__doc__)
    defaults = {"data": "", "num": counts[name], "folder": "", "wide": ""}
    asked = options(rest, defaults, needed=["data"], words=__doc__)
    num = int(asked["num"])
    if name == "recall":
        recall(asked["data"], num, asked["folder"] or None, int(asked["wide"]) if asked["wide"] else None)
    else:
        {"gate": gate, "dssp": dssp, "likelihood": likelihood}[name](asked["data"], num)


if __name__ == "__main__":
    main(sys.argv[1:])
