"""Any structure predictor that can be started from a command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from protgm.refold.base import Folded
from protgm.structure.source import is_structure_file

__all__ = ["CommandRefolder"]


class CommandRefolder:
    """Runs an external program on a FASTA file and reads the structures it leaves.

    Parameters
    ----------
    command : str
        Template with ``{fasta}`` and ``{out}``, split as a shell would, run without a shell; for example
        ``colabfold_batch {fasta} {out} --num-models 1``. The program leaves one structure file per sequence below
        ``{out}`` whose name begins with the sequence's (where there are several, the first by name counts). Its
        B factors are taken as pLDDT: 0 to 100, or 0 to 1.
    timeout : float, optional
        Seconds for all sequences of one call.

    Raises
    ------
    ValueError
        If the template lacks ``{fasta}`` or ``{out}``.
    """

    def __init__(self, command: str, *, timeout: float | None = None) -> None:
        for field in ("{fasta}", "{out}"):
            if field not in command:
                raise ValueError(f"refold command {command!r}: has no {field}")
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"refold command {command!r}: {error}") from None
        self._timeout = timeout

    def fold(self, sequences: Mapping[str, str]) -> dict[str, Folded]:
        """Structures by name.

        Raises
        ------
        ValueError
            If the program is not there, fails, takes too long or leaves no structure at all.
        """
        # Programs rewrite names they do not like; these survive.
        safe = {f"seq{k:05d}": name for k, name in enumerate(sequences)}
        with tempfile.TemporaryDirectory(prefix="protgm-refold-") as folder:
            fasta, out = Path(folder) / "sequences.fasta", Path(folder) / "out"
            out.mkdir()
            fasta.write_text("".join(f">{short}\n{sequences[name]}\n" for short, name in safe.items()))
            self._run([word.replace("{fasta}", str(fasta)).replace("{out}", str(out)) for word in self._words])
            found = {}
            for path in sorted(out.rglob("*"), key=lambda p: (len(p.parts), p.name)):
                short = re.match(r"seq\d{5}", path.name)
                if short is None or not is_structure_file(path.name) or short.group() not in safe:
                    continue
                name = safe[short.group()]
                if name not in found:
                    found[name] = _read(path, len(sequences[name]))
        if sequences and not found:
            raise ValueError(
                f"refold command {self._words[0]}: left no structure file named after a sequence in {{out}}"
            )
        return found

    def _run(self, words: list[str]) -> None:
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self._timeout, check=False)
        except FileNotFoundError:
            raise ValueError(f"refold command: {words[0]} is not there; is it installed?") from None
        except PermissionError:
            raise ValueError(f"refold command: {words[0]} may not be run") from None
        except subprocess.TimeoutExpired:
            raise ValueError(f"refold command: {words[0]} took more than {self._timeout:g} s") from None
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise ValueError(f"refold command: {words[0]} failed with status {done.returncode}: {last[:300]}")


def _read(path: Path, length: int) -> Folded:
    from protgm.structure import read_structure

    backbone = read_structure(path)
    if len(backbone) != length:
        raise ValueError(f"{path.name}: {len(backbone)} residues for a sequence of {length}")
    plddt = None if backbone.b_factors is None else float(backbone.b_factors.mean())
    return Folded(backbone.coords, plddt * 100 if plddt is not None and plddt <= 1 else plddt)
