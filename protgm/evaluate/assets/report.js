"use strict";
// Table, tiles and downloads. Everything comes from the JSON in the page; nothing is fetched.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const rows = DATA.rows;
const picks = new Map(DATA.picks.map((name, i) => [name, i]));
rows.forEach((row, i) => { row.index = i; });

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
function format(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join("; ");
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : size >= 0.001 ? 3 : 5);
}
function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function tip(event, text) {
  const box = $("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const width = box.offsetWidth;
  box.style.left = Math.min(event.clientX + 14, innerWidth - width - 8) + "px";
  box.style.top = event.clientY + 14 + "px";
}

// --- summary -------------------------------------------------------------------------------------------------------
$("subtitle").textContent = DATA.subtitle;
document.querySelector("h1").textContent = document.title;
for (const tile of DATA.tiles) {
  const card = element("div", { className: "tile", title: tile.help || "" }, element("span", {}, tile.label), element("b", {}, tile.value));
  if (tile.note) card.append(element("span", {}, tile.note));
  if (tile.native) card.append(element("span", { className: "native" }, "natives " + tile.native));
  $("tiles").append(card);
}
if (DATA.picks.length) {
  $("picks").hidden = false;
  const what = DATA.tm ? "The best of each cluster among those that pass the gate, best first" : "Those that pass the gate, best first";
  $("pick-note").textContent = what + (DATA.picks.length > 40 ? `; 40 of ${DATA.picks.length}.` : ".");
  for (const name of DATA.picks.slice(0, 40)) {
    const row = rows.find((r) => r.name === name);
    $("pick-list").append(element("button", { onclick: () => { choose(row.index); $("browse").scrollIntoView(); } }, name));
  }
}

// --- table ---------------------------------------------------------------------------------------------------------
const TEXT = new Set(["name", "file", "reasons", "nearest_native", "nearest_sample", "sequence"]);
let shownColumns = DATA.columns.slice();
let order = { key: null, down: false };
let visible = rows.slice();
let chosen = 0;

function outside(row, key) {
  const native = DATA.natives[key];
  const value = row[key];
  return native && typeof value === "number" && !["length", "chains"].includes(key) && (value < native.p5 || value > native.p95);
}
function header() {
  const line = element("tr");
  for (const key of shownColumns) {
    const native = DATA.natives[key];
    const cell = element("th", { className: TEXT.has(key) ? "text" : "", tabIndex: 0, scope: "col" }, key);
    cell.title = (DATA.help[key] || key) + (native ? `\nnatives: mean ${format(native.mean)}, 5-95 % ${format(native.p5)} to ${format(native.p95)}` : "");
    cell.dataset.key = key;
    if (order.key === key) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    const sort = () => {
      order = { key, down: order.key === key ? !order.down : false };
      refresh();
    };
    cell.onclick = sort;
    cell.onkeydown = (event) => { if (event.key === "Enter") sort(); };
    line.append(cell);
  }
  $("table").tHead.replaceChildren(line);
}
const COMPARE = { ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, "=": (a, b) => a === b };
function matches(row, terms) {
  return terms.every((term) => {
    const found = /^(\w+)(>=|<=|>|<|=)(.+)$/.exec(term);
    if (found && found[1] in row) {
      const value = row[found[1]];
      if (value === null || value === undefined) return false;
      if (typeof value === "number") return COMPARE[found[2]](value, Number(found[3]));
      return format(value).toLowerCase() === found[3].toLowerCase() || String(value) === found[3].toLowerCase();
    }
    return [row.name, row.nearest_native, ...(row.reasons || [])].some((text) => text && text.toLowerCase().includes(term.toLowerCase()));
  });
}
function refresh() {
  const terms = $("filter").value.trim().split(/\s+/).filter(Boolean);
  visible = rows.filter((row) => matches(row, terms) && (!$("only-passed").checked || row.passed) && (!$("only-picks").checked || picks.has(row.name)));
  if (order.key) {
    const key = order.key, sign = order.down ? -1 : 1;
    visible.sort((a, b) => {
      const x = a[key], y = b[key];
      // What is unknown comes last either way.
      const empty = (v) => v === null || v === undefined;
      if (empty(x) || empty(y)) return empty(x) - empty(y);
      return sign * (typeof x === "number" || typeof x === "boolean" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }));
    });
  } else if ($("only-picks").checked) visible.sort((a, b) => picks.get(a.name) - picks.get(b.name));
  header();
  const body = document.createDocumentFragment();
  for (const row of visible) {
    const line = element("tr", { onclick: () => choose(row.index) });
    line.dataset.index = row.index;
    if (row.index === chosen) line.className = "chosen";
    for (const key of shownColumns) {
      const cell = element("td", { className: TEXT.has(key) ? "text" : "" }, format(row[key]));
      if (key === "passed" && !row.passed) { cell.classList.add("bad"); cell.title = (row.reasons || []).join("\n"); }
      if (outside(row, key)) { cell.classList.add("outside"); cell.title = "outside of 90 % of natives"; }
      if (key === "reasons") cell.title = (row.reasons || []).join("\n");
      line.append(cell);
    }
    body.append(line);
  }
  $("table").tBodies[0].replaceChildren(body);
  $("count").textContent = `${visible.length} of ${rows.length}`;
}
function choose(index) {
  chosen = index;
  for (const line of $("table").tBodies[0].rows) line.className = Number(line.dataset.index) === index ? "chosen" : "";
  show(index);
  document.dispatchEvent(new CustomEvent("chosen", { detail: index }));
}
function step(by) {
  if (!visible.length) return;
  const at = visible.findIndex((row) => row.index === chosen);
  const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
  choose(next.index);
  document.querySelector("tr.chosen")?.scrollIntoView({ block: "nearest" });
}
for (const key of DATA.all_columns) {
  const box = element("input", { type: "checkbox", checked: shownColumns.includes(key) });
  box.onchange = () => {
    shownColumns = DATA.all_columns.filter((other) => (other === key ? box.checked : shownColumns.includes(other)));
    refresh();
  };
  $("column-list").append(element("label", { title: DATA.help[key] || "" }, box, " " + key));
}
$("filter").oninput = $("only-passed").onchange = $("only-picks").onchange = refresh;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
document.addEventListener("keydown", (event) => {
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") { step(event.key === "ArrowDown" ? 1 : -1); event.preventDefault(); }
});

