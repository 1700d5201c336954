"""Numbers in columns of bytes, against Python's own reading of each."""

import numpy as np
import pytest

from protgm.structure.decimals import plain_decimals, read_numbers


@pytest.mark.parametrize("places", [0, 1, 3, 5, 9])
@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("pad", [bytes.ljust, bytes.rjust, bytes.center, None])
def test_to_the_bit_what_float_makes_of_them(places, pad, many):
    rng = np.random.default_rng(places)
    texts = [b"%.*f" % (max(places, 1), v) for v in rng.normal(size=500) * 10.0 ** rng.integers(-3, 5, size=500)]
    texts += [b"-0.000", b"0.0", b"-.5", b".25", b"7."]
    # Few are read one by one, many eight characters at once.
    texts *= many
    width = max(map(len, texts))
    column = np.array([pad(text, width) for text in texts] if pad else texts)
    numbers = plain_decimals(column)
    assert numbers is not None
    assert numbers.tobytes() == np.array([float(text) for text in texts]).tobytes()


@pytest.mark.parametrize(
    "text",
    [b"", b"   ", b"-", b".", b"-.", b"1.2.3", b"--1.0", b"1.-0", b"+1.0", b"1e3", b"1.0e3", b"nan", b"1_0.0",
     b"1. 0", b"- 1.0", b"1.0\t", b"1.0\xb2", b"?"],
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 2000])
def test_left_to_others(text, number):
    assert plain_decimals(np.array([b"  1.000"] * number + [text.rjust(7)])) is None


def test_eight_characters_at_once():
    rng = np.random.default_rng(0)
    texts = [bytes(rng.choice([*b"0123456789.- "], size=8).tolist()) for _ in range(3000)]
    plain = []
    for text in texts:
        # Beside many others with a point at the same place, so that it is not read alone.
        column = np.array([b"   1.000"] * 600 + [text])
        try:
            wanted = float(text)
        except ValueError:
            assert plain_decimals(column) is None, text
        else:
            plain.append(text)
            assert plain_decimals(column)[-1] == wanted, text
    assert len(plain) > 50


@pytest.mark.parametrize("column", [
    np.array([b"1.5", b"NaN", b".", b"?", b"1.25(3)", b"+2e1", b"x", b"1_0", b"", b"0x1", b"inf"]),
    np.array(["1.5", "NaN", ".", "?", "1.25(3)", "+2e1", "x", "1_0", "", "\u0663", "inf"], dtype=object),
])  # fmt: skip
def test_numbers_none_and_nonsense(column):
    values, wrong = read_numbers(column)
    assert values[[0, 4, 5, 10]].tolist() == [1.5, 1.25, 20.0, np.inf]
    assert np.isnan(values[[1, 2, 3]]).all()
    assert wrong.nonzero()[0].tolist() == [6, 7, 8, 9]
    assert read_numbers(column, blank=True)[1].nonzero()[0].tolist() == [6, 7, 9]
    assert read_numbers(np.array([1, 2]))[0].tolist() == [1.0, 2.0]
