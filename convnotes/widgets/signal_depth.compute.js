// A signal through a deep random network and its gradient back, in numbers.

import { among, between, clamp, format, whole } from "./kit/numbers.js";

const BATCH = 32;

export const SCHEMES = { normal: "normal", xavier: "Xavier", he: "He", orthogonal: "orthogonal" };
export const NONLINEARITIES = { linear: "none", relu: "ReLU", tanh: "tanh" };
export const LIMITS = { std: [0.01, 0.4], depth: [2, 30], width: [16, 96], draw: [1, 9] };

export const FIRST = {
  scheme: "normal",
  std: 0.1,
  depth: 20,
  width: 64,
  nonlinearity: "relu",
  draw: 3,
};

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

// What each layer gives: z_l = scale · W_l φ(z_{l−1}), with the input [batch, n] instead of φ(z_0).
export function forward(weights, scale, input, n, nonlinearity) {
  const batch = input.length / n;
  let a = input;
  return weights.map((weight) => {
    const z = new Float64Array(batch * n);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < n; o++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += weight[o * n + i] * a[b * n + i];
        z[b * n + o] = scale * sum;
      }
    a = z.map(ACT[nonlinearity]);
    return z;
  });
}

// The gradient with respect to each z_l, from that of the last: g_l = φ′(z_l) · scale · W_{l+1}ᵀ g_{l+1}.
export function backward(weights, scale, outputs, top, n, nonlinearity) {
  const batch = top.length / n;
  const gradients = [Float64Array.from(top)];
  for (let l = weights.length - 1; l > 0; l--) {
    const weight = weights[l];
    const after = gradients[0];
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
  const { scheme, depth, width, nonlinearity, draw } = state;
  const kind = scheme === "orthogonal" ? "orthogonal" : "normal";
  const weights = Array.from({ length: depth }, (_, l) => base(kind, draw, 2 + l, width, width));
  const scale = deviation(state) * (kind === "orthogonal" ? Math.sqrt(width) : 1);
  const outputs = forward(
    weights,
    scale,
    base("normal", draw, 0, width, BATCH),
    width,
    nonlinearity,
  );
  return {
    outputs,
    gradients: backward(
      weights,
      scale,
      outputs,
      base("normal", draw, 1, width, BATCH),
      width,
      nonlinearity,
    ),
  };
}

// What the formula says of the deviation in layer l, for an input of deviation 1; null where there is no such formula.
export function expected(state, layer) {
  const { width, nonlinearity } = state;
  const each = width * deviation(state) ** 2;
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

export function torchCode({ scheme, std: own, depth, width, nonlinearity }) {
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
    `    net.extend([layer, ${act}])`,
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
  draw: whole(...LIMITS.draw),
});
