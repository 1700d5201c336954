"""Public functions told something else than they take: one line that names the argument and what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import protgm
from protgm.alignment.tm import tm_scores
from protgm.condition import Motif, Partial, Symmetry, Target
from protgm.condition import Sequence as Types
from protgm.data import collate, prepare
from protgm.data.folder import read_folder, structure_files
from protgm.data.natives import read_natives
from protgm.design import design, design_backbones
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.lie import so3
from protgm.metrics import register, unregister
from protgm.metrics.distributions import compare, frechet, jensen_shannon, match_lengths
from protgm.metrics.features import distance_features
from protgm.metrics.prefilter import smooth
from protgm.metrics.ramachandran import kinds_of
from protgm.metrics.secondary import assign_backbone, assign_ca, assign_frames, bridges, segments
from protgm.metrics.similarity import clusters, clusters_among, tm_matrix, tm_pairs, tm_score
from protgm.metrics.torsions import torsions
from protgm.sample import BackboneModel, sample
from protgm.score import score
from protgm.structure import Backbone, write_cif, write_pdb
from protgm.structure.bonds import chain_breaks
from protgm.structure.contig import parse_contig
from protgm.structure.ideal import beta_carbons
from protgm.structure.letters import chosen
from protgm.structure.models import write_models
from protgm.structure.secondary import assign
from protgm.structure.size import globular_radius, radius_of_gyration

#: Every function, and what its first argument is called.
PATHS = {
    protgm.read_structure: "path", read_folder: "folder", structure_files: "folder", read_natives: "path",
    design: "directory", score: "directory", evaluate: "directory", Motif: "structure", Target: "structure",
}  # fmt: skip
ARRAYS = {
    assign_ca: "ca", distance_features: "ca", smooth: "ca", clusters: "matrix", assign_frames: "frames",
    assign: "coords", chain_breaks: "coords", radius_of_gyration: "positions", frechet: "x",
    tm_score: "CA positions", tm_pairs: "pairs", tm_matrix: "structures", tm_scores: "chains",
    match_lengths: "lengths", clusters_among: "matrix", beta_carbons: "coords", so3.exp: "vector", so3.log: "rotation",
}  # fmt: skip
OBJECTS = {
    assign_backbone: "backbone", bridges: "backbone", torsions: "backbone", design_backbones: "backbones",
    write_models: "frames", write_pdb: "backbone", write_cif: "backbone", register: "one", compare: "samples",
    sample: "config", BackboneModel: "denoiser", collate: "examples",
}  # fmt: skip
TEXTS = {
    segments: "states", parse_contig: "contig", Symmetry: "symmetry", Types: "sequence", unregister: "name",
    chosen: "sequence", kinds_of: "sequence",
}  # fmt: skip
MORE = {
    frechet: 1, write_models: "x.pdb", write_pdb: "x.pdb", write_cif: "x.cif", compare: None,
    Motif: "5", tm_score: np.zeros((9, 3)),
}  # fmt: skip


def told(function: Callable[..., object], value: object) -> str:
    """What a call with a wrong first argument is refused with."""
    more = [MORE[function]] if function in MORE else []
    if function is match_lengths:
        more = [np.arange(3), 2, np.random.default_rng(0)]
    if function is clusters_among:
        more = [2]
    if function is BackboneModel:
        more = [None, {}, "x"]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at
        function(value, *more)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200
    return message


@pytest.mark.parametrize("value", [None, 3, [None], np.zeros((3, 2))], ids=["None", "3", "[None]", "array"])
@pytest.mark.parametrize("function", PATHS | OBJECTS | TEXTS, ids=lambda function: function.__name__)
def test_neither_path_object_nor_text(function: Callable[..., object], value: object) -> None:
    message = told(function, value)
    assert message.startswith((PATHS | OBJECTS | TEXTS)[function]) or "Backbone objects are wanted" in message
    assert "wanted" in message


@pytest.mark.parametrize("value", [None, 3, "x", [None], np.zeros((3, 2, 2, 2))],
                         ids=["None", "3", "x", "[None]", "shape"])  # fmt: skip
@pytest.mark.parametrize("function", ARRAYS, ids=lambda function: function.__name__)
def test_no_array_of_that_shape(function: Callable[..., object], value: object) -> None:
    message = told(function, value)
    assert ARRAYS[function] in message or message.startswith(("structure 0", "first of pair 0", "pairs"))
    assert "must" in message or "wanted" in message


@pytest.mark.parametrize("value", [3, None, "x", ["x"], [None]])
def test_evaluate_says_what_it_judges(value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"Backbone objects are wanted|no such folder"):
        evaluate(value, progress=False)
    with pytest.raises(ValueError, match="natives='x': must be a whole number"):
        evaluate([Backbone.from_coords(np.zeros((3, 4, 3)))], config=EvaluateConfig(natives="x"))


@pytest.mark.parametrize("value", [3, b"x", [None]])
def test_weights_that_are_no_path(value: object) -> None:
    with pytest.raises(ValueError, match=r"^checkpoint: a path is wanted, got"):
        protgm.load(value)


@pytest.mark.parametrize("value", ["x", None, [None], -1, float("nan")])
def test_lengths_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"^length"):
        globular_radius(value)


@pytest.mark.parametrize("value", ["x", None, [None], [np.nan], [1, 2, 3]])
def test_counts_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"^[pq]: .*(wanted|must be|holds NaN)"):
        jensen_shannon(value, [1, 2])


def test_prepare_and_partial(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source: a path is wanted, got None"):
        prepare(None, tmp_path)
    with pytest.raises(ValueError, match="out: a path is wanted, got int 3"):
        prepare(tmp_path, 3)
    with pytest.raises(ValueError, match="start_time='x': must be a number"):
        Partial(tmp_path / "x.pdb", "x")
