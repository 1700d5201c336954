"""Likelihoods of natives, of what is made of them, and of samples, side by side.

python scripts/likelihood_study.py structures=natives num=16 page=docs/studies/likelihood.md

Takes ``num`` structures of one chain of ``length=`` residues (a range as 60-100) without gaps. Beside each native stand
its mirror image, itself with half an Angstrom and with two of noise on its CA atoms (orientations turned by a tenth and
four tenths of a radian), its residues in the reverse order, and a sample of the same length. All are scored with the
same noise and the same probes; figures are nats per residue, means with half the width of 95 % bootstrap intervals over
proteins, and of the differences from the natives pair by pair. `what=orientations` takes orientations alone, given
where CA atoms lie: the density of their flow, and the lower bound on that of their jump.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _options import options
from numpy.typing import NDArray
from sampling_study import interval

from protgm.data.folder import read_folder
from protgm.files import atomic
from protgm.lie import so3
from protgm.sample.generate import load
from protgm.score import Likelihood, backbone_likelihood, backbone_orientations
from protgm.structure import Backbone
from protgm.structure.frames import Frames


def mirrored(native: Backbone) -> NDArray[np.float32]:
    """Its mirror image."""
    return native.coords * np.array([1, 1, -1], np.float32)


def shaken(native: Backbone, shift: float, turn: float) -> NDArray[np.float32]:
    """Each residue moved and turned by itself."""
    source = torch.Generator().manual_seed(0)
    frames = Frames.from_atoms(torch.from_numpy(native.coords))
    turned = frames.rotations @ so3.exp(turn * torch.randn(len(native), 3, generator=source))
    places = frames.translations + shift * torch.randn(len(native), 3, generator=source)
    return Frames(turned, places).to_atoms().numpy()


def reversed_(native: Backbone) -> NDArray[np.float32]:
    """Its residues in the reverse order, each where it was."""
    return native.coords[::-1].copy()


VARIANTS = {
    "mirror image": mirrored,
    "0.5 A and 0.1 rad of noise": partial(shaken, shift=0.5, turn=0.1),
    "2 A and 0.4 rad of noise": partial(shaken, shift=2.0, turn=0.4),
    "order of residues reversed": reversed_,
}


def main(arguments: Sequence[str]) -> None:
    """Score and print the table."""
    defaults = {"structures": "", "length": "60-100", "num": "16", "steps": "20", "draws": "1", "until": "0.97"}
    defaults |= {"checkpoint": "", "page": "", "what": "backbones"}
    asked = options(arguments, defaults, needed=["structures"], words=__doc__)
    torch.set_num_threads(1)
    least, most = map(int, asked["length"].split("-"))
    found, _ = read_folder(asked["structures"])
    natives = [b for b in found if least <= len(b) <= most and b.complete.all() and not b.chain_breaks()[:-1].any()]
    chosen = np.random.default_rng(0).permutation(len(natives))[: int(asked["num"])]
    model = load(asked["checkpoint"] or None, device="cpu")
    network = partial(model.denoiser.requires_grad_(False), exact=True)
    numbers = {"until": float(asked["until"]), "steps": int(asked["steps"]), "draws": int(asked["draws"])}

    ways: dict[str, Callable[..., Likelihood]] = {
        "backbones": {"": backbone_likelihood},
        "orientations": {word: partial(backbone_orientations, by=word) for word in ("flow", "jump")},
    }[asked["what"]]

    lines = ["| structure | nats per residue | less than the native | as likely or likelier |", "|---|---|---|---|"]
    for by, way in ways.items():
        table: dict[str, list[float]] = {name: [] for name in ("native", *VARIANTS, "sample")}
        for place in map(int, chosen):
            native = natives[place]
            sample = model.sample(length=len(native), num=1, seed=place)[0].coords
            made = {"native": native.coords, "sample": sample} | {n: change(native) for n, change in VARIANTS.items()}
            for name, coords in made.items():
                one = Backbone.from_coords(coords)
                table[name].append(way(network, model.process, one, **numbers).nats)
            print(native.name, len(native), by, *(f"{values[-1]:.2f}" for values in table.values()), flush=True)
        own = np.array(table["native"])
        for name, values in table.items():
            less = own - np.array(values)
            cells = ["", ""] if name == "native" else [interval(less), f"{int((less <= 0).sum())} of {len(own)}"]
            named = f"{name}, by the {by}" if by else name
            lines.append(f"| {named} | {interval(np.array(values))} | {' | '.join(cells)} |")
    print(*lines, sep="\n")
    if asked["page"]:
        command = " ".join(["python scripts/likelihood_study.py", *arguments])
        with atomic(asked["page"]) as path:
            Path(path).write_text("\n".join(["# Likelihoods", "", f"`{command}`", "", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
