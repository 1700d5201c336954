"""Make a generated chain whole: small moves of residue frames that close peptide bonds and part overlapping atoms.

A network's frames are right to a few tenths of an Angstrom; a peptide bond is wrong at 0.05. This is a harmonic
relaxation of rigid residues by gradient descent that holds phi and psi where the network put them: overlaps are parted
by many small turns of the chain, not by breaking its local structure. Hydrogen bonds that are nearly there are drawn
shut, without which strands come out of it torn in places. Nothing in it is learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adam import adam

from protgm.layout import FREE, Layout
from protgm.lie.so3 import exp
from protgm.model.products import compose, rotate
from protgm.structure import ideal
from protgm.structure.dssp import CHARGES, COULOMB, NH
from protgm.structure.frames import Frames
from protgm.structure.geometry import PEPTIDE
from protgm.structure.torsions import dihedral, phi_psi_omega

__all__ = ["refine_frames"]

_STEPS = 300
_RATE = 0.03  # Angstrom, and radian over 3: size of a first step
_NEAR = 9.0  # CA pairs whose atoms can touch within the moves made here, Angstrom
_RENEW = 25  # steps between lists of such pairs
#: Weights: peptide geometry, overlaps, dihedrals (phi and psi stay, omega becomes trans), hydrogen bonds, staying in
#: place.
_BOND, _CLASH, _DIHEDRAL, _HYDROGEN, _TIE = 60.0, 2.0, 8.0, 0.4, 0.005
#: Error of a distance across a peptide beyond which what the network says of its dihedrals is worth little, Angstrom.
_TORN = 0.5
#: Energies, kcal/mol, below which a hydrogen bond is taken to be meant, and down to which it is made stronger.
_MEANT, _SATISFIED = -0.25, -1.5
#: Smallest distances between atoms of residues two or more apart, Angstrom (N, CA, C, O by N, CA, C, O); N-O may bond.
_CONTACT = (
    (3.0, 3.2, 3.2, 2.8),
    (3.2, 3.8, 3.6, 3.2),
    (3.2, 3.6, 3.4, 3.0),
    (2.8, 3.2, 3.0, 3.0),
)


def _third_side(a: float, b: float, angle: float) -> float:
    return math.sqrt(a * a + b * b - 2 * a * b * math.cos(angle))


_CA_N = _third_side(ideal.CA_C, PEPTIDE.C_N, PEPTIDE.CA_C_N)
_C_CA = _third_side(PEPTIDE.C_N, ideal.N_CA, PEPTIDE.C_N_CA)
_O_N = _third_side(PEPTIDE.C_O, PEPTIDE.C_N, 2 * math.pi - PEPTIDE.CA_C_N - PEPTIDE.CA_C_O)
#: (atom of residue i, atom of residue i + 1, distance): bond, the two angles at it, and omega = 180.
_PEPTIDE = ((2, 0, PEPTIDE.C_N), (1, 0, _CA_N), (2, 1, _C_CA), (1, 1, PEPTIDE.CA_CA_TRANS))


def refine_frames(frames: Frames, layout: Layout, *, steps: int = _STEPS) -> Frames:
    """Relax frames.

    Parameters
    ----------
    frames : Frames, shape (B, L)
    layout : Layout
        A batch. Residues of one chain with consecutive indices are bonded; those that are known stay where they are,
        rigid bodies that move do so as one.
    steps : int

    Returns
    -------
    Frames, shape (B, L)
        Proteins of a batch do not influence each other.
    """
    rotations, translations, mask = frames.rotations, frames.translations, layout.mask
    residue_index, chain_index = layout.residue_index, layout.chain_index
    moving = mask & (layout.body == FREE)
    bonded = ~layout.breaks[:, :-1]
    held = layout.given_atoms[:, :-1, 3] & bonded
    turn = torch.zeros_like(translations, requires_grad=True)
    shift = torch.zeros_like(translations, requires_grad=True)
    bodies = _Bodies.of(frames, layout)
    moves = {turn: _RATE / 3, shift: _RATE}
    if len(bodies.member):
        moves |= {bodies.turn: _RATE, bodies.shift: _RATE}
    optimizers = [_Adam(parameter, rate) for parameter, rate in moves.items()]
    free = moving[..., None].to(translations.dtype)

    def now() -> Frames:
        return bodies.moved(_moved(rotations, translations, turn * free, shift * free))

    pairs = _near_pairs(translations, mask, residue_index, chain_index)
    given = layout.to_atoms(frames)
    donors = _meant_bonds(given, pairs, bonded)
    wanted, sound = phi_psi_omega(given), _sound(given, bonded)
    wanted[..., 2] = math.pi
    # The O of a given residue says where the next N is to be.
    turned = dihedral(*given.unbind(-2)) + math.pi
    wanted[..., 1] = torch.where(layout.given_atoms[..., 3], turned, wanted[..., 1])
    with torch.enable_grad():
        for step in range(steps):
            moved, late = now(), max(0.0, 2 * step / steps - 1)
            if step and step % _RENEW == 0:
                pairs = _near_pairs(moved.translations.detach(), mask, residue_index, chain_index)
            atoms = layout.to_atoms(moved)
            energy = _BOND * (_peptides(atoms, bonded) + _to_given_oxygen(atoms, held)) + _CLASH * _clashes(
                atoms, pairs
            )
            energy = (
                energy + _DIHEDRAL * _turns(atoms, wanted, bonded, sound, late) + _TIE * (shift * free).square().sum()
            )
            energy = energy + _HYDROGEN * F.relu(_hydrogen_energies(atoms, donors) - _SATISFIED).sum()
            slopes = torch.autograd.grad(energy, list(moves))
            for optimizer, slope in zip(optimizers, slopes, strict=True):
                optimizer.step(slope, 0.5 * (1 + math.cos(math.pi * step / steps)))
    with torch.no_grad():
        return now()


@dataclass(frozen=True)
class _Bodies:
    """Rigid bodies that move, and how far they have.

    Parameters
    ----------
    member : Tensor of bool, shape (K, B, L)
    middle : Tensor, shape (K, B, 1, 3)
    size : Tensor, shape (K, B, 1)
        Largest distance of a residue from the middle of its body, Angstrom, at least 3.
    turn, shift : Tensor, shape (K, B, 3)
        Angstrom, the turn at that distance. Leaves of the graph.
    """

    member: Tensor
    middle: Tensor
    size: Tensor
    turn: Tensor
    shift: Tensor

    @classmethod
    def of(cls, frames: Frames, layout: Layout) -> _Bodies:
        numbers = torch.arange(1, max(1, int(layout.body.max()) + 1), device=layout.body.device)
        member = layout.mask & (layout.body == numbers[:, None, None])
        weight = member[..., None].to(frames.translations.dtype)
        middle = (frames.translations * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
        far = ((frames.translations - middle) * weight).norm(dim=-1)
        turn, shift = frames.translations.new_zeros(2, *member.shape[:2], 3)
        size = far.amax(-1, keepdim=True).clamp_min(3.0)
        return cls(member, middle, size, turn.clone().requires_grad_(), shift.clone().requires_grad_())

    def moved(self, frames: Frames) -> Frames:
        """The frames with each body turned and shifted as one."""
        parts = (self.member, self.middle, self.turn / self.size, self.shift)
        for member, middle, turn, shift in zip(*parts, strict=True):
            about = exp(turn)[:, None]
            places = (about @ (frames.translations - middle)[..., None])[..., 0] + middle + shift[:, None]
            frames = Frames(about @ frames.rotations, places).where(member, frames)
        return frames


class _Adam:
    """Adam (Kingma & Ba 2015) for one tensor, by torch's function: its class imports torch's compiler, for seconds."""

    def __init__(self, parameter: Tensor, rate: float) -> None:
        self.parameter, self.rate = parameter, rate
        self.mean, self.square = torch.zeros_like(parameter), torch.zeros_like(parameter)
        self.count = torch.zeros(())

    @torch.no_grad()
    def step(self, slope: Tensor, share: float) -> None:
        """Move against the slope, at this share of the rate."""
        adam(
            [self.parameter], [slope], [self.mean], [self.square], [], [self.count],
            foreach=False, amsgrad=False, beta1=0.8, beta2=0.95, lr=self.rate * share, weight_decay=0.0, eps=1e-8,
            maximize=False,
        )  # fmt: skip


def _moved(rotations: Tensor, translations: Tensor, turn: Tensor, shift: Tensor) -> Frames:
    return Frames(compose(rotations, exp(turn)), translations + rotate(rotations, shift))


def _to_given_oxygen(atoms: Tensor, held: Tensor) -> Tensor:
    """Errors of the distance from O to the next N where O is given (elsewhere it follows from N), summed."""
    distance = torch.sqrt((atoms[:, 1:, 0] - atoms[:, :-1, 3]).square().sum(-1) + 1e-8)
    errors = F.huber_loss(distance, torch.full_like(distance, _O_N), reduction="none")
    return (errors * held).sum()


def _spans(atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Distances across each peptide (B, L - 1, 4), and what they should be (4,), Angstrom."""
    first, second = [bond[0] for bond in _PEPTIDE], [bond[1] for bond in _PEPTIDE]
    lengths = atoms.new_tensor([bond[2] for bond in _PEPTIDE])
    return torch.sqrt((atoms[:, 1:, second] - atoms[:, :-1, first]).square().sum(-1) + 1e-8), lengths


