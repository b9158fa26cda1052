// Creates elements. Values from data become text, never markup: nothing here parses HTML.

function el(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

function svg(tag, properties, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function bytes(size) {
  if (size === null || size === undefined) return "";
  if (size < 1000) return size + " B";
  let value = size;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 999.95 || unit === "TB") return value.toFixed(1) + " " + unit;
  }
}

const number = (value) => value.toLocaleString("en");
const signed = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1") + number(Math.abs(value));
const counted = (count, one, many) => number(count) + " " + (count === 1 ? one : many || one + "s");
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// "+3 ~1 -2" as coloured marks, with words in their titles.
function marks(added, changed, removed) {
  const made = [];
  if (added) made.push(el("span", { class: "mark added", title: added + " added" }, "+" + number(added)));
  if (changed) made.push(el("span", { class: "mark changed", title: changed + " changed" }, "~" + number(changed)));
  if (removed) made.push(el("span", { class: "mark removed", title: removed + " removed" }, "\u2212" + number(removed)));
  return el("span", { class: "marks" }, made);
}

// A row of buttons; exactly one is pressed.
function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text, key]) =>
    el("button", { type: "button", "data-value": value, title: key && `${text} (${key})`,
      on: { click: () => { press(value); choose(value); } } }, text));
  const press = (value) =>
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === value)));
  press(chosen);
  const group = el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
  group.press = (value) => buttons.find((button) => button.dataset.value === value)?.click();
  return group;
}

// A button that is on or off.
function toggle(text, on, change, properties) {
  const button = el("button", { type: "button", class: "toggle", ...properties, "aria-pressed": String(on),
    on: { click: () => {
      on = !on;
      button.setAttribute("aria-pressed", String(on));
      change(on);
    } } }, text);
  return button;
}
