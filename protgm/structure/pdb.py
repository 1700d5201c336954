"""The PDB format (version 3.3, wwPDB 2012): columns are cut out of all records at once, of backbone atoms only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atoms import ATOM_CODES, AtomRows, Columns, Header, Rows, atom_rows, texts_of
from protgm.structure.decimals import read_numbers
from protgm.structure.errors import malformed
from protgm.structure.pdb_header import HEADER_WORDS, MAX_RECORDS, REFINEMENT, REMARK_WORD, REMARKS, pdb_header
from protgm.structure.residues import canonical, letter_of
from protgm.structure.source import check_lines

__all__ = ["parse_pdb"]

#: First and last column of what is read; names of residues and chains may share theirs.
_PLACES = {
    "altloc": (17, 17), "comp": (18, 22), "chain": (18, 22), "number": (23, 26), "code": (27, 27),
    "x": (31, 38), "y": (39, 46), "z": (47, 54), "occupancy": (55, 60), "b_factor": (61, 66), "segment": (73, 76),
}  # fmt: skip

#: What is put behind the last line, so that columns can be cut out of a short one.
_MARGIN = b"\n" + b" " * 128


def _word(text: bytes) -> int:
    """Four bytes as one number."""
    return int.from_bytes(text, "little")


_ATOM, _HETATM, _MODEL, _ENDMDL = (_word(text) for text in (b"ATOM", b"HETA", b"MODE", b"ENDM"))
_SEQRES = _word(b"SEQR"), _word(b"QRES")
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
        buffer = np.frombuffer(data + _MARGIN, dtype=np.uint8)
        marks, size = buffer == ord("\n"), data.find(b"\n") + 1
        # Most files have lines of one length: where they end need not be looked for.
        alike = size > 0 and len(data) % size == 0 and np.count_nonzero(marks) == len(data) // size + 1
        ends = np.append(np.arange(size - 1, len(data), size), len(data)) if alike else np.empty(0, dtype=np.int64)
        if not alike or not marks[ends].all():
            ends = np.flatnonzero(marks)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1] + 1
        return cls(buffer, starts, ends, _words(buffer, starts))

    @cached_property
    def _shortest(self) -> int:
        return int((self.ends - self.starts).min(initial=len(self.buffer)))

    def at(self, which: Rows) -> _Lines:
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
        found = self.from_byte(place)
        if self._shortest < place + 4:
            found[self.ends - self.starts < place + 4] = _word(b"    ")
        return found

    def from_byte(self, place: int) -> NDArray[np.uint32]:
        """As `word`, perhaps with what stands behind the line's end."""
        return _words(self.buffer, self.starts + place)

    def cut(self, first: int, last: int, rows: Rows = slice(None)) -> NDArray[np.bytes_]:
        """Columns ``first`` to ``last`` of lines, counted from 1 as the format does; blanks behind their ends."""
        width, starts = last - first + 1, self.starts[rows]
        # All texts that begin at any byte, without a copy.
        every = np.ndarray((len(self.buffer) - width + 1, width), np.uint8, self.buffer, 0, (1, 1))
        found = every[starts + first - 1]
        if self._shortest < last:
            found[np.arange(first - 1, last) >= (self.ends[rows] - starts)[:, None]] = ord(" ")
        return found.view(f"S{width}")[:, 0]


def _words(buffer: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint32]:
    # The four bytes that begin at each byte, as numbers, without a copy.
    every: NDArray[np.uint32] = np.ndarray(len(buffer) - 3, "<u4", buffer, 0, (1,))
    return every[places]


