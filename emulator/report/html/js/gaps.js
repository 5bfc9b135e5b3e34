// Fragmentation: after every event the free bytes inside an area's span and the largest gap among them. Which gaps count as free is
// explained in emulator/trace/queries/gaps.py, which measures the same.
//
// A tree over the addresses at which blocks begin or end. A node knows how many blocks cover all of it, and of what they leave: where
// the gap at its beginning ends and that at its end begins, and of the gaps in between the longest and the sum. A birth or death
// touches O(log n) nodes, so a million events take about a second.

const EVENTS_AT_ONCE = 20_000; // between two looks at what else the page has to do

class GapTree {
  // counts(i, j): whether a gap from place i to place j is free.
  constructor(places, counts) {
    this.places = places;
    this.counts = counts;
    this.leaves = Math.max(places.length - 1, 1);
    let size = 2;
    while (size < 2 * this.leaves) size *= 2;
    this.covered = new Int32Array(size);
    this.first = new Int32Array(size);
    this.last = new Int32Array(size);
    this.largest = new Float64Array(size);
    this.free = new Float64Array(size);
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

  size(from, to) {
    return from < to && this.counts(from, to) ? this.places[to] - this.places[from] : 0;
  }

  // {largest, free} of the whole span.
  total() {
    if (this.places.length < 2) return { largest: 0, free: 0 };
    const end = this.leaves, first = this.first[1], last = this.last[1];
    const edges = first === end ? [this.size(0, end)] : [this.size(0, first), this.size(last, end)];
    return {
      largest: Math.max(this.largest[1], ...edges),
      free: edges.reduce((sum, size) => sum + size, this.free[1]),
    };
  }
}

// Whether a gap from one place to another is free: a block has lain in it, with room to its neighbours.
function freeGaps({ address, size, closest }, places) {
  const blocks = Array.from(address.keys()).filter((i) => size[i]).sort((a, b) => address[a] - address[b]);
  const starts = Float64Array.from(blocks, (i) => address[i]);
  const firstEnd = Float64Array.from(blocks, (i) => address[i] + size[i]); // of those that begin there or later
  for (let i = firstEnd.length - 2; i >= 0; i -= 1) firstEnd[i] = Math.min(firstEnd[i], firstEnd[i + 1]);
  const last = places.length - 1;
  const first = Float64Array.from(places, (place, i) => {
    const block = lowerBound(starts, place + (i ? closest : 0));
    return block < starts.length ? firstEnd[block] : Infinity;
  });
  return (from, to) => first[from] <= places[to] - (to < last ? closest : 0);
}

// {largest, free}: one value per event. tell(share): how far it is.
async function findGaps(area, tell) {
  const { address, size, born, count, events } = area;
  const places = distinctPlaces(address, size);
  const tree = new GapTree(places, freeGaps(area, places));
  const largest = new Float64Array(events + 1), free = new Float64Array(events + 1);
  const change = (block, by) => {
    if (!size[block]) return;
    const from = lowerBound(places, address[block]), to = lowerBound(places, address[block] + size[block]);
    tree.cover(1, 0, tree.leaves, from, to, by);
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

function distinctPlaces(address, size) {
  const all = [];
  for (let i = 0; i < address.length; i += 1) if (size[i]) all.push(address[i], address[i] + size[i]);
  return Float64Array.from(all).sort().filter((place, i, sorted) => i === 0 || place !== sorted[i - 1]);
}
