// What is drawn of each row. Every function appends to a figure, and takes the axis.
const STATES = {
  up: "up: holds a lease, actors run", starting: "starting: never held a lease", paused: "paused: no lease",
  frozen: "frozen", failed: "failed: only an operator can help", retired: "retired: another process has its name",
  down: "down: no process",
};
const BAND = 12;

function block(axis, from, to, y, high, attributes) {
  const left = Math.max(axis.x(from), axis.left), right = Math.min(axis.x(to), axis.left + axis.width);
  return svg("rect", { x: left, y, width: Math.max(0.5, right - left), height: high, ...attributes });
}

function bands(figure, axis, name, rows, y, high, older) {
  for (const band of rows.filter((band) => axis.shows(band.from_ms, band.to_ms))) {
    const tip = [older ? `${name}: an older process of this name` : name, STATES[band.state],
      `${moment(band.from_ms)} to ${moment(band.to_ms)} (${span(band.to_ms - band.from_ms)})`,
      band.life ? `process ${band.life}` : "not started yet"];
    if (band.state === "down") {
      const left = Math.max(axis.x(band.from_ms), axis.left);
      const right = Math.min(axis.x(band.to_ms), axis.left + axis.width);
      figure.append(svg("line", { class: "down", x1: left, x2: right, y1: y + high / 2, y2: y + high / 2 }),
        block(axis, band.from_ms, band.to_ms, y, high, { fill: "transparent", tip }));
    } else {
      figure.append(block(axis, band.from_ms, band.to_ms, y, high, { fill: `var(--${band.state})`, tip }));
    }
  }
}

function leads(figure, axis, peer, y) {
  for (const lead of peer.leads.filter((lead) => axis.shows(lead.from_ms, lead.to_ms))) {
    const who = lead.older ? `an older process of ${peer.name}` : peer.name;
    const tip = [`${who} leads in term ${lead.term}, as it believes`,
      `${moment(lead.from_ms)} to ${moment(lead.to_ms)} (${span(lead.to_ms - lead.from_ms)})`];
    const [top, high] = lead.older ? [y + BAND + 1, 2] : [y, 3];
    figure.append(block(axis, lead.from_ms, lead.to_ms, top, high, { class: "lead", tip }));
    const left = Math.max(axis.x(lead.from_ms), axis.left);
    if (!lead.older && Math.min(axis.x(lead.to_ms), axis.left + axis.width) - left > 46) {
      figure.append(svg("text", { class: "inside", x: left + 4, y: y + BAND - 1 }, `term ${lead.term}`));
    }
  }
}

/** Faults one below another where they overlap, in a few lanes at most. */
function lanes(faults, most) {
  const ends = [];
  return faults.map((fault) => {
    let lane = ends.findIndex((end) => end <= fault.from_ms);
    if (lane < 0) lane = ends.length < most ? ends.length : most - 1;
    ends[lane] = Math.max(ends[lane] || 0, fault.to_ms);
    return { fault, lane };
  });
}

function faults(figure, axis, placed, names, y, step) {
  for (const { fault, lane } of placed) {
    if (!axis.shows(fault.from_ms, fault.to_ms)) continue;
    const whom = fault.peers.length ? fault.peers.map((at) => names[at]).join(", ") : "no peer in particular";
    const long = fault.to_ms - fault.from_ms;
    const tip = [`fault ${fault.number}: ${fault.family}`, fault.what, `strikes ${whom}`,
      long ? `${moment(fault.from_ms)} to ${moment(fault.to_ms)} (${span(long)})` : `at ${moment(fault.from_ms)}`];
    const x = Math.max(axis.x(fault.from_ms), axis.left);
    const end = Math.min(axis.x(fault.to_ms), axis.left + axis.width);
    figure.append(svg("rect", { x, y: y + lane * step, width: Math.max(2.5, end - x), height: step - 1,
      fill: colourOf(fault.family), tip }));
  }
}

function actor(figure, axis, row, names, y) {
  for (const run of row.spans.filter((run) => axis.shows(run.from_ms, run.to_ms))) {
    const tip = [`${row.name} runs on ${names[run.peer]}`,
      `${moment(run.from_ms)} to ${moment(run.to_ms)} (${span(run.to_ms - run.from_ms)})`];
    figure.append(block(axis, run.from_ms, run.to_ms, y + 4, 5, { fill: "var(--actor)", tip }));
  }
  const shown = row.restores.filter((restore) => axis.shows(restore.at_ms, restore.at_ms));
  shown.forEach((restore, at) => {
    const x = axis.x(restore.at_ms);
    const away = restore.gap_ms === null ? "it did not run after that"
      : `away for ${span(restore.gap_ms)}, from run to run`;
    const tip = [`${row.name} ${restore.in_place ? "began again" : "restored"} on ${names[restore.peer]}`,
      `at ${moment(restore.at_ms)}`, `from checkpoint ${restore.from_seq}`,
      restore.in_place ? "in the same process, as after a panic" : away,
      `downtime as the cluster knew it: ${span(restore.downtime_ms)}`];
    figure.append(svg("path", { d: `M${x - 3.5},${y}h7l-3.5,5.5z`, tip, stroke: "var(--restore)",
      fill: restore.in_place ? "var(--bg)" : "var(--restore)" }));
    const next = at + 1 < shown.length ? axis.x(shown[at + 1].at_ms) : axis.left + axis.width;
    const note = `${restore.from_seq}${restore.gap_ms ? `, ${span(restore.gap_ms)}` : ""}`;
    if (!axis.isWhole() && next - x > 20 + note.length * 6) {
      figure.append(svg("text", { class: "inside", x: x + 6, y: y + 3 }, note));
    }
  });
}

function calls(figure, axis, rows, y, high) {
  const per = 1000 / rows.bucket_ms, kinds = ["ok", "not", "unknown"];
  const sums = rows.ok.map((_, at) => kinds.reduce((sum, kind) => sum + rows[kind][at], 0));
  const most = Math.max(1, ...sums) * per, scale = (n) => (n / most) * high;
  for (const n of ticks(0, most, 2)) {
    figure.append(svg("line", { class: n ? "grid" : "base", x1: axis.left, x2: axis.left + axis.width,
      y1: y + high - scale(n), y2: y + high - scale(n) }),
      svg("text", { x: axis.left - 8, y: y + high - scale(n) + 4, "text-anchor": "end" }, fixed(n, 1)));
  }
  sums.forEach((sum, at) => {
    const from = at * rows.bucket_ms, to = from + rows.bucket_ms;
    if (!axis.shows(from, to)) return;
    const tip = [`${moment(from)} to ${moment(to)}`, `${count(rows.ok[at])} answered`,
      `${count(rows.not[at])} not executed`, `${count(rows.unknown[at])} nobody knows`];
    let top = y + high;
    for (const kind of kinds) {
      const tall = scale(rows[kind][at] * per);
      top -= tall;
      if (tall) figure.append(block(axis, from, Math.min(to, axis.end), top, tall, { fill: `var(--${kind})` }));
    }
    figure.append(block(axis, from, to, y, high, { fill: "transparent", tip }));
  });
}
