"""How well natives are predicted from noise: the most precise comparison of weights and of inputs, in a minute or two.

python scripts/prediction_study.py data=DATASET [checkpoint=A.safetensors,B.safetensors] [time=0.2,0.35,0.5] [looks=1,3]
    "given=nothing;secondary;sequence;secondary+sequence;motif" [length=60-140] [num=96] [seed=0] [page=FILE]

Natives of the validation split are noised to each time, the same noise for every row, and the network predicts them
after so many looks, each of which is shown the result of the one before (as steps of a sampler are). Figures are means
of the TM-score of the prediction superposed on its native, same residues; behind them, from the second row on, the mean
difference to the first row with half the width of its 95 % bootstrap interval. The second table has the share of
residues whose type the network guesses where it is hidden. ``motif``: the middle third of the residues is known, and
the TM-score is that of all. ``gap``: a tenth of the residues, in the middle, is not there, and the numbering says so;
``chains``: what follows them is another chain.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from _options import options
from numpy.typing import NDArray
from sampling_study import interval
from torch import Tensor

from protgm.data import Dataset, collate
from protgm.data.batches import Batch
from protgm.device import bfloat16_is_fast
from protgm.files import atomic
from protgm.layout import Layout
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, Denoiser, NoisyProtein
from protgm.process import ProteinProcess, superposed
from protgm.streams import Streams
from protgm.structure.frames import Frames, centre
from protgm.weights import load_model, weights_id

INPUTS = ("secondary", "sequence", "motif", "gap", "chains")
BATCH = 16


@dataclass(frozen=True)
class Question:
    """What is predicted from what: a time, and the inputs that are given."""

    time: float
    given: frozenset[str]


def batches(data: str, shortest: int, longest: int, num: int) -> Iterator[Batch]:
    """Validation natives of these lengths, evenly over the split, alike lengths together."""
    natives = [e for e in Dataset.open(data, split="val") if shortest <= len(e) <= longest and e.complete.all()]
    chosen = sorted(natives[:: max(1, len(natives) // num)][:num], key=len)
    for first in range(0, len(chosen), BATCH):
        yield collate(chosen[first : first + BATCH])


def cut(batch: Batch, given: frozenset[str]) -> Batch:
    """Natives without the tenth of their residues in the middle, as one chain with a gap or as two."""
    if not given & {"gap", "chains"}:
        return batch
    place = (torch.arange(batch.padded_length) + 0.5) / batch.mask.sum(1, keepdim=True)
    mask = batch.mask & ((place - 0.5).abs() > 0.05)
    chains = batch.chain_index + (place > 0.5) if "chains" in given else batch.chain_index
    return replace(batch, frames=batch.frames.centre(mask), mask=mask, chain_index=chains)


def noised(batch: Batch, question: Question, process: ProteinProcess, seed: int) -> NoisyProtein:
    """The natives on the path at one time, with the inputs that are given."""
    mask, given = batch.mask, question.given
    source = Streams(range(seed, seed + len(batch)), [batch.padded_length] * len(batch))
    time = torch.full(mask.shape, question.time)
    if "motif" in given:
        place = (torch.arange(mask.shape[1]) + 0.5) / mask.sum(1, keepdim=True)
        time = time.masked_fill((place > 1 / 3) & (place < 2 / 3), 1.0)
    layout = replace(
        Layout.unconditional([batch.padded_length] * len(batch)),
        mask=mask,
        frames=batch.frames,
        time=time,
        oriented=torch.full((len(batch),), "motif" in given),
    ).anchored()
    frames = process.noised(layout, time, process.noise(layout, source), time, source)
    return NoisyProtein(
        frames=Frames(frames.rotations, frames.translations * mask[..., None]),
        time=time,
        concentration=process.concentration(time),
        sequence=batch.sequence if "sequence" in given else torch.full_like(batch.sequence, MASK_TOKEN),
        secondary=batch.secondary if "secondary" in given else torch.full_like(batch.secondary, UNKNOWN_STRUCTURE),
        residue_index=batch.residue_index,
        chain_index=batch.chain_index,
        mask=mask,
        hotspot=torch.zeros_like(mask),
    )


def tm_scores(predicted: Tensor, native: Tensor, mask: Tensor) -> Tensor:
    """TM-score (Zhang and Skolnick 2004) of residues superposed on themselves, (B,), by reweighted superpositions."""
    count = mask.sum(1)
    scale = (1.24 * (count.clamp_min(19) - 15).double() ** (1 / 3) - 1.8).clamp_min(0.5)[:, None]
    weight, best = mask.double(), torch.zeros(len(mask), dtype=torch.float64)
    predicted, native = predicted.double(), native.double()
    for _ in range(10):
        total = weight.sum(1)[:, None, None]
        mine, theirs = (x - (x * weight[..., None]).sum(1, keepdim=True) / total for x in (predicted, native))
        turned = superposed(mine, theirs * weight[..., None], mask)
        near = mask / (1 + ((turned - theirs).square().sum(-1) / scale.square()))
        best = torch.maximum(best, near.sum(1) / count)
        weight = near.square()
    return best


@torch.no_grad()
def answers(
    model: Denoiser, process: ProteinProcess, data: Sequence[Batch], question: Question, looks: Sequence[int], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TM-scores (looks, natives), and the share of hidden residues (natives,) whose type is guessed."""
    scores: list[list[Tensor]] = [[] for _ in looks]
    guessed = []
    for number, whole in enumerate(data):
        batch = cut(whole, question.given)
        protein, guess = noised(batch, question, process, seed + BATCH * number), None
        for look in range(1, max(looks) + 1):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16_is_fast(torch.device("cpu"))):
                seen = model(protein, guess)
            guess = seen.frames
            if look in looks:
                made = centre(seen.frames.translations, batch.mask)
                scores[looks.index(look)].append(tm_scores(made, batch.frames.translations, batch.mask))
        hidden = batch.mask & (protein.sequence == MASK_TOKEN) & (batch.sequence < 20)
        right = hidden & (seen.sequence_logits.argmax(-1) == batch.sequence)
        guessed.append(right.sum(1) / hidden.sum(1))
    return np.array([torch.cat(part).numpy() for part in scores]), torch.cat(guessed).numpy()


