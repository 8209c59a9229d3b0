// The branches of a block: pipes as high as their channels are many, kernels as squares whose areas are their weights.

import { NARROWED } from "./branch_diagram.compute.js";
import { h, rect } from "./kit/dom.js";
import { format, sum } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const [ROW, TOP, LARGEST, BAR] = [94, 2, 52, 10];
const HEIGHT = TOP + 4 * ROW;
const MIDDLE = TOP + 2 * ROW;

function text(words, x, y, anchor = "middle", more = "") {
  const name = `cn-drawing-text cn-small-text cn-branch-text ${more}`.trim();
  return h("text", { x, y, class: name, "text-anchor": anchor }, words);
}

// A pipe of some height from [x, y] to [x, y].
function pipe([x0, y0], [x1, y1], height, className) {
  const half = Math.max(height, 1) / 2;
  const bend = (x0 + x1) / 2;
  const edge = (from, to, fromY, toY) =>
    `${from} ${fromY}C${bend} ${fromY} ${bend} ${toY} ${to} ${toY}`;
  const d = `M${edge(x0, x1, y0 - half, y1 - half)}L${edge(x1, x0, y1 + half, y0 + half)}Z`;
  return h("path", { d, class: className });
}

// What stands on a diagram of some width, and its height. `largest` is the weight of the largest square; `choose` gets
// the name of a branch that is clicked.
export function diagram(rows, channels, chosen, { largest, width, choose }) {
  const total = sum(rows, (row) => row.outputs);
  const scale = Math.min(44 / channels, (HEIGHT - 60) / total); // of the pipes, per channel
  const [first, second] = [0.34, 0.63].map((share) => Math.round(share * width));
  const [start, end] = [6 + BAR, width - 6 - BAR];
  const [areas, pipes, marks] = [[], [], []];
  let stacked = MIDDLE - (total * scale) / 2;
  rows.forEach((row, n) => {
    const y = TOP + (n + 0.5) * ROW;
    if (NARROWED.includes(row.name)) {
      const name = `cn-branch-row${row.name === chosen ? " cn-branch-chosen" : ""}`;
      const box = [start + 24, y - ROW / 2 + 1, end - start - 58, ROW - 2];
      const area = rect(...box, name, { rx: 6 });
      area.addEventListener("click", () => choose(row.name));
      areas.push(area);
    }
    // one step stands in the second column, two in both; pooling always in the first
    const columns =
      row.steps.length > 1 || row.steps[0].name === "max" ? [first, second] : [second];
    let from = [start, MIDDLE];
    row.steps.forEach((step, k) => {
      const at = [columns[k], y];
      const kind = k ? "between" : "in";
      pipes.push(pipe(from, at, step.inputs * scale, `cn-branch-${kind}`));
      if (k) {
        const above = y - (step.inputs * scale) / 2 - 9;
        marks.push(text(step.inputs, (columns[0] + columns[1]) / 2, above));
      }
      const side = LARGEST * Math.sqrt(step.weights / largest);
      const half = Math.max(side, 26, scale * step.inputs, scale * step.outputs) / 2;
      marks.push(
        step.weights
          ? rect(at[0] - side / 2, y - side / 2, side, side, "cn-fill-kernel cn-branch-kernel")
          : h("circle", { cx: at[0], cy: y, r: 13, class: "cn-branch-pool" }),
        text(step.weights ? step.name : tr`max`, at[0], y - half - 8, "middle", "cn-branch-name"),
        text(step.weights ? format(step.weights) : tr`no weights`, at[0], y + half + 8),
      );
      from = at;
    });
    const high = row.outputs * scale;
    const joined = stacked + high / 2;
    stacked += high;
    pipes.push(pipe(from, [end, joined], high, "cn-branch-out"));
    const beside = from[0] + (from[0] === second ? 42 : 56);
    const outside = y < MIDDLE ? -1 : 1; // the side from which the pipe bends away
    marks.push(text(row.outputs, beside, y + outside * (high / 2 + 9)));
  });
  const bar = (x, count, kind) =>
    rect(x, MIDDLE - (count * scale) / 2, BAR, count * scale, `cn-fill-${kind}`);
  const ends = [
    bar(6, channels, "input"),
    bar(end, total, "output"),
    text(channels, 6, MIDDLE - (channels * scale) / 2 - 10, "start"),
    text(tr`input`, 6, MIDDLE + (channels * scale) / 2 + 12, "start"),
    text(total, width - 6, MIDDLE - (total * scale) / 2 - 10, "end"),
    text(tr`output`, width - 6, MIDDLE + (total * scale) / 2 + 12, "end"),
  ];
  return { height: HEIGHT, marks: [...areas, ...pipes, ...ends, ...marks] };
}
