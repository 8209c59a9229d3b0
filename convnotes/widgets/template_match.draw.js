// The template under the window, their products, and lines along the row.

import { h, lineThrough, rect, svg, tint } from "./kit/dom.js";
import { chartArea } from "./kit/pictures.js";
import { HALF, REACH, TAPS } from "./template_match.compute.js";

const [W, H] = [340, 150];
const AREA = chartArea(W, H, { left: 38, right: 6, top: 8, bottom: 8 });
const TALL = 100; // of a track, whose drawing is stretched to the page

// A chart of nine steps, with a rule at each of `rules`; `y` gives the height of a value.
function chart(low, high, rules, label) {
  const y = (v) => AREA.y((v - low) / (high - low));
  const drawing = svg(W, H, { class: "cn-drawing", label });
  for (const v of rules)
    drawing.append(
      h("path", { d: `M${AREA.left} ${y(v)}H${AREA.right}`, class: "cn-ruled" }),
      h(
        "text",
        { x: AREA.left - 6, y: y(v) + 4.5, class: "cn-match-text", "text-anchor": "end" },
        `${v}`.replace("-", "−"),
      ),
    );
  return { drawing, y, x: (k) => AREA.x(k / TAPS) };
}

// One step per value, from the left end of the first to the right end of the last.
function steps(values, x, y) {
  return lineThrough(
    Array.from(values).flatMap((v, k) => [
      [x(k), y(v)],
      [x(k + 1), y(v)],
    ]),
  );
}

// The template and the window as steps, the gap between them shaded.
export function overlay(template, window, label) {
  const { drawing, x, y } = chart(-HALF, 1 + HALF, [0, 0.5, 1], label);
  template.forEach((w, k) => {
    const [top, bottom] = [w, window[k]].map(y).sort((a, b) => a - b);
    drawing.append(rect(x(k), top, x(k + 1) - x(k), bottom - top, "cn-match-gap"));
  });
  drawing.append(
    h("path", { d: steps(template, x, y), class: "cn-curve cn-match-template" }),
    h("path", { d: steps(window, x, y), class: "cn-curve cn-match-window" }),
  );
  return drawing;
}

// Nine products as bars above or below 0. The scale is that of every light, so that the bars can be compared.
export function bars(products, kernel, label) {
  const most = Math.max(...kernel) * (1 + HALF);
  const least = Math.min(0, ...[...kernel].flatMap((w) => [w * (1 + HALF), w * -HALF]));
  const rules = [-0.5, 0, 0.5, 1].filter((v) => v >= least && v <= most);
  const { drawing, x, y } = chart(least, most, rules, label);
  products.forEach((v, k) => {
    const [top, bottom] = [v, 0].map(y).sort((a, b) => a - b);
    const bar = h("g", {}, rect(x(k) + 3, top, x(k + 1) - x(k) - 6, bottom - top, "cn-tile"));
    tint(bar, Math.sign(v), 1);
    drawing.append(bar);
  });
  return drawing;
}

// Something along the row of `width` pixels, drawn as wide as the page allows.
function track(width, label, ...nodes) {
  return svg(
    width,
    TALL,
    { class: "cn-match-track", preserveAspectRatio: "none", label },
    ...nodes,
  );
}

// A height inside a track, of a value between `low` and `high`.
function level(v, low, high) {
  return TALL * (0.94 - 0.88 * ((v - low) / (high - low)));
}

const upright = (column, className) =>
  h("path", { d: `M${column + 0.5} 0V${TALL}`, class: className });

const boxAround = (column, className) => rect(column - REACH, 1, TAPS, TALL - 2, className);

// The brightness of the row with what light was added, the template's position and the window.
export function profile(lit, home, window, label) {
  const y = (v) => level(v, -HALF, 1 + HALF);
  return track(
    lit.length,
    label,
    ...[0, 1].map((v) => h("path", { d: `M0 ${y(v)}H${lit.length}`, class: "cn-ruled" })),
    h("path", { d: steps(lit, (k) => k, y), class: "cn-curve cn-match-row" }),
    boxAround(home, "cn-match-home"),
    boxAround(window, "cn-match-frame"),
  );
}

// The scores of all windows, with lines at the template's position and at the window; and how far from the top, as a
// share of the height, the best one lies.
export function trace({ scores, value, low, high }, width, home, window, label) {
  const y = (v) => level(v, low, high);
  const line = lineThrough(Array.from(scores, (v, j) => [j + REACH + 0.5, y(v)]));
  const drawing = track(
    width,
    label,
    h("path", { d: `M0 ${y(0)}H${width}`, class: "cn-ruled" }),
    h("path", { d: line, class: "cn-curve cn-match-scores" }),
    upright(home, "cn-match-home"),
    upright(window, "cn-match-frame"),
  );
  return { drawing, top: y(value) / TALL };
}
