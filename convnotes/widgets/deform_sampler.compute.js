// Where a deformable 3×3 kernel looks, and what it reads there.
// An image is a flat list of height · width numbers; positions are (y, x) in its pixels; `grid` holds stride, padding
// and dilation.

import { among, between, clamp, inside, listOf, mean, sum, tensor, whole } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const STEP = 1 / 256; // of a stored offset, in pixels
export const REACH = 12; // pixels that a tap may be moved
const VIEW = 9; // pixels that are shown around a position at least
export const NUDGE = 0.25; // pixels that an arrow key moves it

export const SOURCES = ["learned", "outwards", "hand"];
export const WHERE = ["digits", "background"];

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  share: between(0, 1),
  where: among(WHERE),
  source: among(SOURCES),
  spot: whole(0, 1),
  tap: whole(0, 8),
  moves: listOf(listOf(listOf(between(-REACH, REACH), 2), 9), 2),
  digits: listOf(inside(get("rows"), get("columns")), 2),
  background: listOf(inside(get("rows"), get("columns")), 2),
});

export const TAPS = [
  tr`top left`,
  tr`top`,
  tr`top right`,
  tr`left`,
  tr`middle`,
  tr`right`,
  tr`bottom left`,
  tr`bottom`,
  tr`bottom right`,
];

// The four pixels around a position, the share of each, and the sum. The image is 0 outside, so that it fades over
// one pixel. `slope` is the derivative with respect to (y, x): at a whole position the one downwards and to the right.
export function bilinear(x, height, width, [row, column]) {
  const top = Math.floor(row);
  const left = Math.floor(column);
  const below = row - top;
  const right = column - left;
  const near = row > -1 && row < height && column > -1 && column < width;
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
    value: near ? corners.reduce((sum, { share, value }) => sum + share * value, 0) : 0,
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

// The mean difference between two lists of readings.
export function apart(a, b) {
  return mean(a.map((v, k) => Math.abs(v - b[k])));
}

// The part of the image that is shown: its first row and column, and the side of a square around the output position
// [i, j] that holds all taps of `all`, lists of nine (Δy, Δx), with a pixel around them.
export function frameAround([i, j], all, { stride, padding, dilation }) {
  const far = all.flatMap((moves) =>
    places([0, 0], moves, { stride, padding: 0, dilation })
      .flat()
      .map((v) => Math.abs(v - dilation)),
  );
  const half = Math.max(VIEW, Math.ceil(Math.max(...far)) + 1);
  const middle = (n) => n * stride - padding + dilation;
  return { top: middle(i) - half, left: middle(j) - half, side: 2 * half + 1 };
}

// A square part of an image, 0 outside it.
export function cropped(x, height, width, { top, left, side }) {
  return Float64Array.from({ length: side * side }, (_, n) => {
    const [i, j] = [top + Math.floor(n / side), left + (n % side)];
    return i >= 0 && i < height && j >= 0 && j < width ? x[i * width + j] : 0;
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
    "# the chosen position's offsets, here at every position: an active convolution",
    `moves = ${tensor(moves)}`,
    `weight = ${tensor([[weight]])}`,
    `bias = ${tensor([bias])}`,
    "",
    "def layer(image):  # [1, 1, H, W]",
    `    rows, columns = ((side + ${2 * padding - 2 * dilation - 1}) // ${stride} + 1 for side in image.shape[2:])`,
    "    offset = moves.view(1, 18, 1, 1).expand(1, 18, rows, columns)",
    `    return deform_conv2d(image, offset, weight, bias, stride=${stride}, ` +
      `padding=${padding}, dilation=${dilation})`,
  ].join("\n");
}
