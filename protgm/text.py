"""Text that comes from elsewhere, made safe to show."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, limit: int = 80) -> str:
    r"""``text`` on one line, control and formatting characters escaped, shortened to ``limit`` characters.

    Whatever stands in a file may end on a terminal through a message: escape sequences must not.

    >>> printable("A\x1b[2J")
    'A\\x1b[2J'
    """
    shown = str(text)
    if len(shown) > limit:
        shown = shown[: limit - 3] + "..."
    # Nearly always, and many times faster than looking at its characters one by one.
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
