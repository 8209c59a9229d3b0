// The channels of a photograph mixed by a 1×1 kernel.

import { finite, inside, listOf, randomNumbers, tensor, whole, yesOrNo } from "./kit/numbers.js";

// name → [weights of each output, bias of each output]
export const PRESETS = {
  opponent: [
    [
      [0.3, 0.6, 0.1],
      [0.5, -0.5, 0],
      [0.25, 0.25, -0.5],
    ],
    [0, 0.5, 0.5],
  ],
  identity: [
    [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    [0, 0, 0],
  ],
  luminance: [[[0.299, 0.587, 0.114]], [0]],
  average: [[[1 / 3, 1 / 3, 1 / 3]], [0]],
  swap: [
    [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 0],
    ],
    [0, 0, 0],
  ],
  negative: [
    [
      [-1, 0, 0],
      [0, -1, 0],
      [0, 0, -1],
    ],
    [1, 1, 1],
  ],
};

// y[o, n] = bias[o] + Σ_c weight[o][c] · x[c, n] for x with `places` pixels per channel.
export function mix(x, places, weight, bias) {
  const y = new Float32Array(weight.length * places);
  weight.forEach((row, o) => {
    for (let n = 0; n < places; n++) {
      let sum = bias[o];
      for (let c = 0; c < row.length; c++) sum += row[c] * x[c * places + n];
      y[o * places + n] = sum;
    }
  });
  return y;
}

// A fixed permutation of n positions (Fisher and Yates).
export function permutation(n, seed = 1) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const random = randomNumbers(seed);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// Where each position goes: inverse(order)[order[n]] = n.
export function inverse(order) {
  const back = new Uint32Array(order.length);
  order.forEach((from, to) => {
    back[from] = to;
  });
  return back;
}

export function permute(x, places, order) {
  const y = new Float32Array(x.length);
  for (let c = 0; c * places < x.length; c++)
    for (let n = 0; n < places; n++) y[c * places + n] = x[c * places + order[n]];
  return y;
}

export function counts(places, inputs, outputs, size = 1) {
  const weights = size * size * inputs * outputs;
  return { parameters: weights + outputs, macs: weights * places };
}

export function summary(values) {
  let sum = 0;
  let square = 0;
  let outside = 0;
  for (const v of values) {
    sum += v;
    square += v * v;
    outside += v < 0 || v > 1;
  }
  const mean = sum / values.length;
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, square / values.length - mean * mean)),
    outside: outside / values.length,
  };
}

export function torchCode(weight, bias) {
  return [
    `layer = torch.nn.Conv2d(${weight[0].length}, ${weight.length}, kernel_size=1)`,
    `layer.weight.data = ${tensor(weight)}.float()[:, :, None, None]`,
    `layer.bias.data = ${tensor(bias)}.float()`,
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  weight: listOf(listOf(finite, 3), 1, 4),
  bias: listOf(finite, 1, 4),
  scramble: yesOrNo,
  row: whole(0, 3),
  probe: inside(get("height"), get("width")),
});
