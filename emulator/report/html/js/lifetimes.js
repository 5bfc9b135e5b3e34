// The view "Lifetimes": how long blocks live, and what they leave behind.

class Lifetimes {
  constructor(state) {
    this.state = state;
    this.gaps = [];
    this.chart = new LineChart($("gaps-chart"), $("gaps-zoom"), state, {
      label: "Free bytes and largest gap over time",
      series: () => this.series(),
      hover: (event) => this.describe(event),
    });
    $("fragmentation-help").addEventListener("click", (event) => {
      const text = $("fragmentation-text");
      text.hidden = !text.hidden;
      event.currentTarget.setAttribute("aria-expanded", String(!text.hidden));
    });
    state.on("area", () => this.show());
    state.on("tab", () => this.show());
    state.on("theme", () => this.chart.build());
    state.on("axis", () => {
      this.chart.range = null;
      this.chart.build();
    });
    state.on("event", () => {
      this.chart.moveNow();
      this.describe(null);
    });
  }

  get visible() {
    return $("lifetimes").clientWidth > 0;
  }

  show() {
    if (!this.visible || this.shown === this.state.chosen) return;
    this.shown = this.state.chosen;
    showHistogram(this.state.area);
    showLifetimeTable(this.state);
    this.measureGaps();
  }

  async measureGaps() {
    const { chosen, area } = this.state;
    const readout = $("gaps-readout");
    if (!this.gaps[chosen]) {
      this.chart.build(); // takes another area's chart away
      readout.textContent = "Measuring the gaps…";
      const gaps = await findGaps(area, (share) => {
        if (this.state.chosen === chosen) readout.textContent = `Measuring the gaps… ${percentText(share)}`;
      });
      this.gaps[chosen] = gaps;
    }
    if (this.state.chosen !== chosen) return;
    this.chart.build();
    this.describe(null);
  }

  series() {
    const gaps = this.gaps[this.state.chosen];
    if (!gaps) return null;
    const outer = themeColour("caller-2"), inner = themeColour("caller-1");
    return [
      { values: gaps.free, colour: cssColour(outer), fill: withAlpha(outer, 0.14) },
      { values: gaps.largest, colour: cssColour(inner), fill: withAlpha(inner, 0.18) },
    ];
  }

  describe(hovered) {
    const gaps = this.gaps[this.state.chosen];
    if (!gaps) return;
    const event = hovered ?? this.state.event;
    const free = gaps.free[event], largest = gaps.largest[event];
    const share = free ? `, fragmentation ${percentText(1 - largest / free)}` : "";
    $("gaps-readout").replaceChildren(
      `${hovered === null ? "Now" : "Pointer"}: event ${countText(event)}: `,
      swatch("var(--caller-2)"), ` ${bytesText(free)} free in the span, `,
      swatch("var(--caller-1)"), ` largest gap ${bytesText(largest)}${share}`,
    );
  }
}

// Blocks per power of two of their lifetime; the last column holds those that still live.
function countLifetimes(area) {
  const counts = new Array(33).fill(0), bytes = new Array(33).fill(0);
  let living = 0, livingBytes = 0;
  for (let i = 0; i < area.count; i += 1) {
    if (area.died[i] > area.events) {
      living += 1;
      livingBytes += area.size[i];
      continue;
    }
    const bucket = 31 - Math.clz32(Math.max(area.died[i] - area.born[i], 1));
    counts[bucket] += 1;
    bytes[bucket] += area.size[i];
  }
  return { counts, bytes, living, livingBytes };
}

const spanText = (bucket) => (bucket ? `${countText(2 ** bucket)} to ${countText(2 ** (bucket + 1) - 1)} events` : "1 event");
const shortText = (value) => (value >= 1e6 ? `${Math.round(value / 1e5) / 10}M` : value >= 1e4 ? `${Math.round(value / 1e3)}k` : String(value));

function showHistogram(area) {
  const { counts, bytes, living, livingBytes } = countLifetimes(area);
  const last = counts.findLastIndex((count) => count > 0);
  const columns = [];
  for (let bucket = 0; bucket <= last; bucket += 1) columns.push([counts[bucket], bytes[bucket], shortText(2 ** bucket), spanText(bucket)]);
  if (living) columns.push([living, livingBytes, "live", "live at the end"]);
  const most = Math.max(...columns.map(([count]) => count), 1);
  const host = $("histogram");
  if (!columns.length) host.replaceChildren(node("p", { class: "empty" }, "No block was ever born in this area."));
  else host.replaceChildren(...columns.map((column) => histogramColumn(column, most, area.count)));
  host.setAttribute("role", "list");
  host.setAttribute("aria-label", "Blocks by lifetime");
  host.onkeydown = (event) => moveFocus(event, [...host.children], false);
}

function histogramColumn([count, bytes, label, span], most, all) {
  const fill = node("i");
  fill.style.height = `${(count / most) * 76}%`;
  const text = `${span}: ${plural(count, "block")}, ${bytesText(bytes)}, ${percentText(count / all)} of all blocks`;
  const column = node("div", { role: "listitem", tabindex: "0", "aria-label": text, class: label === "live" ? "living" : "" });
  column.append(node("b", {}, count ? shortText(count) : ""), fill, node("span", {}, label));
  const tell = () => {
    const box = column.getBoundingClientRect();
    showTip(box.left + box.width / 2, box.top + box.height / 2, [span, `${plural(count, "block")}, ${bytesText(bytes)}`, `${percentText(count / all)} of all blocks`]);
  };
  column.addEventListener("pointerenter", tell);
  column.addEventListener("focus", tell);
  column.addEventListener("pointerleave", hideTip);
  column.addEventListener("blur", hideTip);
  return column;
}

// Lifetimes of each caller's blocks that were freed.
function lifetimesByCaller(area) {
  const groups = new Map();
  for (let i = 0; i < area.count; i += 1) {
    const place = area.stacks.place(area.stack[i]);
    let group = groups.get(place);
    if (!group) groups.set(place, (group = { place, lives: [], living: 0 }));
    if (area.died[i] > area.events) group.living += 1;
    else group.lives.push(area.died[i] - area.born[i]);
  }
  return [...groups.values()].map(({ place, lives, living }) => {
    const sorted = Uint32Array.from(lives).sort();
    const at = (share) => (sorted.length ? sorted[Math.floor((sorted.length - 1) * share)] : 0);
    return { place, count: lives.length + living, freed: lives.length, living, shortest: at(0), median: at(0.5), longest: at(1) };
  });
}

function showLifetimeTable(state) {
  const { area, stacks } = state;
  const rows = lifetimesByCaller(area).sort((a, b) => b.count - a.count);
  const events = (name) => (row) => (row.freed ? countText(row[name]) : "–");
  const columns = [
    { head: "Caller", kind: "place", cell: (row) => placeCell(stacks, row.place, swatch(`var(--caller-${area.colourOf(row.place)})`)) },
    { head: "Blocks", number: true, value: (row) => row.count, cell: (row) => countText(row.count) },
    { head: "Shortest", number: true, value: (row) => row.shortest, cell: events("shortest") },
    { head: "Median", number: true, value: (row) => row.median, cell: events("median") },
    { head: "Longest", number: true, value: (row) => row.longest, cell: events("longest") },
    { head: "Still live", number: true, value: (row) => row.living, cell: (row) => countText(row.living) },
  ];
  table($("lifetime-table"), columns, rows, "No block was ever born in this area.");
}
