// A photograph in random bottlenecks, with the shortcut or without, and what a 1×1 kernel reads back of its colours.

import { sum, whole, yesOrNo } from "./kit/numbers.js";
import { addFiltered, ownBuffer } from "./kit/pictures.js";

const EPS = 1e-5;

// The weights that Python sends one after the other: the stem and its bias, then three kernels per block.
export function unpack(view, channels, middle) {
  const all = Float64Array.from(new Float32Array(ownBuffer(view)));
  let at = 0;
  const take = (count) => all.subarray(at, (at += count));
  const [stem, bias] = [take(27 * channels), take(channels)];
  const blocks = [];
  while (at < all.length)
    blocks.push([take(channels * middle), take(9 * middle ** 2), take(channels * middle)]);
  return { stem, bias, blocks };
}

// y[o] = bias[o] + Σ_c w[o, c] ∗ x[c] for maps of height × width, with side × side taps and 0 outside.
export function convolve(x, weight, outputs, side, height, width, bias) {
  const places = height * width;
  const inputs = x.length / places;
  const y = new Float64Array(outputs * places);
  for (let o = 0; o < outputs; o++) {
    const map = y.subarray(o * places, (o + 1) * places).fill(bias ? bias[o] : 0);
    for (let c = 0; c < inputs; c++) {
      const at = (o * inputs + c) * side * side;
      const row = (u) => weight.subarray(at + u * side, at + (u + 1) * side);
      const kernel = Array.from({ length: side }, (_, u) => Array.from(row(u)));
      addFiltered(map, x.subarray(c * places, (c + 1) * places), height, width, kernel);
    }
  }
  return y;
}

// Batch norm in training on a batch of one image: each map gets mean 0 and variance 1. In place.
export function normalise(x, places) {
  for (let from = 0; from < x.length; from += places) {
    const map = x.subarray(from, from + places);
    const mean = sum(map) / places;
    const variance = sum(map, (v) => (v - mean) ** 2) / places;
    const scale = 1 / Math.sqrt(variance + EPS);
    for (let n = 0; n < places; n++) map[n] = (map[n] - mean) * scale;
  }
  return x;
}

export function relu(x) {
  for (let n = 0; n < x.length; n++) if (x[n] < 0) x[n] = 0;
  return x;
}

// What one block gives: ReLU(x + F(x)), or ReLU(F(x)) without the shortcut.
export function block(x, [first, second, third], height, width, shortcut) {
  const places = height * width;
  const channels = x.length / places;
  const middle = first.length / channels;
  let y = relu(normalise(convolve(x, first, middle, 1, height, width), places));
  y = relu(normalise(convolve(y, second, middle, 3, height, width), places));
  y = normalise(convolve(y, third, channels, 1, height, width), places);
  if (shortcut) for (let n = 0; n < y.length; n++) y[n] += x[n];
  return relu(y);
}

// The least-squares fit of each map of `target` by the maps of x and a constant: what is found, and the share of the
// variance of all targets. The maps of x become orthonormal directions, one after the other.
export function readBack(x, target, places) {
  const centred = (map) => {
    const mean = sum(map) / places;
    return [map.map((v) => v - mean), mean];
  };
  const dot = (a, b) => {
    let product = 0;
    for (let n = 0; n < places; n++) product += a[n] * b[n];
    return product;
  };
  const add = (a, b, factor) => {
    for (let n = 0; n < places; n++) a[n] += factor * b[n];
  };
  const directions = [];
  for (let from = 0; from < x.length; from += places) {
    const [map] = centred(x.subarray(from, from + places));
    const length = Math.sqrt(dot(map, map));
    for (const one of directions) add(map, one, -dot(map, one));
    const left = Math.sqrt(dot(map, map));
    if (left > 1e-9 * length) directions.push(map.map((v) => v / left));
  }
  const found = new Float64Array(target.length);
  let [lost, total] = [0, 0];
  for (let from = 0; from < target.length; from += places) {
    const [map, mean] = centred(target.subarray(from, from + places));
    const fit = new Float64Array(places);
    for (const one of directions) add(fit, one, dot(map, one));
    total += dot(map, map);
    add(map, fit, -1);
    lost += dot(map, map);
    found.set(
      fit.map((v) => v + mean),
      from,
    );
  }
  return { found, share: 1 - lost / total };
}

// What is read back of a photograph after 0, 1, 2, … blocks.
export function readings(photo, { stem, bias, blocks }, height, width, shortcut) {
  const places = height * width;
  let x = relu(normalise(convolve(photo, stem, bias.length, 3, height, width, bias), places));
  const all = [readBack(x, photo, places)];
  for (const weights of blocks) {
    x = block(x, weights, height, width, shortcut);
    all.push(readBack(x, photo, places));
  }
  return all;
}

export function torchCode(channels, middle, depth, shortcut) {
  const perGroup = (256 * middle) / channels;
  const cut = [
    "for block in blocks:  # nothing is added",
    "    block.downsample = torch.zeros_like",
  ];
  return [
    "import torch",
    "from convnotes import Bottleneck",
    "",
    `blocks = [Bottleneck(${channels}, ${channels / 4}, width_per_group=${perGroup}) for _ in range(${depth})]`,
    ...(shortcut ? [] : cut),
    "net = torch.nn.Sequential(",
    `    torch.nn.Conv2d(3, ${channels}, 3, padding=1),`,
    `    torch.nn.BatchNorm2d(${channels}),`,
    "    torch.nn.ReLU(),",
    "    *blocks,",
    ")",
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({ depth: whole(0, get("blocks")), shortcut: yesOrNo });
