// The view "Flame graph", drawn by d3-flame-graph; the keyboard is ours.

// The library's own tooltip would show a second one beside ours.
const NO_TOOLTIP = Object.assign(() => {}, { show() {}, hide() {}, destroy() {} });
const FRAME_HEIGHT = 22, FRAME_WIDTH_MIN = 1.5;

class Flame {
  constructor(state) {
    Object.assign(this, { state, host: $("flame-chart"), measure: "peak_bytes", stale: true });
    segments($("measure"), MEASURES, this.measure, (measure) => {
      this.measure = measure;
      this.build();
    });
    $("flame-search").addEventListener("input", () => this.search());
    $("flame-reset").addEventListener("click", () => this.reset());
    this.host.addEventListener("keydown", (event) => this.key(event));
    this.host.addEventListener("pointermove", (event) => this.hover(event));
    this.host.addEventListener("pointerleave", hideTip);
    this.host.addEventListener("focusin", (event) => this.tell(event.target.__data__));
    state.on("area", () => this.renew());
    state.on("theme", () => this.renew());
    state.on("tab", () => this.stale && this.build());
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  renew() {
    this.stale = true;
    this.build();
  }

  text(value) {
    return this.measure === "calls" ? plural(value, "call") : bytesText(value);
  }

  build() {
    const width = this.host.clientWidth;
    if (!width) return;
    this.stale = false;
    this.tree = flameTree(this.state.area, this.measure);
    this.chart?.destroy();
    this.chart = null;
    this.host.replaceChildren();
    if (!this.tree.value) {
      this.host.append(node("p", { class: "empty" }, "Nothing to show for this measure."));
      $("flame-note").textContent = "";
      return;
    }
    const shades = ["flame", "flame-2", "flame-3"].map((name) => cssColour(themeColour(name)));
    const quiet = cssColour(themeColour("caller-0")), found = cssColour(themeColour("found"));
    this.chart = flamegraph.default()
      .width(width).cellHeight(FRAME_HEIGHT).height((this.tree.depth + 2) * FRAME_HEIGHT).minFrameSize(FRAME_WIDTH_MIN).inverted(true).sort(false)
      .transitionDuration(calm() ? 0 : 250).tooltip(NO_TOOLTIP)
      .setSearchMatch((d, term) => Boolean(term) && this.matches(d, term))
      .setSearchHandler((results, sum) => this.tellFound(results, sum))
      .setColorMapper((d) => {
        if (d.highlight) return found;
        return d.data.frame < 0 ? quiet : shades[d.data.frame % 3];
      })
      .onClick((d) => this.zoomed(d));
    d3.select(this.host).datum(this.tree).call(this.chart);
    this.zoomed(null);
    this.search();
  }

  // d3-flame-graph draws at once what is wide enough; each frame gets a role and a name then.
  label() {
    const frames = this.host.querySelectorAll("g.frame");
    this.elements = new Map();
    frames.forEach((frame) => {
      const d = frame.__data__;
      this.elements.set(d, frame);
      frame.setAttribute("role", "treeitem");
      frame.setAttribute("aria-level", d.depth + 1);
      frame.setAttribute("aria-label", `${d.data.name}, ${this.text(d.data.value)}, ${percentText(d.data.value / this.tree.value)}`);
      frame.setAttribute("tabindex", d === this.focused ? "0" : "-1");
    });
    if (![...frames].some((frame) => frame.tabIndex === 0)) frames[0]?.setAttribute("tabindex", "0");
  }

  zoomed(d) {
    hideTip();
    this.focused = d;
    this.label();
    this.tell(d);
    const frame = d && this.element(d);
    if (frame && this.host.contains(document.activeElement)) frame.focus({ preventScroll: true });
  }

  element(d) {
    return this.elements.get(d);
  }

  tell(d) {
    if (!d || !this.tree) {
      const dropped = this.tree?.dropped ? `; ${plural(this.tree.dropped, "frame")} too small to show` : "";
      $("flame-note").textContent = this.tree ? `${this.text(this.tree.value)} in all${dropped}` : "";
      return;
    }
    $("flame-note").textContent = `${d.data.name}: ${this.text(d.data.value)}, ${percentText(d.data.value / this.tree.value)}`;
  }

  matches(d, term) {
    return d.data.name.toLowerCase().includes(term.toLowerCase());
  }

  search() {
    const term = $("flame-search").value.trim();
    if (!this.chart) return;
    if (term) this.chart.search(term);
    else {
      this.chart.clear();
      this.tell(null);
    }
    this.label();
  }

  tellFound(results, sum) {
    $("flame-note").textContent = `${plural(results.length, "frame")} found: ${this.text(sum)}, ${percentText(sum / this.tree.value)}`;
  }

  reset() {
    this.chart?.resetZoom();
  }

  hover(event) {
    const d = event.target.closest?.("g.frame")?.__data__;
    if (!d) {
      hideTip();
      return;
    }
    showTip(event.clientX, event.clientY, [d.data.name, `${this.text(d.data.value)}, ${percentText(d.data.value / this.tree.value)}`]);
  }

  resize() {
    if (!this.host.clientWidth) return;
    if (this.stale || !this.chart) this.build();
    else if (this.chart.width() !== this.host.clientWidth) {
      this.chart.width(this.host.clientWidth);
      this.chart.update();
      this.label();
    }
  }

  key(event) {
    const d = event.target.__data__;
    if (!d || !this.chart) return;
    if (event.key === "Enter" || event.key === " ") this.chart.zoomTo(d);
    else if (event.key === "Escape") this.reset();
    else {
      const next = this.neighbour(d, event.key);
      if (next === undefined) return;
      this.moveTo(next);
    }
    event.preventDefault();
  }

  // The frame in a direction; null if there is none, undefined if the key is no direction.
  neighbour(d, key) {
    const drawn = (each) => each && this.element(each);
    const siblings = (d.parent?.children ?? [d]).filter(drawn);
    const index = siblings.indexOf(d);
    switch (key) {
      case "ArrowDown": return (d.children ?? []).find(drawn) ?? null;
      case "ArrowUp": return d.parent;
      case "ArrowRight": return siblings[index + 1] ?? null;
      case "ArrowLeft": return siblings[index - 1] ?? null;
      default: return undefined;
    }
  }

  moveTo(d) {
    const frame = d && this.element(d);
    if (!frame) return;
    this.focused = d;
    this.label();
    frame.focus();
  }
}
