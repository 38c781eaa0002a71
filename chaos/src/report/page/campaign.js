// The page of many runs.
const hours = (seconds) => (seconds < 5400 ? `${fixed(seconds / 60, 1)} min` : `${fixed(seconds / 3600, 1)} h`);
const times = (number) => `${fixed(number, number < 10 ? 1 : 0)}×`;

/** A table that is sorted by a click on its head, and shows a part of its rows. */
function sorted(columns, rows, most) {
  let by = 0, down = false, shown = most, text = "";
  const body = el("tbody", {}), heads = el("tr", {}), more = el("p", { class: "tools" });
  const wanted = el("input", { type: "search", placeholder: "filter: a seed, a broken promise, ...",
    "aria-label": "filter the runs", oninput: () => { text = wanted.value.toLowerCase(); shown = most; fillBody(); } });
  const cells = rows.map((row) => ({ row, text: columns.map((column) => column.show(row)).join(" ").toLowerCase() }));
  function fillBody() {
    const key = columns[by].key;
    const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
    const found = cells.filter((one) => one.text.includes(text));
    found.sort((a, b) => order(key(a.row), key(b.row)));
    body.replaceChildren(...found.slice(0, shown).map(({ row }) => el("tr", {}, columns.map((column) =>
      el("td", { class: `${column.num ? "num" : ""} ${column.style ? column.style(row) : ""}` }, column.show(row))))));
    const told = `${count(Math.min(shown, found.length))} of ${count(found.length)} runs`;
    const next = el("button", { onclick: () => { shown += 500; fillBody(); } }, "show more");
    more.replaceChildren(el("span", { class: "soft" }, told), found.length > shown ? next : "");
    heads.replaceChildren(...columns.map((column, at) => el("th", { class: `sorts ${column.num ? "num" : ""}`,
      onclick: () => { down = by === at ? !down : false; by = at; fillBody(); } },
      column.name + (by === at ? (down ? " ↓" : " ↑") : ""))));
  }
  fillBody();
  return el("div", {}, el("div", { class: "tools" }, wanted),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, heads), body)), more);
}

function bySize() {
  const head = ["peers", "runs", "broken", "faults", "calls", "simulated"];
  const rows = Object.entries(data.by_size).map(([size, sum]) => [size === "0" ? "unknown" : size,
    count(sum.runs), count(sum.broken), count(sum.faults), count(sum.calls), hours(sum.simulated_s)]);
  const heads = el("tr", {}, head.map((name) => el("th", { class: "num" }, name)));
  return el("div", { class: "scroll" }, el("table", {}, heads,
    rows.map((row) => el("tr", {}, row.map((cell, at) =>
      el("td", { class: at === 2 && cell !== "0" ? "num bad" : "num" }, cell))))));
}

function byFamily() {
  const rows = Object.entries(data.by_family).sort((a, b) => b[1].faults - a[1].faults);
  return bars(rows.map(([name, sum]) => ({ name, number: sum.faults, colour: colourOf(name),
    tip: [name, `struck ${count(sum.faults)} times in ${count(sum.runs)} runs`,
      `${count(sum.broken)} of these runs broke a promise`] })), "faults");
}

function violations() {
  if (!data.broken.length) return el("p", { class: "soft" }, "none");
  return data.broken.slice(0, 200).map((one) => el("div", { class: "alarm" },
    el("b", {}, `seed ${one.seed}: `), el("code", {}, one.invariant), el("div", {}, one.what),
    el("pre", { class: "command" }, one.replay),
    one.last.length ? el("details", {}, el("summary", { class: "soft" }, "the last lines of its trace"),
      el("pre", { class: "scroll" }, one.last.join("\n"))) : null));
}

const speed = (row) => (row.took_s > 0 ? row.simulated_s / row.took_s : 0);
const columns = [
  { name: "seed", num: true, key: (row) => row.seed, show: (row) => String(row.seed) },
  { name: "peers", num: true, key: (row) => row.peers, show: (row) => String(row.peers) },
  { name: "faults", num: true, key: (row) => row.faults, show: (row) => count(row.faults) },
  { name: "calls", num: true, key: (row) => row.calls, show: (row) => count(row.calls) },
  { name: "recoveries", num: true, key: (row) => row.recoveries, show: (row) => count(row.recoveries) },
  { name: "simulated", num: true, key: (row) => row.simulated_s, show: (row) => `${fixed(row.simulated_s, 0)} s` },
  { name: "took", num: true, key: (row) => row.took_s, show: (row) => `${fixed(row.took_s, 1)} s` },
  { name: "speed", num: true, key: speed, show: (row) => times(speed(row)) },
  { name: "verdict", key: (row) => row.broken || "", show: (row) => (row.broken ? `✕ ${row.broken}` : "● kept"),
    style: (row) => (row.broken ? "bad" : "good") },
];
const all = data.all;
const figures = [["runs", count(all.runs)], ["broken promises", count(all.broken)],
  ["simulated", hours(all.simulated_s)], ["faults", count(all.faults)], ["calls", count(all.calls)],
  ["recoveries", count(data.recoveries.count)],
  ["median recovery", data.recoveries.count ? span(data.recoveries.median) : "none"]];
page.append(
  el("header", {}, el("div", {}, el("h1", {}, data.title),
    el("p", { class: "soft" }, `${count(all.runs)} seeds, each a run of its own`)),
    el("div", { class: `verdict ${all.broken ? "bad" : "good"}` },
      all.broken ? `${count(all.broken)} broken promise${all.broken > 1 ? "s" : ""}` : "every promise was kept")),
  el("div", { class: "figures" }, figures.map(([name, value]) =>
    el("div", {}, el("span", {}, name), el("b", {}, value)))),
  all.broken ? section("Broken promises", null, violations()) : "",
  el("div", { class: "pair" },
    section("How long actors were away", "From the moment an actor last ran until it ran again, restored from a "
      + "checkpoint, in all runs. This holds the time in which there was no majority or no machine.",
      histogram(data.recoveries, span, "recoveries")),
    section("How fast runs were", "Simulated time by real time, of each run.", histogram(data.speed, times, "runs")),
    section("By size", null, bySize()),
    section("By kind of fault", "How often each struck.", byFamily())),
  section("Runs", null, sorted(columns, data.rows, 100)),
  section("Run it again", null, el("pre", { class: "command" }, data.command)),
  el("footer", {}, data.version));
