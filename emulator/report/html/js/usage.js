// The view "Usage": live bytes over time.

class Usage {
  constructor(state) {
    this.state = state;
    this.compared = new Set();
    this.chart = new LineChart($("usage-chart"), $("usage-zoom"), state, {
      label: "Live bytes over time",
      series: () => this.series(),
      hover: (event) => this.describe(event),
      marks: () => [this.peakMark()],
    });
    segments($("axis"), [["event", "Events"], ["time", "Virtual time"]], "event", (value) => state.setAxis(value === "time"));
    state.on("area", () => {
      this.offerAreas();
      this.chart.build();
    });
    state.on("axis", () => {
      this.chart.range = null;
      this.chart.build();
    });
    state.on("theme", () => this.chart.build());
    state.on("event", () => {
      this.chart.moveNow();
      this.describe(null);
    });
    this.offerAreas();
    this.describe(null);
  }

  // A box to tick for every other area: its line joins the chart.
  offerAreas() {
    const { state } = this;
    this.compared.delete(state.chosen);
    const labels = state.data.areas.map((facts, i) => {
      const box = node("input", { type: "checkbox" });
      box.checked = i === state.chosen || this.compared.has(i);
      box.disabled = i === state.chosen;
      box.addEventListener("change", () => {
        if (box.checked) this.compared.add(i);
        else this.compared.delete(i);
        this.chart.build();
      });
      return node("label", {}, box, swatch(this.colour(i)), facts.name);
    });
    $("compare").replaceChildren(...(labels.length > 1 ? labels : []));
  }

  colour(area) {
    return cssColour(themeColour(`caller-${(area % 7) + 1}`));
  }

  series() {
    const others = [...this.compared].map((i) => ({ values: this.state.areaAt(i).bytes, colour: this.colour(i), width: 1.5 }));
    const rgb = themeColour(`caller-${(this.state.chosen % 7) + 1}`);
    return [{ values: this.state.area.bytes, colour: cssColour(rgb), fill: withAlpha(rgb, 0.16), width: 1.75 }, ...others];
  }

  peakMark() {
    const { peak } = this.state.area;
    return { event: peak.event, value: peak.bytes, text: `peak ${bytesText(peak.bytes)}` };
  }

  describe(hovered) {
    const { area, times, event: now } = this.state;
    const event = hovered ?? now;
    $("usage-readout").textContent =
      `${hovered === null ? "Now" : "Pointer"}: event ${countText(event)}, ${timeText(times[event])}: ` +
      `${bytesText(area.bytes[event])} in ${plural(area.blocks[event], "block")}`;
  }
}
