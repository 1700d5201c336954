"""The page that benchmark.py writes: its table, and what the figures are compared with."""

import math
import platform
import time
from pathlib import Path

import torch

from protgm.device import bfloat16_is_fast

#: FrameFlow (11.3 M parameters, random weights) on one core of such a machine, idle: residues per second.
YARDSTICKS = {
    ("train", 64): 4 * 64 / 3.9,
    ("sample", 64): max(64 / 0.35, 8 * 64 / 3.5),
    ("sample", 128): 128 / 1.33,
    ("sample", 256): 256 / 8.3,
}
HEADER = (
    "task",
    "residues",
    "batch",
    "attends to",
    "compiled",
    "ms",
    "residues/s",
    "residues/s (wall)",
    "x FrameFlow",
    "peak MB",
    "GFLOP/s fp32",
    "bf16",
)


def table_row(row: dict) -> str:
    """A line of the Markdown table."""
    rate = row["size"] * row["length"] / row["seconds"]
    yardstick = YARDSTICKS.get((row["task"], row["length"]))
    cells = (
        row["task"],
        f"{row['length']:,}",
        row["size"],
        row["neighbours"] or "all",
        "yes" if row["compile"] else "no",
        f"{1000 * row['seconds']:,.0f}",
        f"{rate:,.0f}",
        f"{row['size'] * row['length'] / row['wall']:,.0f}",
        f"{rate / yardstick:.1f}" if yardstick else "",
        f"{row['peak']:,.0f}",
        *(f"{rate:.0f}" for rate in row["gemm"]),
    )
    return f"| {' | '.join(map(str, cells))} |"


def growth(rows: list[dict]) -> str:
    """How time per chain grows with its length where each residue attends to as many others."""
    found = {r["length"]: r["seconds"] / r["size"] for r in rows if r["neighbours"] and r["task"] == "sample"}
    if len(found) < 2:
        return ""
    first, last = min(found), max(found)
    power = math.log(found[last] / found[first]) / math.log(last / first)
    return (
        f"\n\nWith as many neighbours, the time per chain of sampling grows as length^{power:.2f} from "
        f"{first:,} to {last:,} residues."
    )


def page(rows: list[dict], threads: int) -> str:
    """The page: what was measured, the table, what it is compared with."""
    table = [f"| {' | '.join(HEADER)} |", "|---" * 4 + "|:---:" + "|---:" * (len(HEADER) - 5) + "|"]
    table += [table_row(row) for row in rows]
    machine = f"{_processor()}, {threads} thread, PyTorch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
    precision = "bfloat16" if bfloat16_is_fast() else "float32"
    return (
        "# Throughput\n\nWritten by `scripts/benchmark.py`, which says how. " + machine + ".\n"
        "`ms` and `residues/s` are processor time of a training step or of one evaluation of the network in sampling, "
        f"best of several, matrix products in {precision}, as is chosen by default on this machine; where wall clock "
        "is far from it, other jobs were running.\n"
        "`x FrameFlow`: against FrameFlow (11.3 M parameters, random weights) on one core of such a machine: training "
        "3.9 s per step of 4 x 64; forward 0.35, 1.33 and 8.3 s at 1 x 64, 128 and 256, 3.5 s for 8 x 64 (at 64, "
        "the better of the two).\n\n" + "\n".join(table) + growth(rows) + "\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
