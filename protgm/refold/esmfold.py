"""ESMFold (Lin et al. 2023, Science 379:1123) through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from protgm.refold.base import Folded

__all__ = ["ESMFold"]

#: Order of residues in the network's own alphabet.
_RESTYPES = "ARNDCQEGHILKMFPSTWYV"


class ESMFold:
    """The published network, or any that transformers' ``EsmForProteinFolding`` loads.

    Parameters
    ----------
    weights : str
        Name on the hub, which is downloaded, or a local folder.
    device : str
        Where to run.
    model : transformers.EsmForProteinFolding, optional
        A network that is there already; ``weights`` is then not looked at.

    Raises
    ------
    ValueError
        If transformers is not installed or the weights cannot be loaded.
    """

    def __init__(self, weights: str = "facebook/esmfold_v1", *, device: str = "cpu", model: Any = None) -> None:
        if model is None:
            try:
                from transformers import EsmForProteinFolding
            except ImportError:
                raise ValueError("ESMFold needs transformers: pip install 'protgm[refold]'") from None
            try:
                model = EsmForProteinFolding.from_pretrained(weights)
            except (OSError, ValueError) as error:
                reason = str(error).strip().splitlines()[0][:200]
                raise ValueError(
                    f"ESMFold: no weights at {weights!r} ({reason}); "
                    "give a local folder or a name on the hub: refold_weights=..."
                ) from None
        self._model = model.eval().to(device)
        self._device = device

    def fold(self, sequences: Mapping[str, str]) -> dict[str, Folded]:
        """Structures by name, one sequence at a time; a letter that is no amino acid is folded as alanine."""
        import torch

        found = {}
        for name, sequence in sequences.items():
            kinds = torch.tensor([[max(_RESTYPES.find(letter), 0) for letter in sequence]], device=self._device)
            with torch.no_grad():
                output = self._model(kinds, attention_mask=torch.ones_like(kinds))
            # The first four of a residue's 14 atoms are N, CA, C and O.
            atoms = output["positions"][-1][0].float().cpu().numpy()
            plddt = output["plddt"][0, :, 1].float().mean().item()
            coords = np.ascontiguousarray(atoms[:, :4], dtype=np.float32)
            found[name] = Folded(coords, plddt * 100 if plddt <= 1 else plddt)
        return found
