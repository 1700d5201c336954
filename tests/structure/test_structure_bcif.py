"""Encodings of BinaryCIF columns, each against what the specification's example or plain Python says."""

import numpy as np
import pytest

from protgm.structure import StructureError, bcif, read_structure
from protgm.structure.bcif import MAX_ENTRIES, MAX_ROWS, _decode, unpack


def column(values, kind, *encodings):
    """Bytes of the innermost array under a chain of encodings, outermost first."""
    dtype = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}[kind]
    data = np.asarray(values, dtype=dtype).tobytes()
    return {"data": data, "encoding": [*encodings, {"kind": "ByteArray", "type": kind}]}


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 32, 33])
def test_byte_array(kind):
    np.testing.assert_array_equal(_decode(column([1, 2, 100], kind)), [1, 2, 100])


def test_fixed_point_delta_run_length():
    np.testing.assert_allclose(
        _decode(column([1234, -5], 3, {"kind": "FixedPoint", "factor": 1000, "srcType": 33})), [1.234, -0.005]
    )
    # Delta and RunLength of the specification: [1000, 1003, 1005, 1006], [1, 1, 1, 1, 2, 3, 3].
    np.testing.assert_array_equal(
        _decode(column([0, 3, 2, 1], 3, {"kind": "Delta", "origin": 1000, "srcType": 3})), [1000, 1003, 1005, 1006]
    )
    np.testing.assert_array_equal(
        _decode(column([1, 4, 2, 1, 3, 2], 3, {"kind": "RunLength", "srcType": 3, "srcSize": 7})), [1, 1, 1, 1, 2, 3, 3]
    )
    interval = {"kind": "IntervalQuantization", "min": 1, "max": 2, "numSteps": 3, "srcType": 33}
    np.testing.assert_allclose(_decode(column([0, 0, 1, 2, 2, 1], 3, interval)), [1, 1, 1.5, 2, 2, 1.5])


def test_integer_packing():
    packing = {"kind": "IntegerPacking", "byteCount": 1, "isUnsigned": False, "srcSize": 6}
    # The specification's [1, 2, -3, 128]; 127 is continued by 1; a value at the limit itself is followed by 0.
    np.testing.assert_array_equal(
        _decode(column([1, 2, -3, 127, 1, 127, 0, -128, -2], 1, packing)), [1, 2, -3, 128, 127, -130]
    )
    unsigned = packing | {"isUnsigned": True}
    np.testing.assert_array_equal(_decode(column([1, 255, 255, 3, 0], 4, unsigned)), [1, 513, 0])
    assert len(_decode(column([], 1, packing))) == 0
    with pytest.raises(ValueError, match="end within a value"):
        _decode(column([1, 127], 1, packing))


def test_strings(cases):
    assert _decode(cases.string_array(["a", "AB", "a", "", "AB"])).tolist() == ["a", "AB", "a", "", "AB"]
    none = cases.string_array(["a"])
    none["data"] = np.array([-1, 0], dtype="<i4").tobytes()
    assert _decode(none).tolist() == [".", "a"]


@pytest.mark.parametrize(
    ("kind", "values", "encoding"),
    [
        (3, [1, MAX_ROWS + 1], {"kind": "RunLength"}),
        (3, [1, -1], {"kind": "RunLength"}),
        (3, [1, MAX_ROWS, 1, MAX_ROWS], {"kind": "RunLength"}),
        (3, [1, 2, 3], {"kind": "RunLength"}),
        (3, [1, 2], {"kind": "Nonsense"}),
        (3, [1, 2], {"kind": "FixedPoint", "factor": "x"}),
        (3, [1, 2], {}),
    ],
)
def test_columns_that_cannot_be(kind, values, encoding):
    with pytest.raises((ValueError, KeyError, TypeError)):
        _decode(column(values, kind, encoding))


def test_offsets_that_would_make_much_of_little(cases):
    data = cases.string_array(["abc", "d"])
    data["encoding"][0]["offsets"] = np.array([0, 3, 0, 3, 0, 3], dtype="<i4").tobytes()
    with pytest.raises(ValueError, match="out of order"):
        _decode(data)


