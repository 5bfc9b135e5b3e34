// The bar at the bottom: time slider over a small chart of live bytes, play, steps.

const PLAY_SECONDS = 15, CALM_STEPS_PER_SECOND = 2;

class Timeline {
  constructor(state) {
    Object.assign(this, { state, slider: $("slider"), playing: false });
    this.slider.max = state.events;
    this.slider.addEventListener("input", () => state.setEvent(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    $("step-back").addEventListener("click", () => state.setEvent(state.area.previousChange(state.event)));
    $("step-on").addEventListener("click", () => state.setEvent(state.area.nextChange(state.event)));
    $("to-peak").addEventListener("click", () => state.setEvent(state.area.peak.event));
    $("play").addEventListener("click", () => this.play(!this.playing));
    state.on("event", () => this.show());
    for (const topic of ["area", "theme"]) state.on(topic, () => this.drawSpark());
    new ResizeObserver(() => this.drawSpark()).observe($("spark"));
    this.show();
  }

  // The slider's own keys go by one event; with Shift, to the next change of the area.
  key(event) {
    const { state } = this;
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: state.events / 50, PageDown: -state.events / 50 };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    if (event.shiftKey) state.setEvent(step > 0 ? state.area.nextChange(state.event) : state.area.previousChange(state.event));
    else state.setEvent(state.event + step);
  }

  show() {
    const { state } = this;
    this.slider.value = state.event;
    this.slider.setAttribute("aria-valuetext", `event ${state.event}, ${bytesText(state.area.bytes[state.event])} live`);
    $("now-event").textContent = `Event ${countText(state.event)} of ${countText(state.events)} · ${timeText(state.times[state.event])}`;
    $("now-what").textContent = eventText(state.area, state.event);
  }

  play(playing) {
    const { state } = this;
    this.playing = playing;
    $("play").classList.toggle("playing", playing);
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    if (!playing) return;
    if (state.event >= state.events) state.setEvent(0);
    this.exact = state.event;
    this.last = performance.now();
    requestAnimationFrame((now) => this.tick(now));
  }

  // The whole trace in a fixed time; who wants less motion sees few still pictures instead.
  tick(now) {
    if (!this.playing) return;
    const { state } = this;
    const wait = calm() ? 1000 / CALM_STEPS_PER_SECOND : 0;
    if (now - this.last >= wait) {
      this.exact += (state.events * (now - this.last)) / (1000 * PLAY_SECONDS);
      this.last = now;
      state.setEvent(this.exact);
    }
    if (state.event >= state.events) this.play(false);
    else requestAnimationFrame((later) => this.tick(later));
  }

  drawSpark() {
    const canvas = $("spark"), { state } = this, scale = devicePixelRatio;
    const width = (canvas.width = Math.round(canvas.clientWidth * scale));
    const height = (canvas.height = Math.round(canvas.clientHeight * scale));
    if (!width) return;
    const context = canvas.getContext("2d"), rgb = themeColour(`caller-${(state.chosen % 7) + 1}`);
    const { bytes, peak } = state.area, top = Math.max(peak.bytes, 1) * 1.15;
    const inset = 4 * scale; // half of the slider's handle
    context.fillStyle = withAlpha(rgb, 0.45);
    for (let x = 0; x < width - 2 * inset; x += 1) {
      const from = Math.floor((x * (state.events + 1)) / (width - 2 * inset));
      const to = Math.max(Math.floor(((x + 1) * (state.events + 1)) / (width - 2 * inset)), from + 1);
      const high = (extremes(bytes, from, Math.min(to, state.events + 1))[1] / top) * height;
      context.fillRect(x + inset, height - high, 1, high);
    }
  }
}

// What an event did to an area.
function eventText(area, event) {
  const born = area.bornAt(event), died = area.diedAt(event);
  const parts = [];
  if (born.length === 1) {
    const [block] = born;
    parts.push(`call #${countText(area.call[block])} allocates ${bytesText(area.size[block])} at ${hexText(area.address[block])}`);
  } else if (born.length) parts.push(`allocates ${plural(born.length, "block")}`);
  if (died.length === 1) parts.push(`frees ${bytesText(area.size[died[0]])} at ${hexText(area.address[died[0]])}, from call #${countText(area.call[died[0]])}`);
  else if (died.length) parts.push(`frees ${plural(died.length, "block")}`);
  return parts.join("; ") || `changes nothing in this area: ${bytesText(area.bytes[event])} live`;
}
