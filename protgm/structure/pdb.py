"""The PDB format (version 3.3, wwPDB 2012): columns are cut out of all records at once, of backbone atoms only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atoms import ATOM_CODES, AtomRows, Columns, Header, atom_rows, text_of
from protgm.structure.errors import malformed
from protgm.structure.pdb_header import HEADER_WORDS, REMARK_NUMBERS, REMARK_WORD, pdb_header
from protgm.structure.residues import canonical, letter_of
from protgm.structure.source import check_lines

__all__ = ["parse_pdb"]

#: Bytes behind the last line, so that columns can be cut out of a short one.
_MARGIN = 128
#: Lines that columns are cut out of at once.
_PIECE = 50_000
_FIRST, _LAST = 17, 78


def _word(text: bytes) -> int:
    """Four bytes as one number."""
    return int.from_bytes(text, "little")


_ATOM, _HETATM, _MODEL, _ENDMDL = (_word(text) for text in (b"ATOM", b"HETA", b"MODE", b"ENDM"))
_TER, _END = ((_word(text + b" "), _word(text + b"\n")) for text in (b"TER", b"END"))


def _spellings() -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_]]:
    """Atoms' names at every place in their four columns, sorted, their codes, and whether it is the proper one."""
    found = {}
    for name, code in ATOM_CODES.items():
        for k in range(5 - len(name)):
            found[_word((" " * k + name).ljust(4).encode())] = code, k == 1 and code < 4
    words = sorted(found)
    codes, exact = zip(*(found[word] for word in words), strict=True)
    return np.array(words, dtype=np.uint32), np.array(codes), np.array(exact)


_NAMES, _CODES, _EXACT = _spellings()

#: What may stand behind ATOM.
_SERIAL = np.zeros(256, dtype=bool)
_SERIAL[np.frombuffer(b" 0123456789", dtype=np.uint8)] = True


@dataclass
class _Lines:
    """Lines of a file: where each begins and ends in ``buffer``, and its first four bytes as a number."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    words: NDArray[np.uint32]

    @classmethod
    def of(cls, data: bytes) -> _Lines:
        buffer = np.frombuffer(data + b"\n" + b" " * _MARGIN, dtype=np.uint8)
        ends = np.flatnonzero(buffer == ord("\n"))
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1] + 1
        return cls(buffer, starts, ends, _words(buffer, starts))

    def at(self, which: NDArray[np.integer]) -> _Lines:
        return _Lines(self.buffer, self.starts[which], self.ends[which], self.words[which])

    def are(self, words: tuple[int, int]) -> NDArray[np.bool_]:
        """Whether each line begins with one of two words."""
        found: NDArray[np.bool_] = (self.words == words[0]) | (self.words == words[1])
        return found

    def byte(self, place: int) -> NDArray[np.uint8]:
        """What stands at a place of each line, counted from 0; perhaps behind its end."""
        return self.buffer[self.starts + place]

    def word(self, place: int) -> NDArray[np.uint32]:
        """Four bytes of each line as a number; blanks where it ends before."""
        return np.where(self.ends - self.starts < place + 4, _word(b"    "), _words(self.buffer, self.starts + place))

    def cut(self, first: int, last: int) -> NDArray[np.uint8]:
        """Columns ``first`` to ``last`` of each line, counted from 1 as the format does; blanks behind its end."""
        parts = []
        for start in range(0, len(self.starts) or 1, _PIECE):
            starts, ends = self.starts[start : start + _PIECE], self.ends[start : start + _PIECE]
            # All rows that begin at any byte, without a copy.
            rows = np.ndarray((len(self.buffer) - last + first, last - first + 1), np.uint8, self.buffer, 0, (1, 1))
            part = rows[starts + first - 1]
            if len(starts) and int((ends - starts).min()) < last:
                part[np.arange(first - 1, last) >= (ends - starts)[:, None]] = ord(" ")
            parts.append(part)
        return np.concatenate(parts)


def _words(buffer: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint32]:
    # The four bytes that begin at each byte, as numbers, without a copy.
    every: NDArray[np.uint32] = np.ndarray(len(buffer) - 3, "<u4", buffer, 0, (1,))
    return every[places]


def parse_pdb(data: bytes, source: str, model: int) -> tuple[AtomRows, Header]:
    """The backbone atoms of model ``model`` (0 is the first one), and what stands before the first one.

    Raises
    ------
    StructureError
        If there is no such model, or there are too many atoms or lines.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    check_lines(data, source)
    lines = _Lines.of(data)
    # A serial number above 99,999 may reach into the record's name.
    is_atom = (lines.words == _ATOM) & _SERIAL[lines.byte(4)] & _SERIAL[lines.byte(5)]
    is_atom |= (lines.words == _HETATM) & (lines.byte(4) == ord("T")) & (lines.byte(5) == ord("M"))
    span, first, count = _model(lines, is_atom, model)
    if span is None and count:
        raise malformed(source, f"no model {model}: there are {count}, counted from 0")
    header = pdb_header(_before(data, lines, first))
    if span is None:
        return AtomRows(source), header
    chosen = np.flatnonzero(is_atom[span]) + span.start
    chosen, columns = _columns(lines, chosen, np.flatnonzero(lines.are(_TER)))
    return atom_rows(columns, chosen + 1, source, header.parents), header


