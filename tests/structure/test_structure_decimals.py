"""Numbers in columns of bytes, against Python's own reading of each."""

import numpy as np
import pytest

from protgm.structure.decimals import plain_decimals


@pytest.mark.parametrize("places", [0, 1, 3, 5, 9])
@pytest.mark.parametrize("pad", [bytes.ljust, None])
def test_to_the_bit_what_float_makes_of_them(places, pad):
    rng = np.random.default_rng(places)
    texts = [b"%.*f" % (max(places, 1), v) for v in rng.normal(size=500) * 10.0 ** rng.integers(-3, 5, size=500)]
    texts += [b"-0.000", b"0.0", b"-.5", b".25", b"7."]
    width = max(map(len, texts))
    column = np.array([text.ljust(width) for text in texts] if pad else texts)
    numbers = plain_decimals(column)
    assert numbers is not None
    assert numbers.tobytes() == np.array([float(text) for text in texts]).tobytes()


@pytest.mark.parametrize(
    "text",
    [b"", b"   ", b"-", b".", b"-.", b"1", b"1.2.3", b"--1.0", b"1.-0", b"+1.0", b"1e3", b"1.0e3", b"nan", b"1_0.0",
     b"1. 0", b" 1.0", b"1.0\t", b"1.0\xb2", b"?", b"1234567890123.456"],
)  # fmt: skip
def test_left_to_others(text):
    assert plain_decimals(np.array([b"1.000", text])) is None
