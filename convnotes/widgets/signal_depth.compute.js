// A signal through a deep random network and its gradient back, in numbers.

import { among, between, clamp, format, mean, whole, yesOrNo } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const BATCH = 32;
const EPS = 1e-5; // of torch's batch norm

export const SCHEMES = {
  normal: tr`normal`,
  xavier: "Xavier",
  he: "He",
  orthogonal: tr`orthogonal`,
};
export const NONLINEARITIES = { linear: tr`none`, relu: "ReLU", tanh: "tanh" };
export const LIMITS = { std: [0.01, 0.4], depth: [2, 30], width: [16, 96], draw: [1, 9] };

export const FIRST = {
  scheme: "normal",
  std: 0.1,
  depth: 20,
  width: 64,
  nonlinearity: "relu",
  norm: false,
  draw: 3,
};

// A deviation is kept if it lies between these.
export const BAND = [1 / 3, 3];

// The first layer whose deviation leaves the band, counted from 1; 0 where none does.
export function leaves(deviations) {
  return deviations.findIndex((v) => !(v >= BAND[0] && v <= BAND[1])) + 1;
}

// Standard normal numbers, those of Python: the generator mulberry32, then Box and Muller.
export function gaussians(seed, count) {
  const values = new Float64Array(count);
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  for (let n = 0; n < count; n += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const turn = 2 * Math.PI * uniform();
    values[n] = radius * Math.cos(turn);
    if (n + 1 < count) values[n + 1] = radius * Math.sin(turn);
  }
  return values;
}

// One seed for each stream of a draw: 0 the input, 1 the gradient, 2 and on the layers.
export function seedOf(draw, stream) {
  return (Math.imul(draw, 0x9e3779b1) + Math.imul(stream, 0x85ebca6b)) >>> 0;
}

// The rows of a matrix [n, n] made orthonormal, one after the other; twice, for the rounding.
export function orthonormal(matrix, n) {
  const rows = Float64Array.from(matrix);
  for (let i = 0; i < n; i++) {
    for (let pass = 0; pass < 2; pass++)
      for (let j = 0; j < i; j++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += rows[i * n + k] * rows[j * n + k];
        for (let k = 0; k < n; k++) rows[i * n + k] -= dot * rows[j * n + k];
      }
    let square = 0;
    for (let k = 0; k < n; k++) square += rows[i * n + k] ** 2;
    for (let k = 0; k < n; k++) rows[i * n + k] /= Math.sqrt(square);
  }
  return rows;
}

// The standard deviation σ of the weights; for an orthogonal matrix that of its entries.
export function deviation({ scheme, std, width, nonlinearity }) {
  const gain = nonlinearity === "relu" ? Math.SQRT2 : 1;
  return {
    normal: std,
    xavier: 1 / Math.sqrt(width),
    he: Math.sqrt(2 / width),
    orthogonal: gain / Math.sqrt(width),
  }[scheme];
}

const ACT = { linear: (z) => z, relu: (z) => Math.max(z, 0), tanh: Math.tanh };

const SLOPE = { linear: () => 1, relu: (z) => (z > 0 ? 1 : 0), tanh: (z) => 1 - Math.tanh(z) ** 2 };

// Each unit of z [batch, n] brought to mean 0 and variance 1 over the batch, and the roots by which it was divided.
export function normalised(z, n) {
  const batch = z.length / n;
  const out = new Float64Array(z.length);
  const roots = new Float64Array(n);
  for (let o = 0; o < n; o++) {
    const unit = Array.from({ length: batch }, (_, b) => z[b * n + o]);
    const middle = mean(unit);
    roots[o] = Math.sqrt(mean(unit.map((v) => (v - middle) ** 2)) + EPS);
    unit.forEach((v, b) => {
      out[b * n + o] = (v - middle) / roots[o];
    });
  }
  return { out, roots };
}

// The gradient of z from that of its normalised form h: (g − mean(g) − h · mean(g·h)) / root, unit by unit.
export function normalisedBack(g, h, roots, n) {
  const batch = g.length / n;
  const out = new Float64Array(g.length);
  for (let o = 0; o < n; o++) {
    const unit = Array.from({ length: batch }, (_, b) => g[b * n + o]);
    const along = mean(unit.map((v, b) => v * h[b * n + o]));
    const middle = mean(unit);
    unit.forEach((v, b) => {
      out[b * n + o] = (v - middle - h[b * n + o] * along) / roots[o];
    });
  }
  return out;
}

// What each layer gives: z_l = scale · W_l φ(z_{l−1}), with `norm` normalised, with the input [batch, n] instead of
// φ(z_0). `roots` are those of the norms.
export function forward(weights, scale, input, n, nonlinearity, norm = false) {
  const batch = input.length / n;
  const roots = [];
  let a = input;
  const outputs = weights.map((weight) => {
    let z = new Float64Array(batch * n);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < n; o++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += weight[o * n + i] * a[b * n + i];
        z[b * n + o] = scale * sum;
      }
    if (norm) {
      const made = normalised(z, n);
      z = made.out;
      roots.push(made.roots);
    }
    a = z.map(ACT[nonlinearity]);
    return z;
  });
  return { outputs, roots };
}

