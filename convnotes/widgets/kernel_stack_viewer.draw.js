// The drawings of a stack: its maps as plates, and its weights beside those of one large kernel.

import { reach } from "./kernel_stack_viewer.compute.js";
import { h, lineThrough, rect, svg } from "./kit/dom.js";

const TILT = 0.35;
const LEAN = 0.4; // how a plate is seen from the side

// The maps as tilted plates, the output on top; on each the part that one output sees.
export function maps(layers, edited) {
  const cells = 2 * layers + 3;
  const cell = 190 / cells;
  const deep = cells * cell * TILT;
  const step = Math.max(46, deep * 0.55 + 26 - 4 * layers);
  const drawing = svg(440, step * layers + deep + 8, {
    class: "cn-drawing cn-stack",
    label:
      `${layers + 1} maps, from the output, where one position is marked, down to the input, ` +
      `where ${reach(layers)} by ${reach(layers)} pixels are outlined`,
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
    drawing.append(h("path", { d: square(level, 0, cells), class: "cn-plate" }));
    for (let n = 1; n < cells; n++)
      drawing.append(
        line(at(level, n, 0), at(level, n, cells), "cn-rule"),
        line(at(level, 0, n), at(level, cells, n), "cn-rule"),
      );
    if (!last) {
      const ends = (cells - reach(level + 1)) / 2;
      const below = (v) => (v === from ? ends : cells - ends);
      for (const column of [from, to])
        for (const row of [from, to])
          drawing.append(
            line(at(level, row, column), at(level + 1, below(row), below(column)), "cn-ray"),
          );
    }
    drawing.append(
      h("path", {
        d: square(level, from, to),
        class: `cn-seen ${last ? "cn-seen-input" : level ? "" : "cn-seen-output"}`,
      }),
    );
    const [x, y] = [4 + cells * cell * (1 + LEAN) + 8, 4 + level * step + deep * 0.5];
    const number = layers - level;
    const picked = edited === number;
    const words = level === 0 ? "output" : last ? "input" : `after layer ${number}`;
    drawing.append(h("text", { x, y, class: "cn-drawing-text" }, `${words}: ${sees}×${sees}`));
    if (!last)
      drawing.append(
        h(
          "text",
          {
            x,
            y: y + step / 2,
            class: `cn-drawing-text cn-stacklayer${picked ? " cn-picked" : ""}`,
          },
          `↕ 3×3, layer ${number}${picked ? " ◂" : ""}`,
        ),
      );
  }
  return drawing;
}

// As many cells as weights: the large kernel, and beside it the kernels of the stack.
export function tiles(layers) {
  const size = reach(layers);
  const unit = 14;
  const columns = Math.ceil(layers / Math.max(1, Math.floor((size + 1) / 4)));
  const width = (size + 2 + columns * 4) * unit;
  const drawing = svg(width, Math.max(size, 3) * unit, {
    margin: 1,
    class: "cn-drawing cn-count",
    style: { "max-width": `${width / 14}rem` },
    label: `A grid of ${size} by ${size} weights beside ${layers} grids of 3 by 3`,
  });
  const grid = (side, left, top, className) => {
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++)
        drawing.append(rect((left + j) * unit, (top + i) * unit, unit, unit, className));
  };
  grid(size, 0, 0, "cn-large");
  const perColumn = Math.ceil(layers / columns);
  for (let n = 0; n < layers; n++)
    grid(3, size + 2 + 4 * Math.floor(n / perColumn), 4 * (n % perColumn), "cn-small-tap");
  return drawing;
}
