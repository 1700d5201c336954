"""The script that says whether two datasets are the same."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from protgm.data import Filters, prepare

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def compare():
    """Run the script in this process; gives its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec = importlib.util.spec_from_file_location("compare_datasets", ROOT / "scripts" / "compare_datasets.py")
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)

        def run(before: Path, after: Path) -> int:
            patch.setattr(sys, "argv", ["compare_datasets.py", f"before={before}", f"after={after}"])
            with pytest.raises(SystemExit) as left:
                script.main()
            return int(left.value.code or 0)

        yield run


def test_the_same_and_not_the_same(compare, tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("1CSP_A", "1POH_A", "2TRX_A"):
        shutil.copy(ROOT / "data" / "examples" / f"{name}.pdb.gz", source)
    one, other, short = tmp_path / "one", tmp_path / "other", tmp_path / "short"
    prepare(source, one, workers=1, progress=False)
    prepare(source, other, workers=1, progress=False, val_share=0.4)
    prepare(source, short, workers=1, progress=False, filters=Filters(max_length=100))
    assert compare(one, one) == 0
    assert "3 entries before, 3 after, 3 in both\nthe same" in capsys.readouterr().out
    assert compare(one, other) == 1
    told = capsys.readouterr().out
    assert "column split differs: " in told
    assert "column coords" not in told
    assert compare(one, short) == 1
    told = capsys.readouterr().out
    assert "only before: 1, such as ('2TRX_A.pdb.gz', 'A')" in told
    assert "rejected or left out after only: 1, such as ('2TRX_A.pdb.gz', 'A', 'too long'" in told
