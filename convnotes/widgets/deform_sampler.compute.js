// Where a deformable 3×3 kernel looks, and what it reads there.
// A picture is a flat list of height · width numbers; positions are (y, x) in its
// pixels; `grid` holds stride, padding and dilation.

import { clamp, sum, tensor } from "./kit/numbers.js";

const STEP = 1 / 256; // of a stored offset, in pixels
export const REACH = 8; // pixels that a tap may be moved
export const NUDGE = 0.25; // pixels that an arrow key moves it

export const TAPS = [
  "top left",
  "top",
  "top right",
  "left",
  "middle",
  "right",
  "bottom left",
  "bottom",
  "bottom right",
];

// The four pixels around a position, the share of each, and the sum. The picture is 0 outside, so that it fades over
// one pixel. `slope` is the derivative with respect to (y, x): at a whole place the one downwards and to the right.
export function bilinear(x, height, width, [row, column]) {
  const top = Math.floor(row);
  const left = Math.floor(column);
  const below = row - top;
  const right = column - left;
  const inside = row > -1 && row < height && column > -1 && column < width;
  const corners = [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ].map(([u, v]) => {
    const i = top + u;
    const j = left + v;
    const there = i >= 0 && i < height && j >= 0 && j < width;
    return {
      row: i,
      column: j,
      there,
      share: (u ? below : 1 - below) * (v ? right : 1 - right),
      value: there ? x[i * width + j] : 0,
    };
  });
  const [a, b, c, d] = corners.map((corner) => corner.value);
  return {
    corners,
    below,
    right,
    value: inside ? corners.reduce((sum, { share, value }) => sum + share * value, 0) : 0,
    slope:
      row >= -1 && row < height && column >= -1 && column < width
        ? [(1 - right) * (c - a) + right * (d - b), (1 - below) * (b - a) + below * (d - c)]
        : [0, 0],
  };
}

// Where the nine taps of an output position lie, each moved by its own (Δy, Δx).
export function places([i, j], moves, { stride, padding, dilation }) {
  return moves.map(([dy, dx], k) => [
    i * stride - padding + Math.floor(k / 3) * dilation + dy,
    j * stride - padding + (k % 3) * dilation + dx,
  ]);
}

// y = bias + Σ_k w_k · x̃(position of tap k), and the samples that it is made of.
export function read(x, height, width, at, weight, bias) {
  const samples = at.map((position) => bilinear(x, height, width, position));
  const w = weight.flat();
  return {
    samples,
    value: samples.reduce((total, sample, k) => total + w[k] * sample.value, bias),
  };
}

// The stored offsets of an output position: [18][rows][columns] numbers of two bytes, Δy and Δx of each tap in turn.
export function stored(numbers, rows, columns, [i, j]) {
  const at = (channel) => numbers[(channel * rows + i) * columns + j] * STEP;
  return TAPS.map((_, k) => [at(2 * k), at(2 * k + 1)]);
}

// The offsets that make the plain kernel one of twice the dilation.
export function outwards(dilation) {
  return TAPS.map((_, k) => [(Math.floor(k / 3) - 1) * dilation, ((k % 3) - 1) * dilation]);
}

export function distance(moves) {
  return sum(moves, (move) => Math.hypot(...move)) / moves.length;
}

// The output at all positions, row by row, for the offsets that `movesAt(place)` gives.
export function everywhere(x, height, width, rows, columns, movesAt, weight, bias, grid) {
  return Float64Array.from({ length: rows * columns }, (_, n) => {
    const place = [Math.floor(n / columns), n % columns];
    return read(x, height, width, places(place, movesAt(place), grid), weight, bias).value;
  });
}

// What a hand may set: at most REACH pixels each way, in steps of a stored number.
export function confined(move) {
  return move.map((v) => clamp(Math.round(v / STEP) * STEP, -REACH, REACH));
}

export function torchCode(moves, weight, bias, { stride, padding, dilation }) {
  return [
    "import torch",
    "from convnotes import deform_conv2d",
    "",
    "# the same offsets at every place: an active convolution",
    `moves = ${tensor(moves)}`,
    `weight = ${tensor([[weight]])}`,
    `bias = ${tensor([bias])}`,
    "",
    "def layer(picture):  # [1, 1, H, W]",
    `    rows, columns = ((side + ${2 * padding - 2 * dilation - 1}) // ${stride} + 1 for side in picture.shape[2:])`,
    "    offset = moves.view(1, 18, 1, 1).expand(1, 18, rows, columns)",
    `    return deform_conv2d(picture, offset, weight, bias, stride=${stride}, ` +
      `padding=${padding}, dilation=${dilation})`,
  ].join("\n");
}
