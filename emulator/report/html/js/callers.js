// The ten biggest callers. Their colours are those of the map.

function showCallers(state) {
  const { area, stacks } = state;
  const most = Math.max(area.peak.bytes, 1);
  const columns = [
    { head: "Caller", kind: "place", cell: (row) => callerCell(area, stacks, row, most) },
    { head: "At peak", number: true, value: (row) => row.peak, cell: (row) => bytesText(row.peak) },
    { head: "Share", number: true, cell: (row) => percentText(row.peak / most) },
    { head: "Allocated", number: true, value: (row) => row.allocated, cell: (row) => bytesText(row.allocated) },
    { head: "Calls", number: true, value: (row) => row.calls, cell: (row) => countText(row.calls) },
    { head: "Live at end", number: true, value: (row) => row.end, cell: (row) => bytesText(row.end) },
  ];
  table($("callers"), columns, area.callers.slice(0, 10), "Nothing was allocated in this area.");
}

function callerCell(area, stacks, row, most) {
  const mark = swatch(`var(--caller-${area.colourOf(row.place)})`);
  return node("div", {}, placeCell(stacks, row.place, mark), bar(row.peak / most));
}
