// What a position of an image attends to.

import { between, clamp, inside, mean, whole } from "./kit/numbers.js";

export const STRONGEST = 5;
export const DEEPEST = 16;
export const SHARPEST = 4096; // the largest factor
const BANDS = 10;
const STEPS = 17;
const TRAINED = 5; // the step of factor 1; each step doubles it, and step 0 is factor 0

export const SHARPNESS = [0, STEPS]; // the ends of the slider

export function factorOf(step) {
  return step === 0 ? 0 : 2 ** (step - TRAINED);
}

// The step whose factor is nearest.
export function stepOf(factor) {
  return factor === 0 ? 0 : clamp(Math.round(TRAINED + Math.log2(factor)), 1, STEPS);
}

// softmax over j of scale · q_i·k_j, for query and key of `depth` channels with `places` positions each.
export function attend(query, key, depth, places, place, scale) {
  const products = new Float64Array(places);
  for (let d = 0; d < depth; d++) {
    const q = scale * query[d * places + place];
    for (let n = 0; n < places; n++) products[n] += q * key[d * places + n];
  }
  const top = Math.max(...products);
  let sum = 0;
  const weights = products.map((p) => Math.exp(p - top));
  for (const w of weights) sum += w;
  return weights.map((w) => w / sum);
}

// The part of the window×window neighbourhood of a position that lies on the map: [top, left, bottom,
// right], without its ends.
export function neighbourhood(rows, columns, [row, column], window) {
  const reach = (window - 1) / 2;
  return [
    Math.max(0, row - reach),
    Math.max(0, column - reach),
    Math.min(rows, row + reach + 1),
    Math.min(columns, column + reach + 1),
  ];
}

// A weight among those of N positions on the one scale of colours and heights: 0 is 1/N, the weight where all are
// alike, 1 is DEEPEST times as much and more, −1 that part of it and less.
export function onScale(weight, N) {
  return clamp(Math.log(N * weight) / Math.log(DEEPEST), -1, 1);
}

// The positions of the largest weights, the largest first; positions with no more than 1/N do not stand out.
export function strongest(weights) {
  const order = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]);
  return order.slice(0, STRONGEST).filter((n) => weights[n] * weights.length > 1 + 1e-6);
}

function distances(rows, columns, [row, column]) {
  return Array.from({ length: rows * columns }, (_, n) =>
    Math.hypot(Math.floor(n / columns) - row, (n % columns) - column),
  );
}

// The mean weight of the positions in bands of distance, from near to far, as wide for each position of the map; null
// where no position is so far away. `width` is that of a band, in positions.
export function bands(weights, rows, columns, position) {
  const width = Math.hypot(rows - 1, columns - 1) / BANDS;
  const found = Array.from({ length: BANDS }, () => []);
  distances(rows, columns, position).forEach((distance, n) => {
    const band = Math.floor(distance / width + 1e-9); // a position on an edge is in the band behind it
    found[Math.min(BANDS - 1, band)].push(weights[n]);
  });
  return { width, means: found.map((some) => (some.length ? mean(some) : null)) };
}

// The weight inside a neighbourhood.
export function share(weights, columns, [top, left, bottom, right]) {
  let total = 0;
  for (let i = top; i < bottom; i++)
    for (let j = left; j < right; j++) total += weights[i * columns + j];
  return total;
}

// The smallest distance, in positions, within which half of the weight lies.
export function halfway(weights, rows, columns, position) {
  const far = distances(rows, columns, position).map((distance, n) => [distance, weights[n]]);
  far.sort((a, b) => a[0] - b[0]);
  let sum = 0;
  for (const [distance, w] of far) if ((sum += w) >= 0.5 - 1e-12) return distance;
  return far.at(-1)[0];
}

export function torchCode(row, column, scale) {
  return [
    "import torch",
    "# query and key maps q and k [B, D, H, W]; of a NonLocal2d: q, k = block.theta(x), block.phi(x)",
    `products = torch.einsum("bd,bdhw->bhw", q[:, :, ${row}, ${column}], k)`,
    `weights = torch.softmax(${Number(scale.toFixed(4))} * products.flatten(1), 1).view(products.shape)`,
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  picture: whole(0, get("captions").length - 1),
  factor: between(0, SHARPEST),
  window: whole(1, 99, 2),
  probe: inside(get("rows"), get("columns")),
});
