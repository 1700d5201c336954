"""Two datasets of `protgm prepare` beside each other: the same entries, and the same in every column?

    python scripts/compare_datasets.py before=old/dataset after=new/dataset

For a change of the readers or the filters: prepare the same files with both versions, then see what differs. Entries
are told apart by their file and chain. Exits with 1 where anything differs.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from _options import options

from protgm.data.schema import INDEX_FILE, REJECTED_FILE, SCHEMA
from protgm.files import read_json

SHOWN = 5

#: (file, chain) of an entry.
Key = tuple[str, str]


def read(folder: str) -> tuple[pa.Table, dict[Key, int], set[tuple[str, ...]]]:
    """The entries, the row of each, and what was rejected or left out."""
    try:
        info = read_json(Path(folder, INDEX_FILE))
    except OSError:
        raise SystemExit(f"{folder}: no dataset of protgm prepare") from None
    with pa.memory_map(str(Path(folder, str(info["structures"])))) as file:
        table = pa.ipc.open_file(file).read_all()
    keys = zip(table["source"].to_pylist(), table["chain"].to_pylist(), strict=True)
    with open(Path(folder, REJECTED_FILE), newline="", encoding="utf-8") as rows:
        rejected = {tuple(row) for row in csv.reader(rows)}
    return table, {key: row for row, key in enumerate(keys)}, rejected


def shown(what: str, found: list[Any]) -> int:
    """Print how many there are and the first of them; how many that is."""
    if found:
        print(f"{what}: {len(found)}, such as {', '.join(map(str, found[:SHOWN]))}")
    return len(found)


def main() -> None:
    """Print what differs."""
    settings = options(sys.argv[1:], {"before": "", "after": ""}, needed=["before", "after"], words=__doc__)
    (before, old, left), (after, new, now) = read(settings["before"]), read(settings["after"])
    both = [key for key in old if key in new]
    print(f"{len(old)} entries before, {len(new)} after, {len(both)} in both")
    differ = shown("only before", [key for key in old if key not in new])
    differ += shown("only after", [key for key in new if key not in old])
    for name in SCHEMA.names:
        one, other = before[name].to_pylist(), after[name].to_pylist()
        # As text, so that a missing atom, NaN, is what it was.
        changed = [key for key in both if repr(one[old[key]]) != repr(other[new[key]])]
        differ += shown(f"column {name} differs", changed)
    differ += shown("rejected or left out before only", sorted(left - now))
    differ += shown("rejected or left out after only", sorted(now - left))
    print("the same" if not differ else f"{differ} differences")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
