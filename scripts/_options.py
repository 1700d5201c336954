"""The command line of the scripts here: words of the form ``key=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["options"]


def options(
    arguments: Sequence[str], defaults: Mapping[str, str], *, needed: Sequence[str] = (), words: str | None = None
) -> dict[str, str]:
    """What the command line says, and the defaults for the rest; text all of it.

    Parameters
    ----------
    arguments : sequence of str
        ``key=value``.
    defaults : dict of str
        All options that there are.
    needed : sequence of str
        Those that must be given.
    words : str, optional
        The script's own text, told where one of these is missing.

    Raises
    ------
    SystemExit
        With a line that names the option that does not exist, has no value, or is missing.
    """
    found = dict(defaults)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in defaults:
            raise SystemExit(f"{key}: no such option; there are {', '.join(defaults)}")
        if not equals:
            raise SystemExit(f"{argument}: options have the form key=value")
        found[key] = value
    missing = [f"{key}=" for key in needed if not found[key]]
    if missing:
        raise SystemExit("\n\n".join(filter(None, (f"{', '.join(missing)} must be given", words))))
    return found
