// Fragmentation: after every event the free bytes inside an area's span and the largest gap among them.
//
// A tree over the addresses at which blocks begin or end. A node knows how many blocks cover all of it, and of what they leave: the
// longest gap, the gaps at both ends, and the sum. A birth or death touches O(log n) nodes, so a million events take about a second.

const EVENTS_AT_ONCE = 20_000; // between two looks at what else the page has to do

class GapTree {
  constructor(places) {
    this.places = places;
    this.leaves = Math.max(places.length - 1, 1);
    let size = 2;
    while (size < 2 * this.leaves) size *= 2;
    this.covered = new Int32Array(size);
    for (const name of ["largest", "first", "last", "free"]) this[name] = new Float64Array(size);
    this.build(1, 0, this.leaves);
  }

  build(place, low, high) {
    const length = this.places.length > 1 ? this.places[high] - this.places[low] : 0;
    this.largest[place] = this.first[place] = this.last[place] = this.free[place] = length;
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
    const { largest, first, last, free } = this;
    if (this.covered[place] > 0) {
      largest[place] = first[place] = last[place] = free[place] = 0;
      return;
    }
    if (high - low <= 1) {
      largest[place] = first[place] = last[place] = free[place] = this.places[high] - this.places[low];
      return;
    }
    const left = 2 * place, right = left + 1, middle = (low + high) >>> 1;
    const joined = last[left] + first[right];
    largest[place] = Math.max(largest[left], largest[right], joined);
    first[place] = first[left] === this.places[middle] - this.places[low] ? first[left] + first[right] : first[left];
    last[place] = last[right] === this.places[high] - this.places[middle] ? last[left] + last[right] : last[right];
    free[place] = free[left] + free[right];
  }
}

// {largest, free}: one value per event. tell(share): how far it is.
async function findGaps(area, tell) {
  const { address, size, born, count, events } = area;
  const places = distinctPlaces(address, size);
  const tree = new GapTree(places);
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
    largest[event] = tree.largest[1];
    free[event] = tree.free[1];
    if (event % EVENTS_AT_ONCE === EVENTS_AT_ONCE - 1) {
      tell(event / events);
      await new Promise((resolve) => { setTimeout(resolve); });
    }
  }
  return { largest, free };
}

function distinctPlaces(address, size) {
  const all = new Float64Array(2 * address.length);
  for (let i = 0; i < address.length; i += 1) {
    all[2 * i] = address[i];
    all[2 * i + 1] = address[i] + size[i];
  }
  all.sort();
  return all.filter((place, i) => i === 0 || place !== all[i - 1]);
}
