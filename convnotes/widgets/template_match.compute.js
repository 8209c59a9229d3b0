// A template looked for in a photograph by inner product and by L1 distance.
// A photograph is a flat array of height·width values; a map of scores has (height − size + 1)·(width − size + 1).

import { between, clamp, inside, mean, whole, yesOrNo } from "./kit/numbers.js";

export const HALF = 0.4;

// The first row and column of a template of this size around a position, moved inside where it is too near to the
// border.
export function corner([row, column], size, height, width) {
  const half = (size - 1) / 2;
  return [clamp(row - half, 0, height - size), clamp(column - half, 0, width - size)];
}

export function cut(x, width, [row, column], size) {
  return Float64Array.from(
    { length: size * size },
    (_, n) => x[(row + Math.floor(n / size)) * width + column + (n % size)],
  );
}

export function lessMean(template) {
  const middle = mean(template);
  return Float64Array.from(template, (v) => v - middle);
}

function score(x, height, width, template, size, term) {
  const rows = height - size + 1;
  const columns = width - size + 1;
  const y = new Float64Array(rows * columns);
  for (let u = 0; u < size; u++)
    for (let v = 0; v < size; v++) {
      const w = template[u * size + v];
      for (let i = 0; i < rows; i++)
        for (let j = 0, from = (i + u) * width + v, to = i * columns; j < columns; j++)
          y[to + j] += term(x[from + j], w);
    }
  return y;
}

// y[i, j] = Σ_{u,v} x[i + u, j + v] · w[u, v]
export function product(x, height, width, template, size) {
  return score(x, height, width, template, size, (a, w) => a * w);
}

// y[i, j] = −Σ_{u,v} | x[i + u, j + v] − w[u, v] |
export function distance(x, height, width, template, size) {
  return score(x, height, width, template, size, (a, w) => -Math.abs(a - w));
}

// The row and column of the largest score, and the score.
export function best(scores, columns) {
  let at = 0;
  scores.forEach((v, n) => {
    if (v > scores[at]) at = n;
  });
  return { row: Math.floor(at / columns), column: at % columns, value: scores[at] };
}

export function miss({ row, column }, [top, left]) {
  return Math.hypot(row - top, column - left);
}

// Both searches for the template that is cut out around `place`, in the photograph plus `light`.
export function search(x, height, width, { place, size, light, centred }) {
  const at = corner(place, size, height, width);
  const template = cut(x, width, at, size);
  const columns = width - size + 1;
  const lit = Float64Array.from(x, (v) => v + light);
  const kernel = centred ? lessMean(template) : template;
  const maps = {
    product: product(lit, height, width, kernel, size),
    distance: distance(lit, height, width, template, size),
  };
  const found = Object.fromEntries(
    Object.entries(maps).map(([name, scores]) => {
      const top = best(scores, columns);
      return [name, { ...top, scores, home: scores[at[0] * columns + at[1]], miss: miss(top, at) }];
    }),
  );
  return { at, template, lit, ...found };
}

export function torchCode(height, width, { place, size, light, centred }) {
  const [row, column] = corner(place, size, height, width);
  return [
    "import torch",
    "from convnotes import adder2d",
    `picture = torch.rand(1, 1, ${height}, ${width})  # your own, values in [0, 1]`,
    `template = picture[:, :, ${row}:${row + size}, ${column}:${column + size}]`,
    `lit = picture + ${light}`,
    `product = torch.nn.functional.conv2d(lit, template${centred ? " - template.mean()" : ""})`,
    "distance = adder2d(lit, template)",
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  place: inside(get("height"), get("width")),
  size: whole(5, 15, 2),
  light: between(-HALF, HALF),
  centred: yesOrNo,
});
