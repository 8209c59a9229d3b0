// What a position of a picture attends to.

import { between, inside, whole } from "./kit/numbers.js";

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

// The weight inside a neighbourhood.
export function share(weights, columns, [top, left, bottom, right]) {
  let total = 0;
  for (let i = top; i < bottom; i++)
    for (let j = left; j < right; j++) total += weights[i * columns + j];
  return total;
}

// The smallest distance, in positions, within which half of the weight lies.
export function halfway(weights, columns, [row, column]) {
  const far = Array.from(weights, (w, n) => [
    Math.hypot(Math.floor(n / columns) - row, (n % columns) - column),
    w,
  ]);
  far.sort((a, b) => a[0] - b[0]);
  let sum = 0;
  for (const [distance, w] of far) if ((sum += w) >= 0.5 - 1e-12) return distance;
  return far.at(-1)[0];
}

export function torchCode(row, column, scale) {
  return [
    "import torch",
    "# block: a trained NonLocal2d, x: its input [B, C, H, W]",
    "q, k = block.theta(x), block.phi(x)  # [B, D, H, W]",
    `products = torch.einsum("bd,bdhw->bhw", q[:, :, ${row}, ${column}], k)`,
    `weights = torch.softmax(${Number(scale.toFixed(4))} * products.flatten(1), 1).view(products.shape)`,
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  picture: whole(0, get("captions").length - 1),
  factor: between(0, 4),
  window: whole(1, 99, 2),
  probe: inside(get("rows"), get("columns")),
});