def _before(data: bytes, lines: _Lines, first: int) -> Iterator[bytes]:
    """The records before a line that may say something."""
    words = lines.words[:first]
    wanted = (words[:, None] == HEADER_WORDS).any(axis=1)
    remarks = np.flatnonzero(words == REMARK_WORD)
    of_remark = _words(lines.buffer, lines.starts[remarks] + 6)
    wanted[remarks] = (of_remark[:, None] == REMARK_NUMBERS).any(axis=1)
    which = np.flatnonzero(wanted)
    for start, end in zip(lines.starts[which].tolist(), lines.ends[which].tolist(), strict=True):
        record = data[start : min(end, start + 80)]
        # Remark 3 has hundreds of lines of which one is read.
        if record[:10] != b"REMARK   3" or record[10:].lstrip()[:1] in b"Rr":
            yield record


def _model(lines: _Lines, is_atom: NDArray[np.bool_], model: int) -> tuple[slice | None, int, int]:
    """Lines of a model, the first line of any, and how many there are up to it.

    Atoms outside of MODEL and ENDMDL are a model too.
    """
    opens = lines.words == _MODEL
    events = np.flatnonzero(opens | (lines.words == _ENDMDL) | lines.are(_END))
    seen = np.cumsum(is_atom)
    atoms = np.concatenate(([0], seen))[np.append(events, len(is_atom))].tolist()
    count, start, last, before = 0, -1, 0, 0
    for line, so_far, opening in zip(
        [*events.tolist(), len(is_atom)], atoms, [*opens[events].tolist(), False], strict=True
    ):
        if start < 0 and so_far > before:
            start, count = last, count + 1
        if start >= 0 and count == model + 1:
            break
        start, last, before = -1, line, so_far
        if opening:
            start, count = line, count + 1
    else:
        start = -1
    first = min([*np.flatnonzero(opens)[:1].tolist(), *np.flatnonzero(is_atom)[:1].tolist()], default=len(is_atom))
    return (slice(start, line) if start >= 0 else None), first, count


def _columns(lines: _Lines, chosen: NDArray[np.int64], ters: NDArray[np.int64]) -> tuple[NDArray[np.int64], Columns]:
    """The lines of backbone atoms, of those that are ``chosen``, and their columns."""
    atoms = lines.at(chosen)
    # Where a serial number of six digits has pushed everything to the right, the decimal points show it.
    pushed = (atoms.byte(11) - ord("0") < 10) & (atoms.byte(34) != ord(".")) & (atoms.byte(35) == ord("."))
    if pushed.any():
        atoms = replace(atoms, starts=atoms.starts + (pushed & (atoms.ends - atoms.starts > 36)))
    names = atoms.word(12)
    places = np.minimum(np.searchsorted(_NAMES, names), len(_NAMES) - 1)
    index = np.flatnonzero(_NAMES[places] == names)
    atoms, chosen, places = atoms.at(index), chosen[index], places[index]
    codes, exact = _CODES[places], _EXACT[places]
    cut = atoms.cut(_FIRST, _LAST)

    def columns(first: int, last: int) -> NDArray[np.bytes_]:
        """Columns of the format, counted from 1."""
        kind = f"S{last - first + 1}"
        return np.ndarray(len(cut), kind, cut, first - _FIRST, cut.strides[:1]) if len(cut) else np.empty(0, kind)

    table = {
        "atom": codes,
        "comp": columns(18, 20),
        "chain": columns(22, 22),
        "site": columns(17, 27),
        "number": columns(23, 26),
        "code": columns(27, 27),
        "altloc": columns(17, 17),
        "polymer": atoms.words == _ATOM,
        "position": np.zeros(len(codes), dtype="S1"),
        "block": np.searchsorted(ters, chosen),
        "segment": columns(73, 76),
        "x": columns(31, 38),
        "y": columns(39, 46),
        "z": columns(47, 54),
        "occupancy": columns(55, 60),
        "b_factor": columns(61, 66),
        "end": atoms.ends - atoms.starts,
    }
    if not (cut[:, 21 - _FIRST] == ord(" ")).all():
        table["comp"], table["chain"] = _names(columns(18, 22))
    if not exact.all():
        # Names that do not keep to their columns are believed inside amino acids; calcium is no CA there either.
        comps = table["comp"].tolist()
        known = {comp: letter_of(text_of(comp)) is not None for comp in set(comps)}
        believed = np.array([known[comp] for comp in comps], dtype=bool)
        believed &= (codes != ATOM_CODES["CA"]) | (columns(77, 78) != b"CA")
        index = np.flatnonzero(exact | believed)
        chosen, table = chosen[index], {name: values[index] for name, values in table.items()}
    return chosen, table


def _names(columns: NDArray[np.bytes_]) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """Residue name and chain of each atom, from columns 18 to 22.

    Column 21, which the format leaves blank, holds the fourth letter of a residue name or the first one of a chain's.
    """
    changes = np.append(True, columns[1:] != columns[:-1])
    entries = columns[changes].tolist()
    split = {text: _split_names(text.decode("latin-1").ljust(5)) for text in set(entries)}
    # Atoms of one residue have one entry: there are many times fewer of these.
    at = np.cumsum(changes) - 1
    comps, chains = (np.array([split[text][k].encode("latin-1") for text in entries], dtype=bytes)[at] for k in (0, 1))
    return comps, chains


def _split_names(text: str) -> tuple[str, str]:
    comp, extra, chain = text[:3], text[3], text[4]
    if not (extra.isascii() and extra.isalnum()):
        return comp, chain
    longer = comp + extra
    if chain == " " or canonical(longer) != longer.upper():
        return longer, chain
    return comp, extra + chain
