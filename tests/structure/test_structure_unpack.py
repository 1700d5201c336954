"""Compressed files, and files that are something else."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from protgm.structure import StructureError, read_structure, unpack
from protgm.structure.source import is_structure_file, stem

PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.fixture
def text(cases):
    return cases.pdb_bytes(cases.atoms_of(cases.helix(200)))


@pytest.fixture
def reason(tmp_path):
    def of(data, **options):
        path = tmp_path / "x.pdb"
        path.write_bytes(data)
        with pytest.raises(StructureError) as caught:
            read_structure(path, **options)
        assert str(caught.value).isprintable()
        return str(caught.value).removeprefix(f"{path}: ")

    return of


@pytest.fixture(params=sorted(PACKERS))
def packing(request):
    return request.param


def test_whatever_the_name_says(text, packing, tmp_path):
    path = tmp_path / "x.pdb"
    pack = PACKERS[packing]
    for data in (pack(text), pack(text[:500]) + pack(b"") + pack(text[500:])):
        path.write_bytes(data)
        assert len(read_structure(path)) == 200


def test_zstd_where_python_has_it(text, tmp_path, reason):
    zstd = pytest.importorskip("compression.zstd")
    path = tmp_path / "x.pdb.zst"
    path.write_bytes(zstd.compress(text))
    assert len(read_structure(path)) == 200
    assert reason(zstd.compress(text)[:-5]) == "is a truncated zstd file"


def test_zstd_where_python_has_none(monkeypatch, reason):
    packings = tuple(p._replace(unpacker=None) if p.name == "zstd" else p for p in unpack._PACKINGS)
    monkeypatch.setattr(unpack, "_PACKINGS", packings)
    assert reason(ZSTD + b"anything") == "is compressed with zstd, which takes Python 3.14 to read: unpack it before"


def test_limits_and_damage(text, packing, reason):
    packed = PACKERS[packing](text)
    limit = len(text) - 1
    assert reason(packed, max_bytes=limit) == f"unpacks to more than the limit of {limit:,} bytes"
    assert reason(packed[: len(packed) // 2]) == f"is a truncated {packing} file"
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    assert reason(bytes(broken)).startswith(f"is a damaged {packing} file (")
    assert reason(PACKERS[packing](b"") * 20_001) == f"is a {packing} file of more than 20,000 members"


def test_bombs(packing, reason):
    pack = PACKERS[packing]
    assert reason(pack(bytes(1 << 20)) * 140) == "unpacks to more than the limit of 134,217,728 bytes"


def test_xz_that_asks_for_much_memory(text, reason):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    assert reason(lzma.compress(text, filters=filters)).startswith("is a damaged xz file (")


@pytest.mark.parametrize("inner", sorted(PACKERS))
def test_twice(text, packing, inner, reason):
    twice = PACKERS[packing](PACKERS[inner](text))
    assert reason(twice) == f"is compressed twice ({packing}, and {inner} in it): unpack it once"


def zipped(text):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.pdb", text)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (zipped, "is a zip archive: unpack it before"),
        (lambda text: text.decode().encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        (lambda text: text.decode().encode("utf-16-le"), "is text in UTF-16: save it as UTF-8"),
        (lambda text: text.decode().encode("utf-16-be"), "is text in UTF-16: save it as UTF-8"),
        (lambda _: b"<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page (HTML), no structure file"),
        (lambda _: b"\n <HTML lang='en'>", "is a web page (HTML), no structure file"),
        (lambda _: b'<?xml version="1.0"?><PDBx/>', "is XML: PDB, mmCIF or BinaryCIF is wanted"),
        (lambda _: json.dumps({"detail": "not found"}).encode(), "is JSON: PDB, mmCIF or BinaryCIF is wanted"),
        (lambda _: json.dumps([{"a": 1}], indent=1).encode(), "is JSON: PDB, mmCIF or BinaryCIF is wanted"),
    ],
)
def test_what_a_file_is(text, make, what, reason):
    assert reason(make(text)) == what
    assert reason(gzip.compress(make(text))) == what


def test_names():
    for name in ("a.pdb", "a.PDB.gz", "a.ent.bz2", "a.cif.xz", "a.mmCIF.zst", "a.bcif"):
        assert is_structure_file(name)
        assert stem(name) == "a"
    for name in ("pdb", "a.gz", "a.txt", "a.pdb.zip", "a.pdb.gz.gz"):
        assert not is_structure_file(name)
    assert stem("a.b.pdb") == "a.b"
    assert stem("a.txt") == "a.txt"
