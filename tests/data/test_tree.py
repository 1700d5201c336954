"""The structure files below a folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from protgm.data.tree import SourceFile, structure_files


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_endings_and_order(tmp_path):
    wanted = ["a.pdb", "b.PDB.GZ", "c/d/e.cif", "c/f.mmcif.gz", "c/g.bcif", "c/h.bcif.gz", "z.ent"]
    for name in wanted:
        touch(tmp_path / name)
    for name in ("readme.txt", "manifest.csv", "a.pdb.bak", ".hidden.pdb", ".git/x.pdb", "tar.gz", "x.npz"):
        touch(tmp_path / name)
    (tmp_path / "folder.pdb").mkdir()
    touch(tmp_path / "folder.pdb" / "inner.pdb")
    found = structure_files(tmp_path)
    assert [item.file for item in found] == sorted([*wanted, "folder.pdb/inner.pdb"])


def test_size_and_time_tell_changes(tmp_path):
    path = touch(tmp_path / "a.pdb", "12345")
    os.utime(path, ns=(0, 17))
    assert structure_files(tmp_path) == [SourceFile("a.pdb", 5, 17)]


def test_linked_folders_are_entered_once(tmp_path):
    touch(tmp_path / "real" / "a.pdb")
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(source)
    (source / "gone.pdb").symlink_to(tmp_path / "nowhere")
    assert [item.file for item in structure_files(source)] == ["gone.pdb", "link/a.pdb"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="no structure file in it"):
        structure_files(tmp_path)
    with pytest.raises(ValueError, match=r"source=.*none: does not exist"):
        structure_files(tmp_path / "none")
    with pytest.raises(ValueError, match=r"source=.*a\.pdb\.gz: is one structure file; name the folder"):
        structure_files(touch(tmp_path / "a.pdb.gz"))
    with pytest.raises(ValueError, match=r"source=.*a\.txt: neither a folder nor a whole, uncompressed tar file"):
        structure_files(touch(tmp_path / "a.txt"))


def tarred(path: Path, members: dict[str, bytes], mode: str = "w:") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_members_of_a_tar_file(tmp_path):
    path = tarred(tmp_path / "all.tar", {"./b/2.cif.gz": b"22", "readme.txt": b"x", "a/1.pdb": b"1"})
    with tarfile.open(path, "a:") as tar:
        link = tarfile.TarInfo("link.pdb")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        again = tarfile.TarInfo("a/1.pdb")
        again.size = 3
        tar.addfile(again, io.BytesIO(b"111"))
    found = structure_files(path)
    assert [(item.file, item.size) for item in found] == [("a/1.pdb", 3), ("b/2.cif.gz", 2)]
    data = path.read_bytes()
    assert [data[item.offset : item.offset + item.size] for item in found] == [b"111", b"22"]


def test_compressed_and_truncated_tar_files(tmp_path):
    packed = tarred(tmp_path / "all.tar.gz", {"a.pdb": b"1"}, "w:gz")
    with pytest.raises(ValueError, match=r"all\.tar\.gz: neither .* uncompressed tar file .*; unpack it"):
        structure_files(packed)
    whole = tarred(tmp_path / "all.tar", {"a.pdb": bytes(5000), "b.pdb": bytes(5000)})
    whole.write_bytes(whole.read_bytes()[:8000])
    with pytest.raises(ValueError, match=r"all\.tar: neither a folder nor a whole"):
        structure_files(whole)
    with pytest.raises(ValueError, match="no structure file in it"):
        structure_files(tarred(tmp_path / "none.tar", {"a.txt": b"1"}))