// The gradient with respect to each output, from the last: g_l = φ′(z_l) · scale · W_{l+1}ᵀ g_{l+1}, where g_{l+1}
// has passed back through the norm of its layer, if there is one.
export function backward(weights, scale, { outputs, roots }, top, n, nonlinearity) {
  const batch = top.length / n;
  const gradients = [Float64Array.from(top)];
  for (let l = weights.length - 1; l > 0; l--) {
    const weight = weights[l];
    const after = roots.length
      ? normalisedBack(gradients[0], outputs[l], roots[l], n)
      : gradients[0];
    const before = new Float64Array(batch * n);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < n; o++) {
        const g = scale * after[b * n + o];
        for (let i = 0; i < n; i++) before[b * n + i] += weight[o * n + i] * g;
      }
    outputs[l - 1].forEach((z, k) => {
      before[k] *= SLOPE[nonlinearity](z);
    });
    gradients.unshift(before);
  }
  return gradients;
}

export function std(values) {
  let sum = 0;
  let square = 0;
  for (const v of values) sum += v;
  const mean = sum / values.length;
  for (const v of values) square += (v - mean) ** 2;
  return Math.sqrt(square / values.length);
}

// The share of the values in each of `bins` equal parts of [−reach, reach]; what lies outside counts to the last ones.
export function histogram(values, reach, bins) {
  const shares = new Array(bins).fill(0);
  for (const v of values)
    shares[clamp(Math.floor(((v / reach + 1) / 2) * bins), 0, bins - 1)] += 1 / values.length;
  return shares;
}

const made = new Map(); // numbers are drawn once per draw and width

function base(kind, draw, stream, n, rows) {
  const key = `${kind} ${draw} ${stream} ${n}`;
  if (made.size > 400) made.clear();
  if (!made.has(key))
    made.set(
      key,
      kind === "orthogonal"
        ? orthonormal(base("normal", draw, stream, n, n), n)
        : gaussians(seedOf(draw, stream), rows * n),
    );
  return made.get(key);
}

// A state → what every layer gives and the gradients that come back.
export function signals(state) {
  const { scheme, depth, width, nonlinearity, norm, draw } = state;
  const kind = scheme === "orthogonal" ? "orthogonal" : "normal";
  const weights = Array.from({ length: depth }, (_, l) => base(kind, draw, 2 + l, width, width));
  const scale = deviation(state) * (kind === "orthogonal" ? Math.sqrt(width) : 1);
  const [input, top] = [0, 1].map((stream) => base("normal", draw, stream, width, BATCH));
  const passed = forward(weights, scale, input, width, nonlinearity, norm);
  return {
    outputs: passed.outputs,
    gradients: backward(weights, scale, passed, top, width, nonlinearity),
  };
}

// What the formula says of the deviation in layer l, for an input of deviation 1; null where there is no such formula.
export function expected(state, layer) {
  const { width, nonlinearity, norm } = state;
  const each = width * deviation(state) ** 2;
  if (norm) return 1;
  if (nonlinearity === "tanh") return null;
  return Math.sqrt(each) * Math.sqrt(nonlinearity === "relu" ? each / 2 : each) ** (layer - 1);
}

// 0.012 and 250 as they are, others as 1.2·10⁻⁵.
export function scientific(value) {
  if (value === 0 || !Number.isFinite(value)) return format(value);
  if (value >= 0.01 && value < 1000) return format(value, value < 1 ? 3 : value < 100 ? 2 : 0);
  const [mantissa, power] = value.toExponential(1).split("e");
  return `${mantissa}·10${[...String(Number(power))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("")}`;
}

export function torchCode({ scheme, std: own, depth, width, nonlinearity, norm }) {
  const gain = nonlinearity === "relu" ? ", gain=2**0.5" : "";
  const draw = {
    normal: `normal_(layer.weight, std=${own})`,
    xavier: "xavier_normal_(layer.weight)",
    he: 'kaiming_normal_(layer.weight, nonlinearity="relu")',
    orthogonal: `orthogonal_(layer.weight${gain})`,
  }[scheme];
  const act = { linear: "torch.nn.Identity()", relu: "torch.nn.ReLU()", tanh: "torch.nn.Tanh()" }[
    nonlinearity
  ];
  return [
    "import torch",
    "",
    "net = torch.nn.Sequential()",
    `for _ in range(${depth}):`,
    `    layer = torch.nn.Linear(${width}, ${width}, bias=False)`,
    `    torch.nn.init.${draw}`,
    `    net.extend([layer, ${norm ? `torch.nn.BatchNorm1d(${width}), ` : ""}${act}])`,
    `print(net[:-1](torch.randn(${BATCH}, ${width})).std())`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  scheme: among(Object.keys(SCHEMES)),
  std: between(...LIMITS.std),
  depth: whole(...LIMITS.depth),
  width: whole(...LIMITS.width),
  nonlinearity: among(Object.keys(NONLINEARITIES)),
  norm: yesOrNo,
  draw: whole(...LIMITS.draw),
});
