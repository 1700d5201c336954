"""The structure files below a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protgm.data.tree import structure_files


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
    assert [file for file, _, _ in found] == sorted([*wanted, "folder.pdb/inner.pdb"])


def test_size_and_time_tell_changes(tmp_path):
    path = touch(tmp_path / "a.pdb", "12345")
    os.utime(path, ns=(0, 17))
    assert structure_files(tmp_path) == [("a.pdb", 5, 17)]


def test_linked_folders_are_entered_once(tmp_path):
    touch(tmp_path / "real" / "a.pdb")
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(source)
    (source / "gone.pdb").symlink_to(tmp_path / "nowhere")
    assert [file for file, _, _ in structure_files(source)] == ["gone.pdb", "link/a.pdb"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="no structure file in it"):
        structure_files(tmp_path)
    with pytest.raises(ValueError, match=r"source=.*none: does not exist"):
        structure_files(tmp_path / "none")
    with pytest.raises(ValueError, match=r"source=.*a\.pdb: is not a folder"):
        structure_files(touch(tmp_path / "a.pdb"))
