// SqueezeNet with poolings that move: maps, multiply-adds and values, layer by layer.

import { clamp, listOf, sum, whole } from "./kit/numbers.js";

export const COUNT = 3;
export const PUBLISHED = [1, 4, 8]; // version 1.0

// A map after 3×3 pooling with stride 2 and ceil_mode, without padding.
export function pooled(side) {
  return Math.ceil((side - 3) / 2) + 1;
}

// The layers with the side of the map that each writes; a pooling stands behind the layers numbered in `pools`, from 1.
export function placed(layers, side, pools) {
  let now = side;
  return layers.map((layer, n) => {
    const written = {
      ...layer,
      side: now,
      positions: now ** 2,
      macs: layer.weights * now ** 2,
      written: layer.values * now ** 2,
    };
    if (pools.includes(n + 1)) now = pooled(now);
    return written;
  });
}

export function totals(rows) {
  return {
    parameters: sum(rows, (row) => row.parameters),
    macs: sum(rows, (row) => row.macs),
    written: sum(rows, (row) => row.written),
  };
}

// Where pooling `n` may stand among `layers` layers, so that all of them rise.
export function limits(n, layers) {
  return [1 + n, layers - COUNT + n];
}

// Pooling `n` behind layer `to`; it pushes the others along.
export function moved(pools, n, to, layers) {
  const next = [...pools];
  next[n] = clamp(to, ...limits(n, layers));
  for (let k = n + 1; k < next.length; k++) next[k] = Math.max(next[k], next[k - 1] + 1);
  for (let k = n - 1; k >= 0; k--) next[k] = Math.min(next[k], next[k + 1] - 1);
  return next;
}

export function torchCode(pools) {
  return [
    "import torch",
    "from convnotes import squeezenet1_0",
    "",
    "net = squeezenet1_0()",
    "pool = torch.nn.MaxPool2d(3, stride=2, ceil_mode=True)",
    "layers = [part for part in net.features if not isinstance(part, torch.nn.MaxPool2d)]",
    `for number in [${[...pools].reverse().join(", ")}]:  # a layer, from 1; the first has a ReLU`,
    "    layers.insert(number + 1, pool)",
    "net.features = torch.nn.Sequential(*layers)",
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  pools: (value) =>
    listOf(whole(1, get("layers").length - 1), COUNT)(value) &&
    value.every((one, n) => !n || value[n - 1] < one),
});
