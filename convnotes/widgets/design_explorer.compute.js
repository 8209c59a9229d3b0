// Accuracy against cost of many designs. The rows come from Python.

import { among, format, sum } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";

export const AXES = {
  macs: tr`multiply-adds`,
  operations: tr`operations`,
  inference_ms: tr`inference, ms per batch`,
  step_ms: tr`training step, ms per batch`,
  step_bytes: tr`bytes of a training step`,
  params: tr`parameters`,
};

export const SHORT = {
  macs: tr`multiply-adds`,
  operations: tr`operations`,
  inference_ms: "ms",
  step_ms: "ms",
  step_bytes: tr`bytes`,
  params: tr`parameters`,
};

export const GAINS = { mean: tr`mean of the seeds`, worst: tr`worst seed` };

// Does row a cost no more and reach no less than row b, and differ in one of the two?
export function beats(a, b, x, gain) {
  return a[x] <= b[x] && a[gain] >= b[gain] && (a[x] < b[x] || a[gain] > b[gain]);
}

// The rows that beat `row`, the cheapest first.
export function beaters(rows, row, x, gain) {
  return rows.filter((other) => beats(other, row, x, gain)).sort((a, b) => a[x] - b[x]);
}

// The rows that none beats, in order of cost.
export function front(rows, x, gain) {
  return rows
    .filter((row) => !rows.some((other) => beats(other, row, x, gain)))
    .sort((a, b) => a[x] - b[x] || b[gain] - a[gain]);
}

// What to say first where the chosen design has no network at the budget, and another one is shown.
export function elsewhere({ design, budget }, shown) {
  return design === shown.design
    ? ""
    : tr`${inWords(design)} has no network of ${format(budget)} parameters; ` +
        tr`${inWords(shown.design)} is shown. `;
}

// Where values lie on an axis from `low` to `high` of a drawing, with the logarithm: → a function.
export function scale(values, low, high, log) {
  const at = log ? Math.log : (v) => v;
  const ends = [Math.min(...values), Math.max(...values)].map(at);
  const room = 0.05 * (ends[1] - ends[0] || 1);
  const from = ends[0] - room;
  const to = ends[1] + room;
  return (value) => low + ((high - low) * (at(value) - from)) / (to - from);
}

// Round values for the ticks of an axis: 1, 2, 5 times powers of ten, within the values.
export function ticks(values, log) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (!log) {
    const step = [0.02, 0.05, 0.1, 0.2, 0.5].find((s) => (high - low) / s <= 6) ?? 1;
    return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, n) =>
      Number(((Math.ceil(low / step) + n) * step).toFixed(6)),
    );
  }
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const first of [1, 2, 5]) {
      const value = first * 10 ** power;
      if (value >= low && value <= high) found.push(Number(value.toPrecision(6)));
    }
  return found.length > 7
    ? found.filter((value) => String(value).match(/[1-9]/)[0] === "1")
    : found;
}

export function compact(value) {
  return value < 1e3
    ? format(value, value < 10 ? 2 : 1)
    : value < 1e6
      ? `${format(value / 1e3, value < 1e4 ? 1 : 0)} k`
      : `${format(value / 1e6, 1)} M`;
}

export function torchCode(row, picture) {
  const [channels, height, width] = picture.split("×").map(Number);
  const [a, b, c] = row.widths;
  return [
    "import torch",
    "from convnotes.designs import Network",
    "",
    `# ${format(row.params)} parameters`,
    `net = Network("${row.design}", (${a}, ${b}, ${c}), channels=${channels})`,
    `logits = net(torch.randn(32, ${channels}, ${height}, ${width}))`,
  ].join("\n");
}

// An accuracy, always with three digits. As in Python, a half such as 0.5625 goes to the even digit.
export function share(value) {
  const half = Number.isInteger(16 * value) && (1000 * value) % 1 === 0.5;
  return (half ? (2 * Math.round(500 * value)) / 1000 : value).toFixed(3);
}

// In words, whether a row stands on the front and, if not, what beats it.
export function judged(rows, row, x, gain) {
  const others = beaters(rows, row, x, gain);
  if (!others.length)
    return tr`${inWords(row.design)}: no design with fewer ${SHORT[x]} is as accurate`;
  const best = others.reduce((a, b) => (b[gain] > a[gain] ? b : a));
  return (
    tr`${inWords(best.design)} is better: ${compact(best[x])} ≤ ${compact(row[x])} ${SHORT[x]}, ` +
    `${share(best[gain])} ≥ ${share(row[gain])}`
  );
}

const GAP = 11; // between a point and its name
const LETTER = 0.56; // the width of a letter, in font sizes; a Chinese character is as wide as high
const HAN = /\p{Script=Han}/u;

// Where names of `size` stand beside their points, so that they cover as little as can be. `names` are [text, x, y],
// `discs` the points [x, y] to keep clear, `area` what holds the names. → [x, y, anchor] of each.
export function besides(names, discs, area, size) {
  const taken = [];
  const covered = ([x0, y0, x1, y1], own) => {
    const far = names.map(([, x, y]) => Math.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2));
    const nearer = far.filter((value) => value < far[own]);
    const outside = Math.max(0, area.left - x0) + Math.max(0, x1 - area.right);
    const beyond = Math.max(0, area.top - y0) + Math.max(0, y1 - area.bottom);
    const hidden = discs.filter(([x, y]) => x > x0 - 5 && x < x1 + 5 && y > y0 - 5 && y < y1 + 5);
    const written = taken.filter(([a, b, c, d]) => a < x1 && c > x0 && b < y1 && d > y0);
    return 10 * (outside + beyond) + hidden.length + 20 * written.length + 5 * nearer.length;
  };
  return names.map(([text, x, y], own) => {
    const wide = size * sum([...text], (sign) => (HAN.test(sign) ? 1 : LETTER));
    const tries = [-0.5, 0, 0.5, -1.3, 1.3, -2.1, 2.1].flatMap((lines) => {
      const base = y + lines * size + 0.35 * size; // the line that the letters stand on
      const sides = [x + GAP, x - GAP - wide];
      if (Math.abs(lines) > 1) sides.push(x - wide / 2);
      return sides.map((from) => [from, base - 0.85 * size, from + wide, base + 0.25 * size]);
    });
    const best = tries.reduce((a, b) => (covered(b, own) < covered(a, own) ? b : a));
    taken.push(best);
    const middle = (best[0] + best[2]) / 2;
    const anchor = middle > x + 1 ? "start" : middle < x - 1 ? "end" : "middle";
    const at = { start: best[0], end: best[2], middle };
    return [at[anchor], best[3] - 0.25 * size, anchor];
  });
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  x: among(Object.keys(AXES)),
  gain: among(Object.keys(GAINS)),
  budget: among(get("rows").map((row) => row.budget)),
  design: among(get("rows").map((row) => row.design)),
});