def cell(values: NDArray[np.float64], first: NDArray[np.float64] | None) -> str:
    """A mean, and its difference to the first row's with half the width of a 95 % bootstrap interval of the pairs."""
    if first is None or not np.isfinite(values).all():
        return f"{values.mean():.3f}" if np.isfinite(values).all() else ""
    change = values - first
    sign = "+" if change.mean() >= 0 else ""
    return f"{values.mean():.3f} ({sign}{interval(change)})"


def main(arguments: Sequence[str]) -> None:
    """Compare the weights and inputs given on the command line."""
    defaults = {"data": "", "checkpoint": "", "time": "0.2,0.35,0.5", "looks": "1,3", "given": "nothing;secondary"}
    defaults |= {"length": "60-140", "num": "96", "seed": "0", "page": ""}
    asked = options(arguments, defaults, needed=["data"], words=__doc__)
    torch.set_num_threads(1)
    shortest, longest = map(int, asked["length"].split("-"))
    data = list(batches(asked["data"], shortest, longest, int(asked["num"])))
    times = [float(t) for t in asked["time"].split(",")]
    looks = sorted(int(n) for n in asked["looks"].split(","))
    heads = ["weights", "given"]
    tables = [
        ["| " + " | ".join([*heads, *(f"t = {t:g}: {n}" for t in times for n in looks)]) + " |"],
        ["| " + " | ".join([*heads, *(f"t = {t:g}" for t in times)]) + " |"],
    ]
    for table in tables:
        table.append("|---" * (table[0].count("|") - 1) + "|")
    first: list[NDArray[np.float64]] = []
    for checkpoint in asked["checkpoint"].split(","):
        model, process, _ = load_model(checkpoint or None)
        for text in asked["given"].split(";"):
            given = frozenset(text.split("+")) - {"nothing"}
            if not given <= set(INPUTS):
                raise SystemExit(f"given={text}: should be nothing, or some of {', '.join(INPUTS)} joined by +")
            found = [answers(model, process, data, Question(t, given), looks, int(asked["seed"])) for t in times]
            scores, types = np.concatenate([f[0] for f in found]), np.array([f[1] for f in found])
            named = [weights_id(checkpoint or None), text.replace("+", ", ")]
            first = first or [scores, types]
            for table, values, reference in zip(tables, (scores, types), first, strict=True):
                pairs = [
                    cell(v, None if v is r or values is reference else r)
                    for v, r in zip(values, reference, strict=True)
                ]
                table.append("| " + " | ".join([*named, *pairs]) + " |")
            print(tables[0][-1], tables[1][-1], sep="\n", flush=True)
    count = sum(map(len, data))
    command = "python scripts/prediction_study.py " + shlex.join(arguments)
    lines = [
        f"{count} validation natives of {shortest} to {longest} residues; `{command}`.",
        "",
        "TM-score of the prediction after so many looks:",
        "",
        *tables[0],
        "",
        "Share of the residues whose type is guessed where it is hidden:",
        "",
        *tables[1],
        "",
    ]
    print("\n".join(lines))
    if asked["page"]:
        with atomic(asked["page"]) as temporary:
            Path(temporary).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
