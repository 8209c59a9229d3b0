// The drawings of a stack: its maps as plates, and its weights as cells of one large kernel.

import { reach } from "./kernel_stack_viewer.compute.js";
import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { tr } from "./kit/words.js";

const TILT = 0.35;
const LEAN = 0.4; // how a plate is seen from the side
const PLATE = 170;

// The maps as tilted plates, the output on top; on each the part that one output sees.
export function maps(layers, edited) {
  const cells = reach(layers) + 2;
  const cell = PLATE / cells;
  const deep = cells * cell * TILT;
  const step = Math.max(46, deep * 0.55 + 26 - 4 * layers);
  const drawing = svg(420, step * layers + deep + 8, {
    class: "cn-drawing cn-stack-maps",
    label:
      tr`${layers + 1} maps, from the output, where one position is marked, down to the input, ` +
      tr`where ${reach(layers)} by ${reach(layers)} pixels are outlined`,
  });
  const at = (level, row, column) => [
    4 + column * cell + (cells - row) * cell * LEAN,
    4 + level * step + row * cell * TILT,
  ];
  const square = (level, from, to) =>
    `${lineThrough([at(level, from, from), at(level, from, to), at(level, to, to), at(level, to, from)])}Z`;
  const line = ([x1, y1], [x2, y2], className) => h("line", { x1, y1, x2, y2, class: className });
  for (let level = layers; level >= 0; level--) {
    const sees = reach(level);
    const from = (cells - sees) / 2;
    const to = from + sees;
    const last = level === layers;
    drawing.append(h("path", { d: square(level, 0, cells), class: "cn-stack-plate" }));
    for (let n = 1; n < cells; n++)
      drawing.append(
        line(at(level, n, 0), at(level, n, cells), "cn-stack-rule"),
        line(at(level, 0, n), at(level, cells, n), "cn-stack-rule"),
      );
    if (!last) {
      const ends = (cells - reach(level + 1)) / 2;
      const below = (v) => (v === from ? ends : cells - ends);
      for (const column of [from, to])
        for (const row of [from, to])
          drawing.append(
            line(at(level, row, column), at(level + 1, below(row), below(column)), "cn-stack-ray"),
          );
    }
    drawing.append(
      h("path", {
        d: square(level, from, to),
        class: `cn-seen ${last ? "cn-seen-input" : level ? "" : "cn-seen-output"}`,
      }),
    );
    const [x, y] = [4 + PLATE * (1 + LEAN) + 8, 4 + level * step + deep * 0.5];
    const number = layers - level;
    const picked = edited === number;
    const words =
      level === 0
        ? tr`${sees}×${sees} of the output`
        : last
          ? tr`${sees}×${sees} of the input`
          : tr`${sees}×${sees} after layer ${number}`;
    const kind = level === 0 ? "cn-fill-output" : last ? "cn-fill-input" : "";
    drawing.append(h("text", { x, y, class: `cn-drawing-text ${kind}` }, words));
    if (!last)
      drawing.append(
        h(
          "text",
          {
            x,
            y: y + step / 2,
            class: `cn-drawing-text cn-stack-layer${picked ? " cn-stack-picked" : ""}`,
          },
          `↕ ${tr`layer ${number}`}${picked ? " ◂" : ""}`,
        ),
      );
  }
  return drawing;
}

// The cells of the large kernel; as many are filled as the stack has weights.
export function cells(size, filled) {
  const unit = 12;
  const drawing = svg(size * unit, size * unit, {
    margin: 1,
    class: "cn-stack-cells",
    style: { width: `${size * unit + 2}px` },
    label: tr`${filled} of ${size * size} cells are filled`,
  });
  for (let n = 0; n < size * size; n++) {
    const [x, y] = [(n % size) * unit, Math.floor(n / size) * unit];
    drawing.append(rect(x, y, unit, unit, `cn-fill-kernel${n < filled ? "" : " cn-stack-empty"}`));
  }
  return drawing;
}
