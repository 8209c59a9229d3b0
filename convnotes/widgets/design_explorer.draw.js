// The chart of accuracy over cost.

import { AXES, besides, compact, front, scale, ticks } from "./design_explorer.compute.js";
import { h, lineThrough, movable, pointedAt } from "./kit/dom.js";
import { format } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const W = 440;
const H = 640;
const LETTERS = 17; // font size of the names on a phone, where they are largest
const AREA = chartArea(W, H, { left: 46, right: 12, top: 12, bottom: 50 });
const fixed = (value) => value.toFixed(1);

// Where rows and values lie on the chart. The axes hold all rows, so that budgets can be compared.
export function axes(all, x, gain) {
  const across = scale(
    all.map((row) => row[x]),
    AREA.left,
    AREA.right,
    true,
  );
  const up = scale(
    all.flatMap((row) => row.accuracies),
    AREA.bottom,
    AREA.top,
    false,
  );
  return { across, up, at: (row) => [across(row[x]), up(row[gain])] };
}

export function emptyChart() {
  return h("svg", {
    viewBox: `0 0 ${W} ${H}`,
    class: "cn-drawing cn-trade",
    ...movable("points"),
  });
}

// The row nearest to a pointer, and its distance.
export function nearest(event, chart, rows, { at }) {
  const [down, right] = pointedAt(event, chart);
  const far = (row) => Math.hypot(at(row)[0] - right * W, at(row)[1] - down * H);
  return rows.map((row) => [far(row), row]).sort((a, b) => a[0] - b[0])[0];
}

// The names of the front and of the chosen design, beside their points.
function labels(rows, best, one, at) {
  const named = [...new Set([one, ...best])];
  const written = named.map((row) => [inWords(row.design), ...at(row)]);
  return besides(written, rows.map(at), AREA, LETTERS).map(([x, y, anchor], n) =>
    h(
      "text",
      {
        x: fixed(x),
        y: fixed(y),
        "text-anchor": anchor,
        class: `cn-chart-text cn-trade-name ${best.includes(named[n]) ? "cn-fill-accent" : ""}`,
      },
      written[n][0],
    ),
  );
}

function frameOf(all, x, { across, up }) {
  const { left, right, top, bottom } = AREA;
  const tick = (place, text, anchor) =>
    h("text", { ...place, "text-anchor": anchor, class: "cn-chart-text cn-fill-muted" }, text);
  const title = (place, text) => h("text", { ...place, class: "cn-chart-text" }, text);
  return [
    h("path", { d: `M${left} ${top}V${bottom}H${right}`, class: "cn-trade-axis" }),
    ...ticks(
      all.map((row) => row[x]),
      true,
    ).map((v) => tick({ x: across(v), y: bottom + 18 }, compact(v), "middle")),
    ...ticks(
      all.flatMap((row) => row.accuracies),
      false,
    ).map((v) => tick({ x: left - 6, y: up(v) + 4 }, format(v), "end")),
    title({ x: (left + W) / 2, y: H - 8, "text-anchor": "middle" }, AXES[x]),
    title({ x: left + 8, y: top + 12 }, tr`test accuracy`),
  ];
}

// The rows of one budget as points, the front as a line of diamonds; a trail joins the chosen design at all budgets.
export function points(all, rows, one, x, gain) {
  const lie = axes(all, x, gain);
  const { at, up } = lie;
  const best = front(rows, x, gain);
  const trail = all.filter((row) => row.design === one.design).sort((a, b) => a.budget - b.budget);
  const path = (list) => lineThrough(list.map(at));
  const diamond = (row, r) =>
    `M${fixed(at(row)[0])} ${fixed(at(row)[1] - r)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`;
  const disc = (row, r, className) =>
    h("circle", { cx: at(row)[0], cy: at(row)[1], r, class: className });
  const [low, high] = [Math.min(...one.accuracies), Math.max(...one.accuracies)].map((v) =>
    fixed(up(v)),
  );
  return [
    ...frameOf(all, x, lie),
    h("path", { d: path(best), class: "cn-trade-front" }),
    h("path", { d: path(trail), class: "cn-trade-trail" }),
    ...trail.filter((row) => row !== one).map((row) => disc(row, 3.5, "cn-point")),
    h("path", { d: `M${fixed(at(one)[0])} ${low}V${high}`, class: "cn-trade-range" }),
    ...rows.filter((row) => !best.includes(row)).map((row) => disc(row, 5.5, "cn-point")),
    ...best.map((row) => h("path", { d: diamond(row, 7), class: "cn-trade-best" })),
    disc(one, 11, "cn-trade-chosen"),
    ...labels(rows, best, one, at),
  ];
}
