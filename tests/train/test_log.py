"""Tables of a run."""

from __future__ import annotations

import csv

from protgm.train.log import RunLog


def test_a_run_gone_on_with_by_a_version_with_another_loss_keeps_its_tables_readable(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in (1, 2):
        log.write("train", step, {"clash": 0.5, "loss": 3.0})
    log.close()
    log = RunLog(tmp_path, 2)
    for step in (3, 4):
        log.write("train", step, {"fold": 0.25, "clash": 0.5, "loss": 2.0})
    log.close()
    with open(tmp_path / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["fold"] for row in rows] == ["", "", "0.25", "0.25"]
    assert [row["loss"] for row in rows] == ["3", "3", "2", "2"]
