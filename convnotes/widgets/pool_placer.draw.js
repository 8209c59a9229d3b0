// The layers of a network in columns: their maps, what they write and what they compute, as areas of squares.

import { h, rect, svg } from "./kit/dom.js";

const [COLUMN, LEFT, LARGEST] = [33, 6, 32];
const ROWS = [
  ["positions", "positions of the map", 38],
  ["written", "values written", 96],
  ["macs", "multiply-adds", 154],
];
const NUMBERS = 182; // where the numbers of the layers stand

function text(words, x, y, anchor = "middle") {
  return h("text", { x, y, class: "cn-drawing-text cn-pool-text", "text-anchor": anchor }, words);
}

// `most` holds the largest count of each kind, which has the largest square; dashed lines and triangles are poolings.
export function network(rows, pools, most, label) {
  const drawing = svg(LEFT + rows.length * COLUMN + 4, 216, { class: "cn-drawing", label });
  for (const [kind, words, middle] of ROWS) {
    drawing.append(text(words, LEFT, middle - 28, "start"));
    for (const number of pools)
      drawing.append(
        h("path", {
          d: `M${LEFT + number * COLUMN} ${middle - 16}v32`,
          class: "cn-pool-line",
        }),
      );
    rows.forEach((row, n) => {
      const side = LARGEST * Math.sqrt(row[kind] / most[kind]);
      const x = LEFT + (n + 0.5) * COLUMN - side / 2;
      drawing.append(rect(x, middle - side / 2, side, side, `cn-pool-${kind}`));
    });
  }
  rows.forEach((_, n) => drawing.append(text(n + 1, LEFT + (n + 0.5) * COLUMN, NUMBERS)));
  for (const number of pools)
    drawing.append(
      h("path", {
        d: `M${LEFT + number * COLUMN} ${NUMBERS - 8}l7 14h-14z`,
        class: "cn-pool-mark",
      }),
    );
  drawing.append(text("layer", LEFT, NUMBERS + 22, "start"));
  return drawing;
}
