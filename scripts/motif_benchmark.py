"""Scaffolds for published motifs, judged: one row per problem, as a Markdown table.

python scripts/motif_benchmark.py problems=../shared/motifs num=16 page=docs/studies/motifs.md

A problem is a PDB file with the motif's atoms and, in REMARK 999, the order of segments and the bounds of the total
length, as the benchmarks of the field have it. `gate`: share that passes the geometry gate, which judges what was
generated; `RMSD`: largest of N, CA, C, O of a body to the motif, Angstrom, over the samples; `junctions`: share of
peptide bonds between given and new residues within .05 A of 1.329, mean over the samples; `clashes`: CA clashes per
residue; `clusters`: TM-0.5 clusters per sample, among those of one length; `MPNN`: negative log-likelihood of what
ProteinMPNN designs about the motif's types, nats a residue, over the first ``designs`` samples.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _options import options

from protgm.condition import Motif
from protgm.design.base import Designer
from protgm.design.kept import Kept
from protgm.design.mpnn import ProteinMPNN
from protgm.files import atomic
from protgm.layout import Layout
from protgm.metrics import Gate, Subject, measure
from protgm.metrics.similarity import clusters, tm_matrix
from protgm.sample.describe import given_of
from protgm.sample.generate import BackboneModel, load
from protgm.sample.request import requested, with_labels
from protgm.sample.settings import SamplerSettings
from protgm.structure import Backbone


def problem(path: Path) -> Motif:
    """The request that a benchmark file stands for."""
    elements, bounds, bodies = [], {}, {}
    for line in path.read_text(encoding="ascii").splitlines():
        if match := re.fullmatch(r"REMARK 999 (MIN|MAX)IMUM TOTAL LENGTH\s+(\d+)\s*", line):
            bounds[match[1]] = int(match[2])
        elif match := re.fullmatch(r"REMARK 999 INPUT  ([A-Za-z ])\s+(-?\d+)\s+(-?\d+)\s*([A-Z]?)\s*", line):
            chain, first, last, body = match.groups()
            if chain == " ":
                elements.append(f"{first}-{last}")
            else:
                number = bodies.setdefault(body, len(bodies) + 1)
                elements.append(f"{chain}{first}-{last}@{number}")
    return Motif(str(path), ",".join(elements), (bounds["MIN"], bounds["MAX"]))


def likelihood(backbone: Backbone, layout: Layout, designer: Designer) -> float:
    """Negative log-likelihood of types that are designed about the motif's own, nats a designed residue."""
    (best,) = designer.design(backbone, 1, kept=Kept(~layout.design.numpy()))
    return best.nll


def row(
    path: Path,
    model: BackboneModel,
    num: int,
    settings: SamplerSettings,
    save: str,
    designs: int,
    designer: Designer | None,
) -> tuple[str, float, bool]:
    """A line of the table, the share that passes, and whether one does."""
    condition = with_labels(problem(path), "native")
    made = list(model.generate(requested(condition, None, num, 0), conditions=condition, settings=settings))
    if save:
        folder = Path(save) / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        for one in made:
            one.backbone.to_pdb(folder / f"{one.item.name}.pdb")
    reports = [measure(Subject(one.backbone, given_of(one.layout, one.backbone))) for one in made]
    passed = [not Gate().check(report) for report in reports]
    rmsd = max(report.motif_rmsd for report in reports)
    joined = [report.junction_ok for report in reports if report.get("junction_ok") is not None]
    likely = [likelihood(one.backbone, one.layout, designer) for one in made[:designs] if designer]
    groups = {}
    for one in made:
        groups.setdefault(one.item.length, []).append(one.backbone.coords[:, 1])
    found = sum(int(clusters(tm_matrix(group, workers=1)).max()) + 1 for group in groups.values())
    lengths = sorted(one.item.length for one in made)
    cells = [
        path.stem,
        f"{lengths[0]}-{lengths[-1]}",
        f"{np.mean(passed):.2f}",
        f"{rmsd:.3f}",
        f"{np.mean(joined):.3f}" if joined else "",
        f"{np.mean([report.ca_clashes for report in reports]):.3f}",
        f"{np.mean([report.rama_favoured for report in reports]):.2f}",
        f"{np.mean([report.helix for report in reports]):.2f}",
        f"{np.mean([report.strand for report in reports]):.2f}",
        f"{found / len(made):.2f}",
        f"{np.mean(likely):.2f}" if likely else "",
        f"{np.mean([one.seconds for one in made]):.1f}",
    ]
    return " | ".join(["", *cells, ""]).strip(), float(np.mean(passed)), any(passed)


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    defaults = {"problems": "../shared/motifs", "num": "16", "steps": "40", "checkpoint": "", "page": "", "save": ""}
    defaults |= {"only": "", "designs": "0"}
    asked = options(arguments, defaults)
    torch.set_num_threads(1)
    model = load(asked["checkpoint"] or None)
    settings, designs = SamplerSettings(steps=int(asked["steps"])), int(asked["designs"])
    designer = ProteinMPNN() if designs else None
    heads = (
        "problem, residues, gate, RMSD, junctions, CA clashes, Ramachandran, helix, strand, clusters, MPNN, s/sample"
    )
    lines = ["| " + heads.replace(", ", " | ") + " |", "|" + "---|" * len(heads.split(", "))]
    print(*lines, sep="\n", flush=True)
    passed, solved = [], []
    for path in sorted(Path(asked["problems"]).glob("*.pdb")):
        if asked["only"] and path.stem not in asked["only"].split(","):
            continue
        line, share, one = row(path, model, int(asked["num"]), settings, asked["save"], designs, designer)
        lines.append(line)
        passed.append(share)
        solved.append(one)
        print(line, flush=True)
    lines += [
        "",
        f"Gate {np.mean(passed):.2f} over all; {sum(solved)} of {len(solved)} problems have a sample that passes.",
    ]
    print(lines[-1])
    if asked["page"]:
        command = " ".join(["python scripts/motif_benchmark.py", *arguments])
        with atomic(asked["page"]) as temporary:
            head = ["# Published motifs", "", f"Checkpoint {model.checkpoint}; `{command}`.", ""]
            Path(temporary).write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