class _Records(Columns):
    """Backbone atoms whose columns are cut out of their lines where they are asked for."""

    def __init__(self, lines: _Lines, codes: NDArray[np.int64], blocks: NDArray[np.int64]) -> None:
        none, ends = np.zeros(len(codes), dtype="S1"), lines.ends - lines.starts
        polymer = lines.words == _ATOM
        super().__init__({"atom": codes, "polymer": polymer, "block": blocks, "position": none, "end": ends})
        self.lines = lines

    def take(self, rows: Rows, *names: str) -> list[NDArray[Any]]:
        cuts = [_PLACES[name] for name in names if name in _PLACES]
        first, last = min((a for a, _ in cuts), default=1), max((b for _, b in cuts), default=1)
        # Neighbours in one go, as views of it.
        cut = self.lines.cut(first, last, rows if cuts else slice(0))

        def column(name: str) -> NDArray[Any]:
            if name in self.table:
                return self.table[name][rows]
            a, b = _PLACES[name]
            kind = f"S{b - a + 1}"
            # A view of nothing may not have steps.
            values = np.ndarray(len(cut), kind, cut, a - first, cut.strides) if len(cut) else np.empty(0, kind)
            return _names(values)[name == "chain"] if name in ("comp", "chain") else values

        return [*map(column, names)]

    def points(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        values, wrong = read_numbers(self.lines.cut(31, 54, rows).view("S8"))
        return values.reshape(-1, 3), wrong.reshape(-1, 3)

    def changes(self) -> NDArray[np.bool_]:
        names = [self.lines.from_byte(k) for k in (16, 20, 23)]
        columns = [*names, self.table["polymer"], self.table["block"]]
        found: NDArray[np.bool_] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
        return found


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
    header = _header(data, lines.at(slice(first)))
    if span is None:
        return AtomRows(source), header
    chosen = np.flatnonzero(is_atom[span]) + span.start
    chosen, columns = _atoms(lines, chosen, np.flatnonzero(lines.are(_TER)))
    return atom_rows(columns, chosen + 1, source, header.parents), header


def _header(data: bytes, lines: _Lines) -> Header:
    """What the records say that stand before the atoms."""
    polymers = lines.at(np.flatnonzero((lines.words == _SEQRES[0]) & (lines.from_byte(2) == _SEQRES[1]))[:MAX_RECORDS])
    names = polymers.cut(19, 70).view(np.uint8).reshape(-1, 52)
    names[:, 0] = ord(" ")  # between the names of one line and the next
    seqres: dict[bytes, bytes] = {}
    chains = polymers.cut(12, 12)
    begins = np.flatnonzero(np.append(True, chains[1:] != chains[:-1])[: len(chains)]).tolist()
    for begin, end in itertools.pairwise([*begins, len(chains)]):
        chain = chains[begin : begin + 1].tobytes()
        seqres[chain] = seqres.get(chain, b"") + names[begin:end].tobytes()
    of_word = _matching(lines.words, HEADER_WORDS)
    remarks = np.flatnonzero(lines.words == REMARK_WORD)
    numbers = lines.at(remarks).from_byte(6)
    refinement = remarks[_matching(numbers, REFINEMENT)]
    of_word[remarks[_matching(numbers, REMARKS)]] = True
    return pdb_header(_records(data, lines.at(np.flatnonzero(of_word))), _records(data, lines.at(refinement)), seqres)


def _matching(words: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.logical_or.reduce([words == word for word in wanted])
    return found


def _records(data: bytes, lines: _Lines) -> Iterator[bytes]:
    """The text of lines, 80 characters of it."""
    for start, end in zip(lines.starts.tolist(), lines.ends.tolist(), strict=True):
        yield data[start : min(end, start + 80)]


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


def _atoms(lines: _Lines, chosen: NDArray[np.int64], ters: NDArray[np.int64]) -> tuple[NDArray[np.int64], Columns]:
    """The lines of backbone atoms, of those that are ``chosen``, and their columns."""
    atoms = lines.at(chosen)
    # Where a serial number of six digits has pushed everything to the right, the decimal points show it.
    pushed = atoms.byte(11) - ord("0") < 10
    if pushed.any():
        pushed &= (atoms.byte(34) != ord(".")) & (atoms.byte(35) == ord("."))
        atoms = replace(atoms, starts=atoms.starts + (pushed & (atoms.ends - atoms.starts > 36)))
    names = atoms.word(12)
    places = np.minimum(np.searchsorted(_NAMES, names), len(_NAMES) - 1)
    index = np.flatnonzero(_NAMES[places] == names)
    codes, exact = _CODES[places[index]], _EXACT[places[index]]
    if not exact.all():
        # Names that do not keep to their columns are believed inside amino acids; calcium is no CA there either.
        others = atoms.at(index[~exact])
        comps = texts_of(_names(others.cut(18, 22))[0])
        known = {comp: letter_of(comp) is not None for comp in set(comps)}
        believed = np.array([known[comp] for comp in comps], dtype=bool)
        believed &= (codes[~exact] != ATOM_CODES["CA"]) | (others.cut(77, 78) != b"CA")
        exact = exact.copy()
        exact[~exact] = believed
        index, codes = index[exact], codes[exact]
    chosen = chosen[index]
    return chosen, _Records(atoms.at(index), codes, np.searchsorted(ters, chosen))


def _names(columns: NDArray[np.bytes_]) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """Residue name and chain of each atom, from columns 18 to 22.

    Column 21, which the format leaves blank, holds the fourth letter of a residue name or the first one of a chain's.
    """
    parts = columns.view([("comp", "S3"), ("fourth", "u1"), ("chain", "S1")])
    if (parts["fourth"] == ord(" ")).all():
        return parts["comp"], parts["chain"]
    entries = columns.tolist()
    split = {text: _split_names(text.decode("latin-1").ljust(5)) for text in set(entries)}
    comps, chains = (np.array([split[text][k].encode("latin-1") for text in entries], dtype=bytes) for k in (0, 1))
    return comps, chains


def _split_names(text: str) -> tuple[str, str]:
    comp, extra, chain = text[:3], text[3], text[4]
    if not (extra.isascii() and extra.isalnum()):
        return comp, chain
    longer = comp + extra
    if chain == " " or canonical(longer) != longer.upper():
        return longer, chain
    return comp, extra + chain
