// The layers of a network in columns: their maps, what they write and what they compute, as areas of squares.

import { h, rect, svg } from "./kit/dom.js";

const [COLUMN, LEFT, LARGEST] = [33, 6, 31];
const ROWS = [
  ["positions", "positions of the map", 40],
  ["written", "values written", 104],
  ["macs", "multiply-adds", 168],
];

function text(words, x, y, anchor = "middle") {
  return h("text", { x, y, class: "cn-drawing-text cn-pool-text", "text-anchor": anchor }, words);
}

// `most` holds the largest count of each kind, which has the largest square; a dashed line is a pooling.
export function network(rows, pools, most, label) {
  const drawing = svg(LEFT + rows.length * COLUMN + 4, 222, { class: "cn-drawing", label });
  for (const number of pools)
    drawing.append(
      h("path", { d: `M${LEFT + number * COLUMN} 22V204`, class: "cn-pool-line" }),
      h("path", { d: `M${LEFT + number * COLUMN - 7} 13h14l-7 10z`, class: "cn-pool-mark" }),
    );
  for (const [kind, words, middle] of ROWS) {
    drawing.append(text(words, LEFT, middle - 24, "start"));
    rows.forEach((row, n) => {
      const side = LARGEST * Math.sqrt(row[kind] / most[kind]);
      const x = LEFT + (n + 0.5) * COLUMN - side / 2;
      drawing.append(rect(x, middle - side / 2, side, side, `cn-pool-${kind}`));
    });
  }
  rows.forEach((_, n) => drawing.append(text(n + 1, LEFT + (n + 0.5) * COLUMN, 197)));
  drawing.append(text("layer", LEFT, 214, "start"));
  return drawing;
}
