// Linear branches of one channel and the kernel that they melt into. A kernel is a nested list of one or three rows of
// one or three taps.

import { among, between, format, listOf, sum, torchList } from "./kit/numbers.js";
import { addFiltered } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

export const NAMES = {
  kxk: "3×3",
  "1x1": "1×1",
  identity: tr`identity`,
  "1xk": "1×3",
  kx1: "3×1",
  "1x1-kxk": tr`1×1, then 3×3`,
  avg: tr`mean of 3×3`,
};
export const KINDS = Object.keys(NAMES);
export const PADDINGS = { zero: "0", bias: tr`its bias` };
export const SCALE = [-2, 2];
export const SHIFT = [-1, 1];
export const STEPS = [tr`as trained`, tr`norms folded`, tr`zeros around`, tr`added`];
const BETWEEN = [tr`folding norms`, tr`adding zeros`, tr`adding kernels`];

// The test of each trait that a reader sets.
export const accepts = () => ({
  on: (kinds) =>
    listOf(among(KINDS), 1, KINDS.length)(kinds) && new Set(kinds).size === kinds.length,
  scales: listOf(between(...SCALE), KINDS.length),
  shifts: listOf(between(...SHIFT), KINDS.length),
  bias: between(...SHIFT),
  padding: among(Object.keys(PADDINGS)),
  melt: between(0, STEPS.length - 1),
  branch: among(KINDS),
});

// The branches that are on: the kernel, what its map is multiplied by and added to, and the factor and the addend that
// come before it, as a 1×1 kernel with a bias does.
export function branches({ on, kernels, scales, shifts, first, bias }) {
  return KINDS.filter((kind) => on.includes(kind)).map((kind) => {
    const n = KINDS.indexOf(kind);
    const series = kind === "1x1-kxk";
    const before = series ? { factor: first, bias } : { factor: 1, bias: 0 };
    return { kind, kernel: kernels[kind], scale: scales[n], shift: shifts[n], series, ...before };
  });
}

// The 3×3 kernel with a smaller one in its middle.
export function framed(kernel) {
  const [top, left] = [(3 - kernel.length) / 2, (3 - kernel[0].length) / 2];
  return [0, 1, 2].map((u) => [0, 1, 2].map((v) => kernel[u - top]?.[v - left] ?? 0));
}

// A branch as one 3×3 kernel and a bias: norm and 1×1 kernel are folded into it.
export function folded({ kernel, scale, shift, factor, bias }) {
  const factors = scale * factor;
  return {
    kernel: framed(kernel).map((row) => row.map((w) => w * factors)),
    bias: shift + scale * bias * sum(kernel.flat()),
  };
}

// All branches as one 3×3 kernel and a bias.
export function fused(parts) {
  const each = parts.map(folded);
  const rows = [0, 1, 2];
  return {
    kernel: rows.map((u) => rows.map((v) => sum(each, (one) => one.kernel[u][v]))),
    bias: sum(each, (one) => one.bias),
  };
}

// What the branches give together. `padding` says what surrounds the map of a 1×1 kernel that comes before another.
export function throughBranches(x, height, width, parts, padding) {
  const y = new Float64Array(height * width);
  for (const { kernel, scale, shift, series, factor, bias } of parts) {
    const map = series
      ? inSeries(x, height, width, kernel, factor, bias, padding === "bias" ? bias : 0)
      : addFiltered(new Float64Array(height * width), x, height, width, kernel);
    map.forEach((value, n) => {
      y[n] += scale * value + shift;
    });
  }
  return y;
}

// A kernel after factor · x + bias, whose map is surrounded by `around`.
function inSeries(x, height, width, kernel, factor, bias, around) {
  const [tall, wide] = [height + 2, width + 2];
  const z = new Float64Array(tall * wide).fill(around);
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++) z[(i + 1) * wide + j + 1] = factor * x[i * width + j] + bias;
  const y = addFiltered(new Float64Array(tall * wide), z, tall, wide, kernel);
  return Float64Array.from({ length: height * width }, (_, n) => {
    const [i, j] = [Math.floor(n / width), n % width];
    return y[(i + 1) * wide + j + 1];
  });
}