def _peptides(atoms: Tensor, bonded: Tensor) -> Tensor:
    """Errors of the peptide units' distances, summed: squared up to 1 Angstrom, linear beyond."""
    distance, lengths = _spans(atoms)
    errors = F.huber_loss(distance, lengths.expand_as(distance), reduction="none")
    return (errors * bonded[..., None]).sum()


def _sound(atoms: Tensor, bonded: Tensor) -> Tensor:
    """How much the dihedrals at each peptide are worth keeping, 0 to 1, (B, L - 1): nothing where it is torn."""
    distance, lengths = _spans(atoms)
    error = (distance - lengths).abs().amax(-1) * bonded
    return torch.exp(-(error / _TORN).square())


def _turns(atoms: Tensor, wanted: Tensor, bonded: Tensor, sound: Tensor, late: float) -> Tensor:
    """How far phi, psi and omega are from ``wanted`` (B, L, 3), as 1 - cos, summed over bonded residues.

    Those about a peptide count as far as it is ``sound`` (B, L - 1): they would keep the N of a torn one on the wrong
    side of its C. Once distances have brought it about, its omega counts by ``late``, 0 to 1.
    """
    turned = 1 - torch.cos(phi_psi_omega(atoms) - wanted)
    phi, psi, omega = turned.unbind(-1)
    about = (phi[:, 1:] + psi[:, :-1]) * sound + omega[:, :-1] * sound.clamp_min(late)
    return (about * bonded).sum()


