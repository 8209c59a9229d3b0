// The drawings of a receptive field: from above on the input, and from the side through the layers.

import { canvasSide, grow, levels, pathsAlong, runs } from "./field_grower.compute.js";
import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { format } from "./kit/numbers.js";

const SIDE = 420;
export const COUNTED = 17; // the largest side whose pixels have room for their number of paths

// The input with the field on it: how many paths lead to each pixel, its holes, and the field of the next position.
export function tapGrid(layers, label) {
  const line = pathsAlong(layers);
  const size = line.length;
  const side = canvasSide(layers);
  const unit = SIDE / side;
  const { stride } = grow(layers).at(-1);
  const peak = Math.max(...line);
  const start = Math.floor((side - size) / 2);
  const strength = (paths) => (paths / peak) ** 0.35;
  const at = (n) => (start + n) * unit;
  const whole = size * unit;
  const drawing = svg(SIDE, SIDE, { margin: 2, class: "cn-drawing", label });
  drawing.append(
    rect(0, 0, SIDE, SIDE, "cn-field-input"),
    rect(at(0), at(0), whole, whole, "cn-field-ground"),
  );
  // Columns in orange, rows of the ground over them: what shines through is the product of the two.
  for (const [n, length, paths] of runs(line))
    if (paths)
      drawing.append(
        rect(at(n), at(0), length * unit, whole, "cn-field-tap", {
          "fill-opacity": strength(paths).toFixed(3),
        }),
      );
  for (const [n, length, paths] of runs(line))
    drawing.append(
      rect(at(0), at(n), whole, length * unit, "cn-field-ground", {
        "fill-opacity": (1 - strength(paths)).toFixed(3),
      }),
    );
  if (side <= 49) drawing.append(...rulesAndHoles(line, side, unit, at));
  if (side <= COUNTED) drawing.append(...pathCounts(line, unit, at, strength));
  drawing.append(
    rect(at(stride), at(0), whole, whole, "cn-field-next"),
    rect(at(0), at(0), whole, whole, "cn-field-outline"),
  );
  return drawing;
}

function rulesAndHoles(line, side, unit, at) {
  const rules = Array.from(
    { length: side + 1 },
    (_, n) => `M${n * unit} 0V${SIDE}M0 ${n * unit}H${SIDE}`,
  ).join("");
  const r = unit * 0.2;
  const cross = (i, j) =>
    `M${at(j + 0.5) - r} ${at(i + 0.5) - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
  const holes = line
    .map((a, i) => line.map((b, j) => (a * b ? "" : cross(i, j))).join(""))
    .join("");
  return [
    h("path", { d: rules, class: "cn-drawing-rule" }),
    h("path", { d: holes, class: "cn-field-hole" }),
  ];
}

function pathCounts(line, unit, at, strength) {
  return line
    .flatMap((a, i) =>
      line.map((b, j) => {
        if (!(a * b)) return null;
        const strong = strength(a) * strength(b) > 0.63;
        return h(
          "text",
          {
            x: at(j + 0.5),
            y: at(i + 0.5),
            class: `cn-celltext cn-field-paths${strong ? " cn-on-kernel" : ""}`,
            "font-size": unit * (a * b > 99 ? 0.48 : 0.64),
          },
          format(a * b),
        );
      }),
    )
    .filter(Boolean);
}

// One row of the field from the side: the output on top, below it level by level what it reads.
export function sideView(layers, label) {
  const all = levels(layers);
  const side = canvasSide(layers);
  const unit = SIDE / side;
  const gap = 46;
  const last = layers.length;
  const fields = grow(layers);
  const { size } = fields.at(-1);
  const start = Math.floor((side - size) / 2);
  // A position of a level is drawn above the middle of its own field.
  const half = (level) => (level === last ? 0 : (fields[last - level - 1].size - 1) / 2);
  const x = (position, level) => (start + position + half(level) + 0.5) * unit;
  const y = (level) => 12 + level * gap;
  const drawing = h("svg", {
    viewBox: `-2 0 ${SIDE + 4} ${24 + last * gap}`,
    class: "cn-drawing",
    role: "img",
    "aria-label": label,
  });
  const seen = new Set(all[last].places);
  const r = Math.min(6, 0.4 * unit);
  const disc = (at, level, radius, className) =>
    h("circle", { cx: x(at, level), cy: y(level), r: radius, class: className });
  const lines = all
    .slice(1)
    .flatMap(({ taps }, n) =>
      taps.map(([from, to]) =>
        lineThrough([
          [x(from, n), y(n)],
          [x(to, n + 1), y(n + 1)],
        ]),
      ),
    )
    .join("");
  drawing.append(h("path", { d: lines, class: "cn-field-line" }));
  for (let n = 0; n < size; n++)
    if (!seen.has(n) && side <= 129)
      drawing.append(disc(n, last, Math.max(0.8, 0.6 * r), "cn-field-missed"));
  const kind = (level) => (level === last ? " cn-field-in" : level ? "" : " cn-field-out");
  all.forEach(({ places }, level) =>
    drawing.append(...places.map((at) => disc(at, level, r, `cn-field-node${kind(level)}`))),
  );
  return drawing;
}
