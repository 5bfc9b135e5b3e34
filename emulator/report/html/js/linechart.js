// A step chart of one value per event. Zoomed out it draws lowest and highest value of each pixel; zoomed in, every event.

const POINTS_PER_BUCKET = 3;

// First and last event that a range of the axis shows: those in it, and one on either side that the line comes from and goes to.
function eventsIn(state, from, to) {
  const first = state.byTime ? lowerBound(state.times, from) - 1 : Math.floor(from);
  const last = state.byTime ? lowerBound(state.times, to) : Math.ceil(to);
  return [Math.min(Math.max(first, 0), state.events), Math.min(Math.max(last, 0), state.events)];
}

// Where each bucket begins, as event numbers: buckets + 1 of them.
function bucketEdges(state, from, to, buckets) {
  const [first, last] = eventsIn(state, from, to);
  const edges = new Uint32Array(buckets + 1);
  for (let i = 0; i <= buckets; i += 1) {
    const position = from + ((to - from) * i) / buckets;
    const event = state.byTime ? lowerBound(state.times, position) : Math.ceil(position);
    edges[i] = Math.min(Math.max(event, first), last);
  }
  edges[0] = first;
  edges[buckets] = last + 1;
  return edges;
}

// The data of uPlot for a range of the axis: [positions, values of the first series, …].
function decimate(state, series, from, to, buckets) {
  const [first, last] = eventsIn(state, from, to);
  if (last - first < POINTS_PER_BUCKET * buckets) return everyEvent(state, series, first, last);
  const edges = bucketEdges(state, from, to, buckets);
  const positions = [], lines = series.map(() => []);
  for (let i = 0; i < buckets; i += 1) {
    const start = edges[i], end = edges[i + 1];
    if (start >= end) continue;
    positions.push(state.position(start), state.position(start), state.position(end - 1));
    series.forEach((values, n) => lines[n].push(...extremes(values, start, end)));
  }
  return [positions, ...lines];
}

function everyEvent(state, series, first, last) {
  const positions = Array.from({ length: last - first + 1 }, (_, i) => state.position(first + i));
  return [positions, ...series.map((values) => Array.from(values.subarray(first, last + 1)))];
}

// Lowest, highest and last value of a bucket.
function extremes(values, start, end) {
  let low = values[start], high = low;
  for (let i = start + 1; i < end; i += 1) {
    if (values[i] < low) low = values[i];
    else if (values[i] > high) high = values[i];
  }
  return [low, high, values[end - 1]];
}

class LineChart {
  // series(): [{values, colour, fill, width}], or null if there is nothing to show yet; hover(event or null): the pointer is over an event.
  constructor(host, buttons, state, { label, series, hover, marks }) {
    Object.assign(this, { host, state, series, hover, marks: marks ?? (() => []) });
    host.tabIndex = 0;
    host.setAttribute("role", "application");
    host.setAttribute("aria-label", `${label}. Arrow keys move the time, plus and minus zoom, 0 shows all.`);
    buttons.append(
      button("Zoom in", "+", () => this.zoomBy(0.5)),
      button("Zoom out", "−", () => this.zoomBy(2)),
      button("Show all", "All", () => this.showAll()),
    );
    this.range = null;
    host.addEventListener("keydown", (event) => this.key(event));
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(host);
  }

  get full() {
    return [0, Math.max(this.state.position(this.state.events), 1)];
  }

  // Build the chart anew: other series, axis or colours. What is hidden is built when it is seen.
  build() {
    this.plot?.destroy();
    this.plot = null;
    this.lines = this.series();
    if (!this.host.clientWidth || !this.lines) return;
    const [from, to] = this.range ?? this.full;
    this.now = node("div", { class: "now" });
    this.plot = new uPlot(this.options(from, to), this.dataFor(from, to), this.host);
  }

  afterDrawing() {
    this.drawMarks();
    this.moveNow();
  }

  dataFor(from, to) {
    const buckets = Math.max(this.host.clientWidth - 80, 100);
    return decimate(this.state, this.lines.map((line) => line.values), from, to, buckets);
  }

