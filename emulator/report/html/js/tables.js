// The views "Leaks" and "Problems".

function leakRows(area) {
  const total = (name) => area.totals.get(name);
  const rows = [];
  total("stack").forEach((stack, i) => {
    if (total("end_blocks")[i]) rows.push({ stack, bytes: total("end_bytes")[i], blocks: total("end_blocks")[i], calls: total("calls")[i] });
  });
  return rows.sort((a, b) => b.bytes - a.bytes || b.blocks - a.blocks);
}

function showLeaks(state) {
  const { area, stacks } = state;
  const rows = leakRows(area);
  const all = Math.max(area.end_live.bytes, 1);
  const columns = [
    { head: "Allocated by", kind: "place", cell: (row) => leakCell(area, stacks, row, all) },
    { head: "Bytes", number: true, value: (row) => row.bytes, cell: (row) => bytesText(row.bytes) },
    { head: "Share", number: true, cell: (row) => percentText(row.bytes / all) },
    { head: "Blocks", number: true, value: (row) => row.blocks, cell: (row) => countText(row.blocks) },
    { head: "Calls", number: true, value: (row) => row.calls, cell: (row) => countText(row.calls) },
  ];
  table($("leak-table"), columns, rows, "No block lives at the end: everything was freed.");
  $("leak-note").textContent = rows.length
    ? `${bytesText(area.end_live.bytes)} in ${plural(area.end_live.blocks, "block")} from ${plural(rows.length, "call stack")}`
    : "";
  $("leak-count").textContent = rows.length ? countText(rows.length) : "";
}

function leakCell(area, stacks, row, all) {
  const mark = swatch(`var(--caller-${area.colourOf(stacks.place(row.stack))})`);
  return node("div", {}, stackDetails(stacks, row.stack, mark), bar(row.bytes / all));
}

function showProblems(state) {
  const { failed, stray } = state.area;
  const count = failed.count + stray.count;
  $("tab-problems").hidden = count === 0;
  $("problem-count").textContent = countText(count);
  $("failed-note").textContent = cutText(failed);
  $("stray-note").textContent = `freed what was not live${stray.count > stray.calls.length ? `; ${cutText(stray)}` : ""}`;
  problemTable(state, $("failed-table"), failed.calls, "No allocation failed.");
  problemTable(state, $("stray-table"), stray.calls, "Every free matched a live block.");
}

function cutText({ count, calls }) {
  return count > calls.length ? `the first ${countText(calls.length)} of ${countText(count)}` : "";
}

function problemTable(state, host, rows, empty) {
  const goTo = (row) => {
    const link = node("button", { type: "button", class: "link", "aria-label": `Go to event ${countText(row.event)}` }, countText(row.event));
    link.addEventListener("click", () => state.setEvent(row.event));
    return link;
  };
  const columns = [
    { head: "Call", number: true, value: (row) => row.call, cell: (row) => `#${countText(row.call)}` },
    { head: "What", cell: (row) => node("span", { class: "code" }, row.text) },
    { head: "Called from", kind: "place", cell: (row) => stackDetails(state.stacks, row.stack) },
    { head: "At event", number: true, value: (row) => row.event, cell: goTo },
  ];
  table(host, columns, rows, empty);
}
