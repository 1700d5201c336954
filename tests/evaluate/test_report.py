"""The report in a real browser: opened from a file, nothing fetched, no error; tables sort, structures are drawn."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.evaluate import EvaluateConfig, Evaluation, evaluate
from protgm.files import atomic
from protgm.structure import read_structure
from protgm.structure.write import format_pdb

pytestmark = pytest.mark.slow

NATIVES = Path(__file__).parent / "natives"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><img src=x onerror=alert(1)>"

#: What the browser does: first on the page, to hear every complaint; last, to drive it and leave a report.
LISTEN = """<script>
window.complaints = [];
window.onerror = (message) => { complaints.push(String(message)); };
window.onunhandledrejection = (event) => { complaints.push(String(event.reason)); };
for (const kind of ["error", "warn"]) console[kind] = (...a) => complaints.push(a.join(" "));
</script>"""
DRIVE = """<script>
const cells = (key) => {
  const at = shownColumns.indexOf(key);
  return [...document.querySelectorAll("#table tbody tr")].map((r) => r.cells[at].textContent);
};
const press = (key) => document.querySelector(`th[data-key="${key}"]`).click();
const found = { title: document.title, rows: rows.length, names: cells("name") };
press("length"); found.up = cells("length").map(Number);
press("length"); found.down = cells("length").map(Number);
$("filter").value = "length<100"; refresh(); found.filtered = cells("length").map(Number);
$("filter").value = "no-such-name"; refresh(); found.none = cells("name").length;
$("filter").value = ""; refresh();
$("only-passed").checked = true; refresh(); found.passing = cells("passed");
$("only-passed").checked = false; refresh();
found.tiles = document.querySelectorAll(".tile").length;
found.plots = document.querySelectorAll("#plots svg, #plots canvas").length;
found.images = document.querySelectorAll("img").length;
found.fetched = performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith("data:"));
const ink = (uri) => new Promise((done) => { const image = new Image(); image.onload = () => {
  const c = document.createElement("canvas"); c.width = image.width; c.height = image.height;
  const x = c.getContext("2d"); x.drawImage(image, 0, 0);
  const p = x.getImageData(0, 0, c.width, c.height).data; let n = 0;
  for (let k = 0; k < p.length; k += 4) if (p[k] + p[k + 1] + p[k + 2] < 690) n++;
  done(n / (p.length / 4)); }; image.src = uri; });
(async () => {
  found.ink = [];
  for (let i = 0; i < rows.length; i++) { choose(i); found.ink.push(await ink(viewer.pngURI())); }
  const moving = rows.findIndex((r) => DATA.trajectories[r.name]);
  choose(moving);
  found.player = !$("player").hidden;
  frame(0); found.first = await ink(viewer.pngURI());
  frame(2);
  found.frames = DATA.trajectories[rows[moving].name].frames;
  found.pdb = pdbText(rows.findIndex((r) => r.name === "1CC8_A"));
  for (const value of ["rainbow", "chain"]) { $("colour").value = value; restyle(); }
  for (const value of ["trace", "sticks"]) {
    $("style").value = value; restyle();
    found[value] = await ink(viewer.pngURI());
  }
  // The page as it is now, on a telephone.
  const narrow = document.createElement("iframe"), copy = document.documentElement.cloneNode(true);
  copy.querySelectorAll("script").forEach((node) => node.remove());
  narrow.style.width = "390px"; narrow.srcdoc = copy.outerHTML;
  await new Promise((done) => { narrow.onload = done; document.body.append(narrow); });
  const small = narrow.contentDocument.documentElement;
  found.narrow = [small.clientWidth, small.scrollWidth, small.querySelectorAll("#table tbody tr").length];
  found.complaints = complaints;
  const out = document.createElement("pre");
  out.id = "found"; out.textContent = JSON.stringify(found);
  document.body.append(out);
})();
</script>"""


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Three natives, one damaged copy, one file of CA only and one with a name that is code."""
    folder = tmp_path_factory.mktemp("samples")
    for path in NATIVES.glob("*.pdb.gz"):
        shutil.copy(path, folder)
    b = read_structure(NATIVES / "1CC8_A.pdb.gz")
    replace(b, coords=b.coords * np.float32([1, 1, -1])).to_pdb(folder / "mirror.pdb")
    bare = np.full_like(b.coords, np.nan)
    bare[:, 1] = b.coords[:, 1]
    replace(b, coords=bare).to_pdb(folder / "ca_only.pdb")
    small = read_structure(NATIVES / "1EJG_A.pdb.gz")
    replace(small, confidence=np.full(46, 0.5, dtype=np.float32)).to_pdb(folder / f"{HOSTILE.replace('/', '_')}.pdb")
    (folder / "trajectories").mkdir()
    models = []
    for k, scale in enumerate((3.0, 2.0, 1.0)):
        frame = format_pdb(replace(b, coords=b.coords * scale, metadata={}))
        atoms = "".join(line + "\n" for line in frame.splitlines() if line.startswith(("ATOM", "TER")))
        models.append(f"MODEL     {k + 1:>4}\n{atoms}ENDMDL\n")
    with atomic(folder / "trajectories" / "1CC8_A.pdb") as path:
        path.write_text("".join(models) + "END\n")
    out = tmp_path_factory.mktemp("out")
    return evaluate(
        folder, NATIVES, out=out, workers=1, progress=False, config=EvaluateConfig(natives=10, figures=False)
    )


