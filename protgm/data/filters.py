"""What a chain must be like to enter a dataset."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Filters"]


@dataclass(frozen=True)
class Filters:
    """What a chain must be like to enter a dataset. A limit that is None does not apply.

    Parameters
    ----------
    min_length, max_length : int
        Residues with a CA atom.
    max_resolution : float or None
        Angstrom; entries of unknown resolution pass.
    max_breaks : int or None
        Places inside the chain where C and the next N are missing or further than 2 A apart.
    max_missing : float or None
        Share of the residues that lack N or C. A missing O is rebuilt and does not count.
    max_rg_ratio : float or None
        Radius of gyration of the CA atoms over 2.2 L^0.38 A, what a globular protein of L residues has (Skolnick et al.
        1997): long helices, tails and domains that only fold with a partner lie above.
    max_coil : float or None
        Share of residues in neither helix nor strand.
    max_positive_phi : float or None
        Share of residues with phi > 0. It is below 0.25 in native chains, hence above 0.75 in their mirror images:
        proteins of D-amino acids, and models built with the wrong hand.

    Raises
    ------
    ValueError
        If a limit is negative or no number, or the lengths are the wrong way round.
    """

    min_length: int = 40
    max_length: int = 256
    max_resolution: float | None = None
    max_breaks: int | None = 2
    max_missing: float | None = 0.05
    max_rg_ratio: float | None = 1.3
    max_coil: float | None = 0.7
    max_positive_phi: float | None = 0.5

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            # `not >=` also refuses NaN.
            if value is not None and not value >= 0:
                raise ValueError(f"{item.name} must not be negative, got {value}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}: no chain fits")
