// The axis of time that all rows share: zoom and pan.
class Axis {
  constructor(end, redraw) {
    Object.assign(this, { end, from: 0, to: end, left: 0, width: 1, redraw });
  }
  x(ms) {
    return this.left + ((ms - this.from) / (this.to - this.from)) * this.width;
  }
  at(x) {
    return this.from + ((x - this.left) / this.width) * (this.to - this.from);
  }
  shows(from, to) {
    return to >= this.from && from <= this.to;
  }
  isWhole() {
    return this.from <= 0 && this.to >= this.end;
  }
  show(from, to) {
    const wide = Math.min(this.end, Math.max(20, to - from));
    this.from = Math.min(Math.max(0, from), this.end - wide);
    this.to = this.from + wide;
    this.redraw();
  }
  zoom(factor, about) {
    const at = about === undefined ? (this.from + this.to) / 2 : about;
    this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }
  pan(part) {
    const by = (this.to - this.from) * part;
    this.show(this.from + by, this.to + by);
  }
  whole() {
    this.show(0, this.end);
  }

  /** Lets a figure be zoomed: drag, wheel with a key held, double click, keys. */
  steer(figure) {
    const xOf = (event) => event.clientX - figure.getBoundingClientRect().left;
    const inside = (x) => Math.min(Math.max(x, this.left), this.left + this.width);
    let begun = null;
    const brush = svg("rect", { class: "brush", y: 0, height: figure.getAttribute("height"), width: 0 });
    figure.append(brush);
    figure.addEventListener("pointerdown", (event) => {
      if (event.button || event.pointerType === "touch" || xOf(event) < this.left) return;
      begun = inside(xOf(event));
      figure.setPointerCapture(event.pointerId);
      event.preventDefault();
      figure.focus({ preventScroll: true });
    });
    figure.addEventListener("pointermove", (event) => {
      if (begun === null) return;
      const now = inside(xOf(event));
      brush.setAttribute("x", Math.min(begun, now));
      brush.setAttribute("width", Math.abs(now - begun));
    });
    figure.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const [a, b] = [begun, inside(xOf(event))].sort((p, q) => p - q);
      begun = null;
      brush.setAttribute("width", 0);
      if (b - a > 5) this.show(this.at(a), this.at(b));
    });
    figure.addEventListener("dblclick", () => this.whole());
    figure.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.at(inside(xOf(event))));
      else if (event.shiftKey) this.pan((event.deltaY || event.deltaX) / 800);
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && !this.isWhole()) this.pan(event.deltaX / 800);
      else return;
      event.preventDefault();
    }, { passive: false });
  }

  /** Takes a key, if it means anything here. */
  key(event) {
    const does = {
      ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), "+": () => this.zoom(0.6),
      "=": () => this.zoom(0.6), "-": () => this.zoom(1.6), 0: () => this.whole(), Escape: () => this.whole(),
    }[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    does();
    event.preventDefault();
  }
}
