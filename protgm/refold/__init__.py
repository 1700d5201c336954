"""Do designed sequences fold back? Structure predictors as plug-ins, and self-consistency of designs."""

from protgm.refold.base import Folded, Refolder
from protgm.refold.command import CommandRefolder
from protgm.refold.consistency import DESIGNABLE_RMSD, Consistency, self_consistency
from protgm.refold.esmfold import ESMFold
from protgm.structure.superpose import superposed_rmsd

__all__ = [
    "DESIGNABLE_RMSD",
    "CommandRefolder",
    "Consistency",
    "ESMFold",
    "Folded",
    "Refolder",
    "make_refolder",
    "self_consistency",
    "superposed_rmsd",
]


def make_refolder(kind: str | None, *, weights: str | None = None, command: str | None = None) -> Refolder | None:
    """A refolder by name, as configurations say it.

    Parameters
    ----------
    kind : str or None
        ``esmfold``, ``command`` or None.
    weights : str, optional
        Of ESMFold: a name on the hub or a local folder.
    command : str, optional
        Template for `CommandRefolder`.

    Raises
    ------
    ValueError
        If the name is unknown, or what it needs is missing.
    """
    if kind is None:
        return None
    if kind == "esmfold":
        return ESMFold(weights) if weights else ESMFold()
    if kind == "command":
        if not command:
            raise ValueError("refold=command needs a command: a template with {fasta} and {out}")
        return CommandRefolder(command)
    raise ValueError(f"refold={kind!r}: must be esmfold, command or null")