  options(from, to) {
    const text = cssColour(themeColour("quiet")), grid = cssColour(themeColour("grid"));
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, size: 4 }, font: "11.5px system-ui, sans-serif" };
    const nameOf = (value) => (this.state.byTime ? timeText(value) : countText(value));
    return {
      width: this.host.clientWidth,
      height: this.host.clientHeight,
      padding: [14, 34, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: () => this.range ?? [from, to] }, y: { range: (_, low, high) => [0, Math.max(high * 1.06, 1)] } },
      axes: [
        { ...axis, space: 90, size: 34, values: (_, values) => values.map(nameOf) },
        { ...axis, size: 74, values: (_, values) => values.map((value) => bytesText(value, 2)), incrs: byteIncrements() },
      ],
      series: [{}, ...this.lines.map((line) => ({
        stroke: line.colour, fill: line.fill, width: line.width ?? 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
      }))],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => this.showAll() } },
      hooks: { setSelect: [() => this.zoomToSelection()], setCursor: [() => this.tellHover()], draw: [() => this.afterDrawing()], ready: [(plot) => this.watchClicks(plot)] },
    };
  }

  watchClicks(plot) {
    plot.over.append(this.now);
    let pressed = 0;
    plot.over.addEventListener("pointerdown", (event) => { pressed = event.clientX; });
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - pressed) > 3) return; // that was a zoom
      const x = event.clientX - plot.over.getBoundingClientRect().left;
      this.state.setEvent(this.state.eventAt(plot.posToVal(x, "x")));
    });
  }

  zoomToSelection() {
    const { left, width } = this.plot.select;
    if (width < 4) return;
    const from = this.plot.posToVal(left, "x"), to = this.plot.posToVal(left + width, "x");
    this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.zoom(from, to);
  }

  zoom(from, to) {
    const [low, high] = this.full;
    const width = Math.min(Math.max(to - from, Math.min(4, high)), high - low);
    const start = Math.min(Math.max(from, low), high - width);
    this.range = width >= high - low ? null : [start, start + width];
    this.update();
  }

  // Zoom around the current event if it is in view, else around the middle.
  zoomBy(factor) {
    const [from, to] = this.range ?? this.full;
    const now = this.state.position(this.state.event);
    const share = now >= from && now <= to ? (now - from) / (to - from) : 0.5;
    const centre = from + share * (to - from), width = (to - from) * factor;
    this.zoom(centre - share * width, centre + (1 - share) * width);
  }

  showAll() {
    this.range = null;
    this.update();
  }

  update() {
    if (!this.plot) return;
    const [from, to] = this.range ?? this.full;
    this.plot.setData(this.dataFor(from, to), false);
    this.plot.setScale("x", { min: from, max: to });
  }

  resize() {
    if (!this.host.clientWidth) return;
    if (!this.plot) {
      this.build();
      return;
    }
    if (this.plot.width === this.host.clientWidth && this.plot.height === this.host.clientHeight) {
      this.moveNow(); // time may have gone on while the chart was hidden
      return;
    }
    this.plot.setSize({ width: this.host.clientWidth, height: this.host.clientHeight });
    this.update();
  }

  moveNow() {
    if (!this.plot) return;
    const x = this.plot.valToPos(this.state.position(this.state.event), "x");
    this.now.hidden = !(x >= 0 && x <= this.plot.over.clientWidth);
    this.now.style.transform = `translateX(${x - 1}px)`;
  }

  tellHover() {
    const { left } = this.plot.cursor;
    this.hover(left >= 0 ? this.state.eventAt(this.plot.posToVal(left, "x")) : null);
  }

  // Points of interest: [{event, value, text}]
  drawMarks() {
    const { ctx, bbox } = this.plot, scale = devicePixelRatio;
    ctx.save();
    ctx.font = `600 ${11.5 * scale}px system-ui, sans-serif`;
    for (const { event, value, text } of this.marks()) {
      const x = this.plot.valToPos(this.state.position(event), "x", true), y = this.plot.valToPos(value, "y", true);
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.beginPath();
      ctx.arc(x, y, 4.5 * scale, 0, 2 * Math.PI);
      ctx.fillStyle = cssColour(themeColour("alert"));
      ctx.strokeStyle = cssColour(themeColour("card"));
      ctx.lineWidth = 2 * scale;
      ctx.fill();
      ctx.stroke();
      const isLeft = x > bbox.left + bbox.width * 0.75;
      ctx.textAlign = isLeft ? "right" : "left";
      ctx.lineWidth = 4 * scale;
      const place = [x + (isLeft ? -9 : 9) * scale, Math.max(y + 4 * scale, bbox.top + 12 * scale)];
      ctx.strokeText(text, ...place);
      ctx.fillText(text, ...place);
    }
    ctx.restore();
  }

  key(event) {
    const { state } = this;
    const act = {
      "+": () => this.zoomBy(0.5), "=": () => this.zoomBy(0.5), "-": () => this.zoomBy(2), 0: () => this.showAll(),
      ArrowRight: () => state.setEvent(event.shiftKey ? state.area.nextChange(state.event) : state.event + 1),
      ArrowLeft: () => state.setEvent(event.shiftKey ? state.area.previousChange(state.event) : state.event - 1),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }
}

// Distances between grid lines that are round numbers of bytes, KiB, MiB, …
function byteIncrements() {
  const steps = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
  return [0, 1, 2, 3, 4].flatMap((unit) => steps.map((step) => step * 1024 ** unit));
}
