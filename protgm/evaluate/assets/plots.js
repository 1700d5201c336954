"use strict";
// Plots: samples are blue filled points or bars, natives grey ones; shape and fill tell them apart without colour.
const BLUE = "#0072b2", GREY = "#7d8791", LINE = "#d7dde3";
const SVG = "http://www.w3.org/2000/svg";
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];

function viridis(t) {
  const at = t * (VIRIDIS.length - 1), i = Math.min(Math.floor(at), VIRIDIS.length - 2), f = at - i;
  return "#" + VIRIDIS[i].map((v, k) => Math.round(v + f * (VIRIDIS[i + 1][k] - v)).toString(16).padStart(2, "0")).join("");
}
function svg(tag, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}
function card(title, note, wide = false) {
  const box = element("div", { className: wide ? "card wide" : "card" }, element("h2", {}, title), element("p", { className: "note" }, note));
  $("plots").append(box);
  return box;
}
function ticks(low, high, count = 5) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / size - 1e-9) * size; v <= high + 1e-9; v += size) found.push(Math.round(v / size) * size);
  return found;
}
function axes(box, xRange, yRange, labels, size = [420, 330], marks = ticks) {
  const [width, height] = size, left = 52, right = 12, top = 8, bottom = 40;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  root.append(svg("title", {}, labels.join(", ")));
  const x = (v) => left + ((v - xRange[0]) / (xRange[1] - xRange[0])) * (width - left - right);
  const y = (v) => height - bottom - ((v - yRange[0]) / (yRange[1] - yRange[0])) * (height - top - bottom);
  for (const v of marks(...xRange)) {
    root.append(svg("line", { x1: x(v), x2: x(v), y1: top, y2: height - bottom, stroke: LINE }));
    root.append(svg("text", { x: x(v), y: height - bottom + 15, "text-anchor": "middle" }, String(+v.toPrecision(6))));
  }
  for (const v of marks(...yRange)) {
    root.append(svg("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), stroke: LINE }));
    root.append(svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(+v.toPrecision(6))));
  }
  root.append(svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, labels[0]));
  root.append(svg("text", { transform: `translate(13 ${(height - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, labels[1]));
  box.append(root);
  return { root, x, y };
}
// A sample's point: a tooltip, a click that shows it, and a ring while it is shown.
function point(root, x, y, index, radius = 3.6) {
  const row = rows[index];
  const dot = svg("circle", { cx: x, cy: y, r: radius, fill: row.passed ? BLUE : "#fff", stroke: BLUE, "stroke-width": 1.2, "fill-opacity": 0.75, cursor: "pointer" });
  dot.dataset.index = index;
  dot.onmousemove = (event) => tip(event, row.name);
  dot.onmouseleave = (event) => tip(event, null);
  dot.onclick = () => choose(index);
  root.append(dot);
}
document.addEventListener("chosen", (event) => {
  for (const dot of document.querySelectorAll("#plots circle[data-index]")) {
    const on = Number(dot.dataset.index) === event.detail;
    dot.setAttribute("stroke", on ? "#d55e00" : BLUE);
    dot.setAttribute("stroke-width", on ? 3.5 : 1.2);
    if (on) dot.parentNode.append(dot);
  }
});

// What is shown, with titles, labels and ranges, is described in DATA.plots; the PNG figures are drawn from the same.
function ramachandran({ title, note, labels, ticks, counts, bins, angles }) {
  const box = card(title, note);
  const { root, x, y } = axes(box, [-180, 180], [-180, 180], labels, [420, 400], () => ticks);
  const highest = Math.max(...counts), side = 360 / bins;
  for (let i = 0; i < bins; i++) for (let j = 0; j < bins; j++) {
    const share = counts[i * bins + j] / highest;
    if (share < 0.002) continue;
    const shade = 240 - Math.round(110 * Math.min(1, Math.log1p(share * 500) / Math.log(501)));
    root.append(svg("rect", { x: x(-180 + i * side), y: y(-180 + (j + 1) * side), width: x(side) - x(0) + 0.4, height: y(0) - y(side) + 0.4, fill: `rgb(${shade},${shade},${shade})` }));
  }
  // Points are dots of a few paths: quick to draw, and where paths overlap it is darker.
  const paths = Array.from({ length: 16 }, () => []);
  for (let k = 0; k + 1 < angles.length; k += 2) paths[(k / 2) % 16].push(`M${x(angles[k]).toFixed(1)},${y(angles[k + 1]).toFixed(1)}h0`);
  const opacity = Math.max(0.12, Math.min(0.5, 4000 / angles.length));
  for (const dots of paths) root.append(svg("path", { d: dots.join(""), stroke: BLUE, "stroke-width": 2.6, "stroke-linecap": "round", "stroke-opacity": opacity, fill: "none" }));
}
function simplex({ title, note, labels, natives }) {
  const box = card(title, note);
  const root = svg("svg", { viewBox: "0 0 420 370", role: "img" });
  const at = (helix, strand) => [40 + 340 * (strand + (1 - helix - strand) / 2), 330 - 290 * (1 - helix - strand)];
  const corner = [[1, 0], [0, 1], [0, 0]].map(([h, e]) => at(h, e));
  root.append(svg("polygon", { points: corner.map((p) => p.join(",")).join(" "), fill: "none", stroke: GREY }));
  for (const v of [0.25, 0.5, 0.75]) for (const [a, b] of [[at(v, 0), at(v, 1 - v)], [at(0, v), at(1 - v, v)], [at(0, 1 - v), at(1 - v, 0)]])
    root.append(svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], stroke: LINE }));
  root.append(svg("text", { x: 30, y: 350 }, labels[0]), svg("text", { x: 390, y: 350, "text-anchor": "end" }, labels[1]), svg("text", { x: 210, y: 30, "text-anchor": "middle" }, labels[2]));
  for (const [helix, strand] of natives) { const [cx, cy] = at(helix, strand); root.append(svg("rect", { x: cx - 2, y: cy - 2, width: 4, height: 4, fill: "#b9c1c8" })); }
  for (const row of rows) if (row.helix !== null) point(root, ...at(row.helix, row.strand), row.index);
  box.append(root);
}
function size(plot) {
  const box = card(plot.title, plot.note);
  const { root, x, y } = axes(box, plot.x, plot.y, plot.labels);
  for (const [length, rg] of plot.natives) root.append(svg("rect", { x: x(length) - 2, y: y(rg) - 2, width: 4, height: 4, fill: "#b9c1c8" }));
  root.append(svg("polyline", { points: plot.law.map(([length, rg]) => `${x(length)},${y(rg)}`).join(" "), fill: "none", stroke: "#444", "stroke-dasharray": "5 3" }));
  for (const row of rows) if (row.rg !== null) point(root, x(row.length), y(row.rg), row.index);
}
function matrix({ title, note, order }) {
  const n = order.length, values = unpack(DATA.tm, Uint8Array);
  const box = card(title, note);
  const canvas = element("canvas", { width: n, height: n, role: "img", "aria-label": "matrix of TM-scores" });
  canvas.style.imageRendering = "pixelated";
  const context = canvas.getContext("2d"), image = context.createImageData(n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const hex = viridis(values[order[i] * n + order[j]] / 250), at = 4 * (i * n + j);
    for (let k = 0; k < 3; k++) image.data[at + k] = parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
    image.data[at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  const cell = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [(event.clientY - frame.top) / frame.height, (event.clientX - frame.left) / frame.width].map((f) => order[Math.min(n - 1, Math.max(0, Math.floor(f * n)))]);
  };
  canvas.onmousemove = (event) => { const [i, j] = cell(event); tip(event, `${rows[i].name} on ${rows[j].name}: TM ${(values[i * n + j] / 250).toFixed(2)}`); };
  canvas.onmouseleave = (event) => tip(event, null);
  canvas.onclick = (event) => choose(cell(event)[0]);
  box.append(canvas);
}
function histogram({ title, note, labels, edges, samples, natives }) {
  const box = card(title, note), last = edges.length - 1;
  const { root, x, y } = axes(box, [edges[0], edges[last]], [0, Math.max(...samples, ...(natives || [0])) * 1.08], labels, [420, 240]);
  samples.forEach((v, k) => root.append(svg("rect", { x: x(edges[k]) + 0.5, y: y(v), width: x(edges[k + 1]) - x(edges[k]) - 1, height: y(0) - y(v), fill: BLUE, "fill-opacity": 0.65 })));
  if (natives) root.append(svg("polyline", { points: natives.flatMap((v, k) => [`${x(edges[k])},${y(v)}`, `${x(edges[k + 1])},${y(v)}`]).join(" "), fill: "none", stroke: "#333", "stroke-width": 1.6 }));
}

ramachandran(DATA.plots.ramachandran);
simplex(DATA.plots.secondary);
size(DATA.plots.rg);
if (DATA.plots.tm) matrix(DATA.plots.tm);
DATA.plots.histograms.forEach(histogram);
refresh();
choose((visible.find((row) => picks.has(row.name)) || rows[0]).index);
document.body.dataset.ready = "true";
