// A template of nine pixels looked for along a row of a photograph, by inner product and by L1 distance. A photograph
// is a flat array of height·width values. Scores are given for each window, from the one at the left border on.

import { between, inside, mean, sum, whole, yesOrNo } from "./kit/numbers.js";

export const HALF = 0.4; // the most light that is added or taken away
export const TAPS = 9;
export const REACH = (TAPS - 1) / 2; // pixels on either side of a centre

// The columns that a window or the template can have at its centre.
export const centres = (width) => [REACH, width - 1 - REACH];

export function rowOf(x, width, row) {
  return Float64Array.from(x.slice(row * width, (row + 1) * width));
}

// The nine values around a centre.
export function cut(line, centre) {
  return line.slice(centre - REACH, centre + REACH + 1);
}

export function lessMean(template) {
  const middle = mean(template);
  return template.map((v) => v - middle);
}

export const products = (window, template) => template.map((w, k) => w * window[k]);

export const gaps = (window, template) => template.map((w, k) => Math.abs(window[k] - w));

function scores(line, template, terms, sign) {
  const taps = template.length;
  return Float64Array.from(
    { length: line.length - taps + 1 },
    (_, j) => sign * sum(terms(line.slice(j, j + taps), template)),
  );
}

// y[j] = Σ_k x[j + k] · w[k]
export function product(line, template) {
  return scores(line, template, products, 1);
}

// y[j] = −Σ_k | x[j + k] − w[k] |
export function distance(line, template) {
  return scores(line, template, gaps, -1);
}

// Both searches for the template around `place` in its row, to which `light` is added.
export function search(photo, width, { place: [row, column], light, centred }) {
  const line = rowOf(photo, width, row);
  const template = cut(line, column);
  const kernel = centred ? lessMean(template) : template;
  const lit = (more) => line.map((v) => v + more);
  const ways = { product: (x) => product(x, kernel), distance: (x) => distance(x, template) };
  const found = Object.entries(ways).map(([name, way]) => {
    const all = way(lit(light));
    const value = Math.max(...all);
    const best = all.indexOf(value) + REACH;
    const home = all[column - REACH];
    // Both are concave in the light that is added: the least scores come with the least or the most light.
    const ends = [-HALF, HALF].map((more) => way(lit(more)));
    const low = Math.min(0, ...ends.map((one) => Math.min(...one)));
    const high = name === "distance" ? 0 : Math.max(0, ...ends.map((one) => Math.max(...one)));
    return [name, { scores: all, value, best, home, low, high, miss: Math.abs(best - column) }];
  });
  return { lit: lit(light), template, kernel, ...Object.fromEntries(found) };
}

export function torchCode(width, { place: [, column], light, centred }) {
  return [
    "import torch",
    "from convnotes import adder2d",
    `row = torch.rand(1, 1, 1, ${width})  # a row of your own photograph, values in [0, 1]`,
    `template = row[..., ${column - REACH}:${column + REACH + 1}]`,
    `lit = row + ${light}`,
    `product = torch.nn.functional.conv2d(lit, template${centred ? " - template.mean()" : ""})`,
    "distance = adder2d(lit, template)",
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  place: (value) =>
    inside(get("height"), get("width"))(value) && whole(...centres(get("width")))(value[1]),
  window: whole(...centres(get("width"))),
  light: between(-HALF, HALF),
  centred: yesOrNo,
});
