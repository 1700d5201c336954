"""`scripts/benchmark.py`: settings, and the page it writes."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # as for a script that is run
        return SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="benchmark"))


def test_settings_come_from_words(benchmark):
    settings = benchmark.Settings.parse(["lengths=64,96", "neighbours=64", "compile=true", "seconds=0.5"])
    assert (settings.lengths, settings.neighbours, settings.compile, settings.seconds) == ((64, 96), 64, True, 0.5)
    assert benchmark.Settings.parse(["neighbours=null"]).neighbours is None
    with pytest.raises(SystemExit, match="length: no such setting; there are lengths"):
        benchmark.Settings.parse(["length=64"])
    with pytest.raises(SystemExit, match="threads=two: should be of type int"):
        benchmark.Settings.parse(["threads=two"])


def test_the_page_compares_with_the_yardstick_and_fits_the_growth(benchmark):
    def row(length: int, size: int, seconds: float, neighbours: int | None) -> dict:
        return {
            "task": "sample",
            "length": length,
            "size": size,
            "neighbours": neighbours,
            "compile": False,
            "seconds": seconds,
            "wall": 2 * seconds,
            "peak": 512.4,
            "gemm": [100.0, 210.0],
        }

    # 1,925 residues/s are 20 times FrameFlow's 128 in 1.33 s; 16 times the time per chain for 8 times the length.
    rows = [row(128, 8, 1024 / (20 * 128 / 1.33), None), row(256, 4, 0.5, None)]
    rows += [row(256, 4, 1.0, 128), row(2048, 1, 4.0, 128)]
    text = benchmark.page(rows, 1)
    assert "| sample | 128 | 8 | all | no | 532 | 1,925 | 962 | 20.0 | 512 | 100 | 210 |" in text
    assert "| sample | 2,048 | 1 | 128 | no | 4,000 | 512 | 256 |  | 512 | 100 | 210 |" in text
    assert "length^1.33 from 256 to 2,048 residues" in text


def test_a_batch_is_timed(benchmark, small_denoiser):
    batch = benchmark.random_batch(2, 20)
    work = benchmark.sampling_step(small_denoiser, batch, None, half=False)
    processor, wall = benchmark.best_times(work, 0.0)
    assert 0 < processor < 60
    assert 0 < wall < 600
