"use strict";
// The 3D viewer (3Dmol.js), PDB text from the packed coordinates, and the trajectory player.
const THREE = { A: "ALA", C: "CYS", D: "ASP", E: "GLU", F: "PHE", G: "GLY", H: "HIS", I: "ILE", K: "LYS", L: "LEU", M: "MET", N: "ASN", P: "PRO", Q: "GLN", R: "ARG", S: "SER", T: "THR", V: "VAL", W: "TRP", Y: "TYR" };
const ATOMS = ["N", "CA", "C", "O"];
const MISSING = -2147483648;
const HELIX = "#d55e00", STRAND = "#0072b2", COIL = "#8a949e";
// Parts of a structure by their first letters: generated ones are blue, given ones are not.
const PARTS = { n: ["new", "#0072b2"], s: ["varied", "#56b4e9"], m: ["motif", "#d55e00"], f: ["fixed", "#d55e00"], t: ["target", "#8a949e"] };
const CHAINS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

function unpack(text, kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new kind(bytes.buffer);
}
function chainsOf(structure) {
  return structure.chains.flatMap(([id, count]) => Array(count).fill(id));
}
// PDB records of one structure; coordinates as packed (thousandths of an Angstrom) or those of a trajectory's frame.
function pdbText(index, values = null, unit = 1000, shift = [0, 0, 0]) {
  const structure = DATA.structures[index];
  const x = values || unpack(structure.coords, Int32Array);
  const chain = chainsOf(structure);
  const lines = [];
  let serial = 1;
  for (let i = 0; i < structure.sequence.length; i++) {
    for (let a = 0; a < 4; a++) {
      const at = (4 * i + a) * 3;
      if (x[at] === MISSING) continue;
      const place = [0, 1, 2].map((k) => (x[at + k] / unit + shift[k]).toFixed(3).padStart(8)).join("");
      const b = structure.confidence ? structure.confidence[i] : 0;
      lines.push("ATOM  " + String(serial++ % 100000).padStart(5) + "  " + ATOMS[a].padEnd(3) + " " + (THREE[structure.sequence[i]] || "UNK") + " " + (chain[i] || "A")[0] +
        String(structure.numbers[i] % 10000).padStart(4) + (structure.icodes[i] || " ") + "   " + place + "  1.00" + b.toFixed(2).padStart(6) + "          " + ATOMS[a][0].padStart(2) + "  ");
    }
    if (i + 1 === structure.sequence.length || chain[i + 1] !== chain[i]) lines.push("TER");
  }
  return lines.join("\n") + "\n";
}

let viewer = null;
let current = null;
let playing = null;
let loose = false;

function colourOf(structure, total) {
  const scheme = $("colour").value;
  if (scheme === "secondary") return (atom) => ({ h: HELIX, s: STRAND })[atom.ss] || COIL;
  if (scheme === "chain") {
    const names = structure.chains.map(([id]) => id);
    return (atom) => CHAINS[Math.max(names.indexOf(atom.chain), 0) % CHAINS.length];
  }
  if (scheme === "origin") return (atom) => PARTS[structure.parts[atom.place]][1];
  const share = scheme === "rainbow" ? (atom) => atom.place / Math.max(total - 1, 1) : (atom) => atom.b / 100;
  return (atom) => viridis(Math.min(Math.max(share(atom), 0), 1));
}
function annotate(model, structure) {
  let place = -1, last = null;
  for (const atom of model.selectedAtoms({})) {
    const key = atom.chain + "|" + atom.resi + "|" + (atom.icode || "");
    if (key !== last) { place += 1; last = key; }
    atom.place = place;
    const states = structure.states, state = states[place];
    atom.ss = { H: "h", E: "s" }[state] || "c";
    atom.ssbegin = place === 0 || states[place - 1] !== state;
    atom.ssend = place === states.length - 1 || states[place + 1] !== state;
  }
}
function restyle() {
  if (!viewer || current === null) return;
  const structure = DATA.structures[current];
  const colorfunc = colourOf(structure, structure.sequence.length);
  const bare = structure.ca_only;
  const style = bare && $("style").value !== "trace" ? "trace" : $("style").value;
  // Early in a trajectory residues are too far apart for a chain to be drawn.
  if (loose) { viewer.setStyle({}, {}); viewer.setStyle({ atom: "CA" }, { sphere: { colorfunc, radius: 0.8 } }); }
  else if (style === "cartoon") viewer.setStyle({}, { cartoon: { colorfunc, arrows: true, thickness: 0.35 } });
  else if (style === "trace") viewer.setStyle({}, { cartoon: { colorfunc, style: "trace", thickness: 0.5 } });
  else viewer.setStyle({}, { stick: { colorfunc, radius: 0.14 } });
  viewer.render();
  const legends = { secondary: "helix: vermilion coil; strand: blue arrow; the rest: narrow grey band", rainbow: "dark: N terminus; bright: C terminus", confidence: "dark: low confidence; bright: high", chain: "one colour per chain", origin: [...new Set(structure.parts || "")].map((p) => `${PARTS[p][0]}: ${ { n: "blue", s: "light blue", t: "grey" }[p] || "vermilion" }`).join("; ") };
  $("legend").textContent = legends[$("colour").value];
}
function stop() {
  if (playing) clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}
