// Which kernel size answers in an enlarged image. Maps are flat arrays of square images, a kernel is a nested list.

import { inside, listOf, whole, yesOrNo } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const SIZES = [3, 5, 7];

export const WINDOW = 33; // pixels of the image that are shown, its middle

export const LARGEST = 129;

export const MOST = 4; // parts of one size

export const STEP = 4; // from one side to the next

export const DEEPEST = 0.3; // the response of the deepest colour; a white square on black gives 1

export const SIDES = Array.from(
  { length: (LARGEST - WINDOW) / STEP + 1 },
  (_, n) => WINDOW + STEP * n,
);

// A text for each size, in a row.
export const bySize = (text) => SIZES.map(text).reduce((some, one) => tr`${some}, ${one}`);

// The mean of the inner (k − 2)² taps minus the mean of the ring around them.
export function centreSurround(size) {
  return Array.from({ length: size }, (_, u) =>
    Array.from({ length: size }, (_, v) =>
      u % (size - 1) && v % (size - 1) ? 1 / (size - 2) ** 2 : -1 / (4 * (size - 1)),
    ),
  );
}

// For each of `to` pixels the first of the `from` pixels that it takes, and their shares: a triangle as wide as a
// pixel.
export function shares(from, to) {
  const ratio = from / to;
  const reach = Math.max(1, ratio);
  return Array.from({ length: to }, (_, i) => {
    const centre = ratio * (i + 0.5);
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(from, Math.floor(centre + reach + 0.5));
    const weights = Array.from({ length: end - first }, (_, n) =>
      Math.max(0, 1 - Math.abs(first + n + 0.5 - centre) / reach),
    );
    const sum = weights.reduce((total, w) => total + w, 0);
    return [first, weights.map((w) => w / sum)];
  });
}

// An image of from×from pixels as one of to×to, without aliasing.
export function resize(x, from, to) {
  const table = shares(from, to);
  const rows = new Float64Array(from * to);
  const y = new Float64Array(to * to);
  for (let i = 0; i < from; i++)
    table.forEach(([first, weights], j) => {
      rows[i * to + j] = weights.reduce((sum, w, n) => sum + w * x[i * from + first + n], 0);
    });
  table.forEach(([first, weights], i) =>
    weights.forEach((w, n) => {
      for (let j = 0; j < to; j++) y[i * to + j] += w * rows[(first + n) * to + j];
    }),
  );
  return y;
}

// Where the window begins in an image of side×side pixels.
export const edge = (side) => (side - WINDOW) / 2;

export function middle(x, side) {
  const y = new Float64Array(WINDOW * WINDOW);
  for (let i = 0; i < WINDOW; i++)
    for (let j = 0; j < WINDOW; j++)
      y[i * WINDOW + j] = x[(i + edge(side)) * side + j + edge(side)];
  return y;
}

// What a kernel gives at the positions of the window; the image is 0 outside itself, not outside the window.
export function respond(x, side, kernel) {
  const y = new Float64Array(WINDOW * WINDOW);
  const reach = (kernel.length - 1) / 2;
  kernel.forEach((row, u) =>
    row.forEach((w, v) => {
      for (let i = 0; i < WINDOW; i++) {
        const m = i + edge(side) + u - reach;
        if (m < 0 || m >= side) continue;
        for (let j = 0; j < WINDOW; j++) {
          const n = j + edge(side) + v - reach;
          if (n >= 0 && n < side) y[i * WINDOW + j] += w * x[m * side + n];
        }
      }
    }),
  );
  return y;
}

// What a kernel gives at one position of the window.
export function respondAt(x, side, kernel, [i, j]) {
  const start = edge(side) - (kernel.length - 1) / 2;
  let y = 0;
  kernel.forEach((row, u) => {
    const m = start + i + u;
    if (m < 0 || m >= side) return;
    row.forEach((w, v) => {
      const n = start + j + v;
      if (n >= 0 && n < side) y += w * x[m * side + n];
    });
  });
  return y;
}

// The number of the size, among those that the layer has, with the largest value by size.
export function strongest(values, parts) {
  return SIZES.map((_, s) => s)
    .filter((s) => parts[s])
    .reduce((best, s) => (Math.abs(values[s]) > Math.abs(values[best]) ? s : best));
}

export function kernelSizes(parts) {
  return parts.flatMap((count, s) => Array(count).fill(SIZES[s]));
}

// What MixedConv2d(channels, channels, kernelSizes(parts), bias=False) takes on the positions of the window.
export function layerCost(parts, channels, depthwise) {
  const sizes = kernelSizes(parts);
  const each = Math.floor(channels / sizes.length);
  const splits = sizes.map((_, n) => (n ? each : each + (channels % sizes.length)));
  const params = sizes.reduce(
    (sum, k, n) => sum + splits[n] * (depthwise ? 1 : splits[n]) * k * k,
    0,
  );
  const shared = SIZES.map((k) => splits.reduce((sum, c, n) => sum + (sizes[n] === k ? c : 0), 0));
  return {
    sizes,
    splits,
    shared,
    params,
    macs: params * WINDOW * WINDOW,
    field: Math.max(...sizes),
  };
}

export function torchCode(parts, channels, depthwise) {
  const sizes = kernelSizes(parts);
  return [
    "import torch",
    "from convnotes import MixedConv2d",
    "",
    `layer = MixedConv2d(${channels}, ${channels}, ` +
      `kernel_sizes=(${sizes.join(", ")}${sizes.length > 1 ? "" : ","}), ` +
      `depthwise=${depthwise ? "True" : "False"}, bias=False)`,
    `y = layer(torch.rand(1, ${channels}, ${WINDOW}, ${WINDOW}))`,
  ].join("\n");
}

// The mean of the inner (k − 2)² pixels around a position of the window, 0 outside the image.
export function innerMean(x, side, i, j, k) {
  const reach = (k - 3) / 2;
  const [row, column] = [i + edge(side), j + edge(side)];
  let sum = 0;
  for (let m = row - reach; m <= row + reach; m++)
    for (let n = column - reach; n <= column + reach; n++)
      if (m >= 0 && m < side && n >= 0 && n < side) sum += x[m * side + n];
  return sum / (k - 2) ** 2;
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  side: whole(WINDOW, LARGEST, 2),
  probe: inside(WINDOW, WINDOW),
  parts: (parts) => listOf(whole(0, MOST), SIZES.length)(parts) && parts.some((n) => n),
  depthwise: yesOrNo,
});