// --- distances and downloads ---------------------------------------------------------------------------------------
if (DATA.distances.length) {
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...["distance", "value", "95 % interval", "natives' floor", ""].map((t, i) => element("th", { className: i ? "" : "text" }, t)))));
  const body = element("tbody");
  for (const d of DATA.distances) {
    const top = Math.max(d.value, d.high, d.floor_high, 1e-9) * 1.05;
    const x = (v) => Math.max(0, (v / top) * 300);
    const bar = `<svg viewBox="0 0 310 22" role="img"><rect x="${x(d.floor_low)}" y="4" width="${Math.max(2, x(d.floor_high) - x(d.floor_low))}" height="14" fill="#c9d1d8"/><line x1="${x(d.low)}" x2="${x(d.high)}" y1="11" y2="11" stroke="#0072b2" stroke-width="2"/><circle cx="${x(d.value)}" cy="11" r="5" fill="#0072b2"/></svg>`;
    const cell = element("td");
    cell.innerHTML = bar;
    body.append(element("tr", { title: d.help }, element("td", { className: "text" }, d.label), element("td", {}, format(d.value)), element("td", {}, `${format(d.low)} to ${format(d.high)}`), element("td", {}, `${format(d.floor)} (${format(d.floor_low)} to ${format(d.floor_high)})`), cell));
  }
  table.append(body);
  $("distances").append(element("h2", {}, "Distances to natives"), element("p", { className: "note" }, "0 is equality. The grey bar is where natives against other natives of the same number and lengths fall (95 %); a point to the right of it tells the samples from natives."), table);
} else document.querySelector("nav a[href='#distances']").hidden = true;
for (const [label, value] of DATA.about) $("about-text").append(element("p", {}, element("strong", {}, label + ": "), value));
$("downloads").append(
  element("button", { onclick: () => download("metrics.csv", DATA.csv, "text/csv") }, "metrics.csv"), " ",
  element("button", { onclick: () => download("metrics.json", JSON.stringify({ summary: DATA.summary, samples: rows }, null, 1), "application/json") }, "metrics.json"), " ",
  element("button", { onclick: () => download("shown.pdb", visible.map((row, i) => `MODEL     ${String(i + 1).padStart(4)}\n${pdbText(row.index)}ENDMDL\n`).join(""), "chemical/x-pdb") }, "rows shown as one PDB file"));
