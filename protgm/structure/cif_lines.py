"""The lines of a CIF file, found but not cut: where each begins, which are in text fields, and the values on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from protgm.structure.errors import malformed
from protgm.structure.source import MAX_LINE, check_lines

__all__ = ["CifLines", "ends_loop"]

# A quoted value ends at a quote that is followed by white space. An opening quote that finds no end is the last
# alternative, and an error: retrying it as a bare word would take quadratic time on hostile lines.
_TOKEN = re.compile(rb"""'((?:[^']|'(?=\S))*)'(?!\S)|"((?:[^"]|"(?=\S))*)"(?!\S)|(\#.*)|([^\s'"]\S*)|(['"])""")
_SPECIAL = re.compile(rb"""['"#]""")
_RESERVED = (b"loop_", b"data_", b"save_", b"stop_", b"global_")
_SEMICOLON = ord(";")
#: First bytes of lines that may hold a tag, ``loop_`` or ``data_``.
_MARKS = np.zeros(256, dtype=bool)
_MARKS[np.frombuffer(b"_lLdD \t", dtype=np.uint8)] = True


def ends_loop(line: bytes) -> bool:
    """Whether a line of a CIF file that is not in a text field ends the values of a loop."""
    return line.lstrip()[:7].lower().startswith((b"_", *_RESERVED))


class CifLines:
    """The lines of a file with a position, ``at``, that readers move.

    Nothing is made of a line before it is asked for: most of a file is in categories that nobody reads.

    Parameters
    ----------
    data : bytes
        The file, lines separated by ``\\n`` alone.
    source : str
        Its path, for messages.

    Attributes
    ----------
    data : bytes
        With a line end behind the last line.
    edges : ndarray of int, shape (lines + 1,)
        Line i is ``data[edges[i] + 1 : edges[i + 1]]``.
    first : ndarray of uint8, shape (lines,)
        First byte of each line; of an empty one its end.

    Raises
    ------
    StructureError
        If there are too many lines or one is too long.
    """

    def __init__(self, data: bytes, source: str) -> None:
        self.data = data if data.endswith(b"\n") else data + b"\n"
        self.source = source
        self.at = 0
        check_lines(self.data, source)
        buffer = np.frombuffer(self.data, dtype=np.uint8)
        self.edges = np.concatenate(([-1], np.flatnonzero(buffer == ord("\n"))))
        self.first = buffer[self.edges[:-1] + 1]
        # Single numbers come out of a memoryview several times faster than out of an array.
        self._edges: memoryview[int] = memoryview(self.edges.data)
        if (longest := int(self.lengths.max())) > MAX_LINE:
            what = f"a line of {longest:,} characters, more than the limit of {MAX_LINE:,}"
            raise malformed(source, what, int(self.lengths.argmax()) + 1)
        # Text fields stand between two lines that begin with a semicolon, and nothing in one can be anything else:
        # the semicolons of a file are opening and closing ones in turn.
        self._semicolons = np.flatnonzero(self.first == _SEMICOLON)

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __getitem__(self, number: int) -> bytes:
        return self.data[self._edges[number] + 1 : self._edges[number + 1]]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each line without its end."""
        return np.diff(self.edges) - 1

    def span(self, number: int) -> tuple[int, int]:
        """Where in ``data`` a line begins and where it ends."""
        return self._edges[number] + 1, self._edges[number + 1]

    def marked(self) -> list[int]:
        """Numbers of the lines outside text fields that may hold a tag, ``loop_`` or ``data_``."""
        marked = _MARKS[self.first]
        if len(self._semicolons):
            marked &= np.cumsum(self.first == _SEMICOLON) % 2 == 0
        return np.flatnonzero(marked).tolist()

    def check_closed(self) -> None:
        """Refuse a file whose last text field has no end."""
        if len(self._semicolons) % 2:
            raise self._unclosed(int(self._semicolons[-1]))

    def _unclosed(self, number: int) -> Exception:
        return malformed(self.source, "a text field that begins with ';' has no end", number + 1)

    def tokens(self, line: bytes) -> list[bytes]:
        """The values on one line, without quotes and comment."""
        if not _SPECIAL.search(line):
            return line.split()
        found = []
        for match in _TOKEN.finditer(line):
            kind = match.lastindex
            if kind == 5:
                raise malformed(self.source, "a quoted value has no end", self.at + 1)
            if kind != 3:
                found.append(match[kind or 4])
        return found

    def text_field(self) -> bytes:
        """The text between two lines that begin with a semicolon; the position moves to the closing line."""
        opening = self.at
        following = int(np.searchsorted(self._semicolons, opening, side="right"))
        if following == len(self._semicolons):
            raise self._unclosed(opening)
        self.at = int(self._semicolons[following])
        return self.data[self._edges[opening] + 2 : self._edges[self.at]]

    def values(self) -> Iterator[tuple[bytes, int]]:
        """The values from here on, with their lines, up to the next tag or reserved word."""
        while self.at < len(self):
            line = self[self.at]
            number = self.at + 1
            if line[:1] == b";":
                text = self.text_field()
                self.at += 1
                yield text, number
                continue
            if ends_loop(line):
                return
            found = self.tokens(line)
            self.at += 1
            for token in found:
                yield token, number
