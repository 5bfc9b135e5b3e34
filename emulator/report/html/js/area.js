// One area: its blocks, and what follows from them for every event.

class Area {
  constructor(number, facts, columns, events, stacks) {
    Object.assign(this, facts);
    const column = (name) => columns.get(`${number}.${name}`)();
    this.number = number;
    this.events = events;
    this.stacks = stacks;
    this.address = column("address");
    this.size = column("size");
    this.born = column("born");
    this.died = column("life");
    for (let i = 0; i < this.died.length; i += 1) this.died[i] += this.born[i]; // modulo 2^32
    this.call = column("call");
    this.stack = column("stack");
    this.count = this.born.length;
    this.totals = new Map(
      ["stack", "calls", "bytes_allocated", "peak_bytes", "peak_blocks", "end_bytes", "end_blocks"].map((name) => [
        name, column(`totals.${name}`),
      ]),
    );
    this.follow();
    this.findSpan();
  }

  // Live bytes and blocks after every event; the events that change them; the blocks in the order of their deaths.
  follow() {
    const { born, died, size, count, events } = this;
    this.bytes = new Float64Array(events + 1);
    this.blocks = new Int32Array(events + 1);
    this.changed = new Uint8Array(events + 1);
    const deaths = new Uint32Array(events + 2);
    for (let i = 0; i < count; i += 1) {
      this.bytes[born[i]] += size[i];
      this.blocks[born[i]] += 1;
      this.changed[born[i]] = 1;
      if (died[i] > events) continue;
      this.bytes[died[i]] -= size[i];
      this.blocks[died[i]] -= 1;
      this.changed[died[i]] = 1;
      deaths[died[i] + 1] += 1;
    }
    for (let event = 1; event <= events; event += 1) {
      this.bytes[event] += this.bytes[event - 1];
      this.blocks[event] += this.blocks[event - 1];
      deaths[event + 1] += deaths[event];
    }
    this.deathEnds = deaths;
    this.byDeath = new Uint32Array(deaths[events + 1]);
    const next = deaths.slice();
    for (let i = 0; i < count; i += 1) {
      if (died[i] <= events) this.byDeath[next[died[i]]++] = i;
    }
  }

  // From the lowest to beyond the highest address of any block.
  findSpan() {
    let start = Infinity, end = 0;
    for (let i = 0; i < this.count; i += 1) {
      if (this.address[i] < start) start = this.address[i];
      if (this.address[i] + this.size[i] > end) end = this.address[i] + this.size[i];
    }
    this.start = this.count ? start : 0;
    this.end = end;
  }

  isLive(block, event) {
    return this.born[block] <= event && this.died[block] > event;
  }

  // Index of the first block that was born at an event or later.
  firstBorn(event) {
    return lowerBound(this.born, event);
  }

  bornAt(event) {
    const blocks = [];
    for (let i = this.firstBorn(event); i < this.count && this.born[i] === event; i += 1) blocks.push(i);
    return blocks;
  }

  diedAt(event) {
    return this.byDeath.subarray(this.deathEnds[event], this.deathEnds[event + 1]);
  }

  nextChange(event) {
    const found = this.changed.indexOf(1, event + 1);
    return found < 0 ? this.events : found;
  }

  previousChange(event) {
    const found = event > 0 ? this.changed.lastIndexOf(1, event - 1) : 0;
    return Math.max(found, 0);
  }

  // The ten or so largest callers first: [{place, peak, blocks, allocated, calls, end}]
  get callers() {
    this.foundCallers ??= this.findCallers();
    return this.foundCallers;
  }

  findCallers() {
    const callers = new Map();
    const total = (name) => this.totals.get(name);
    total("stack").forEach((stack, i) => {
      const place = this.stacks.place(stack);
      const caller = callers.get(place) ?? { place, peak: 0, allocated: 0, calls: 0, end: 0, endBlocks: 0 };
      caller.peak += total("peak_bytes")[i];
      caller.allocated += total("bytes_allocated")[i];
      caller.calls += total("calls")[i];
      caller.end += total("end_bytes")[i];
      caller.endBlocks += total("end_blocks")[i];
      callers.set(place, caller);
    });
    return [...callers.values()].sort((a, b) => b.peak - a.peak || b.allocated - a.allocated || a.place - b.place);
  }

  // Colour number of a caller: 1 to 7 for the largest seven, 0 for all others.
  colourOf(place) {
    this.colours ??= new Map(this.callers.slice(0, 7).map((caller, i) => [caller.place, i + 1]));
    return this.colours.get(place) ?? 0;
  }
}

// Index of the first value that is at least *limit*, in growing values.
function lowerBound(sorted, limit) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
