// The receptive field of stacked layers: its size, its taps, its holes, and the pixels that no path brings together.

import { listOf, numberRows, sum, whole } from "./kit/numbers.js";

// name → the layers from the input up, each [kernel size, stride, dilation]
export const LIMITS = { kernel: [1, 7], stride: [1, 2], dilation: [1, 8], layers: [1, 4] };

export const REACH = 2; // how many output positions the marked one moves from the middle, either way

export const PRESETS = {
  grid: numberRows("3 1 2 / 3 1 2 / 3 1 2"),
  hybrid: numberRows("3 1 1 / 3 1 2 / 3 1 5"),
  doubling: numberRows("3 1 1 / 3 1 2 / 3 1 4"),
  plain: numberRows("3 1 1 / 3 1 1 / 3 1 1"),
  strided: numberRows("3 2 1 / 3 2 1 / 3 1 1"),
  threes: numberRows("3 1 3 / 3 1 3 / 3 1 3"),
  single: [[7, 1, 1]],
};

// The field after every layer: its size F and S, how many pixels lie between the fields of two neighbouring positions.
export function grow(layers) {
  let size = 1;
  let stride = 1;
  return layers.map(([k, s, d]) => {
    const step = (k - 1) * d * stride;
    size += step;
    stride *= s;
    return { size, stride, step };
  });
}

// Along one axis: how many paths lead from each of the F pixels of the field to the output position.
export function pathsAlong(layers) {
  let line = [1];
  let stride = 1;
  for (const [k, s, d] of layers) {
    const gap = d * stride;
    const longer = new Array(line.length + (k - 1) * gap).fill(0);
    for (let u = 0; u < k; u++)
      line.forEach((paths, n) => {
        longer[u * gap + n] += paths;
      });
    line = longer;
    stride *= s;
  }
  return line;
}

// What of the field is touched: the paths on the plane are the products of those along the axes.
export function touched(layers) {
  const line = pathsAlong(layers);
  const size = line.length;
  const along = line.filter((paths) => paths > 0).length;
  return {
    size,
    along,
    places: along * along,
    holes: size * size - along * along,
    share: (along / size) ** 2,
  };
}

// The positions that one output position uses, level by level from the output (level 0) down to the input, in pixels of
// the input counted from the first pixel of the field; `taps` pairs each position with those of the next level that it
// reads.
export function levels(layers) {
  const fields = grow(layers);
  const below = (n) => (n ? fields[n - 1].stride : 1);
  let places = [0];
  const found = [{ places, taps: [] }];
  for (let n = layers.length - 1; n >= 0; n--) {
    const [k, , d] = layers[n];
    const gap = d * below(n);
    const taps = [];
    for (const at of places) for (let u = 0; u < k; u++) taps.push([at, at + u * gap]);
    places = [...new Set(taps.map((pair) => pair[1]))].sort((a, b) => a - b);
    found.push({ places, taps });
  }
  return found;
}

// Stretches of equal values: [start, length, value].
export function runs(line) {
  const found = [];
  line.forEach((value, n) => {
    if (found.length && found.at(-1)[2] === value) found.at(-1)[1]++;
    else found.push([n, 1, value]);
  });
  return found;
}

export function torchCode(layers) {
  const lines = layers.map(
    ([k, s, d]) => `    torch.nn.Conv2d(1, 1, ${k}, stride=${s}, dilation=${d}),`,
  );
  return ["net = torch.nn.Sequential(", ...lines, ")"].join("\n");
}

// The side of the input that is drawn: a few fixed sizes, so that the field is seen to grow inside it. The fields of
// all positions of the output lie on it.
export function canvasSide(layers) {
  const { size, stride } = grow(layers).at(-1);
  const least = size + 2 * REACH * stride;
  return [17, 21, 25, 33, 49, 81, 129, 257, 513].find((side) => side >= least) ?? least;
}

// The first row and column of the field of an output position, which is counted from the middle one.
export function cornerOf(layers, position) {
  const { size, stride } = grow(layers).at(-1);
  const start = Math.floor((canvasSide(layers) - size) / 2);
  return position.map((p) => start + p * stride);
}

// The column of the input that a line of one pixel stands in: the middle of the field of the middle position.
export function lineColumn(layers) {
  return cornerOf(layers, [0, 0])[1] + Math.floor((grow(layers).at(-1).size - 1) / 2);
}

// For each column of output positions, −REACH to REACH: the share of its paths that end on the line. It is what kernels
// of equal weights, which add to 1, answer on an image that is 1 on the line and 0 beside it.
export function onLine(layers) {
  const line = pathsAlong(layers);
  const all = sum(line);
  return positions().map((j) => {
    const at = lineColumn(layers) - cornerOf(layers, [0, j])[1];
    return (line[at] ?? 0) / all;
  });
}

export function positions() {
  return Array.from({ length: 2 * REACH + 1 }, (_, n) => n - REACH);
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

// Pixels are coloured by row mod m and column mod m. m is the greatest common divisor of the steps between taps, which
// keeps m² networks apart. Where it is 1, the one that all layers but one would have; where that is 1 as well, 2.
export function modulus(layers) {
  const fields = grow(layers);
  const steps = layers
    .map(([k, , d], n) => (k > 1 ? d * (n ? fields[n - 1].stride : 1) : 0))
    .filter((step) => step);
  const common = (all) => all.reduce(divisor, 0);
  const without = steps.map((_, n) => common(steps.filter((_, other) => other !== n)));
  return [common(steps), Math.max(0, ...without)].find((m) => m > 1) ?? 2;
}

// The rows (or columns) of the input that an output position reads, from the first one of its field.
export function readFrom(layers, first) {
  return pathsAlong(layers).flatMap((paths, n) => (paths ? [first + n] : []));
}

// How many of the m² colours an output position reads.
export function coloursRead(layers, position) {
  const m = modulus(layers);
  const [rows, columns] = cornerOf(layers, position).map(
    (first) => new Set(readFrom(layers, first).map((n) => n % m)).size,
  );
  return { read: rows * columns, of: m * m, m };
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  layers: listOf(
    (layer) =>
      listOf(Number.isInteger, 3)(layer) &&
      [LIMITS.kernel, LIMITS.stride, LIMITS.dilation].every((limits, n) =>
        whole(...limits)(layer[n]),
      ),
    ...LIMITS.layers,
  ),
  position: listOf(whole(-REACH, REACH), 2),
});
