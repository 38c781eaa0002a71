// The page of one run.
function legend() {
  const box = (colour, name) => el("span", {}, el("i", { style: `background:var(--${colour})` }), name);
  const processes = el("div", { class: "legend" },
    box("up", "up"), box("paused", "paused, no lease"), box("starting", "starting"), box("frozen", "frozen"),
    box("failed", "failed"), box("retired", "retired"),
    el("span", {}, el("i", { class: "dots" }), "down"),
    el("span", {}, el("i", { class: "line", style: "background:var(--lead)" }), "leads"),
    el("span", {}, el("i", { class: "tri" }), "restored"),
    el("span", {}, el("i", { class: "tri hollow" }), "began again in its process"));
  const kinds = el("div", { class: "legend" }, el("span", {}, "faults of the"), box("network", "network"),
    box("crash", "machines"), box("disk", "disks"), box("clock", "clocks"), box("other", "other"),
    el("span", {}, "calls"), box("ok", "answered"), box("not", "not executed"), box("unknown", "nobody knows"));
  return el("div", { class: "legends" }, processes, kinds);
}

const line = data.timeline;
const names = line.peers.map((peer) => peer.name);
const onPeer = names.map((_, at) => lanes(line.faults.filter((fault) => fault.peers.includes(at)), 2));
const onAll = lanes(line.faults.filter((fault) => !fault.peers.length), 4);
const figureBox = el("div", {});
const tools = el("span", {});
const axis = new Axis(Math.max(1, line.end_ms), () => redraw());

function redraw() {
  const width = Math.floor(figureBox.clientWidth);
  if (width < 1) return;
  const held = document.activeElement && document.activeElement.closest(".plot");
  figureBox.replaceChildren(plot(width));
  if (held) figureBox.firstChild.focus({ preventScroll: true });
  tools.replaceChildren(
    el("button", { onclick: () => axis.zoom(0.6) }, "zoom in"), " ",
    el("button", { onclick: () => axis.zoom(1.6), ...(axis.isWhole() ? { disabled: "" } : {}) }, "zoom out"), " ",
    el("button", { onclick: () => axis.whole(), ...(axis.isWhole() ? { disabled: "" } : {}) }, "whole run"));
  filterTrace();
}

/** Where each row is, from top to bottom. */
function layout() {
  const rows = [], older = line.peers.map((peer) => peer.older.length > 0);
  let y = 60;
  const group = (name) => { rows.push({ group: name, y }); y += 6; };
  const deep = Math.max(1, ...onAll.map((placed) => placed.lane + 1));
  rows.push({ name: "all peers", label: y + 8, faults: onAll, y, step: 6 });
  y += deep * 6 + 24;
  group("peers");
  line.peers.forEach((peer, at) => {
    rows.push({ name: peer.name, label: y + 10, peer, y, older: older[at], faults: onPeer[at], step: 4 });
    y += BAND + (older[at] ? 6 : 0) + 17;
  });
  y += 16;
  group("actors");
  line.actors.forEach((row) => { rows.push({ name: row.name, label: y + 10, actor: row, y }); y += 17; });
  y += 20;
  group("calls per second");
  rows.push({ calls: line.calls, y: y + 6 });
  return { rows, bottom: y + 76, high: y + 100 };
}

