// Numbers to text, and elements whose text is always text: nothing from the trace is ever read as markup.

const $ = (id) => document.getElementById(id);

const countText = (count) => count.toLocaleString("en-US");
const hexText = (number) => `0x${number.toString(16).padStart(8, "0")}`;
const percentText = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

function bytesText(bytes, digits = 1) {
  let value = bytes, unit = 0;
  while (Math.round(value * 10) / 10 >= 1024 && unit < 4) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(digits))} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

function timeText(nanoseconds) {
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
    if (nanoseconds >= size) return `${(nanoseconds / size).toPrecision(4).replace(/\.?0+$/, "")} ${unit}`;
  }
  return `${nanoseconds} ns`;
}

const plural = (count, noun) => `${countText(count)} ${noun}${count === 1 ? "" : "s"}`;

// An element with attributes and children; a child that is no element becomes text. Attributes come from this page's code only.
function node(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function swatch(colour) {
  const element = node("span", { class: "swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}

// The colour that a custom property of the style sheet has now, as [red, green, blue].
function themeColour(name) {
  const probe = node("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const parts = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return parts;
}

const cssColour = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
const withAlpha = ([red, green, blue], alpha) => `rgb(${red} ${green} ${blue} / ${alpha})`;
