// The drawings of a receptive field: from above on the input, what an output position reads of it, what the outputs
// answer, and the field from the side through the layers.

import {
  canvasSide,
  cornerOf,
  grow,
  levels,
  lineColumn,
  modulus,
  onLine,
  pathsAlong,
  positions,
  readFrom,
  runs,
} from "./field_grower.compute.js";
import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { format } from "./kit/numbers.js";

const SIDE = 420;
const COLOURED = 49; // the largest side whose pixels are drawn one by one
const LIGHT = "#77aadd #eedd88 #ee8866 #44bb99 #ffaabb #aaaa00 #99ddff #bbcc33 #dddddd".split(" ");

// Whether the pixels have room for their number of paths.
export function counted(layers) {
  return canvasSide(layers) <= 17 && Math.max(...pathsAlong(layers)) < 10;
}

export function coloured(layers) {
  return canvasSide(layers) <= COLOURED;
}

// The colour of a class of pixels: by name for two and three classes along an axis, else around the wheel of hues.
function colourOf(row, column, m) {
  const n = (row % m) * m + (column % m);
  return m <= 3 ? LIGHT[n] : `hsl(${(n * 137.5) % 360} 55% 70%)`;
}

// Squares at rows × columns of the input, one path for all that look alike. `at` gives the left or upper end of a pixel
// in the drawing, `strength` how opaque it is.
function squares(rows, columns, m, className, { at, unit, strength = () => 1 }) {
  const alike = new Map();
  rows.forEach((row, i) =>
    columns.forEach((column, j) => {
      const key = `${colourOf(row, column, m)} ${strength(i, j).toFixed(2)}`;
      const square = `M${at(column, j)} ${at(row, i)}h${unit}v${unit}h${-unit}z`;
      alike.set(key, (alike.get(key) ?? "") + square);
    }),
  );
  return [...alike].map(([key, d]) => {
    const [, colour, opacity] = key.match(/^(.*) ([\d.]+)$/);
    return h("path", {
      d,
      class: className,
      style: { "--cn-class": colour, "--cn-deep": opacity },
    });
  });
}

const upTo = (count) => Array.from({ length: count }, (_, n) => n);

// The input: its pixels in the colours of their classes, the line on it, and the field of one output position.
export function tapGrid(layers, position, label) {
  const line = pathsAlong(layers);
  const size = line.length;
  const side = canvasSide(layers);
  const unit = SIDE / side;
  const m = modulus(layers);
  const [top, left] = cornerOf(layers, position);
  const whole = size * unit;
  const wire = () => rect(lineColumn(layers) * unit, 0, unit, SIDE, "cn-field-wire");
  const drawing = svg(SIDE, SIDE, { margin: 2, class: "cn-drawing", label });
  drawing.append(rect(0, 0, SIDE, SIDE, "cn-field-input"));
  if (coloured(layers)) {
    const all = upTo(side);
    const peak = Math.max(...line);
    const read = line.flatMap((paths, n) => (paths ? [n] : []));
    const strength = (i, j) =>
      counted(layers) ? 1 : (0.25 + (0.75 * (line[read[i]] * line[read[j]])) / peak ** 2) ** 0.5;
    const inset = 0.12 * unit;
    const small = { at: (pixel) => pixel * unit + inset, unit: unit - 2 * inset, strength };
    drawing.append(
      ...squares(all, all, m, "cn-field-pixel", { at: (pixel) => pixel * unit, unit }),
      rect(left * unit, top * unit, whole, whole, "cn-field-inside"),
      wire(),
      ...rulesAndHoles(line, side, unit, top, left),
      ...squares(readFrom(layers, top), readFrom(layers, left), m, "cn-field-read", small),
    );
    if (counted(layers)) drawing.append(...pathCounts(line, unit, top, left));
  } else drawing.append(...bands(line, unit, top * unit, left * unit, whole), wire());
  const middle = (first) => (first + size / 2) * unit;
  drawing.append(
    rect(left * unit, top * unit, whole, whole, "cn-field-outline"),
    ...["cn-field-casing", "cn-field-ring"].map((name) =>
      h("circle", { cx: middle(left), cy: middle(top), r: Math.max(15, 0.6 * unit), class: name }),
    ),
  );
  return drawing;
}

