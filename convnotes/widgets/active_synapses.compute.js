// The ordinary kernel that the synapses of an active convolution make. A position is [y, x] in pixels from the output
// position, a kernel a nested list of 2·REACH + 1 rows.

import { between, finite, listOf, torchList, whole } from "./kit/numbers.js";
import { addFiltered } from "./kit/pictures.js";

export const REACH = 3; // the layer's default max_reach

const around = (radius) =>
  [
    [0, 1],
    [1, 1],
    [1, 0],
    [1, -1],
    [0, -1],
    [-1, -1],
    [-1, 0],
    [-1, 1],
  ].map(([y, x]) => [radius * y, radius * x]);

// name → the weight and the position of each synapse, and the bias
export const PRESETS = {
  relief: [
    [1, 1, -1],
    [
      [0, 0],
      [0.75, 1.5],
      [-0.75, -1.5],
    ],
    0,
  ],
  plain: [Array(9).fill(1 / 9), [[0, 0], ...around(1)], 0],
  dilated: [Array(9).fill(1 / 9), [[0, 0], ...around(2)], 0],
  ghost: [
    [0.5, 0.5],
    [
      [0, 0],
      [2.4, -2.7],
    ],
    0,
  ],
  edges: [
    [-4, 1, 1, 1, 1],
    [
      [0, 0],
      [0, 1.4],
      [1.4, 0],
      [0, -1.4],
      [-1.4, 0],
    ],
    0.5,
  ],
};

// The cell that a coordinate lies in, and how far into it: a whole one begins its cell, REACH ends the last.
export function cellOf(coordinate) {
  const cell = Math.min(Math.floor(coordinate), REACH - 1);
  return [cell, coordinate - cell];
}

// The four pixels around a position, each with its share of the weight: [row, column, share].
export function shares([y, x]) {
  const [row, below] = cellOf(y);
  const [column, right] = cellOf(x);
  return [
    [row, column, (1 - below) * (1 - right)],
    [row, column + 1, (1 - below) * right],
    [row + 1, column, below * (1 - right)],
    [row + 1, column + 1, below * right],
  ];
}

// The pixels that really share its weight: four, two on a line between pixels, one on a pixel.
export function sharing(position) {
  return shares(position).filter(([, , share]) => share > 0);
}

// ŵ[u, v] = Σ_k weights[k] · h(u − y_k) · h(v − x_k), h(t) = max(0, 1 − |t|); row 0 is u = −REACH.
export function splat(weights, positions) {
  const side = 2 * REACH + 1;
  const kernel = Array.from({ length: side }, () => Array(side).fill(0));
  positions.forEach((position, k) =>
    shares(position).forEach(([u, v, share]) => {
      kernel[u + REACH][v + REACH] += weights[k] * share;
    }),
  );
  return kernel;
}

// How many pixels some synapse has a share of, and the sides of the smallest window that holds them.
export function touched(positions) {
  const pixels = new Map(positions.flatMap(sharing).map(([u, v]) => [`${u},${v}`, [u, v]]));
  const span = (axis) => {
    const all = [...pixels.values()].map((pixel) => pixel[axis]);
    return Math.max(...all) - Math.min(...all) + 1;
  };
  return { pixels: pixels.size, height: span(0), width: span(1) };
}

// y[c, i, j] = bias + Σ_{u,v} kernel[u][v] · x[c, i + u − REACH, j + v − REACH], 0 outside the picture.
export function convolve(x, height, width, kernel, bias) {
  const y = new Float64Array(x.length).fill(bias);
  const size = height * width;
  for (let from = 0; from < x.length; from += size)
    addFiltered(y.subarray(from, from + size), x.slice(from, from + size), height, width, kernel);
  return y;
}

export function torchCode(weights, positions, bias) {
  return [
    "import torch",
    "from convnotes import ActiveConv2d",
    "",
    `layer = ActiveConv2d(1, 1, synapses=${torchList(positions)})`,
    `layer.weight.data = torch.tensor(${torchList([[weights]])}, dtype=torch.float32)`,
    `layer.bias.data = torch.tensor(${torchList([bias])}, dtype=torch.float32)`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  weights: listOf(finite, 1, 16),
  positions: (all) =>
    listOf(listOf(between(-REACH, REACH), 2), 1, 16)(all) && all[0].every((v) => v === 0),
  bias: finite,
  chosen: whole(0, 15),
});
