"""MessagePack: every type of the specification that is taken, and what hostile bytes ask for."""

import math
import struct

import pytest

from protgm.structure import messagepack
from protgm.structure.messagepack import MAX_DEPTH, unpack


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x00", 0),
        (b"\x7f", 127),
        (b"\xff", -1),
        (b"\xe0", -32),
        (b"\xc0", None),
        (b"\xc2", False),
        (b"\xc3", True),
        (b"\xcc\xff", 255),
        (b"\xcd\xff\xfe", 65534),
        (b"\xce\xff\xff\xff\xff", 2**32 - 1),
        (b"\xcf" + b"\xff" * 8, 2**64 - 1),
        (b"\xd0\x80", -128),
        (b"\xd1\x80\x00", -(2**15)),
        (b"\xd2\x80\x00\x00\x00", -(2**31)),
        (b"\xd3\x80" + b"\x00" * 7, -(2**63)),
        (b"\xca" + struct.pack(">f", 1.5), 1.5),
        (b"\xcb" + struct.pack(">d", math.pi), math.pi),
        (b"\xa0", ""),
        (b"\xa2\xc3\xa9", "\u00e9"),
        (b"\xd9\x20" + b"x" * 32, "x" * 32),
        (b"\xda\x00\x02ab", "ab"),
        (b"\xdb\x00\x00\x00\x02ab", "ab"),
        (b"\xc4\x02\x00\xff", b"\x00\xff"),
        (b"\xc5\x00\x01\x01", b"\x01"),
        (b"\xc6\x00\x00\x00\x01\x01", b"\x01"),
        (b"\x90", []),
        (b"\x93\x01\xa1a\xc0", [1, "a", None]),
        (b"\xdc\x00\x02\x01\x02", [1, 2]),
        (b"\xdd\x00\x00\x00\x02\x01\x02", [1, 2]),
        (b"\x80", {}),
        (b"\x82\xa1a\x01\xa1b\x81\xa1a\x90", {"a": 1, "b": {"a": []}}),
        (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
        (b"\xdf\x00\x00\x00\x01\xd9\x01a\x01", {"a": 1}),
    ],
)
def test_values(data, value):
    assert unpack(data) == value
    assert type(unpack(data)) is type(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends within a value, after 0 bytes"),
        (b"\x92\x01", "ends within a value, after 2 bytes"),
        (b"\xcb\x00", "ends within a number"),
        (b"\xa5ab", "5 bytes wanted at byte 1, 2 are left"),
        (b"\xc6\xff\xff\xff\xffab", r"4,294,967,295 bytes wanted at byte 5, 2 are left"),
        (b"\xdd\xff\xff\xff\xff", "more than 2,000,000 values"),
        (b"\xdf\x7f\xff\xff\xff", "more than 2,000,000 values"),
        (b"\x81\x01\x01", "a map key at byte 1 is no text"),
        (b"\x82\xa1a\x01\xa1a", "ends within"),
        (b"\xa1\xff", "text at byte 1 is not UTF-8"),
        (b"\xc1", "byte 0xc1 at 0 begins no value"),
        (b"\xd4\x01\x01", "byte 0xd4 at 0 begins no value"),
        (b"\x01\x02", "1 bytes follow the document at byte 1"),
        (b"\x91" * (MAX_DEPTH + 1) + b"\x01", f"nested deeper than {MAX_DEPTH}"),
        (b"\x93\xa3abc\x81\xa3abc\x01\xa3ab", "ends within a text|wanted"),
    ],
)
def test_what_is_refused(data, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        unpack(data)
    assert str(caught.value).isprintable()


def test_the_number_of_values_is_bounded_over_the_whole_document(monkeypatch):
    monkeypatch.setattr(messagepack, "MAX_OBJECTS", 1000)
    inner = b"\xdc" + struct.pack(">H", 250) + b"\xc0" * 250
    with pytest.raises(ValueError, match="more than 1,000 values"):
        unpack(b"\x94" + inner * 4)
    assert [len(entry) for entry in unpack(b"\x93" + inner * 3)] == [250] * 3


def test_what_was_packed(cases):
    document = cases.bcif_document(cases.atoms_of(cases.helix()))
    assert unpack(cases.pack(document)) == document


def test_stepping_over_what_is_not_wanted(cases):
    inner = {"name": "Kept", "x": [1, None, -5, 2**40, "a" * 40, b"raw" * 100, 1.5, {"y": [[], {}]}]}
    dropped = inner | {"name": "dropped"}
    document = {"all": [inner, dropped, {"x": dropped, "name": "dropped"}, dropped, inner], "name": "dropped"}
    data = cases.pack(document)
    stub = {"name": "dropped"}
    expected = [inner, stub, {"x": stub, "name": "dropped"}, stub, inner]
    assert unpack(data, {"kept"}) == {"all": expected, "name": "dropped"}
    for codes in (b"\xdc\x00\x01\x01", b"\xde\x00\x01\xa1x\x01", b"\xda\x00\x02ab", b"\xc4\x01z", b"\x91\xc3"):
        assert unpack(b"\x92\x82\xa4name\xa1q\xa1x" + codes + b"\x07", ()) == [{"name": "q"}, 7]


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"", "ends within a value"),
        (b"\x95\x01", "ends within a value"),
        (b"\xc6\xff\xff\xff\xff", "ends within"),
        (b"\xdd\xff\xff\xff\xff", "more than 2,000,000 values"),
        (b"\xc1", "byte 0xc1 at 8 begins no value"),
    ],
)
def test_damage_in_what_is_stepped_over(rest, reason):
    with pytest.raises(ValueError, match=reason):
        unpack(b"\x82\xa4name\xa1x" + rest, {"kept"})
