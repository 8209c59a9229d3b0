// Full kernels, the separable pair that comes nearest to one, layer by layer, and what is left over. A full kernel is
// [output][input][row][column]. A layer of an input channel is a stencil of 3×3 taps and a mixing number per output.

import { among, between, listOf, sum, tensor, whole } from "./kit/numbers.js";
import { addFiltered, COLOURS } from "./kit/pictures.js";

export const LAYERS = [1, 3];
export const MOST = 2; // a tap by hand

const scaled = (kernel, factor) => kernel.map((row) => row.map((v) => v * factor));

const tap = (row, column) =>
  [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === row && j === column ? 1 : 0)));

const NOTHING = scaled(tap(0, 0), 0);

const BLUR = scaled(
  [
    [1, 2, 1],
    [2, 4, 2],
    [1, 2, 1],
  ],
  1 / 16,
);
const ACROSS = [
  [-1, 0, 1],
  [-2, 0, 2],
  [-1, 0, 1],
].map((row) => row.map((v) => v / 5));
const DOWN = ACROSS.map((_, i) => ACROSS.map((row) => row[i]));
const BETWEEN = ACROSS.map((row, i) => row.map((v, j) => (v + DOWN[i][j]) / 2));

const ofBrightness = (kernels) => kernels.map((kernel) => COLOURS.map(() => kernel));

const eachItsOwn = (kernels) =>
  kernels.map((kernel, o) => COLOURS.map((_, c) => (c === o ? kernel : NOTHING)));

const SHIFTS = [tap(1, 0), tap(1, 1), tap(1, 2)];

// name → [full kernel, bias of each output]
export const TARGETS = {
  edges: [ofBrightness([ACROSS, DOWN, BETWEEN]), [0.5, 0.5, 0.5]],
  shifts: [ofBrightness(SHIFTS.map((kernel) => scaled(kernel, 1 / 3))), [0, 0, 0]],
  fringes: [eachItsOwn(SHIFTS), [0, 0, 0]],
  blur: [eachItsOwn([BLUR, BLUR, BLUR]), [0, 0, 0]],
};

// A kernel whose largest tap has size 1, and that size.
function peaked(kernel) {
  const peak = Math.max(...kernel.flat().map(Math.abs));
  return peak > 0 ? { stencil: scaled(kernel, 1 / peak), peak } : { stencil: NOTHING, peak };
}

// What the first stencil can be besides the best one and one by hand.
export const STENCILS = Object.fromEntries(
  Object.entries({ across: ACROSS, down: DOWN, between: BETWEEN, blur: BLUR }).map(
    ([name, kernel]) => [name, peaked(kernel).stencil],
  ),
);

// The first stencil of every channel; null where it is the best one.
export function firstStencil(name, taps) {
  return name === "hand" ? taps : (STENCILS[name] ?? null);
}

// y[o, i, j] = bias[o] + Σ_{c,u,v} weight[o][c][u][v] · x[c, i + u − 1, j + v − 1], 0 outside the image.
export function convolve(x, height, width, weight, bias) {
  const size = height * width;
  const y = new Float64Array(weight.length * size);
  weight.forEach((kernels, o) => {
    const map = y.subarray(o * size, (o + 1) * size).fill(bias[o]);
    kernels.forEach((kernel, c) =>
      addFiltered(map, x.slice(c * size, (c + 1) * size), height, width, kernel),
    );
  });
  return y;
}

const dot = (one, other) => sum(one.flat().map((v, n) => v * other.flat()[n]));

export function minus(kernel, other) {
  return kernel.map((row, u) => row.map((v, w) => v - other[u][w]));
}

// number × stencil of one layer and output
export function product({ stencil, numbers }, output) {
  return scaled(stencil, numbers[output]);
}

// Eigenvalues of a symmetric matrix, the largest first, each with its vector (Jacobi's rotations).
export function eigen(matrix) {
  const n = matrix.length;
  const a = matrix.map((row) => [...row]);
  const e = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++)
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const c = Math.cos(angle);
        const s = Math.sin(angle);
        for (const rows of [a, e])
          for (const row of rows)
            [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
        [a[p], a[q]] = [
          a[p].map((v, k) => c * v - s * a[q][k]),
          a[p].map((v, k) => s * v + c * a[q][k]),
        ];
      }
  return a
    .map((row, i) => ({ value: Math.max(0, row[i]), vector: e.map((r) => r[i]) }))
    .sort((one, other) => other.value - one.value);
}

