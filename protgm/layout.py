"""What is to be made: residues and chains, and what is known of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from protgm.lie.points import middle
from protgm.model.state import MASK_TOKEN, UNKNOWN_STRUCTURE
from protgm.structure.contig import chain_prefix
from protgm.structure.frames import Frames
from protgm.structure.places import CHAIN_STEP

__all__ = ["CHAIN_LETTERS", "FIXED", "FREE", "MAX_LENGTH", "Layout", "Site"]

#: `Layout.body` of residues that belong to no rigid body, and of those whose place in space is given.
FREE, FIXED = -1, 0
#: How far in front of the hotspots the noise of what shall bind there lies, and how far around them the surface is
#: looked at, Angstrom: so the middle of 172 native partners was missed by least (9.2 A; docs/studies/conditions.md).
OUTWARD, _AROUND = 12.0, 8.0
#: Longer proteins are refused: pair features of one such protein already take gigabytes.
MAX_LENGTH = 2048
#: Chain identifiers of what is made, in order.
CHAIN_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Site:
    """What a residue is called in a file, and where it comes from.

    Parameters
    ----------
    chain, number, code : str, int, str
        Chain identifier, residue number and insertion code of the output.
    source : str
        Chain, number and insertion code in the file that it was taken from, such as ``A95``; empty where it is new.
    part : str
        ``new``, ``motif``, ``target``, ``start`` or ``fixed``.
    file : int
        Which of several source files, from 1.
    """

    chain: str
    number: int
    code: str = ""
    source: str = ""
    part: str = "new"
    file: int = 1

    @property
    def label(self) -> str:
        """What the output calls it, such as ``A13``, or ``1_13`` in a chain 1."""
        return f"{chain_prefix(self.chain)}{self.number}{self.code}"


@dataclass(frozen=True, eq=False)
class Layout:
    """One protein of L residues, or a batch of B padded to L (all tensors then lead with B).

    Parameters
    ----------
    mask : Tensor of bool, shape (L,)
        False for padding.
    residue_index, chain_index : Tensor of int64, shape (L,)
    secondary : Tensor of int64, shape (L,)
        Secondary structure asked for, `UNKNOWN_STRUCTURE` where nothing is.
    sequence : Tensor of int64, shape (L,)
        Residue types that are given, `MASK_TOKEN` elsewhere.
    frames : Frames, shape (L,)
        Clean frames where ``time`` is above 0 or ``body`` is not `FREE`; anything elsewhere.
    time : Tensor, shape (L,)
        Time that a residue's frame starts from: 0 noise, 1 known (it never moves), between: its frame noised to there.
    body : Tensor of int64, shape (L,)
        `FREE`; `FIXED`; or the number, from 1, of the rigid body that the residue is part of: the body's inside is
        given, its place is found.
    hotspot : Tensor of bool, shape (L,)
        Known residues that new ones shall touch.
    design : Tensor of bool, shape (L,)
        Residues whose type is to be found, where types are.
    atoms : Tensor, shape (L, 4, 3)
        N, CA, C, O of given residues in their own frames, Angstrom; NaN where a residue is an ideal one.
    anchor : Tensor, shape (L, 3)
        What a residue's noise lies about (see `anchored`), Angstrom.
    oriented : Tensor of bool, shape ()
        Whether known residues say where in space the protein lies. An assembly's axes do too, in part: it is centred as
        a free protein is, and `protgm.condition.Symmetry` says how its noise is turned.
    units : int
        How many copies of one unit the protein is; the same for all of a batch.
    sites : tuple of Site, length L
        Empty in a batch.
    each : tuple of tuple of Site, length B
        Of a batch: the sites of its proteins.
    """

    mask: Tensor
    residue_index: Tensor
    chain_index: Tensor
    secondary: Tensor
    sequence: Tensor
    frames: Frames
    time: Tensor
    body: Tensor
    hotspot: Tensor
    design: Tensor
    atoms: Tensor
    anchor: Tensor
    oriented: Tensor
    units: int = 1
    sites: tuple[Site, ...] = ()
    each: tuple[tuple[Site, ...], ...] = ()

    def __len__(self) -> int:
        return self.mask.shape[-1]

    @property
    def known(self) -> Tensor:
        """Residues whose frames never move, shape (L,)."""
        return self.mask & (self.time >= 1)

    @classmethod
    def chain(cls, length: int, *, chain: str = "A") -> Layout:
        """One new chain of so many residues, nothing asked of it."""
        index = torch.arange(length)
        none = torch.zeros(length, dtype=torch.bool)
        return cls(
            mask=~none,
            residue_index=index,
            chain_index=torch.zeros_like(index),
            secondary=torch.full((length,), UNKNOWN_STRUCTURE),
            sequence=torch.full((length,), MASK_TOKEN),
            frames=Frames.identity(length),
            time=torch.zeros(length),
            body=torch.full((length,), FREE),
            hotspot=none,
            design=~none,
            atoms=torch.full((length, 4, 3), torch.nan),
            anchor=torch.zeros(length, 3),
            oriented=torch.tensor(False),
            sites=tuple(Site(chain, number + 1) for number in range(length)),
        )

    @classmethod
    def batch(cls, layouts: Sequence[Layout]) -> Layout:
        """Several proteins, padded to the longest."""
        longest = max(map(len, layouts))
        padded = [one.padded(longest) for one in layouts]

        def stack(values: list[Any]) -> Any:
            if isinstance(values[0], Frames):
                return Frames(stack([v.rotations for v in values]), stack([v.translations for v in values]))
            return torch.stack(values)

        names = [f.name for f in fields(cls) if f.name not in ("units", "sites", "each")]
        tensors = {name: stack([getattr(one, name) for one in padded]) for name in names}
        return cls(**tensors, units=layouts[0].units, each=tuple(one.sites for one in layouts))

    @classmethod
    def unconditional(cls, lengths: Sequence[int]) -> Layout:
        """A batch of single chains of the given lengths, nothing else asked."""
        return cls.batch([cls.chain(length) for length in lengths])

    def padded(self, length: int) -> Layout:
        """One protein with padding behind it."""
        extra = length - len(self)
        empty = Layout.chain(extra)
        empty = replace(empty, mask=empty.hotspot, design=empty.hotspot, residue_index=torch.arange(len(self), length))
        return Layout.joined([self, empty]) if extra else self

    @classmethod
    def joined(cls, parts: Sequence[Layout]) -> Layout:
        """Parts of one protein one after another, their indices as they are."""

        def cat(values: list[Any]) -> Any:
            if isinstance(values[0], Frames):
                return Frames(cat([v.rotations for v in values]), cat([v.translations for v in values]))
            return torch.cat(values)

        names = [f.name for f in fields(cls) if f.name not in ("units", "sites", "each", "oriented")]
        whole = {name: cat([getattr(part, name) for part in parts]) for name in names}
        oriented = torch.stack([part.oriented for part in parts]).any()
        return cls(**whole, oriented=oriented, sites=tuple(site for part in parts for site in part.sites))

    @property
    def given_atoms(self) -> Tensor:
        """Whether an atom's place in its residue's frame is given, shape (L, 4)."""
        return self.atoms.isfinite().all(-1)

    def to_atoms(self, frames: Frames) -> Tensor:
        """N, CA, C, O (..., L, 4, 3) of residues at ``frames``: given ones as they were, ideal ones elsewhere."""
        ideal, present = frames.to_atoms(self.breaks), self.given_atoms
        if not bool(present.any()):
            return ideal
        # Not NaN: a gradient of zero times that would be no number.
        local = self.atoms.nan_to_num().to(ideal.dtype)
        given = Frames(frames.rotations[..., None, :, :], frames.translations[..., None, :]).apply(local)
        return torch.where(present[..., None], given, ideal)

    @property
    def breaks(self) -> Tensor:
        """Whether residue i is not bonded to residue i + 1, bool of shape (L,)."""
        last = torch.ones_like(self.mask[..., :1])
        bonded = (self.residue_index.diff(dim=-1) == 1) & (self.chain_index.diff(dim=-1) == 0) & self.mask[..., 1:]
        return torch.cat((~bonded, last), dim=-1)

    def freed(self) -> Layout:
        """With what was fixed in space as a body of its own, whose place is found."""
        fixed = self.body == FIXED
        body = torch.where(fixed, int(self.body.max()) + 1, self.body)
        return replace(self, body=body, time=torch.where(fixed, 0.0, self.time), oriented=torch.tensor(False))

    def anchored(self) -> Layout:
        """With noise about the known residues; or before the hotspots, away from what is known near them."""
        places, known = self.frames.translations, self.known
        between, spots = middle(places, known), middle(places, self.hotspot)
        apart = (places - spots).square().sum(-1).masked_fill(~known, 1e9)
        around = torch.softmax(-apart / (2 * _AROUND**2), dim=-1)[..., None, :] @ places
        front = spots + OUTWARD * F.normalize(spots - around, dim=-1)
        anchor = torch.where(self.hotspot.any(-1)[..., None, None], front, between)
        anchor = torch.where(known.any(-1)[..., None, None], anchor, 0.0)
        return replace(self, anchor=anchor.expand(places.shape).clone())

    def numbered(self) -> Layout:
        """With ``residue_index`` as training has it: consecutive in a chain, a gap between chains."""
        index = torch.arange(len(self)) + CHAIN_STEP * self.chain_index
        return replace(self, residue_index=index)
