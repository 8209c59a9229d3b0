// Elements, and what keys and pointers say about them.

const SVG = ["svg", "g", "rect", "text", "path", "line", "circle"];

// An element with properties, attributes and children. `on` holds listeners, `data` data attributes.
export function h(tag, { on = {}, data = {}, style = {}, ...rest } = {}, ...children) {
  const drawn = SVG.includes(tag);
  const node = drawn
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined || value === false) continue;
    if (!drawn && key in node && typeof value !== "object") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  Object.assign(node.dataset, data);
  for (const [key, value] of Object.entries(style)) node.style.setProperty(key, value);
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// JupyterLab takes keys for itself unless each element that can be focused says otherwise.
export const KEYS = { "data-lm-suppress-shortcuts": "true" };

// What makes an element one that is moved by the arrow keys and the pointer.
export function movable(name) {
  return { role: "application", tabindex: 0, data: { control: name }, ...KEYS };
}

// A drawing of width × height units with a margin around it; `label` says in words what it shows.
export function svg(width, height, { margin = 0, label, ...rest }, ...children) {
  const viewBox = `${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}`;
  return h("svg", { viewBox, role: "img", "aria-label": label, ...rest }, ...children);
}

export function rect(x, y, width, height, className, more = {}) {
  return h("rect", { x, y, width, height, class: className, ...more });
}

// The path of a line through points [x, y].
export function lineThrough(points) {
  return `M${points.map((point) => point.map((v) => v.toFixed(1)).join(" ")).join("L")}`;
}

// The one scale of signed numbers: positive orange, negative blue and hatched, 0 without ink; the larger, the deeper.
export function tint(node, value, most) {
  const share = Math.min(1, Math.abs(value) / (most || 1));
  const shown = share > 5e-4;
  node.style.setProperty("--share", shown ? share.toFixed(3) : 0);
  node.classList.toggle("cn-negative", shown && value < 0);
  node.classList.toggle("cn-zero", !shown);
}

// Put a bold title and some words into a caption.
export function caption(node, title, ...words) {
  node.replaceChildren(h("strong", {}, title), ...words);
}

// A figure whose drawing and caption are replaced by `show`; several drawings come as a list.
export function figure(className = "", style = {}) {
  const text = h("figcaption");
  const el = h("figure", { className: `cn-picture ${className}`.trim(), style });
  return {
    el,
    show(drawings, title, ...words) {
      el.replaceChildren(...[drawings].flat(), text);
      caption(text, title, ...words);
    },
  };
}

// A table. A column without a name has an empty head; the rows come from `tableRow`.
export function table(className, words, columns, rows) {
  const head = columns.map((name) => (name === "" ? h("td") : h("th", { scope: "col" }, name)));
  return h(
    "table",
    { className },
    words ? h("caption", {}, words) : null,
    h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, rows),
  );
}

// A row of a table; `head` is null where the row has no name.
export function tableRow(head, cells, rest = {}) {
  return h(
    "tr",
    rest,
    head === null ? null : h("th", { scope: "row" }, head),
    cells.map((cell) => h("td", {}, ...[cell].flat())),
  );
}

// A text with `code` between backticks.
export function prose(text) {
  return text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part));
}

// Give an element its top, left, width or height as shares of the element that holds it.
export function placeAt(el, shares) {
  for (const [side, share] of Object.entries(shares)) el.style[side] = `${100 * share}%`;
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// How far an arrow key moves something, [down, right]; null for any other key. The page does not scroll.
export function arrowStep(event, step = 1) {
  const direction = ARROWS[event.key];
  if (!direction) return null;
  event.preventDefault();
  return direction.map((d) => d * step);
}

// Where a pointer is on an element, [down, right], as shares of its height and width.
export function pointedAt(event, el) {
  const box = el.getBoundingClientRect();
  return [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
}

// Whether the pointer itself moves: it may also rest while the page scrolls below it.
export function pointerMoves(event) {
  return Boolean(event.movementX || event.movementY);
}
