// Stacked 3×3 kernels: what they see, what they compose, what one large kernel would cost.

import { finite, format, listOf, numberRows, sum, tensor, whole } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const MOST = 5;

export const PRESETS = {
  box: numberRows("1 1 1 / 1 1 1 / 1 1 1"),
  binomial: numberRows("1 2 1 / 2 4 2 / 1 2 1"),
  sobel: numberRows("-1 0 1 / -2 0 2 / -1 0 1"),
  laplacian: numberRows("0 1 0 / 1 -4 1 / 0 1 0"),
  identity: numberRows("0 0 0 / 0 1 0 / 0 0 0"),
  corner: numberRows("1 0 0 / 0 0 0 / 0 0 0"),
};

// The one kernel that two layers make: K[y][x] = Σ_{u,v} first[u][v] · second[y − u][x − v].
export function composeTwo(first, second) {
  const rows = first.length + second.length - 1;
  const columns = first[0].length + second[0].length - 1;
  const whole = Array.from({ length: rows }, () => new Array(columns).fill(0));
  first.forEach((row, u) =>
    row.forEach((a, v) =>
      second.forEach((line, y) =>
        line.forEach((b, x) => {
          whole[u + y][v + x] += a * b;
        }),
      ),
    ),
  );
  return whole;
}

export function compose(kernels) {
  return kernels.reduce(composeTwo, [[1]]);
}

// Pixels along a side that one output of `layers` layers sees: each adds size − 1.
export function reach(layers, size = 3) {
  return layers * (size - 1) + 1;
}

// Weights and multiply-adds per position, without biases, of the stack and of the one kernel that sees as much, and of
// the cells of that kernel how many the weights of the stack would fill.
export function counts(layers, inputs, outputs) {
  const cells = reach(layers) ** 2;
  const stack = 9 * inputs * outputs + 9 * (layers - 1) * outputs * outputs;
  return {
    stack,
    large: cells * inputs * outputs,
    filled: Math.min(cells, Math.round(stack / (inputs * outputs))),
  };
}

// Share of the absolute weights of a kernel in its middle 3×3.
export function middle(kernel) {
  const from = Math.max(0, (kernel.length - 3) / 2);
  const size = (part) => sum(part.flat(), Math.abs);
  const all = size(kernel);
  return all ? size(kernel.slice(from, from + 3).map((row) => row.slice(from, from + 3))) / all : 0;
}

// The taps as they are drawn: as they are where they are short, else in per cent of the largest.
export function readable(kernel) {
  const peak = Math.max(...kernel.flat().map(Math.abs));
  const short = kernel.flat().every((v) => format(v).length <= 4);
  return short || !peak
    ? { taps: kernel, note: "" }
    : {
        taps: kernel.map((row) => row.map((v) => Math.round((100 * v) / peak))),
        note: tr`, in % of its largest tap`,
      };
}

export function torchCode(kernels) {
  return [
    `kernels = ${tensor(kernels)}`,
    "stack = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, bias=False) for _ in kernels])",
    "for layer, kernel in zip(stack, kernels):",
    "    layer.weight.data = kernel[None, None]",
    `large = torch.nn.Conv2d(1, 1, ${reach(kernels.length)}, bias=False)  # the same map, in one layer`,
    `large.weight.data = ${tensor(compose(kernels))}[None, None]`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  kernels: listOf(listOf(listOf(finite, 3), 3), 1, MOST),
  in_channels: whole(1, 512),
  out_channels: whole(1, 512),
  edited: whole(0, MOST),
});
