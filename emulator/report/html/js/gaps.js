// Fragmentation: after every event the free bytes inside an area's span and the largest gap among them. What blocks take, and which gaps
// count, is explained in emulator/trace/queries/gaps.py, which measures the same.
//
// A tree over the addresses at which blocks begin or end. A node knows how many blocks cover all of it, and of what they leave: where
// the gap at its beginning ends and that at its end begins, and of the gaps in between the longest and the sum. A birth or death
// touches O(log n) nodes, so a million events take about a second.

const EVENTS_AT_ONCE = 20_000; // between two looks at what else the page has to do

class GapTree {
  // size(i, j): free bytes of a gap from place i to place j.
  constructor(places, size) {
    this.size = size;
    this.leaves = Math.max(places.length - 1, 1);
    let nodes = 2;
    while (nodes < 2 * this.leaves) nodes *= 2;
    this.covered = new Int32Array(nodes);
    this.first = new Int32Array(nodes);
    this.last = new Int32Array(nodes);
    this.largest = new Float64Array(nodes);
    this.free = new Float64Array(nodes);
    this.build(1, 0, this.leaves);
  }

  build(place, low, high) {
    this.first[place] = high;
    this.last[place] = low;
    if (high - low <= 1) return;
    const middle = (low + high) >>> 1;
    this.build(2 * place, low, middle);
    this.build(2 * place + 1, middle, high);
  }

  // A block covers the places from *from* to *to* once more (by = 1) or less (by = -1).
  cover(place, low, high, from, to, by) {
    if (from <= low && high <= to) this.covered[place] += by;
    else {
      const middle = (low + high) >>> 1;
      if (from < middle) this.cover(2 * place, low, middle, from, to, by);
      if (to > middle) this.cover(2 * place + 1, middle, high, from, to, by);
    }
    this.renew(place, low, high);
  }

  renew(place, low, high) {
    const { first, last, largest, free } = this;
    largest[place] = free[place] = 0;
    if (this.covered[place] > 0) {
      first[place] = low;
      last[place] = high;
      return;
    }
    first[place] = high;
    last[place] = low;
    if (high - low <= 1) return;
    const left = 2 * place, right = left + 1, middle = (low + high) >>> 1;
    const isLeftFree = first[left] === middle, isRightFree = last[right] === middle;
    const between = isLeftFree || isRightFree ? 0 : this.size(last[left], first[right]);
    first[place] = isLeftFree ? first[right] : first[left];
    last[place] = isRightFree ? last[left] : last[right];
    largest[place] = Math.max(largest[left], largest[right], between);
    free[place] = free[left] + free[right] + between;
  }

  // {largest, free} of the whole span.
  total() {
    const end = this.leaves, first = this.first[1], last = this.last[1];
    const edges = first === end ? [this.size(0, end)] : [this.size(0, first), this.size(last, end)];
    return {
      largest: Math.max(this.largest[1], ...edges),
      free: edges.reduce((sum, size) => sum + size, this.free[1]),
    };
  }
}

// Where each block ends with all that it takes; a block of unknown size takes nothing.
function takenEnds({ address, size, taken: [sizes, taken] }) {
  const known = new Map(sizes.map((each, i) => [each, taken[i]]));
  return Float64Array.from(address, (start, i) => start + (size[i] ? known.get(size[i]) : 0));
}

// Free bytes of a gap from one place to another: those that blocks have ever taken, if one has lain in it as a whole, or if they are as many
// as the block takes that ends where the gap begins.
function freeBytes(address, ends, places) {
  const first = new Float64Array(places.length).fill(Infinity); // the first end of the blocks that begin there or later
  const reach = new Float64Array(places.length); // the last one of those that begin there or before
  const used = new Float64Array(places.length); // bytes below
  const longest = new Float64Array(places.length); // of the blocks that end there: what it takes
  for (let i = 0; i < address.length; i += 1) {
    if (ends[i] === address[i]) continue;
    const at = lowerBound(places, address[i]);
    first[at] = Math.min(first[at], ends[i]);
    reach[at] = Math.max(reach[at], ends[i]);
    const end = lowerBound(places, ends[i]);
    longest[end] = Math.max(longest[end], ends[i] - address[i]);
  }
  for (let i = places.length - 2; i >= 0; i -= 1) first[i] = Math.min(first[i], first[i + 1]);
  for (let i = 1; i < places.length; i += 1) {
    used[i] = used[i - 1] + (reach[i - 1] > places[i - 1] ? places[i] - places[i - 1] : 0);
    reach[i] = Math.max(reach[i], reach[i - 1]);
  }
  return (from, to) => {
    const size = from < to ? used[to] - used[from] : 0;
    return size && (first[from] <= places[to] || size >= longest[from]) ? size : 0;
  };
}

// {largest, free}: one value per event. tell(share): how far it is.
async function findGaps(area, tell) {
  const { address, born, count, events } = area;
  const ends = takenEnds(area);
  const places = distinctPlaces(address, ends);
  const tree = new GapTree(places, freeBytes(address, ends, places));
  const largest = new Float64Array(events + 1), free = new Float64Array(events + 1);
  const change = (block, by) => {
    if (ends[block] === address[block]) return;
    tree.cover(1, 0, tree.leaves, lowerBound(places, address[block]), lowerBound(places, ends[block]), by);
  };
  let next = 0, dead = 0;
  for (let event = 0; event <= events; event += 1) {
    for (; dead < area.deathEnds[event + 1]; dead += 1) if (born[area.byDeath[dead]] < event) change(area.byDeath[dead], -1);
    for (; next < count && born[next] <= event; next += 1) if (area.died[next] > event) change(next, 1);
    const total = tree.total();
    largest[event] = total.largest;
    free[event] = total.free;
    if (event % EVENTS_AT_ONCE === EVENTS_AT_ONCE - 1) {
      tell(event / events);
      await new Promise((resolve) => { setTimeout(resolve); });
    }
  }
  return { largest, free };
}

function distinctPlaces(address, ends) {
  const all = [];
  for (let i = 0; i < address.length; i += 1) if (ends[i] > address[i]) all.push(address[i], ends[i]);
  return Float64Array.from(all).sort().filter((place, i, sorted) => i === 0 || place !== sorted[i - 1]);
}
