// Parts that several views are made of: tables, choices, the floating tip.

// Buttons of which one is chosen; arrow keys choose, as in a native group of radio buttons.
function segments(host, options, chosen, choose) {
  const buttons = options.map(([value, label]) => node("button", { type: "button", role: "radio", "data-value": value }, label));
  const select = (index) => {
    buttons.forEach((each, i) => {
      each.setAttribute("aria-checked", String(i === index));
      each.tabIndex = i === index ? 0 : -1;
    });
  };
  buttons.forEach((each, index) => {
    each.addEventListener("click", () => {
      select(index);
      choose(options[index][0]);
    });
  });
  host.addEventListener("keydown", (event) => moveFocus(event, buttons, true));
  host.replaceChildren(...buttons);
  select(options.findIndex(([value]) => value === chosen));
}

// Arrow keys, Home and End among a row of buttons.
function moveFocus(event, buttons, click) {
  const now = buttons.indexOf(document.activeElement);
  const count = buttons.length;
  const next = {
    ArrowRight: (now + 1) % count, ArrowDown: (now + 1) % count,
    ArrowLeft: (now + count - 1) % count, ArrowUp: (now + count - 1) % count,
    Home: 0, End: count - 1,
  }[event.key];
  if (now < 0 || next === undefined) return;
  event.preventDefault();
  buttons[next].focus();
  if (click) buttons[next].click();
}

function button(label, text, act) {
  const element = node("button", { type: "button", class: "button", "aria-label": label }, text);
  element.addEventListener("click", act);
  return element;
}

const ROWS_SHOWN = 50;

// A table that sorts by a click on a column's head. A column: {head, cell(row), value?(row) to sort by, number?: true}
function table(host, columns, rows, empty) {
  if (!rows.length) {
    host.replaceChildren(node("p", { class: "empty" }, empty));
    return;
  }
  let shown = ROWS_SHOWN, sorted = rows;
  const body = node("tbody");
  const more = button("Show more rows", "Show more", () => {
    shown *= 4;
    fill();
  });
  more.classList.add("more");
  function fill() {
    body.replaceChildren(...sorted.slice(0, shown).map((row) => node("tr", {}, ...columns.map((column) => tableCell(column, row)))));
    more.hidden = sorted.length <= shown;
    more.textContent = `Show more (${countText(Math.max(sorted.length - shown, 0))})`;
  }
  const heads = columns.map((column) => head(column, sort));
  function sort(column, element) {
    const descending = element.getAttribute("aria-sort") !== "descending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    element.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    sorted = [...rows].sort((a, b) => sign * (column.value(a) - column.value(b)));
    fill();
  }
  fill();
  const scroll = node("div", { class: "scroll" }, node("table", {}, node("thead", {}, node("tr", {}, ...heads)), body));
  host.replaceChildren(scroll, more);
}

function head(column, sort) {
  const element = node("th", { scope: "col", class: column.number ? "number" : "" });
  if (!column.value) {
    element.append(column.head);
    return element;
  }
  const sorter = node("button", { type: "button" }, column.head);
  sorter.addEventListener("click", () => sort(column, element));
  element.append(sorter);
  return element;
}

function tableCell(column, row) {
  return node("td", { class: column.number ? "number" : (column.kind ?? "") }, column.cell(row));
}

// A place with its file and line; opened, it shows the whole call stack.
function stackDetails(stacks, stack, mark) {
  const place = stacks.place(stack);
  const summary = node("summary", { class: "code" });
  if (mark) summary.append(mark, " ");
  summary.append(stacks.functionText(place), " ", node("span", { class: "quiet" }, stacks.fileText(place)));
  const details = node("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) details.append(stackList(stacks, stack));
  });
  return details;
}

function stackList(stacks, stack, most = 128) {
  const frames = [...stacks.of(stack)];
  const items = frames.slice(0, most).map((frame) =>
    node("li", {}, stacks.functionText(frame), " ", node("span", { class: "file" }, stacks.fileText(frame))),
  );
  if (frames.length > most) items.push(node("li", { class: "file" }, `and ${frames.length - most} more`));
  if (!frames.length) items.push(node("li", { class: "file" }, "unknown"));
  return node("ol", { class: "stack" }, ...items);
}

function placeCell(stacks, place, mark) {
  const line = node("div", { class: "place-line" }, ...(mark ? [mark] : []));
  line.append(node("span", { class: "code clip" }, stacks.functionText(place)), node("span", { class: "quiet clip" }, stacks.fileText(place)));
  line.title = stacks.placeText(place);
  return line;
}

function bar(share) {
  const fill = node("i");
  fill.style.width = `${100 * share}%`;
  return node("div", { class: "bar", "aria-hidden": "true" }, fill);
}

function showTip(x, y, lines) {
  const tip = $("tip");
  tip.replaceChildren(...lines.map((line, i) => node("p", i ? { class: "quiet" } : {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
}

function hideTip() {
  $("tip").hidden = true;
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
