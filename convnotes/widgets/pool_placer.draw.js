// The layers of a network in columns: their maps, what they write and what they compute, as heights of bars.

import { h, rect, svg } from "./kit/dom.js";
import { short } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const [COLUMN, LEFT, WIDTH, HIGHEST] = [33, 6, 22, 40];
const ROWS = [
  ["positions", tr`positions of the map`, 64, "cn-pool-positions"],
  ["written", tr`values written`, 136, "cn-fill-output"],
  ["macs", tr`multiply-adds`, 208, "cn-fill-kernel"],
];
const NUMBERS = 228; // where the numbers of the layers stand

function text(words, x, y, anchor = "middle") {
  return h("text", { x, y, class: "cn-drawing-text cn-small-text", "text-anchor": anchor }, words);
}

// The longest bar of a row is the largest count of this placement, which stands beside the row's name; dashed lines
// are poolings.
export function network(rows, pools, label) {
  const width = LEFT + rows.length * COLUMN + 4;
  const drawing = svg(width, 256, { class: "cn-drawing", label });
  const pooling = (number, from, to) =>
    h("path", { d: `M${LEFT + number * COLUMN} ${from}V${to}`, class: "cn-pool-line" });
  for (const [kind, words, bottom, fill] of ROWS) {
    const most = Math.max(...rows.map((row) => row[kind]));
    drawing.append(
      text(tr`${words}, at most ${short(most)}`, LEFT, bottom - HIGHEST - 11, "start"),
    );
    for (const number of pools) drawing.append(pooling(number, bottom - HIGHEST, bottom));
    rows.forEach((row, n) => {
      const height = (HIGHEST * row[kind]) / most;
      const x = LEFT + (n + 0.5) * COLUMN - WIDTH / 2;
      drawing.append(rect(x, bottom - height, WIDTH, height, fill));
    });
  }
  rows.forEach((_, n) => drawing.append(text(n + 1, LEFT + (n + 0.5) * COLUMN, NUMBERS)));
  for (const number of pools) drawing.append(pooling(number, NUMBERS - 12, NUMBERS + 3));
  drawing.append(text(tr`layer`, width / 2, NUMBERS + 20));
  return drawing;
}
