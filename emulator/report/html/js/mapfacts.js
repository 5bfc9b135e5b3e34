// The map's words: its title, its legend, and the facts of the selected block.

Object.assign(MemoryMap.prototype, {
  describe() {
    const { area, event } = this.state;
    $("map-title").textContent = `${area.name}: ${bytesText(area.bytes[event])} live in ${plural(area.blocks[event], "block")}, ${bytesText(area.end - area.start)} seen`;
    this.describeEvent();
    this.describeBlock();
  },

  describeEvent() {
    const { area, event } = this.state;
    const [block] = area.bornAt(event).concat(...area.diedAt(event).subarray(0, 1));
    const what = node("p", {}, eventText(area, event));
    $("map-event").replaceChildren(what, ...(block === undefined ? [] : [stackList(area.stacks, area.stack[block], 12)]));
  },

  describeBlock() {
    const { area, event } = this.state;
    const block = this.selected;
    const key = `${area.number} ${block} ${block >= 0 && area.isLive(block, event)}`;
    if (key === this.described) return; // a screen reader would say it again
    this.described = key;
    if (block < 0) {
      $("map-facts").replaceChildren(node("p", { class: "empty" }, "Point at a block, or click one to keep it here. With the keyboard: arrow keys in the map."));
      return;
    }
    $("map-facts").replaceChildren(factList(this.blockFacts(block, event)), node("h3", {}, "Allocated by"), stackList(area.stacks, area.stack[block]));
  },

  blockFacts(block, event) {
    const { address, size, born, died, call, blocks } = this.state.area;
    const died_at = died[block] > blocks.length ? "never" : `event ${countText(died[block])}`;
    return [
      ["Address", hexText(address[block])],
      ["Size", `${bytesText(size[block])}${size[block] >= 1024 ? ` (${countText(size[block])} B)` : ""}`],
      ["Born", `call #${countText(call[block])}, event ${countText(born[block])}`],
      ["Freed", died_at],
      ["Now", this.state.area.isLive(block, event) ? "live" : "not live"],
    ];
  },

  showLegend() {
    const { area } = this.state;
    const items = this.by === "age" ? [legendItem(node("span", { class: "ramp" }), "new to old")] : callerLegend(area);
    items.push(legendItem(swatch("var(--free)"), "free"));
    $("map-legend").replaceChildren(...items);
  },
});

function callerLegend(area) {
  const items = area.callers.slice(0, 7).map((caller) => legendItem(swatch(`var(--caller-${area.colourOf(caller.place)})`), area.stacks.placeText(caller.place)));
  if (area.callers.length > 7) items.push(legendItem(swatch("var(--caller-0)"), plural(area.callers.length - 7, "other caller")));
  return items;
}

function legendItem(mark, text) {
  return node("li", { title: text }, mark, node("span", { class: "clip" }, text));
}

function factList(facts) {
  return node("dl", {}, ...facts.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, value)]));
}
