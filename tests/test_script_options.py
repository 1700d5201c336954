"""`scripts/_options.py`: the words of a script's command line."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

options = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "_options.py"))["options"]


def test_what_is_not_given_has_its_default():
    assert options(["b=2", "c=x=y,z="], {"a": "1", "b": "", "c": ""}) == {"a": "1", "b": "2", "c": "x=y,z="}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d=2"], "d: no such option; there are a, b"),
        (["a"], "a: options have the form key=value"),
        (["a=3"], "b= must be given\n\nhow it is used"),
        (["b="], "b= must be given"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words):
    with pytest.raises(SystemExit, match=words):
        options(arguments, {"a": "1", "b": ""}, needed=["b"], words="how it is used")