def write(cases, tmp_path, change):
    document = cases.bcif_document(cases.atoms_of(cases.helix()))
    atom_site = document["dataBlocks"][0]["categories"][0]
    columns = {c["name"]: c for c in atom_site["columns"]}
    change(document, atom_site, columns)
    path = tmp_path / "x.bcif"
    path.write_bytes(cases.pack(document))
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d, a, c: d.pop("dataBlocks") and d.update(dataBlocks_=1), "there is no 'dataBlocks'"),
        (lambda d, a, c: d.update(dataBlocks=[]), "no _atom_site category"),
        (lambda d, a, c: d.update(dataBlocks=7), "something in it is not what it should be"),
        (lambda d, a, c: a.update(rowCount=-1), "category _atom_site claims -1 rows"),
        (lambda d, a, c: a.update(rowCount=10**12), "claims 1000000000000 rows"),
        (lambda d, a, c: a.update(rowCount=23), "label_atom_id has 24 values for 23 rows"),
        (lambda d, a, c: c["Cartn_x"].update(name="x"), "no column cartn_x"),
        (lambda d, a, c: c["Cartn_x"].update(data=c["group_PDB"]["data"]), "x coordinate 'ATOM' is not a number"),
        (lambda d, a, c: c["auth_seq_id"].update(data=c["Cartn_x"]["data"]), "residue number '.*' is not a whole"),
        (lambda d, a, c: c["Cartn_y"]["data"].update(data=b"123"), "something in it is not what it should be"),
        (lambda d, a, c: c["Cartn_y"]["data"].update(encoding=c["Cartn_y"]["data"]["encoding"] * 9), "encoded 9 times"),
    ],
)
def test_damaged_documents(cases, tmp_path, change, reason):
    path = write(cases, tmp_path, change)
    with pytest.raises(StructureError, match=reason) as caught:
        read_structure(path)
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)


def test_run_length_bomb(cases, tmp_path):
    """Some hundred bytes that stand for more than a million atoms."""
    size = 1_000_001

    def change(document, atom_site, columns):
        atom_site["rowCount"] = size
        for name, entry in columns.items():
            entry["mask"] = None
            data = column([0, size], 3, {"kind": "RunLength", "srcType": 3, "srcSize": size})
            if name not in ("Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "auth_seq_id", "label_seq_id"):
                strings = cases.string_array(["CA"])
                strings["encoding"][0]["dataEncoding"] = data["encoding"]
                data = {"data": data["data"], "encoding": strings["encoding"]}
            entry["data"] = data

    with pytest.raises(StructureError, match="more than 1,000,000 backbone atoms"):
        read_structure(write(cases, tmp_path, change))


def test_what_was_packed(cases):
    document = cases.bcif_document(cases.atoms_of(cases.helix()))
    assert unpack(cases.pack(document)) == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x92\x01",
        b"\xcb\x00",
        b"\xa5ab",
        b"\xc6\xff\xff\xff\xffab",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff",
        b"\xdd" + (MAX_ENTRIES + 1).to_bytes(4, "big") + bytes(MAX_ENTRIES + 1),
        b"\x81\x01\x01",
        b"\xa1\xff",
        b"\xc1",
        b"\xd4\x01\x01",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x01\x02",
        b"\x91" * 100_000 + b"\x01",
        # Each claims as many entries as may be before any is there.
        b"\xdd\x00\x00\x4e\x20" * 100_000,
    ],
)
def test_messagepack_that_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match=r"."):
        unpack(data)
    path = tmp_path / "x.bcif"
    path.write_bytes(b"\x82\xaadataBlocks" + data)
    with pytest.raises(StructureError, match=r"is not BinaryCIF or is cut off|malformed BinaryCIF") as caught:
        read_structure(path)
    assert str(caught.value).isprintable()


def test_the_number_of_containers_is_bounded_over_the_whole_document(monkeypatch):
    monkeypatch.setattr(bcif, "MAX_CONTAINERS", 1000)
    inner = b"\xdc\x00\xfa" + b"\x90" * 250
    with pytest.raises(ValueError, match="more than 1,000 arrays and maps"):
        unpack(b"\x94" + inner * 4)
    assert [len(entry) for entry in unpack(b"\x93" + inner * 3)] == [250] * 3


def test_a_document_that_nests_deep_is_refused_or_read(cases, tmp_path):
    document = cases.bcif_document(cases.atoms_of(cases.helix()))
    document["dataBlocks"][0]["categories"][0]["rowCount"] = "DEEP"
    path = tmp_path / "x.bcif"
    path.write_bytes(cases.pack(document).replace(cases.pack("DEEP"), b"\x91" * 500 + b"\x01"))
    with pytest.raises(StructureError, match=r"claims|malformed BinaryCIF"):
        read_structure(path)
