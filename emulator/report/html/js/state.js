// What the user looks at now, and who wants to know of it.

class State {
  constructor(data, columns) {
    this.data = data;
    this.times = columns.get("times")();
    this.events = data.events;
    this.stacks = new Stacks(data, columns);
    this.areas = data.areas.map((facts, i) => () => new Area(i, facts, columns, data.events, this.stacks));
    this.made = [];
    this.chosen = data.first;
    this.event = this.areas.length ? this.area.peak.event : 0;
    this.byTime = false;
    this.listeners = { event: [], area: [], axis: [], theme: [], tab: [] };
    this.pending = new Set();
  }

  // Areas are decoded when they are first looked at.
  areaAt(number) {
    this.made[number] ??= this.areas[number]();
    return this.made[number];
  }

  get area() {
    return this.areaAt(this.chosen);
  }

  on(topic, listener) {
    this.listeners[topic].push(listener);
  }

  // Tell the listeners in the next frame, once, however often something changed until then.
  tell(topic) {
    if (!this.pending.size) requestAnimationFrame(() => this.deliver());
    this.pending.add(topic);
  }

  deliver() {
    const topics = this.pending;
    this.pending = new Set();
    for (const topic of topics) this.listeners[topic].forEach((listener) => listener());
  }

  setEvent(event) {
    const next = Math.min(Math.max(Math.round(event), 0), this.events);
    if (next === this.event) return;
    this.event = next;
    this.tell("event");
  }

  setArea(number) {
    this.chosen = number;
    this.tell("area");
    this.tell("event");
  }

  setAxis(byTime) {
    this.byTime = byTime;
    this.tell("axis");
  }

  // Position of an event on the horizontal axis, and back.
  position(event) {
    return this.byTime ? this.times[event] : event;
  }

  eventAt(position) {
    if (!this.byTime) return Math.min(Math.max(Math.floor(position), 0), this.events);
    const after = lowerBound(this.times, position + 1); // whole nanoseconds
    return Math.min(Math.max(after - 1, 0), this.events);
  }
}
