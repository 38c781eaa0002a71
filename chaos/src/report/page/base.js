// Helpers that every page uses. Text only ever becomes text nodes: nothing in the data is markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "tip") node.tip = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const fixed = (number, digits) => number.toLocaleString("en", { maximumFractionDigits: digits });
const count = (number) => fixed(number, 0);

/** A span of time, with about three digits. */
function span(ms) {
  if (ms < 1) return `${fixed(ms, 1)} ms`;
  if (ms < 1000) return `${fixed(ms, 0)} ms`;
  if (ms < 10000) return `${fixed(ms / 1000, 2)} s`;
  if (ms < 120000) return `${fixed(ms / 1000, 1)} s`;
  return ms < 7200000 ? `${fixed(ms / 60000, 1)} min` : `${fixed(ms / 3600000, 2)} h`;
}
/** A moment, to the millisecond. */
const moment = (ms) => `${(ms / 1000).toFixed(3)} s`;

/** Round numbers between two, about so many. */
function ticks(from, to, about) {
  const rough = Math.max((to - from) / Math.max(about, 1), 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || 10 * power;
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= to + step / 1e6; at += step) all.push(at);
  return all;
}

// One tooltip, for whatever has one.
const tipBox = el("div", { class: "tip", hidden: "" });
document.body.append(tipBox);
document.addEventListener("pointermove", (event) => {
  let node = event.target;
  while (node && !node.tip) node = node.parentNode;
  tipBox.hidden = !node;
  if (!node) return;
  const lines = typeof node.tip === "function" ? node.tip() : node.tip;
  tipBox.replaceChildren(...lines.map((line, at) => el(at ? "div" : "b", {}, line)));
  const { width, height } = tipBox.getBoundingClientRect();
  const right = event.clientX + 14 + width > innerWidth;
  const below = event.clientY + 18 + height < innerHeight;
  tipBox.style.left = `${Math.max(4, right ? event.clientX - width - 12 : event.clientX + 14)}px`;
  tipBox.style.top = `${Math.max(4, below ? event.clientY + 16 : event.clientY - height - 12)}px`;
});
document.addEventListener("pointerleave", () => { tipBox.hidden = true; });

const section = (title, caption, ...children) =>
  el("section", {}, el("h2", {}, title), caption ? el("p", { class: "caption" }, caption) : null, ...children);

/** Tells the width of a place whenever it has another one, when the browser has laid out the page. */
const resized = (place, tell) =>
  new ResizeObserver(() => requestAnimationFrame(() => tell(Math.floor(place.clientWidth)))).observe(place);

/** Draws again when its place gets another width. */
function drawn(draw) {
  const place = el("div", {});
  let width = 0;
  resized(place, (now) => {
    if (now > 0 && now !== width) { width = now; place.replaceChildren(draw(width)); }
  });
  return place;
}

/** A histogram over bins that grow by the same factor; `show` writes a number with its unit. */
function histogram(spread, show, what) {
  if (!spread.count) return el("p", { class: "soft" }, `no ${what}`);
  return drawn((width) => {
    const left = 34, right = 14, top = 44, high = 130;
    const logs = spread.bins.map((bin) => Math.log(bin.from));
    const [first, last] = [logs[0], Math.log(spread.bins[spread.bins.length - 1].to)];
    const wide = Math.min(width - left - right, Math.max(160, spread.bins.length * 44));
    const x = (value) => left + ((Math.log(Math.max(value, 1e-9)) - first) / (last - first)) * wide;
    const most = Math.max(...spread.bins.map((bin) => bin.count));
    const y = (n) => top + high - (n / most) * high;
    const figure = svg("svg", { viewBox: `0 0 ${width} ${top + high + 24}`, height: top + high + 24 });
    for (const n of ticks(0, most, 4).filter((n) => n % 1 === 0)) {
      figure.append(
        svg("line", { class: n ? "grid" : "base", x1: left, x2: left + wide, y1: y(n), y2: y(n) }),
        svg("text", { x: left - 6, y: y(n) + 4, "text-anchor": "end" }, count(n)));
    }
    for (const bin of spread.bins.filter((bin) => bin.count)) {
      const tip = [`${count(bin.count)} ${what}`, `${show(bin.from)} to ${show(bin.to)}`];
      figure.append(svg("rect", { x: x(bin.from) + 0.5, width: Math.max(1, x(bin.to) - x(bin.from) - 1),
        y: y(bin.count), height: Math.max(1, top + high - y(bin.count)), fill: "var(--bar)", tip }));
    }
    let edge = -1;
    const powers = [-2, -1, 0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));
    for (const value of powers) {
      if (x(value) < left - 0.5 || x(value) > left + wide + 0.5 || x(value) < edge) continue;
      figure.append(svg("line", { class: "base", x1: x(value), x2: x(value), y1: top + high, y2: top + high + 4 }),
        svg("text", { x: x(value), y: top + high + 17, "text-anchor": "middle" }, show(value)));
      edge = x(value) + 52;
    }
    const marks = [["median", spread.median], ["95%", spread.p95], ["max", spread.most]];
    const ends = [];
    marks.forEach(([name, value]) => {
      const at = Math.min(Math.max(x(value), left), left + wide), text = `${name} ${show(value)}`;
      const long = text.length * 6.2 + 8, turned = at + long > width;
      const level = [0, 1, 2].find((level) => (ends[level] || 0) <= (turned ? at - long : at));
      ends[level] = turned ? at : at + long;
      figure.append(svg("line", { class: "cursor", x1: at, x2: at, y1: level * 13 + 2, y2: top + high }),
        svg("text", { x: turned ? at - 4 : at + 4, y: level * 13 + 11, "text-anchor": turned ? "end" : "start" },
          text));
    });
    return figure;
  });
}

/** Bars with names: `rows` of name, number, colour, tooltip. */
function bars(rows, what) {
  if (!rows.length) return el("p", { class: "soft" }, `no ${what}`);
  return drawn((width) => {
    const left = 130, step = 20, most = Math.max(...rows.map((row) => row.number));
    const figure = svg("svg", { viewBox: `0 0 ${width} ${rows.length * step}`, height: rows.length * step });
    rows.forEach(({ name, number, colour, tip }, at) => {
      const long = Math.max(1, (number / most) * (width - left - 60));
      figure.append(svg("g", { tip },
        svg("text", { class: "name", x: left - 8, y: at * step + 14, "text-anchor": "end" }, name),
        svg("rect", { x: left, y: at * step + 4, width: long, height: 12, fill: colour }),
        svg("text", { x: left + long + 6, y: at * step + 14 }, count(number))));
    });
    return figure;
  });
}

const GROUPS = {
  network: ["Isolate", "Split", "Ring", "Swizzle", "Storm", "BadLink"],
  crash: ["Kill", "PowerCut", "Usurp"],
  disk: ["Rot", "BadDisk"],
  clock: ["Freeze", "Drift"],
};
// Other worlds have other names for their faults.
const WORDS = {
  disk: /disk|rot|copies/i, network: /link|part|isolat|cut off|split|ring|storm|loss|weather|address/i,
  crash: /death|kill|power|usurp|replace|restart|second|name/i, clock: /clock|freez|frozen|drift|pause/i,
};
const groupOf = (family) => Object.keys(GROUPS).find((group) => GROUPS[group].includes(family))
  || Object.keys(WORDS).find((group) => WORDS[group].test(family)) || "other";
const colourOf = (family) => `var(--${groupOf(family)})`;
const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
