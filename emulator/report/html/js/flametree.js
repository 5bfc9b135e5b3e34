// The tree of call stacks for one measure.

const FRAMES_MAX = 20_000; // frames of the tree; what is too small for it joins its caller

const SLIVERS = 500; // a frame narrower than this part of the whole is a sliver

const MEASURES = [
  ["peak_bytes", "At peak"],
  ["end_bytes", "At end"],
  ["calls", "Calls"],
  ["bytes_allocated", "Allocated"],
];

// {name, frame, value, children, found}: value includes the children's.
function flameTree(area, measure) {
  const { stacks } = area, values = area.totals.get(measure);
  const root = { name: area.name, frame: -1, value: 0, branches: new Map() };
  area.totals.get("stack").forEach((stack, i) => {
    if (!values[i]) return;
    let place = root;
    place.value += values[i];
    const frames = stacks.of(stack);
    for (let n = Math.max(frames.length - 1, 0); n >= 0; n -= 1) {
      place = branch(place, frames.length ? stacks.same[frames[n]] : -1, stacks);
      place.value += values[i];
    }
  });
  prune(root);
  return root;
}

function branch(place, frame, stacks) {
  if (!place.branches.has(frame)) {
    const name = frame < 0 ? "unknown" : stacks.placeText(frame).slice(0, 160);
    place.branches.set(frame, { name, frame, value: 0, branches: new Map() });
  }
  return place.branches.get(frame);
}

// Turn the branches into lists of children, and drop the smallest frames if there are too many.
function prune(root) {
  const nodes = [root];
  root.level = 0;
  for (let i = 0; i < nodes.length; i += 1) {
    for (const child of nodes[i].branches.values()) {
      child.level = nodes[i].level + 1;
      nodes.push(child);
    }
  }
  const least = nodes.length > FRAMES_MAX ? Float64Array.from(nodes, (each) => each.value).sort()[nodes.length - FRAMES_MAX] : 0;
  root.dropped = 0;
  for (const each of nodes) {
    root.depth = Math.max(root.depth ?? 0, each.level);
    const all = [...each.branches.values()];
    each.children = all.filter((child) => child.value >= least).sort((a, b) => b.value - a.value || a.frame - b.frame);
    root.dropped += all.length - each.children.length;
    delete each.branches;
  }
  for (const each of nodes) gather(each, root.value / SLIVERS);
}

// Put children that are too thin to be seen together, so that they can be zoomed into.
function gather(place, least) {
  const thin = place.children.filter((child) => child.value < least);
  const value = thin.reduce((sum, child) => sum + child.value, 0);
  if (thin.length < 4 || value < least || thin.length === place.children.length) return;
  const together = { name: `${countText(thin.length)} smaller callers`, frame: -1, value, children: thin };
  place.children = [...place.children.filter((child) => child.value >= least), together];
}