export function throughOne(x, height, width, { kernel, bias }) {
  return addFiltered(new Float64Array(height * width).fill(bias), x, height, width, kernel);
}

// The operations of the branches, each of which writes a map: kernels, means, norms, additions.
export function operations(parts) {
  const kernels = { identity: 0, "1x1-kxk": 2 };
  return sum(parts, ({ kind }) => (kernels[kind] ?? 1) + 1) + parts.length - 1;
}

// How far each of the three steps has gone, from 0 to 1.
export function steps(melt) {
  return [0, 1, 2].map((n) => Math.min(1, Math.max(0, melt - n)));
}

// The name of the step that `melt` shows.
export function stepName(melt) {
  return (Number.isInteger(melt) ? STEPS : BETWEEN)[Math.floor(melt)];
}

// A small number as 2.2·10⁻¹⁶; larger ones as usual.
export function tiny(value) {
  if (value === 0 || Math.abs(value) >= 1e-3) return format(value, 3);
  const [digits, power] = value.toExponential(1).split("e");
  const raised = [...power].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  return `${format(Number(digits), 1)}·10${raised}`;
}

// What a norm or a bias adds, as text: "+ 0.2", "− 0.1", nothing for 0.
export function plus(value) {
  const text = format(Math.abs(value), 2);
  return text === "0" ? "" : `${value < 0 ? "−" : "+"} ${text}`;
}

// The middle tap and the bias of the one kernel, as they are added up.
export function written(parts) {
  const { kernel, bias } = fused(parts);
  const shown = (value) => (value < 0 ? `(${format(value, 2)})` : format(value, 2));
  const middle = ({ kernel: own, scale, factor }) =>
    [scale, ...(factor === 1 ? [] : [factor]), framed(own)[1][1]].map(shown).join("·");
  const biases = parts.map((part) => shown(folded(part).bias));
  return [
    tr`middle tap: ${parts.map(middle).join(" + ")} = ${format(kernel[1][1], 3)}`,
    tr`bias: ${biases.join(" + ")} = ${format(bias, 3)}`,
  ].join("\n");
}

export function torchCode(state, height, width) {
  const parts = branches(state);
  const { kernel, bias } = fused(parts);
  const lines = parts.flatMap(({ kernel: own, scale, shift, series, factor, bias: before }) => {
    const sizes = [own.length, own[0].length].map((side) => (side - 1) / 2);
    const norm = `${scale} * F.conv2d(`;
    if (!series)
      return [`y = y + ${norm}x, taps(${rows(own)}), padding=(${sizes.join(", ")})) + ${shift}`];
    const z =
      state.padding === "bias"
        ? `${factor} * F.pad(x, (1, 1, 1, 1)) + ${before}  # padded with its bias`
        : `F.pad(${factor} * x + ${before}, (1, 1, 1, 1))  # padded with 0`;
    return [`z = ${z}`, `y = y + ${norm}z, taps(${rows(own)})) + ${shift}`];
  });
  return [
    "import torch",
    "import torch.nn.functional as F",
    "",
    "def taps(rows):",
    "    return torch.tensor(rows, dtype=torch.float64)[None, None]",
    "",
    `x = torch.rand(1, 1, ${height}, ${width}, dtype=torch.float64)  # your own, values in [0, 1]`,
    "y = 0  # the sum of the branches",
    ...lines,
    `kernel = taps(${rows(kernel)})`,
    `one = F.conv2d(x, kernel, padding=1) + ${bias}`,
    "print((y - one).abs().max())",
  ].join("\n");
}

const rows = (kernel) => torchList(kernel, 17);
