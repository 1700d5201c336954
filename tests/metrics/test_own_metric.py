"""A user's own metric: a dozen lines, and it stands in the table, the CSV, the report and the gate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import protgm
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.metrics import At, Figures, Gate, Metric, Subject, geometry, metric, register, registered, unregister
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"


@pytest.fixture
def disulphides() -> Iterator[str]:
    """Pairs of residues that a disulphide bond could hold together, by their CA."""

    @metric("disulphides", "pairs of CA near enough for a disulphide bond", good="high", at_least=0, column=20,
            title="Disulphides", tile="disulphides")  # fmt: skip
    def disulphides(subject: Subject) -> At:
        ca = subject.coords[:, 1]
        distance = np.linalg.norm(ca[:, None] - ca[None], axis=-1)
        first, _ = np.nonzero(np.triu((distance > 4.4) & (distance < 6.8), k=4))
        return At(len(first), int(first[0]) if len(first) else None)

    yield "disulphides"
    unregister("disulphides")


def natives() -> list[Backbone]:
    return [read_structure(path) for path in sorted(NATIVES.glob("*.pdb.gz"))]


@pytest.mark.slow
def test_own_metric_is_everywhere(disulphides: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    most = max(geometry(b).disulphides for b in natives())
    found = evaluate(
        natives(),
        NATIVES,
        out=tmp_path,
        workers=1,
        progress=False,
        config=EvaluateConfig(natives=10, gate=Gate(disulphides=most)),
    )
    counts = [row["disulphides"] for row in found.samples]
    assert all(count > 0 for count in counts)
    assert len(set(counts)) > 1
    # The gate, under the metric's own name, with the residue that the metric named.
    failing = [row for row in found.samples if row["disulphides"] < most]
    assert failing
    assert len(failing) < len(found.samples)
    for row in failing:
        (reason,) = row["reasons"]
        assert reason.startswith("disulphides: pairs of CA near enough for a disulphide bond is ")
        assert reason.endswith(f"limit >= {most:g}")
        assert "(at A" in reason
    # CSV, JSON, means, natives beside.
    with (tmp_path / "metrics.csv").open() as stream:
        assert [int(row["disulphides"]) for row in csv.DictReader(stream)] == counts
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["settings"]["gate"]["disulphides"] == most
    assert stored["summary"]["disulphides"] == pytest.approx(np.mean(counts))
    assert found.natives["disulphides"]["mean"] > 0
    # The report: a column of the table from the start, its help, a tile and a histogram.
    page = (tmp_path / "report.html").read_text()
    data = json.loads(page.split('type="application/json" id="data">')[1].split("</script>")[0])
    assert "disulphides" in data["columns"]
    assert data["help"]["disulphides"] == "pairs of CA near enough for a disulphide bond"
    assert ("disulphides", "Disulphides") in [(one["key"], one["title"]) for one in data["plots"]["histograms"]]
    assert "disulphides" in [tile["label"] for tile in data["tiles"]]


def test_it_is_gone_once_it_is_unregistered() -> None:
    assert "disulphides" not in geometry(natives()[0])
    assert "disulphides" not in Gate().limits
    with pytest.raises(ValueError, match="metric disulphides: is not registered"):
        unregister("disulphides")


def test_a_gate_made_before_asks_the_new_limit_too() -> None:
    gate, b = Gate(), natives()[0]
    register(Metric("count", "residues", function=len, at_most=10))
    try:
        assert [reason.split(":")[0] for reason in gate.check(geometry(b))] == ["count"]
    finally:
        unregister("count")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "rg", "help": "x"}, "metric rg: is registered already"),
        ({"name": "no name", "help": "x"}, "metric 'no name': its name must be letters"),
        ({"name": "x", "help": ""}, "metric x: needs a help text"),
        ({"name": "rg_ratio_max", "help": "x", "at_most": 1.0}, "the gate has a limit rg_ratio_max already"),
    ],
)
def test_what_cannot_be_registered_is_said(arguments: dict, message: str) -> None:
    before = registered()
    with pytest.raises(ValueError, match=message):
        register(Metric(**arguments))
    assert registered() == before


def test_errors_of_a_metric_say_whose_they_are() -> None:
    register(Metric("broken", "nothing", function=lambda subject: 1 / 0))
    try:
        with pytest.raises(ZeroDivisionError) as caught:
            geometry(natives()[0])
    finally:
        unregister("broken")
    assert caught.value.__notes__ == ["in the metric broken of 1CC8_A"]


def test_figures_are_a_mapping_with_attributes() -> None:
    found = geometry(natives()[0])
    assert isinstance(found, Figures)
    assert found["rg"] == found.rg > 0
    assert math.isnan(found.d_residues)
    assert found.to_dict()["d_residues"] is None
    # Known, but not of this structure; and not known at all.
    assert math.isnan(found.native_tm)
    with pytest.raises(AttributeError, match="there is no figure weight"):
        _ = found.weight


def test_every_metric_says_what_it_is() -> None:
    for one in registered():
        assert one.help[0].islower() or one.help.split()[0] in ("C", "CA", "TM-score", "RMSD", "CB")
        assert not one.help.endswith(".")
        assert one.good in ("high", "low") or not one.limits or one.good == "native"
    assert sorted({one.column for one in registered()} - {None})[:3] == [1, 2, 3]
    columns = [one.column for one in registered() if one.column is not None]
    assert len(columns) == len(set(columns))


def test_the_gate_s_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="gate: there is no limit weight; there are "):
        Gate(weight=3)
    with pytest.raises(ValueError, match=r"^gate=5: is a group of settings, such as gate\.missing=$"):
        Gate.of(5)
    with pytest.raises(ValueError, match=r"^gate\.breaks=some: must be a number$"):
        Gate.of({"breaks": "some"})
    assert Gate.of({"breaks": 2}).breaks == 2


def test_backbones_in_memory_are_judged_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = protgm.evaluate([*natives(), natives()[0]], workers=1, progress=False)
    assert [row["name"] for row in found.samples][-1] == "1CC8_A_2"
    assert found.summary["clusters"] == 3
    assert found.out is None
    assert not list(tmp_path.iterdir())
