// The roof of a machine, and the operators under it.

import { h, lineThrough, movable, pointedAt, rect } from "./kit/dom.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { AXES, flags, place, point, roof, scaled } from "./roofline.compute.js";

const W = 380;
const H = 400;
const LETTERS = 16;
const LINE = 18; // from one flag to the next
const AREA = chartArea(W, H, { left: 56, right: 24, top: 172, bottom: 52 });
const INK = { operations: "kernel", bytes: "input", both: "muted" };

export function emptyChart() {
  return h("svg", {
    viewBox: `0 0 ${W} ${H}`,
    class: "cn-drawing cn-roofline",
    ...movable("points"),
  });
}

const at = (row, state) => {
  const [x, y] = point(row, state);
  return [AREA.x(x), AREA.y(y)];
};

// The operator nearest to a pointer, and its distance.
export function nearest(event, chart, rows, state) {
  const [down, right] = pointedAt(event, chart);
  const far = (row) => Math.hypot(at(row, state)[0] - right * W, at(row, state)[1] - down * H);
  return rows.map((row) => [far(row), row]).sort((a, b) => a[0] - b[0])[0];
}

function text(words, x, y, anchor, more = "") {
  const place = { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor };
  return h("text", { ...place, class: `cn-chart-text ${more}` }, words);
}

function axes({ peak }) {
  const { left, right, top, bottom } = AREA;
  const powers = ([low, high]) =>
    [0.01, 0.1, 1, 10, 100, 1000].filter((power) => power >= low && power <= high);
  const ticks = powers(AXES.x).map((v) => {
    const x = AREA.x(place(v, AXES.x));
    return text(`${v}`, x, bottom + 20, "middle", "cn-fill-muted");
  });
  const rules = powers(AXES.y).map((share) => {
    const y = AREA.y(place(share, AXES.y));
    const words = scaled(share * peak * 1e9);
    return [
      h("path", { d: `M${left} ${y}H${right}`, class: "cn-ruled" }),
      text(words, left - 6, y + 5, "end", "cn-fill-muted"),
    ];
  });
  return [
    ...rules.flat(),
    h("path", { d: `M${left} ${top}V${bottom}H${right}`, class: "cn-roofline-axis" }),
    ...ticks,
    text(tr`multiply-adds per byte`, (left + right) / 2, H - 8, "middle"),
    text(tr`multiply-adds`, 4, top - 40, "start"),
    text(tr`per second`, 4, top - 22, "start"),
  ];
}

// The mark of an operator: a disc where bytes decide, a diamond where operations do, a square where its steps differ.
function mark([x, y], decides, r) {
  const className = `cn-fill-${INK[decides]}`;
  if (decides === "bytes") return h("circle", { cx: x, cy: y, r, class: className });
  if (decides === "both") return rect(x - r, y - r, 2 * r, 2 * r, className);
  const s = 1.25 * r;
  return h("path", { d: `M${x} ${y - s}l${s} ${s}l${-s} ${s}l${-s} ${-s}z`, class: className });
}

// What decides on either side of the ridge, in words where there is room for them.
function sides(x) {
  const { left, right, bottom } = AREA;
  const words = (above, at, anchor, ink) => [
    text(above, at, bottom - 26, anchor, ink),
    text(tr`decide`, at, bottom - 9, anchor, ink),
  ];
  return [
    ...(x - left > 60 ? words(tr`bytes`, x - 8, "end", "cn-fill-input") : []),
    ...(right - x > 95 ? words(tr`operations`, x + 8, "start", "cn-roofline-busy") : []),
  ];
}

// The roof with the side that decides below each of its parts, and the operators `rows`, the chosen one with a ring.
export function points(rows, chosen, state) {
  const [start, ridge, end] = roof(state).map(([x, y]) => [AREA.x(x), AREA.y(y)]);
  const spots = rows.map((row) => at(row, state));
  const names = flags(
    rows.map((row, n) => [row.name, spots[n][0]]),
    W - 4,
    LETTERS,
  );
  const height = (n) => AREA.top - 26 - LINE * names[n][1];
  const [cx, cy] = spots[rows.indexOf(chosen)];
  return [
    ...axes(state),
    h("path", { d: `M${ridge[0]} ${ridge[1]}V${AREA.bottom}`, class: "cn-roofline-ridge" }),
    h("path", { d: lineThrough([start, ridge]), class: "cn-roofline-bytes" }),
    h("path", { d: lineThrough([ridge, end]), class: "cn-roofline-operations" }),
    ...sides(ridge[0]),
    ...spots.map(([x, y], n) =>
      h("path", { d: `M${x} ${y}V${height(n) + 4}`, class: "cn-roofline-pole" }),
    ),
    ...rows.map((row, n) => mark(spots[n], row.decides, 6)),
    h("circle", { cx, cy, r: 12, class: "cn-roofline-chosen" }),
    ...rows.map((row, n) => {
      const bold = row === chosen ? "cn-roofline-named" : "";
      return text(row.name, names[n][0], height(n), names[n][2], `cn-roofline-name ${bold}`);
    }),
  ];
}
