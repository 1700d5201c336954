"""Clusters by MMseqs2, with a stand-in for the program that answers in its format."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from protgm.data import Dataset, prepare
from protgm.data.mmseqs import cluster_by_alignment, mmseqs_program

#: Puts sequences of the same first letter together; the representative is the last of them.
STAND_IN = """#!{python}
import sys
command, fasta, prefix, folder, *options = sys.argv[1:]
assert command == "easy-cluster"
assert options[:4] == ["--min-seq-id", "0.3", "-c", "0.8"], options
lines = open(fasta).read().split()
pairs = list(zip([line[1:] for line in lines[::2]], lines[1::2]))
last = {{sequence[0]: name for name, sequence in pairs}}
with open(prefix + "_cluster.tsv", "w") as file:
    for name, sequence in pairs:
        print(last[sequence[0]], name, sep="\\t", file=file)
"""


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = STAND_IN) -> None:
    program = folder / "mmseqs"
    program.write_text(text.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_members_of_one_cluster_share_a_label(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch)
    labels = cluster_by_alignment(["ACD", "GHI", "AAA", "GGG", "KLM"])
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert len(set(labels)) == 3
    assert all(label.startswith("m") for label in labels)
    # Named after the representative's sequence, not after its place.
    assert labels[4] == cluster_by_alignment(["KLM"])[0]


def test_known_labels_stay_and_spread(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch)
    assert cluster_by_alignment(["ACD", "AAA", "AGG", "GHI"], [None, "7", "8", None])[:3] == ["7", "7", "8"]
    assert cluster_by_alignment(["ACD", "AAA"], ["1", "2"]) == ["1", "2"]


def test_not_installed(tmp_path, monkeypatch, few):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mmseqs_program() is None
    with pytest.raises(ValueError, match="no program mmseqs found; install MMseqs2 or use clustering=kmers"):
        prepare(few, tmp_path / "out", workers=1, clustering="mmseqs", progress=False)
    prepare(few, tmp_path / "out", workers=1, progress=False)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.info["settings"]["clustering"] == "kmers"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho first >&2\necho 'Out of disk' >&2\nexit 1\n", "Out of disk"),
        ("#!/bin/sh\nexit 3\n", "exit status 3"),
        ("#!/bin/sh\nexit 0\n", "exit status 0"),
    ],
)
def test_a_program_that_fails(tmp_path, monkeypatch, text, reason):
    installed(tmp_path, monkeypatch, text)
    with pytest.raises(ValueError, match=rf"mmseqs failed \({reason}\); clustering=kmers needs no program"):
        cluster_by_alignment(["ACD"])


def test_prepare_uses_it_where_it_is_installed(tmp_path, monkeypatch, few):
    shutil.copy(few / "2TRX_A.pdb.gz", few / "again.pdb.gz")
    installed(tmp_path, monkeypatch)
    prepare(few, tmp_path / "out", workers=1, progress=False)
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.info["settings"]["clustering"] == "mmseqs"
    assert all(cluster.startswith("m") for cluster in dataset.clusters)
    clusters = dict(zip(dataset.table["name"].to_pylist(), dataset.clusters, strict=True))
    assert clusters["again"] == clusters["2TRX_A"]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/no/such/interpreter\n"])
def test_where_it_fails_unasked_kmers_are_used_and_said(tmp_path, monkeypatch, few, text):
    installed(tmp_path, monkeypatch, text)
    summary = prepare(few, tmp_path / "out", workers=1, progress=False)
    assert "mmseqs" in summary.notes[0]
    assert "clustered by k-mers instead" in str(summary)
    assert Dataset.open(tmp_path / "out").info["settings"]["clustering"] == "kmers"
    again = prepare(few, tmp_path / "out", workers=1, progress=False)
    assert again.unchanged
    assert again.notes == summary.notes
    with pytest.raises(ValueError, match="clustering=mmseqs: "):
        prepare(few, tmp_path / "strict", workers=1, clustering="mmseqs", progress=False)
