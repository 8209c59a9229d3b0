// A full kernel made of a depthwise and a pointwise one, and what is missing. Kernels are nested lists: a full one
// [output][input][row][column], a depthwise one [input][row][column], a pointwise one [output][input].

import { finite, listOf, randomNumbers, sum, tensor, whole } from "./kit/numbers.js";
import { addFiltered, COLOURS, LIGHTNESS } from "./kit/pictures.js";

const NOTHING = [
  [0, 0, 0],
  [0, 0, 0],
  [0, 0, 0],
];

const BLUR = [
  [1, 2, 1],
  [2, 4, 2],
  [1, 2, 1],
].map((row) => row.map((v) => v / 16));

const ACROSS = [
  [-0.5, 0, 0.5],
  [-1, 0, 1],
  [-0.5, 0, 0.5],
];
const DOWN = ACROSS[0].map((_, j) => ACROSS.map((row) => row[j]));

const BETWEEN = ACROSS.map((row, i) => row.map((v, j) => (v + DOWN[i][j]) / 2));

const tap = (row, column) =>
  NOTHING.map((_, i) => [0, 1, 2].map((j) => (i === row && j === column ? 1 : 0)));

const scaled = (kernel, factor) => kernel.map((row) => row.map((v) => v * factor));

const ofLightness = (kernels) =>
  kernels.map((kernel) => LIGHTNESS.map((share) => scaled(kernel, share)));

const eachItsOwn = (kernels) =>
  kernels.map((kernel, o) => COLOURS.map((_, c) => (c === o ? kernel : NOTHING)));

// n numbers in [-0.5, 0.5), always the same ones.
function drawn(n) {
  const random = randomNumbers(5);
  return Array.from({ length: n }, () => random() - 0.5);
}

const numbers = drawn(81);

// name → [full kernel, bias of each output]
export const TARGETS = {
  edges: [ofLightness([ACROSS, DOWN, BETWEEN]), [0.5, 0.5, 0.5]],
  blur: [eachItsOwn([BLUR, BLUR, BLUR]), [0, 0, 0]],
  fringes: [eachItsOwn([tap(1, 0), tap(1, 1), tap(1, 2)]), [0, 0, 0]],
  shifts: [ofLightness([tap(1, 0), tap(1, 1), tap(1, 2)]), [0, 0, 0]],
  random: [
    [0, 1, 2].map((o) =>
      [0, 1, 2].map((c) =>
        [0, 1, 2].map((u) => numbers.slice(27 * o + 9 * c + 3 * u, 27 * o + 9 * c + 3 * u + 3)),
      ),
    ),
    [0.5, 0.5, 0.5],
  ],
};

// y[o, i, j] = bias[o] + Σ_{c,u,v} weight[o][c][u][v] · x[c, i + u − 1, j + v − 1], 0 outside the picture.
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

// The full kernel that a pair equals: W[o][c] = pointwise[o][c] · depthwise[c].
export function full(depthwise, pointwise) {
  return pointwise.map((row) => row.map((w, c) => scaled(depthwise[c], w)));
}

const squares = (values) => sum(values, (v) => v * v);

// ‖W − T‖² and ‖T‖² over all taps.
export function distance(weight, target) {
  const w = weight.flat(3);
  const t = target.flat(3);
  return { error: squares(t.map((v, n) => v - w[n])), whole: squares(t) };
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

// The kernels of one input channel as the rows of a matrix, one row per output, and what its singular vectors give.
function spectrum(target, channel) {
  const rows = target.map((kernels) => kernels[channel].flat());
  return {
    rows,
    parts: eigen(rows.map((r) => rows.map((s) => r.reduce((sum, v, n) => sum + v * s[n], 0)))),
  };
}

// The rank of each input channel's kernels, and the largest share of the target that m kernels per channel can make.
export function attainable(target) {
  const all = COLOURS.map((_, c) => spectrum(target, c).parts.map((part) => part.value));
  const whole = squares(target.flat(3));
  return {
    ranks: all.map((values) => values.filter((v) => v > 1e-12 * values[0]).length),
    shares: target.map(
      (_, m) =>
        all.flatMap((values) => values.slice(0, m + 1)).reduce((sum, v) => sum + v, 0) / whole,
    ),
  };
}

// The pair with one kernel per channel that comes nearest to the target; the depthwise kernel's largest tap has size 1.
export function fit(target) {
  const depthwise = [];
  const pointwise = target.map(() => []);
  const round = (v) => Number(v.toFixed(6)) + 0;
  COLOURS.forEach((_, c) => {
    const {
      rows,
      parts: [{ value, vector }],
    } = spectrum(target, c);
    const sign = Math.sign(vector.find((v) => Math.abs(v) === Math.max(...vector.map(Math.abs))));
    const kernel = rows[0].map(
      (_, n) => sign * rows.reduce((sum, row, o) => sum + vector[o] * row[n], 0),
    );
    const peak = value > 0 ? Math.max(...kernel.map(Math.abs)) : 1;
    const taps = value > 0 ? kernel.map((v) => round(v / peak)) : tap(1, 1).flat();
    depthwise.push([taps.slice(0, 3), taps.slice(3, 6), taps.slice(6)]);
    pointwise.forEach((row, o) => row.push(value > 0 ? round(sign * vector[o] * peak) : 0));
  });
  return { depthwise, pointwise };
}

export function torchCode(depthwise, pointwise, bias) {
  return [
    "layer = torch.nn.Sequential(",
    "    torch.nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), torch.nn.Conv2d(3, 3, 1)",
    ")",
    `layer[0].weight.data = ${tensor(depthwise)}.float()[:, None]`,
    `layer[1].weight.data = ${tensor(pointwise)}.float()[:, :, None, None]`,
    `layer[1].bias.data = ${tensor(bias)}.float()`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  target: (rows) =>
    listOf(listOf(listOf(listOf(finite, 3), 3), 3), 3)(rows) && rows.flat(3).some((w) => w),
  bias: listOf(finite, 3),
  depthwise: listOf(listOf(listOf(finite, 3), 3), 3),
  pointwise: listOf(listOf(finite, 3), 3),
  channel: whole(0, 2),
});