const spectrum = (kernels) => eigen(kernels.map((one) => kernels.map((other) => dot(one, other))));

// The layer that a pair of singular vectors gives; its largest number is positive.
function layer(kernels, { vector }) {
  const most = Math.max(...vector.map(Math.abs));
  const sign = Math.sign(vector.find((v) => Math.abs(v) > most - 1e-9));
  const combined = NOTHING.map((row, u) =>
    row.map((_, v) => sign * sum(kernels.map((kernel, o) => vector[o] * kernel[u][v]))),
  );
  const { stencil, peak } = peaked(combined);
  return { stencil, numbers: vector.map((v) => sign * v * peak) };
}

// The m layers whose sum comes nearest to the kernels of one input channel, one kernel per output. Where `first` is
// given it is the first stencil, with the numbers that leave least; beyond the rank a layer is 0.
export function layersOf(kernels, m, first = null) {
  const given = [];
  let rest = kernels;
  if (first) {
    const square = dot(first, first);
    const numbers = kernels.map((kernel) => (square ? dot(kernel, first) / square : 0));
    given.push({ stencil: first, numbers });
    rest = kernels.map((kernel, o) => minus(kernel, product(given[0], o)));
  }
  const least = 1e-12 * sum(kernels.map((kernel) => dot(kernel, kernel)));
  const best = spectrum(rest).map((part) =>
    part.value > least ? layer(rest, part) : { stencil: NOTHING, numbers: kernels.map(() => 0) },
  );
  return [...given, ...best].slice(0, m);
}

// The layers of every input channel.
export function pairOf(target, m, first = null) {
  return COLOURS.map((_, c) =>
    layersOf(
      target.map((kernels) => kernels[c]),
      m,
      first,
    ),
  );
}

// What the layers of one channel leave over of the kernel of an output.
export function leftOver(kernel, layers, output) {
  return layers.reduce((rest, one) => minus(rest, product(one, output)), kernel);
}

// The full kernel that a pair equals: W[o][c] = Σ_n number · stencil.
export function full(pair) {
  return [0, 1, 2].map((o) => pair.map((layers) => scaled(leftOver(NOTHING, layers, o), -1)));
}

// ‖W − T‖² and ‖T‖² over all taps.
export function distance(weight, target) {
  const [w, t] = [weight.flat(3), target.flat(3)];
  const squares = (values) => sum(values, (v) => v * v);
  return { error: squares(t.map((v, n) => v - w[n])), whole: squares(t) };
}

// The rank of each input channel's kernels, and the largest share of the target that m stencils per channel can make.
export function attainable(target) {
  const all = COLOURS.map((_, c) =>
    spectrum(target.map((kernels) => kernels[c])).map((part) => part.value),
  );
  const { whole } = distance(target, target);
  return {
    ranks: all.map((values) => values.filter((v) => v > 1e-12 * values[0]).length),
    shares: target.map((_, m) => sum(all.flatMap((values) => values.slice(0, m + 1))) / whole),
  };
}

export function torchCode(pair, bias) {
  const channels = pair.flat().length;
  const pointwise = bias.map((_, o) => pair.flat().map(({ numbers }) => numbers[o]));
  return [
    "layer = torch.nn.Sequential(",
    `    torch.nn.Conv2d(3, ${channels}, 3, padding=1, groups=3, bias=False), torch.nn.Conv2d(${channels}, 3, 1)`,
    ")",
    `layer[0].weight.data = ${tensor(pair.flat().map(({ stencil }) => stencil))}.float()[:, None]`,
    `layer[1].weight.data = ${tensor(pointwise)}.float()[:, :, None, None]`,
    `layer[1].bias.data = ${tensor(bias)}.float()`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  target: among(Object.keys(TARGETS)),
  layers: whole(...LAYERS),
  stencil: among(["best", ...Object.keys(STENCILS), "hand"]),
  taps: listOf(listOf(between(-MOST, MOST), 3), 3),
  channel: whole(0, 2),
});
