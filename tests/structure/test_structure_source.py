"""Files that are no structure files, or not quite."""

import gzip
import os
import sys

import pytest

from protgm.structure import StructureError, read_structure
from protgm.structure.errors import StructureError as Original
from protgm.structure.errors import malformed
from protgm.structure.source import read_bytes, sniff
from protgm.structure.unpack import MAX_MEMBERS
from protgm.text import printable


def reason(path, **options):
    with pytest.raises(StructureError) as caught:
        read_structure(path, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(printable(str(path), limit=1000) + ": ")
    return message.split(": ", 1)[1]


def test_one_error_class_that_is_a_value_error():
    assert StructureError is Original
    assert issubclass(StructureError, ValueError)


def test_not_there_or_no_file(tmp_path):
    assert reason(tmp_path / "none.pdb") == "No such file or directory"
    assert reason(tmp_path) == "is a folder"
    assert reason("a\0b.pdb") == "is no valid file name"
    # Reading the console must not be tried: it may wait for ever.
    if os.name == "posix":
        pipe = tmp_path / "pipe.pdb"
        os.mkfifo(pipe)
        assert reason(pipe) == "is not a regular file"


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_not_allowed(tmp_path):
    path = tmp_path / "x.pdb"
    path.write_text("ATOM")
    path.chmod(0)
    assert reason(path) == "Permission denied"


@pytest.mark.parametrize("data", [b"", b"  \n\r\n \t", gzip.compress(b""), gzip.compress(b"\n\n")])
def test_empty(data, tmp_path):
    path = tmp_path / "x.cif"
    path.write_bytes(data)
    assert reason(path) == "is empty"


def test_size_limits(cases, tmp_path):
    text = cases.pdb_bytes(cases.atoms_of(cases.helix()))
    plain, packed = tmp_path / "x.pdb", tmp_path / "x.pdb.gz"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    assert len(read_structure(plain, max_bytes=len(text))) == 6
    assert len(read_structure(packed, max_bytes=len(text))) == 6
    limit = f"{len(text) - 1:,}"
    assert reason(plain, max_bytes=len(text) - 1) == f"has {len(text):,} bytes, more than the limit of {limit}"
    assert reason(packed, max_bytes=len(text) - 1) == f"unpacks to more than the limit of {limit} bytes"


def test_gzip_bomb(tmp_path):
    path = tmp_path / "bomb.pdb.gz"
    # 300 MiB of blanks in 0.3 MiB: more than is ever unpacked.
    path.write_bytes(gzip.compress(b" " * (1 << 20)) * 300)
    assert reason(path) == "unpacks to more than the limit of 134,217,728 bytes"


def test_gzip_in_many_parts(cases, tmp_path):
    text = cases.pdb_bytes(cases.atoms_of(cases.helix(200)))
    path = tmp_path / "x.pdb.gz"
    path.write_bytes(b"".join(gzip.compress(text[i : i + 500]) for i in range(0, len(text), 500)))
    assert read_bytes(path) == text
    path.write_bytes(path.read_bytes() + bytes(512))  # padding, as tapes have it
    assert read_bytes(path) == text
    path.write_bytes(gzip.compress(b"") * (MAX_MEMBERS + 1))
    assert reason(path) == f"is a gzip file of more than {MAX_MEMBERS:,} members"


def test_damaged_gzip(cases, tmp_path):
    packed = gzip.compress(cases.pdb_bytes(cases.atoms_of(cases.helix())))
    path = tmp_path / "x.pdb.gz"
    path.write_bytes(packed[:-9])
    assert reason(path) == "is a truncated gzip file"
    path.write_bytes(packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:])
    assert reason(path) == "is a damaged gzip file (incorrect data check)"
    path.write_bytes(b"\x1f\x8b")
    assert reason(path) == "is a truncated gzip file"


def test_contents_tell_the_format(cases):
    atoms = cases.atoms_of(cases.helix())
    assert sniff(cases.pdb_bytes(atoms), "x.cif") == "pdb"
    assert sniff(b"# a comment\n\n" + cases.cif_bytes(atoms), "x.pdb") == "cif"
    assert sniff(cases.bcif_bytes(atoms), "x.pdb") == "bcif"
    assert sniff(b"nothing", "x.BCIF.gz") == "bcif"
    assert sniff(b"nothing", "x") == "pdb"


def test_too_many_lines(tmp_path):
    path = tmp_path / "x.pdb"
    path.write_bytes(b"\n" * 4_000_001 + b"x")
    assert reason(path) == "has 4,000,001 lines, more than the limit of 4,000,000"


def test_control_characters_never_come_through(cases, tmp_path):
    path = tmp_path / "x\x1b[31m.pdb"
    path.write_bytes(cases.pdb_bytes(cases.atoms_of(cases.helix())).replace(b"ALA A   3", b"A\x1bA A  \x07"))
    with pytest.raises(StructureError, match=r"x\\x1b\[31m\.pdb, line 9: unprintable characters .*: A\\+x1bA A"):
        read_structure(path)
    good = tmp_path / "y\x1b[31m.pdb"
    good.write_bytes(cases.pdb_bytes(cases.atoms_of(cases.helix()), "HEADER" + " " * 56 + "1\x1b[J\nEXPDTA    \x07X"))
    backbone = read_structure(good)
    assert backbone.name.isprintable()
    assert str(dict(backbone.metadata)).isprintable()
    assert backbone.metadata["source_file"] == "y\\x1b[31m.pdb"


def test_messages_are_one_short_line():
    assert str(malformed("a\nb", "reason", 3)) == "a\\nb, line 3: reason"
    assert printable("x" * 100, limit=10) == "xxxxxxx..."
    assert printable("caf\u00e9 \u202e\u2028") == "caf\u00e9 \\u202e\\u2028"


def test_reading_needs_no_torch():
    """Worker processes that only read files should not wait for it."""
    import subprocess

    code = "import sys, protgm.structure; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
