// The page as a whole: head, tabs, colours, and the beginning of it all.

const TABS = ["usage", "map", "flame", "lifetimes", "leaks", "problems"];

function showHead(data) {
  const name = data.kernel.slice(data.kernel.lastIndexOf("/") + 1) || data.kernel;
  document.title = `${name}: kmemu report`;
  $("kernel").textContent = name;
  $("kernel").title = data.kernel;
  const layers = Object.entries(data.layers).filter(([, mode]) => mode !== "native").map(([layer, mode]) => `${layer} ${mode}`);
  const facts = [`SHA-256 ${data.sha256.slice(0, 16)}…`, ...(data.ending ? [`ended: ${data.ending}`] : []), ...layers];
  $("provenance").textContent = facts.join(" · ");
  $("provenance").title = `SHA-256 ${data.sha256}`;
  $("command").textContent = data.command;
  $("command").title = data.command;
  $("command").hidden = !data.command;
  $("version").textContent = `Recorded by kmemu ${data.kmemu}`;
  $("incomplete").hidden = data.complete;
  $("incomplete").textContent =
    "This trace is incomplete: the recording was cut off. Everything below is true up to the last event that was written; what is live at the end need not be a leak.";
}

function showTotals(state) {
  const { area, data } = state;
  const tile = (name, value, detail, kind = "") =>
    node("div", { class: kind }, node("dt", {}, name), node("dd", {}, value, node("small", {}, detail)));
  const tiles = [
    tile("Peak", bytesText(area.peak.bytes), plural(area.peak.blocks, "block")),
    tile("Live at end", bytesText(area.end_live.bytes), plural(area.end_live.blocks, "block")),
    tile("Allocated", bytesText(area.allocated), plural(area.count, "block")),
    tile("Calls", countText(area.calls), `${countText(data.calls)} in all areas`),
    tile("Call stacks", countText(area.totals.get("stack").length), plural(area.callers.length, "caller")),
    tile("Virtual time", timeText(state.times[state.events]), plural(data.events, "event")),
  ];
  if (area.failed.count) tiles.push(tile("Failed", countText(area.failed.count), "allocations", "alert"));
  if (area.stray.count) tiles.push(tile("Stray", countText(area.stray.count), "frees", "alert"));
  $("totals").replaceChildren(...tiles);
}

function makeTabs(state) {
  const buttons = TABS.map((name) => $(`tab-${name}`));
  const select = (name) => {
    for (const each of TABS) {
      const chosen = each === name;
      $(each).hidden = !chosen;
      $(`tab-${each}`).setAttribute("aria-selected", String(chosen));
      $(`tab-${each}`).tabIndex = chosen ? 0 : -1;
    }
    $(`tab-${name}`).scrollIntoView({ block: "nearest", inline: "nearest" });
    history.replaceState(null, "", `#${name}`);
    hideTip();
    state.tell("tab");
  };
  buttons.forEach((each, i) => each.addEventListener("click", () => select(TABS[i])));
  document.querySelector(".tabs").addEventListener("keydown", (event) => moveFocus(event, buttons.filter((each) => !each.hidden), true));
  state.on("area", () => {
    if (!$("problems").hidden && $("tab-problems").hidden) select("usage");
  });
  const wanted = TABS.find((name) => `#${name}` === location.hash && !$(`tab-${name}`).hidden);
  select(wanted ?? "usage");
}

function makeTheme(state) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const show = () => {
    $("theme").setAttribute("aria-pressed", String(isDark()));
    state.tell("theme");
  };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  show();
}

function makeLicences() {
  $("licences-text").textContent = $("licences-data").textContent;
  $("licences-open").addEventListener("click", () => $("licences").showModal());
}

function showArea(state) {
  showTotals(state);
  showCallers(state);
  showLeaks(state);
  showProblems(state);
}

function fail(error) {
  $("failure").hidden = false;
  $("failure").textContent = `This report cannot be shown: ${error.message}. It needs a browser of 2024 or newer.`;
  throw error;
}

async function begin() {
  const data = readDocument();
  showHead(data);
  if (!data.areas.length) throw new Error("the trace records no allocator");
  const state = new State(data, await readColumns(data.columns));
  segments($("areas"), data.areas.map((area, i) => [i, area.name]), state.chosen, (number) => state.setArea(number));
  $("areas").hidden = data.areas.length < 2;
  showArea(state);
  new Usage(state);
  new MemoryMap(state);
  new Flame(state);
  new Lifetimes(state);
  new Timeline(state);
  state.on("area", () => showArea(state));
  makeTabs(state);
  makeTheme(state);
  makeLicences();
  document.documentElement.dataset.ready = "true";
}

begin().catch(fail);