function load(text, structure) {
  viewer.removeAllModels();
  annotate(viewer.addModel(text, "pdb", { noComputeSecondaryStructure: true }), structure);
}
function show(index) {
  const first = current === null;
  const structure = DATA.structures[index], row = rows[index];
  current = index;
  stop();
  $("shown").textContent = row.name + (row.passed ? "" : "  (fails the gate)");
  // A designed sequence says more than the glycines of a bare backbone.
  const letters = structure.parts ? "\n" + structure.parts + "\n" + [...new Set(structure.parts)].map((p) => `${p}: ${PARTS[p][0]}`).join(", ") : "";
  $("sequence").textContent = (row.sequence ? "designed:\n" + row.sequence : structure.sequence) + "\n" + structure.states + letters;
  $("details").replaceChildren();
  for (const key of ["length", "reasons", "motif_rmsd", "junction_ok", "hotspots_touched", "target_contacts", "target_clashes", "off_orbit", "native_tm", "nearest_native", "sample_tm", "nearest_sample", "cluster", "confidence", "mpnn_nll", "sc_rmsd", "plddt"]) {
    const value = row[key];
    if (value === null || value === undefined || (Array.isArray(value) && !value.length)) continue;
    $("details").append(element("dt", {}, key), element("dd", {}, format(value)));
  }
  for (const option of $("colour").options) if (option.value === "confidence") option.disabled = !structure.confidence;
  if (!structure.confidence && $("colour").value === "confidence") $("colour").value = "secondary";
  // What was given and what is new is what a conditioned sample is looked at for.
  for (const option of $("colour").options) if (option.value === "origin") option.disabled = !structure.parts;
  if (!structure.parts && $("colour").value === "origin") $("colour").value = "secondary";
  if (first && structure.parts) $("colour").value = "origin";
  if (first) viewer = $3Dmol.createViewer($("viewer"), { backgroundColor: "white", antialias: true });
  loose = false;
  load(pdbText(index), structure);
  const trajectory = DATA.trajectories[row.name];
  $("player").hidden = !trajectory;
  if (trajectory) {
    $("frame").max = trajectory.frames - 1;
    $("frame").value = trajectory.frames - 1;
    $("frame-number").textContent = "final";
  }
  restyle();
  viewer.zoomTo();
  viewer.render();
}
function frame(number) {
  const row = rows[current], trajectory = DATA.trajectories[row.name], structure = DATA.structures[current];
  const all = unpack(trajectory.coords, Int16Array), size = structure.sequence.length * 12;
  const states = trajectory.states[number];
  const values = all.subarray(number * size, (number + 1) * size);
  let far = 0;
  for (let i = 3; i + 12 < size; i += 12) far += Math.hypot(...[0, 1, 2].map((k) => values[i + 12 + k] - values[i + k])) > 450;
  loose = far > size / 12 / 4;
  load(pdbText(current, values, 100, trajectory.centre), { ...structure, states });
  $("frame").value = number;
  $("frame-number").textContent = `${number + 1} / ${trajectory.frames}`;
  restyle();
}
$("play").onclick = () => {
  if (playing) return stop();
  const total = DATA.trajectories[rows[current].name].frames;
  let number = Number($("frame").value) % (total - 1);
  $("play").textContent = "Pause";
  playing = setInterval(() => { frame(number); number += 1; if (number >= total) stop(); }, 120);
};
$("frame").oninput = () => { stop(); frame(Number($("frame").value)); };
$("colour").onchange = $("style").onchange = restyle;
$("spin").onchange = () => viewer && viewer.spin($("spin").checked ? "y" : false);
$("save-pdb").onclick = () => download(rows[current].name.replace(/\//g, "_") + ".pdb", pdbText(current) + "END\n", "chemical/x-pdb");
$("save-png").onclick = () => element("a", { href: viewer.pngURI(), download: rows[current].name.replace(/\//g, "_") + ".png" }).click();
