"""Weights of a network with more stages or inputs, from those of one with fewer."""

from __future__ import annotations

import re

import torch
from torch import Tensor

__all__ = ["with_inputs", "with_stages"]

#: What an added stage does to tokens and frames at first, of what the stage that it copies does: enough for gradients
#: to reach all of it, too little to spoil the prediction (copies at full strength move frames that are there already).
_FAINT = 0.25
_ACTS = re.compile(r"(embed_near|update\.linear|blocks\.\d+\.(out|feed_out))\.(weight|bias)")


def with_stages(tensors: dict[str, Tensor], stages: int) -> dict[str, Tensor]:
    """Weights for ``stages`` stages: those added are faint copies of the last one there.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Parameters of a `protgm.model.Denoiser` by name.
    stages : int

    Returns
    -------
    dict of str to Tensor
        The same dict where nothing is to be added: where there are as many stages, or only the first, which is unlike
        the others.
    """
    have = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("stages.")), default=-1)
    if have < 2 or have >= stages:
        return tensors
    prefix = f"stages.{have - 1}."
    last = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    grown = dict(tensors)
    for stage in range(have, stages):
        for name, tensor in last.items():
            grown[f"stages.{stage}.{name}"] = tensor * _FAINT if _ACTS.fullmatch(name) else tensor
    return grown


def with_inputs(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights with every input that came later than theirs, and without the velocity head that older ones have.

    What is new says nothing until it is trained.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Parameters of a `protgm.model.Denoiser` by name.
    """
    kept = {name: tensor for name, tensor in tensors.items() if name not in ("flow.weight", "flow.bias")}
    if "embed_sequence.weight" in kept:
        kept.setdefault("embed_hotspot", torch.zeros_like(kept["embed_sequence.weight"][0]))
    return kept