def _near_pairs(translations: Tensor, mask: Tensor, residue_index: Tensor, chain_index: Tensor) -> Tensor:
    """Pairs of residues, two or more apart, that may clash, shape (3, P): protein, first and second residue."""
    near = torch.cdist(translations, translations) < _NEAR
    separation = residue_index[:, None, :] - residue_index[:, :, None]
    other = chain_index[:, None, :] != chain_index[:, :, None]
    after = torch.ones_like(near[0]).triu(1)
    return (near & mask[:, :, None] & mask[:, None] & after & ((separation.abs() > 2) | other)).nonzero().T


def _meant_bonds(atoms: Tensor, pairs: Tensor, bonded: Tensor) -> Tensor:
    """Hydrogen bonds there are or nearly are, shape (3, P): protein, residue of the NH, residue of the CO."""
    protein, first, second = pairs
    both = torch.stack((torch.cat((protein, protein)), torch.cat((first, second)), torch.cat((second, first))))
    both = both[:, (both[1] > 0) & F.pad(bonded, (1, 0))[both[0], both[1]] & F.pad(bonded, (0, 1))[both[0], both[2]]]
    return both[:, _hydrogen_energies(atoms, both) < _MEANT]


def _hydrogen_energies(atoms: Tensor, donors: Tensor) -> Tensor:
    """Energies of bonds from an NH to a CO (Kabsch & Sander 1983), kcal/mol."""
    protein, donor, acceptor = donors
    nitrogen, alpha = atoms[protein, donor, 0], atoms[protein, donor, 1]
    carbon, oxygen = atoms[protein, acceptor, 2], atoms[protein, acceptor, 3]
    away = F.normalize(nitrogen - atoms[protein, donor - 1, 2], dim=-1) + F.normalize(nitrogen - alpha, dim=-1)
    hydrogen = nitrogen + NH * F.normalize(away, dim=-1)

    def inverse(a: Tensor, b: Tensor) -> Tensor:
        return 1 / torch.sqrt((a - b).square().sum(-1) + 1e-4)

    terms = inverse(oxygen, nitrogen) + inverse(carbon, hydrogen) - inverse(oxygen, hydrogen)
    return CHARGES * COULOMB * (terms - inverse(carbon, nitrogen))


def _clashes(atoms: Tensor, pairs: Tensor) -> Tensor:
    protein, first, second = pairs
    limit = atoms.new_tensor(_CONTACT)
    offset = atoms[protein, first][:, :, None] - atoms[protein, second][:, None]
    distance = torch.sqrt(offset.square().sum(-1) + 1e-8)
    return F.relu(limit - distance).square().sum()
