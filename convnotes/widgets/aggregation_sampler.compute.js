// Where a deformable aggregation of 3×3 taps reads on an image, and what the sum of its samples is.
// An image is a flat list of height · width numbers; positions are (y, x) in its pixels.

import { among, between, clamp, inside, listOf, sum, tensor, whole } from "./kit/numbers.js";

export const REACH = 6; // of an offset, in units of the scale
export const MOST = 8; // of a score
export const SHOWN = 2; // the largest mask that the bars show where masks have no bounds
export const SCALES = [0.25, 4];
export const MASKS = ["softmax", "unbounded"];
export const NUDGE = 0.25; // of an offset, by an arrow key

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  probe: inside(get("height"), get("width")),
  moves: listOf(listOf(between(-REACH, REACH), 2), 9),
  scores: listOf(between(-MOST, MOST), 9),
  masks: among(MASKS),
  scale: between(...SCALES),
  tap: whole(0, 8),
});

export const GRID = Array.from({ length: 9 }, (_, k) => [Math.floor(k / 3) - 1, (k % 3) - 1]);

// The masks that act: the softmax of the scores, or the scores themselves.
export function strengths(scores, masks) {
  if (masks === "unbounded") return scores;
  const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
  return powers.map((power) => power / sum(powers));
}

// The score that gives tap k the mask `wanted`, the other scores kept.
export function scoreFor(scores, masks, k, wanted) {
  if (masks === "unbounded") return clamp(wanted, -SHOWN, SHOWN);
  const share = clamp(wanted, 1e-6, 1 - 1e-6);
  const others = Math.log(
    sum(
      scores.filter((_, n) => n !== k),
      Math.exp,
    ),
  );
  return clamp(Math.log(share / (1 - share)) + others, -MOST, MOST);
}

// Where the nine taps of the output position [i, j] read.
export function places([i, j], moves, scale) {
  return GRID.map(([u, v], k) => [i + scale * (u + moves[k][0]), j + scale * (v + moves[k][1])]);
}

// The offset, in units of the scale, by which tap k reads at [row, column].
export function moveTo([i, j], [row, column], k, scale) {
  const [u, v] = GRID[k];
  return confined([(row - i) / scale - u, (column - j) / scale - v]);
}

export function confined(move) {
  return move.map((v) => clamp(v, -REACH, REACH));
}

// The image between its pixels; it is 0 outside, so that it fades over one pixel.
export function sampleAt(x, height, width, [row, column]) {
  const [top, left] = [Math.floor(row), Math.floor(column)];
  const [below, right] = [row - top, column - left];
  let total = 0;
  for (const [i, part] of [
    [top, 1 - below],
    [top + 1, below],
  ])
    for (const [j, share] of [
      [left, 1 - right],
      [left + 1, right],
    ])
      if (i >= 0 && i < height && j >= 0 && j < width) total += part * share * x[i * width + j];
  return total;
}

// The nine samples of a position, and y = Σ_k m_k · x̃(position of tap k).
export function aggregated(x, height, width, at, masks) {
  const samples = at.map((position) => sampleAt(x, height, width, position));
  return { samples, value: sum(samples.map((sample, k) => masks[k] * sample)) };
}

// The outputs of all positions, with the same offsets and masks at each of them.
export function everywhere(x, height, width, moves, masks, scale) {
  return Float64Array.from({ length: height * width }, (_, n) => {
    const at = places([Math.floor(n / width), n % width], moves, scale);
    return aggregated(x, height, width, at, masks).value;
  });
}

export function torchCode(moves, scores, masks, scale) {
  return [
    "import torch",
    "from convnotes import deform_aggregate2d",
    "",
    "# the same offsets and masks at every position",
    `moves = ${tensor(moves)}`,
    `scores = ${tensor(scores)}`,
    `masks = ${masks === "softmax" ? "scores.softmax(0)" : "scores"}`,
    "",
    "def layer(image):  # [1, 1, H, W]",
    "    size = image.shape[2:]",
    "    offset = moves.view(1, 18, 1, 1).expand(1, 18, *size)",
    "    mask = masks.view(1, 9, 1, 1).expand(1, 9, *size)",
    `    return deform_aggregate2d(image, offset, mask, 3, padding=1, offset_scale=${Number(scale.toFixed(6))})`,
  ].join("\n");
}