@pytest.fixture(scope="module")
def seen(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a browser without a network reports of the page."""
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    page = (evaluation.out / "report.html").read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(
        page.replace("<head>", "<head>" + LISTEN, 1).replace("</body>", DRIVE + "</body>")
    )
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", f"--user-data-dir={folder / 'profile'}",
        "--window-size=1500,1200", "--virtual-time-budget=60000", "--dump-dom", f"file://{folder / 'report.html'}",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ | {"HOME": str(folder)})
    found = re.search(r'<pre id="found">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stdout[-2000:] + run.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


def test_page_opens_without_complaints_and_without_a_network(seen: dict) -> None:
    assert seen["complaints"] == []
    assert seen["fetched"] == []
    assert seen["tiles"] >= 6
    assert seen["plots"] >= 6


def test_table_sorts_and_filters(seen: dict) -> None:
    assert sorted(seen["names"]) == sorted(
        ["1CC8_A", "1EJG_A", "1NB0_A", "ca_only", "mirror", HOSTILE.replace("/", "_")]
    )
    assert seen["up"] == sorted(seen["up"])
    assert seen["down"] == sorted(seen["up"], reverse=True)
    assert seen["filtered"]
    assert max(seen["filtered"]) < 100
    assert seen["none"] == 0
    assert seen["passing"] == ["yes"] * 5


def test_names_are_text_not_markup(seen: dict) -> None:
    assert seen["images"] == 0


def test_every_structure_is_drawn(seen: dict) -> None:
    assert len(seen["ink"]) == 6
    assert min(seen["ink"]) > 0.003
    assert min(seen["trace"], seen["sticks"]) > 0.001


def test_a_narrow_screen_needs_no_scrolling_sideways(seen: dict) -> None:
    width, wanted, rows = seen["narrow"]
    assert rows == 6
    assert 300 < width <= 390
    assert wanted <= width


def test_trajectory_plays(seen: dict) -> None:
    assert seen["player"]
    assert seen["frames"] == 3
    assert seen["first"] > 0


def test_pdb_from_the_page_is_the_file(seen: dict, tmp_path: Path) -> None:
    path = tmp_path / "saved.pdb"
    path.write_text(seen["pdb"] + "END\n")
    saved, original = read_structure(path), read_structure(NATIVES / "1CC8_A.pdb.gz")
    assert np.abs(saved.coords - original.coords).max() < 1.1e-3
    assert saved.sequence == original.sequence
    assert saved.residue_numbers.tolist() == original.residue_numbers.tolist()


def test_tables_agree(evaluation: Evaluation) -> None:
    stored = json.loads((evaluation.out / "metrics.json").read_text())
    assert stored["summary"]["passed"] == 5
    assert stored["summary"]["samples"] == 6
    assert {row["name"]: row["passed"] for row in stored["samples"]}["mirror"] is False
    header, *lines = (evaluation.out / "metrics.csv").read_text().splitlines()
    assert header.startswith("name,file,passed,reasons")
    assert len(lines) == 6
    tm = np.load(evaluation.out / "tm.npz")
    assert tm["tm"].shape == (6, 6)
    assert tm["names"].tolist() == [row["name"] for row in stored["samples"]]


def test_page_and_figures_are_drawn_from_one_description(tmp_path: Path) -> None:
    """Every number of a plot stands in the description; neither the page nor matplotlib computes one."""
    from protgm.evaluate.plots import describe_plots
    from protgm.evaluate.sheet import Sheet, named_apart
    from protgm.evaluate.steps import Judge, Similarity
    from protgm.structure.size import globular_radius

    sheet = Sheet(named_apart([read_structure(path) for path in sorted(NATIVES.glob("*.pdb.gz"))]))
    for step in (Judge(), Similarity()):
        step(sheet)
    found = sheet.evaluation()
    plots = describe_plots(found, sheet.verdict, sheet.verdict)
    assert all(rg == pytest.approx(globular_radius(max(length, 1))) for length, rg in plots["rg"]["law"])
    assert plots["rg"]["natives"] == [[row["length"], row["rg"]] for row in sheet.rows]
    assert plots["rg"]["y"][0] < min(row["rg"] for row in sheet.rows)
    assert sorted(plots["tm"]["order"]) == [0, 1, 2]
    names = [one["key"] for one in plots["histograms"]]
    assert "helix_length" in names
    assert "mpnn_nll" not in names  # nothing was designed
    for one in plots["histograms"]:
        assert len(one["edges"]) == len(one["samples"]) + 1
        assert sum(one["samples"]) == pytest.approx(1)
        assert one["samples"] == pytest.approx(one["natives"])
    assets = Path(__file__).parents[2] / "protgm" / "evaluate"
    for text in ((assets / "assets" / "plots.js").read_text(), (assets / "figures.py").read_text()):
        assert "0.38" not in text.replace('"2.2 L^0.38"', "")
        assert "histogram(" not in text.replace("function histogram(", "")
    assert json.loads(json.dumps(plots)) == plots
