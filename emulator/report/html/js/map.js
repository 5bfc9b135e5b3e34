// The view "Map": memory at the slider's time, row by row.

const ROW = 12, ROW_GAP = 2, GUTTER = 84, SPACE_MAX = 8_000_000, ROW_BYTES_MIN = 64;

class MemoryMap {
  constructor(state) {
    Object.assign(this, { state, canvas: $("map-canvas"), scroller: $("map-scroll"), painter: new Painter(), by: "caller", selected: -1 });
    this.context = this.canvas.getContext("2d");
    segments($("map-colour"), [["caller", "By caller"], ["age", "By age"]], "caller", (by) => {
      this.by = by;
      this.recolour();
    });
    $("map-zoom").append(
      button("Zoom in", "+", () => this.zoom(0.5)),
      button("Zoom out", "−", () => this.zoom(2)),
      button("Fit the whole area", "Fit", () => this.fit()),
    );
    state.on("area", () => {
      this.selected = -1;
      this.rowBytes = 0;
      this.recolour();
    });
    state.on("event", () => this.draw());
    state.on("theme", () => this.recolour());
    state.on("tab", () => this.recolour());
    new ResizeObserver(() => this.layout()).observe(this.scroller);
    this.scroller.addEventListener("scroll", () => this.draw());
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", hideTip);
    this.canvas.addEventListener("click", (event) => this.select(this.blockAt(this.addressUnder(event))));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  get visible() {
    return this.scroller.clientWidth > 0;
  }

  // Rows that show the whole area at once: as many as fit.
  fit() {
    this.rowBytes = 0;
    this.layout();
  }

  fittingRowBytes() {
    const { area } = this.state;
    const rows = Math.max(Math.floor(this.scroller.clientHeight / ROW) - 1, 1);
    const least = Math.max((area.end - area.start) / rows, ROW_BYTES_MIN);
    const power = 2 ** Math.floor(Math.log2(least));
    return [1, 1.25, 1.5, 1.75, 2].map((step) => step * power).find((bytes) => bytes >= least);
  }

  layout() {
    if (!this.visible) return;
    const { area } = this.state;
    this.gutter = this.scroller.clientWidth < 480 ? 0 : GUTTER;
    this.rowBytes ||= this.fittingRowBytes();
    const unit = area.pages ? Math.max(4096, this.rowBytes) : this.rowBytes;
    this.start = Math.floor(area.start / unit) * unit;
    if (area.start - this.start >= this.rowBytes) this.start = area.start - (area.start % Math.min(16, this.rowBytes));
    this.rows = Math.max(Math.ceil((area.end - this.start) / this.rowBytes), 1);
    $("map-space").style.height = `${this.rows * ROW}px`;
    const width = this.scroller.clientWidth, height = this.scroller.clientHeight;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    this.draw();
  }

  zoom(factor) {
    const least = Math.max(ROW_BYTES_MIN, ((this.state.area.end - this.state.area.start) * ROW) / SPACE_MAX);
    const wanted = this.rowBytes * factor;
    const centre = this.selected >= 0 ? this.state.area.address[this.selected] : this.addressAtRow(this.scroller.clientHeight / 2 / ROW);
    this.rowBytes = Math.min(Math.max(wanted, least), this.fittingRowBytes());
    this.layout();
    this.scrollTo(centre);
  }

  addressAtRow(row) {
    return this.start + (Math.floor(this.scroller.scrollTop / ROW) + row) * this.rowBytes;
  }

  scrollTo(address) {
    const row = Math.floor((address - this.start) / this.rowBytes);
    this.scroller.scrollTop = Math.max(0, row * ROW - this.scroller.clientHeight / 2);
  }

  recolour() {
    if (!this.visible) return;
    const { area } = this.state;
    const palette = Array.from({ length: 8 }, (_, i) => pixel(themeColour(`caller-${i}`)));
    if (this.by === "caller") {
      const colours = new Map();
      for (const stack of area.totals.get("stack")) colours.set(stack, palette[area.colourOf(area.stacks.place(stack))]);
      this.colours = Uint32Array.from(area.stack, (stack) => colours.get(stack) ?? palette[0]);
    }
    this.ages = ageColours(this.state.events);
    this.free = pixel(themeColour("free"));
    this.edge = pixel(themeColour("card"));
    this.showLegend();
    this.layout();
  }

  colourer() {
    if (this.by === "caller") return (block) => this.colours[block];
    const { born } = this.state.area, { event } = this.state;
    return (block) => this.ages[Math.floor(AGE_STEPS * Math.log2(event - born[block] + 1))];
  }

  draw() {
    if (!this.visible || !this.rowBytes || !this.ages) return;
    const { area, event } = this.state;
    const scale = devicePixelRatio, pitch = Math.round(ROW * scale), left = Math.round(this.gutter * scale);
    const width = this.canvas.width - left, rows = Math.min(Math.ceil(this.canvas.height / pitch), this.rows);
    this.top = Math.floor(this.scroller.scrollTop / ROW);
    const first = this.start + this.top * this.rowBytes, cellBytes = this.rowBytes / width;
    this.painter.resize(width, rows);
    this.painter.collect(area, event, first, cellBytes, this.colourer());
    const image = this.context.createImageData(width, this.canvas.height);
    const span = [Math.floor((area.start - first) / cellBytes), Math.ceil((area.end - first) / cellBytes)];
    this.painter.paint(image, pitch, Math.round(ROW_GAP * scale), { free: this.free, line: this.edge }, span);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.putImageData(image, left, 0);
    this.drawGutter(rows, pitch, first);
    this.drawOutlines();
    this.describe();
  }

  drawGutter(rows, pitch, first) {
    if (!this.gutter) return;
    const { context } = this, scale = devicePixelRatio;
    context.font = `${10.5 * scale}px ui-monospace, "DejaVu Sans Mono", monospace`;
    context.fillStyle = cssColour(themeColour("quiet"));
    context.textBaseline = "middle";
    for (let row = 0; row < rows; row += 1) {
      if ((this.top + row) % 4 === 0) context.fillText(hexText(Math.floor(first + row * this.rowBytes)), 4 * scale, Math.max(row * pitch + (pitch - ROW_GAP * scale) / 2, 6 * scale));
    }
  }

  // What this event made, what it freed, and the selected block.
  drawOutlines() {
    const { area, event } = this.state;
    for (const block of area.diedAt(event).subarray(0, 64)) this.outline(block, "alert", [3, 2]);
    for (const block of area.bornAt(event).slice(0, 64)) this.outline(block, "text", []);
    if (this.selected >= 0 && area.isLive(this.selected, event)) this.outline(this.selected, "found", []);
  }

  outline(block, colour, dash) {
    const { address, size } = this.state.area, scale = devicePixelRatio;
    const halo = cssColour(themeColour("card")), line = cssColour(themeColour(colour));
    const width = this.canvas.width / scale - this.gutter, bytes = Math.max(size[block], 1);
    const firstRow = Math.floor((address[block] - this.start) / this.rowBytes);
    const lastRow = Math.floor((address[block] + bytes - 1 - this.start) / this.rowBytes);
    const shown = Math.ceil(this.scroller.clientHeight / ROW) + 1;
    for (let row = Math.max(firstRow, this.top); row <= Math.min(lastRow, this.top + shown); row += 1) {
      const rowStart = this.start + row * this.rowBytes;
      const from = Math.max(address[block] - rowStart, 0) / this.rowBytes, to = Math.min(address[block] + bytes - rowStart, this.rowBytes) / this.rowBytes;
      const x = this.gutter + from * width, y = (row - this.top) * ROW;
      const box = [x, y + 0.5, Math.max((to - from) * width, 3), ROW - ROW_GAP - 1].map((value) => value * scale);
      this.strokeBox(box, halo, 4, []);
      this.strokeBox(box, line, 2, dash);
    }
  }

  strokeBox(box, colour, width, dash) {
    const { context } = this, scale = devicePixelRatio;
    context.strokeStyle = colour;
    context.lineWidth = width * scale;
    context.setLineDash(dash.map((length) => length * scale));
    context.strokeRect(...box);
  }

  addressUnder(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - this.gutter, row = Math.floor((event.clientY - box.top) / ROW);
    if (x < 0 || this.rowBytes === 0) return -1;
    const address = this.start + (this.top + row) * this.rowBytes + Math.floor((x / (box.width - this.gutter)) * this.rowBytes);
    return address >= this.state.area.start && address < this.state.area.end ? address : -1;
  }

  // The live block that holds an address, or -1.
  blockAt(address) {
    return this.search((start, end) => (start <= address && address < end ? Infinity : -Infinity));
  }

  // The live block with the largest finite or infinite score above -Infinity.
  search(score) {
    const { area, event } = this.state;
    const { address, size, died } = area, count = area.firstBorn(event + 1);
    let best = -Infinity, found = -1;
    for (let i = 0; i < count; i += 1) {
      if (died[i] <= event) continue;
      const value = score(address[i], address[i] + Math.max(size[i], 1));
      if (value > best) [best, found] = [value, i];
    }
    return found;
  }

  hover(event) {
    const address = this.addressUnder(event);
    if (address < 0) {
      hideTip();
      return;
    }
    const block = this.blockAt(address);
    showTip(event.clientX, event.clientY, block >= 0 ? this.blockLines(block) : this.freeLines(address));
  }

  blockLines(block) {
    const { address, size, call, stack, stacks } = this.state.area;
    const frames = [...stacks.of(stack[block])].slice(0, 4).map((frame) => stacks.placeText(frame));
    return [`${hexText(address[block])}, ${bytesText(size[block])}`, `born in call #${countText(call[block])}`, ...frames];
  }

  freeLines(address) {
    const { area } = this.state;
    const before = this.search((_, end) => (end <= address ? end : -Infinity));
    const after = this.search((start) => (start > address ? -start : -Infinity));
    const from = before < 0 ? area.start : area.address[before] + area.size[before];
    const to = after < 0 ? area.end : area.address[after];
    return [`free: ${bytesText(to - from)}`, `${hexText(from)} to ${hexText(to)}`];
  }

  select(block) {
    this.selected = block;
    if (block >= 0) {
      const row = Math.floor((this.state.area.address[block] - this.start) / this.rowBytes);
      const shown = Math.floor(this.scroller.clientHeight / ROW);
      if (row < this.top || row >= this.top + shown) this.scrollTo(this.state.area.address[block]);
    }
    this.draw();
  }

  // Arrow keys: the nearest live block before or after; up and down look a row away.
  key(event) {
    const { area } = this.state;
    const here = this.selected >= 0 ? area.address[this.selected] : area.start - 1;
    const after = (limit) => this.search((start) => (start > limit ? -start : -Infinity));
    const before = (limit) => this.search((start) => (start < limit ? start : -Infinity));
    const move = {
      ArrowRight: () => after(here), ArrowLeft: () => before(here), Home: () => after(-1), End: () => before(Infinity),
      ArrowDown: () => after(here + this.rowBytes - 1), ArrowUp: () => before(here - this.rowBytes + 1),
    }[event.key];
    const act = { "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.fit(), Escape: () => this.select(-1) }[event.key];
    if ((!move && !act) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (act) act();
    else {
      const block = move();
      if (block >= 0) this.select(block);
    }
  }
}
