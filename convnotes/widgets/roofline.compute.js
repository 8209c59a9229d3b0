// What operators take at least on a machine: the longer of the time of their multiply-adds and that of their bytes.

import { among, between, clamp, format, sum, whole } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const NAMES = {
  full: tr`full`,
  ghost: tr`ghost`,
  depthwise: tr`depthwise`,
  partial: tr`partial`,
  pointwise: "1×1",
  separable: tr`depthwise, 1×1`,
  mixed: tr`partial, 1×1`,
};
export const LIMITS = { channels: [8, 512], size: [4, 112], kernel: [1, 11], batch: [1, 64] };
export const STEPS = { channels: 8, size: 4, kernel: 2, batch: 1 };
export const SPEEDS = { peak: [10, 1e6], bandwidth: [1, 1e4] }; // 10⁹ multiply-adds, 10⁹ bytes per second
export const MACHINES = {
  "laptop CPU": { peak: 100, bandwidth: 40 },
  GPU: { peak: 10000, bandwidth: 1000 },
};
const BYTES = 4; // of a number, in float32
const CHEAP = 3; // side of a ghost layer's cheap kernels

const conv = (inputs, outputs, kernel, groups = 1) => ({ inputs, outputs, kernel, groups });

// The convolutions that each operator consists of.
export function steps({ channels: C, kernel: k }) {
  const own = conv(C, C, k, C);
  const part = conv(C / 4, C / 4, k);
  const mix = conv(C, C, 1);
  return {
    full: [conv(C, C, k)],
    ghost: [conv(C, C / 2, k), conv(C / 2, C / 2, CHEAP, C / 2)],
    depthwise: [own],
    partial: [part],
    pointwise: [mix],
    separable: [own, mix],
    mixed: [part, mix],
  };
}

// Multiply-adds and bytes of one convolution, and the seconds that either takes.
function counted({ inputs, outputs, kernel, groups }, { size, batch, peak, bandwidth }) {
  const pixels = batch * size ** 2;
  const weights = (outputs * inputs * kernel ** 2) / groups;
  const operations = pixels * weights;
  const bytes = BYTES * (pixels * (inputs + outputs) + weights);
  return { operations, bytes, busy: operations / (1e9 * peak), moving: bytes / (1e9 * bandwidth) };
}

// Of each operator its multiply-adds, its bytes, its least seconds and what decides them.
export function bounds(state) {
  return Object.entries(steps(state)).map(([key, parts]) => {
    const each = parts.map((part) => counted(part, state));
    const busy = each.filter((step) => step.busy >= step.moving).length;
    return {
      key,
      name: NAMES[key],
      operations: sum(each, (step) => step.operations),
      bytes: sum(each, (step) => step.bytes),
      seconds: sum(each, (step) => Math.max(step.busy, step.moving)),
      decides: busy === each.length ? "operations" : busy ? "both" : "bytes",
    };
  });
}

// The axes: multiply-adds per byte, and shares of the machine's peak.
export const AXES = { x: [0.2, 1000], y: [0.01, 1] };

// Where a value lies between the ends of a logarithmic axis, from 0 to 1; what lies outside is put at an end.
export function place(value, [low, high]) {
  return clamp(Math.log(value / low) / Math.log(high / low), 0, 1);
}

// The point of an operator as shares of the axes.
export function point({ operations, bytes, seconds }, { peak }) {
  return [place(operations / bytes, AXES.x), place(operations / seconds / (1e9 * peak), AXES.y)];
}

// Where the roof begins, bends and ends, as shares of the axes.
export function roof({ peak, bandwidth }) {
  const ridge = peak / bandwidth;
  const low = AXES.x[0] / ridge; // of the peak, at the left end of the axis
  const start = low < AXES.y[0] ? [AXES.y[0] * ridge, AXES.y[0]] : [AXES.x[0], low];
  return [
    [place(start[0], AXES.x), place(start[1], AXES.y)],
    [place(ridge, AXES.x), 1],
    [1, 1],
  ];
}

// Where names stand above their points, as flags on poles: `points` are [text, x]. The flag of a point further to the
// left stands higher, so that no flag covers another. → [x, line, anchor], lines counted from the lowest flag.
export function flags(points, right, size) {
  const han = (text) => text.replace(/[^\u2e80-\uffff]/g, "").length; // as wide as high
  const order = points.map((_, n) => n).sort((a, b) => points[b][1] - points[a][1] || b - a);
  return points.map(([text, x], n) => {
    const fits = x + size * (0.58 * text.length + 0.42 * han(text)) <= right;
    return [fits ? x - 3 : right, order.indexOf(n), fits ? "start" : "end"];
  });
}

const PREFIXES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
];

// A count with three digits and its prefix: 1.81 M, 14.5 G.
export function scaled(value, unit = "") {
  const [size, name] = PREFIXES.find(([least]) => value >= least) ?? [1, ""];
  const text = format(value / size, value / size < 10 ? 2 : value / size < 100 ? 1 : 0);
  return name || unit ? `${text} ${name}${unit}` : text;
}

// A time with three digits in the unit that fits.
export function duration(seconds) {
  const [scale, unit] = seconds < 1e-3 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  const value = seconds * scale;
  return `${format(value, value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

// A speed of a slider that is even in its logarithm, with two digits.
export function speed(power) {
  return Number((10 ** power).toPrecision(2));
}

export function torchCode(state) {
  const { operator, size, batch, peak, bandwidth } = state;
  const lines = steps(state)[operator].map(({ inputs, outputs, kernel, groups }) => {
    const more = `${kernel}, padding=${(kernel - 1) / 2}, groups=${groups}, bias=False`;
    return `    nn.Conv2d(${inputs}, ${outputs}, ${more}),`;
  });
  return [
    "import math",
    "from torch import nn",
    "from convnotes.measure import cost",
    "",
    "layers = [",
    ...lines,
    "]",
    "seconds = 0",
    "for layer in layers:",
    `    shape = (${batch}, layer.in_channels, ${size}, ${size})`,
    "    counted = cost(layer, shape)",
    `    moved = ${BYTES} * (math.prod(shape) + counted.params) + counted.activation_bytes`,
    `    seconds += max(counted.macs / ${peak}e9, moved / ${bandwidth}e9)`,
    'print(f"at least {1e6 * seconds:.2f} µs")',
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  channels: whole(...LIMITS.channels, STEPS.channels),
  size: whole(...LIMITS.size, STEPS.size),
  kernel: whole(...LIMITS.kernel, STEPS.kernel),
  batch: whole(...LIMITS.batch),
  peak: between(...SPEEDS.peak),
  bandwidth: between(...SPEEDS.bandwidth),
  operator: among(Object.keys(NAMES)),
});