function plot(width) {
  const { rows, bottom, high } = layout();
  const longest = Math.max(9, ...names.map((name) => name.length), ...line.actors.map((row) => row.name.length));
  axis.left = Math.min(180, longest * 6.6 + 14);
  axis.width = Math.max(50, width - axis.left - 10);
  const figure = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${high}`, height: high, tabindex: 0, role: "img",
    "aria-label": "Timeline of peers, faults, actors and calls", onkeydown: (event) => axis.key(event) });
  for (const ms of ticks(axis.from, axis.to, axis.width / 90)) {
    figure.append(svg("line", { class: "grid", x1: axis.x(ms), x2: axis.x(ms), y1: 50, y2: bottom }),
      svg("text", { x: axis.x(ms), y: bottom + 17, "text-anchor": "middle" }, `${fixed(ms / 1000, 3)} s`));
  }
  phases(figure, bottom);
  for (const row of rows) {
    if (row.group) figure.append(svg("text", { class: "group", x: 0, y: row.y - 4 }, row.group));
    if (row.name) {
      figure.append(svg("text", { class: "name", x: axis.left - 8, y: row.label, "text-anchor": "end" }, row.name));
    }
    if (row.peer) {
      bands(figure, axis, row.name, row.peer.bands, row.y, BAND, false);
      leads(figure, axis, row.peer, row.y);
      bands(figure, axis, row.name, row.peer.older, row.y + BAND + 1, 4, true);
    }
    const below = row.peer ? BAND + (row.older ? 7 : 2) : 0;
    if (row.faults) faults(figure, axis, row.faults, names, row.y + below, row.step);
    if (row.actor) actor(figure, axis, row.actor, names, row.y);
    if (row.calls) calls(figure, axis, row.calls, row.y, 64);
  }
  cursor(figure, bottom);
  axis.steer(figure);
  return figure;
}

function phases(figure, bottom) {
  let right = axis.left + axis.width + 10, level = 0;
  for (const phase of [...line.phases].reverse().filter((phase) => axis.shows(phase.at_ms, phase.at_ms))) {
    const x = axis.x(phase.at_ms), long = phase.name.length * 5.6 + 8;
    const toLeft = x + long > axis.left + axis.width;
    const end = toLeft ? x : x + long;
    level = end > right ? level + 1 : 0;
    figure.append(svg("line", { class: "phase", x1: x, x2: x, y1: 50, y2: bottom }));
    if (level < 4) {
      const place = { x: toLeft ? x - 3 : x + 3, y: 46 - level * 12, "text-anchor": toLeft ? "end" : "start" };
      figure.append(svg("text", place, phase.name));
      right = toLeft ? x - long : x;
    }
  }
}

let pointAt = () => {};
function cursor(figure, bottom) {
  const mark = svg("line", { class: "cursor", y1: 50, y2: bottom, visibility: "hidden" });
  const text = svg("text", { class: "name", y: bottom + 17, "text-anchor": "middle", visibility: "hidden" });
  const back = svg("rect", { y: bottom + 6, height: 15, width: 64, fill: "var(--bg)", visibility: "hidden" });
  figure.append(mark, back, text);
  pointAt = (ms) => {
    const seen = ms !== null && axis.shows(ms, ms);
    [mark, back, text].forEach((node) => node.setAttribute("visibility", seen ? "visible" : "hidden"));
    if (!seen) return;
    mark.setAttribute("x1", axis.x(ms));
    mark.setAttribute("x2", axis.x(ms));
    back.setAttribute("x", axis.x(ms) - 32);
    text.setAttribute("x", axis.x(ms));
    text.textContent = moment(ms);
  };
  figure.addEventListener("pointermove", (event) => {
    const x = event.clientX - figure.getBoundingClientRect().left;
    pointAt(x < axis.left ? null : Math.min(axis.to, axis.at(x)));
  });
  figure.addEventListener("pointerleave", () => pointAt(null));
}

function slowest() {
  const all = line.actors.flatMap((row) => row.restores.map((restore) => ({ ...restore, actor: row.name })));
  const top = all.filter((one) => one.gap_ms !== null && !one.in_place).sort((a, b) => b.gap_ms - a.gap_ms).slice(0, 6);
  const show = (one) => () => {
    axis.show(one.at_ms - one.gap_ms * 1.3 - 200, one.at_ms + one.gap_ms * 0.3 + 200);
    figureBox.scrollIntoView({ behavior: "smooth", block: "center" });
  };
  const numbers = ["away", "checkpoint", "restored at"].map((name) => el("th", { class: "num" }, name));
  const head = el("tr", {}, el("th", {}, "slowest"), numbers, el("th", {}));
  return top.length ? el("div", { class: "scroll" }, el("table", {}, head, top.map((one) => el("tr", {},
    el("td", {}, one.actor), el("td", { class: "num" }, span(one.gap_ms)), el("td", { class: "num" }, one.from_seq),
    el("td", { class: "num" }, moment(one.at_ms)),
    el("td", {}, el("button", { onclick: show(one) }, "show")))))) : null;
}

function families() {
  const sums = new Map();
  line.faults.forEach((fault) => sums.set(fault.family, (sums.get(fault.family) || 0) + 1));
  const rows = [...sums].sort((a, b) => b[1] - a[1]);
  const bar = ([name, number]) => ({ name, number, colour: colourOf(name), tip: [`${number} of kind ${name}`] });
  return bars(rows.map(bar), "faults");
}

function verdicts() {
  if (!data.verdicts.length) return el("p", { class: "soft" }, "No promise was broken, as far as its events tell.");
  const shown = { kept: ["good", "● kept"], broken: ["bad", "✕ broken"], open: ["soft", "○ open"] };
  return el("div", { class: "scroll" }, el("table", {}, data.verdicts.map((verdict) => el("tr", {},
    el("td", { class: shown[verdict.held][0] }, shown[verdict.held][1]),
    el("td", {}, el("code", {}, verdict.invariant)),
    el("td", {}, verdict.says, verdict.what ? el("div", { class: "soft" }, verdict.what) : null)))));
}

const trace = el("div", { class: "trace", tabindex: 0, onpointerleave: () => pointAt(null) });
const wanted = el("input", { type: "search", placeholder: "search the trace", "aria-label": "search the trace",
  oninput: () => filterTrace() });
const inView = el("input", { type: "checkbox", onchange: () => filterTrace() });
const found = el("span", { class: "soft" });
function filterTrace() {
  const text = wanted.value.toLowerCase();
  const rows = data.trace.filter((row) => {
    const ms = parseFloat(row) * 1000;
    return (!text || row.toLowerCase().includes(text)) && (!inView.checked || (ms >= axis.from && ms <= axis.to));
  });
  found.textContent = `${count(rows.length)} of ${count(data.trace.length)} lines`
    + (data.left_out ? `; ${count(data.left_out)} before them are left out` : "");
  trace.replaceChildren(...rows.map((row) => {
    const kind = /VIOLATION/.test(row) ? "end bad" : /^ *[\d.]+ [A-Z]\w+ [{]/.test(row) ? "fault" : "";
    const parts = [], low = row.toLowerCase();
    let from = 0;
    for (let at = text ? low.indexOf(text) : -1; at >= 0; at = low.indexOf(text, from)) {
      parts.push(row.slice(from, at), el("mark", {}, row.slice(at, at + text.length)));
      from = at + text.length;
    }
    parts.push(row.slice(from));
    const colour = kind === "fault" ? `color:${colourOf(row.trim().split(" ")[1])}` : null;
    return el("div", { class: kind, style: colour, onpointerenter: () => pointAt(parseFloat(row) * 1000) }, ...parts);
  }));
}

const broken = data.verdicts.find((verdict) => verdict.held === "broken");
page.append(
  el("header", {}, el("div", {}, el("h1", {}, data.title), el("p", { class: "soft" }, data.subtitle)),
    el("div", { class: `verdict ${broken ? "bad" : "good"}` },
      broken ? "a promise was broken" : data.verdicts.length ? "every promise was kept" : "no promise was broken")),
  broken ? el("div", { class: "alarm" }, el("code", {}, broken.invariant), el("div", {}, broken.what)) : "",
  el("div", { class: "figures" }, [...data.figures, ["recoveries", count(data.recoveries.count)]].map(([name, value]) =>
    el("div", {}, el("span", {}, name), el("b", {}, value)))),
  section("What happened", "From top to bottom: faults that strike all, every peer's process and below it the "
    + "faults that strike it, where every actor ran, and how calls ended. Drag to zoom, double-click for the whole "
    + "run; arrows, + and − work too; the wheel zooms with Ctrl and moves with Shift.",
    el("div", { class: "tools" }, legend(), tools), figureBox),
  el("div", { class: "pair" },
    section("How long actors were away", "From the moment an actor last ran until it ran again, restored from a "
      + "checkpoint. This holds the time in which there was no majority or no machine.",
      histogram(data.recoveries, span, "recoveries"), slowest()),
    section("Which faults struck", null, families())),
  section("What was promised", null, verdicts()),
  !data.replay.length ? "" : section("Run it again",
    "The same version makes the same run, to the last byte of its trace.",
    data.replay.map((command) => el("pre", { class: "command" }, command))),
  section("Trace", null, el("div", { class: "tools" }, wanted,
    el("label", { class: "soft" }, inView, " only what is in view above"), found), trace),
  el("footer", {}, data.version));
resized(figureBox, (width) => {
  const seen = figureBox.firstChild && figureBox.firstChild.viewBox.baseVal.width;
  if (seen !== width) redraw();
});