// A field of many pixels: columns in orange, rows of the ground over them; what shines through is the product of both.
function bands(line, unit, top, left, whole) {
  const peak = Math.max(...line);
  const strength = (paths) => (paths / peak) ** 0.35;
  return [
    rect(left, top, whole, whole, "cn-field-ground"),
    ...runs(line)
      .filter(([, , paths]) => paths)
      .map(([n, length, paths]) =>
        rect(left + n * unit, top, length * unit, whole, "cn-field-tap", {
          "fill-opacity": strength(paths).toFixed(3),
        }),
      ),
    ...runs(line).map(([n, length, paths]) =>
      rect(left, top + n * unit, whole, length * unit, "cn-field-ground", {
        "fill-opacity": (1 - strength(paths)).toFixed(3),
      }),
    ),
  ];
}

function rules(count, unit) {
  const lines = upTo(count + 1).map(
    (n) => `M${n * unit} 0V${count * unit}M0 ${n * unit}H${count * unit}`,
  );
  return h("path", { d: lines.join(""), class: "cn-drawing-rule" });
}

function rulesAndHoles(line, side, unit, top, left) {
  const r = unit * 0.2;
  const cross = (i, j) =>
    `M${(left + j + 0.5) * unit - r} ${(top + i + 0.5) * unit - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
  const holes = line.map((a, i) => line.map((b, j) => (a * b ? "" : cross(i, j))).join(""));
  return [rules(side, unit), h("path", { d: holes.join(""), class: "cn-field-hole" })];
}

function pathCounts(line, unit, top, left) {
  const text = (a, i, b, j) =>
    h(
      "text",
      {
        x: (left + j + 0.5) * unit,
        y: (top + i + 0.5) * unit,
        class: "cn-celltext cn-on-kernel cn-field-paths",
        "font-size": unit * 0.62,
      },
      format(a * b),
    );
  return line
    .flatMap((a, i) => line.map((b, j) => (a * b ? text(a, i, b, j) : null)))
    .filter(Boolean);
}

// The pixels that an output position reads, put together without the holes; the line stands in it where one lies on it.
export function readTogether(layers, position, label) {
  const [rows, columns] = cornerOf(layers, position).map((first) => readFrom(layers, first));
  const unit = 220 / rows.length;
  const drawing = svg(220, 220, { margin: 2, class: "cn-drawing", label });
  if (coloured(layers))
    drawing.append(
      ...squares(rows, columns, modulus(layers), "cn-field-read", { at: (_, n) => n * unit, unit }),
    );
  else drawing.append(rect(0, 0, 220, 220, "cn-field-tap"));
  const at = columns.indexOf(lineColumn(layers));
  if (at >= 0) drawing.append(rect(at * unit, 0, unit, 220, "cn-field-wire"));
  if (coloured(layers)) drawing.append(rules(rows.length, unit));
  drawing.append(rect(0, 0, 220, 220, "cn-field-outline"));
  return drawing;
}

// The share of the paths of each output position that end on the line; the marked position is framed.
export function answers(layers, position, label) {
  const unit = 44;
  const shares = onLine(layers);
  const most = Math.max(...shares) || 1;
  const drawing = svg(220, 220, { margin: 2, class: "cn-drawing", label });
  positions().forEach((_, i) =>
    shares.forEach((share, j) =>
      drawing.append(
        rect(j * unit, i * unit, unit, unit, "cn-field-answer", {
          style: { "--cn-deep": (share / most).toFixed(3) },
        }),
        h(
          "text",
          {
            x: (j + 0.5) * unit,
            y: (i + 0.5) * unit,
            class: "cn-celltext cn-field-share",
            "font-size": 18,
          },
          format(share),
        ),
      ),
    ),
  );
  const [row, column] = position.map((p) => (p - positions()[0]) * unit);
  drawing.append(rect(column, row, unit, unit, "cn-centre"));
  return drawing;
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
