// A photograph rebuilt from its N strongest patch components. A basis is a flat array of k² kernels of k² taps, the
// strongest first; they are orthonormal.

import { among, mean, torchList, whole, yesOrNo } from "./kit/numbers.js";

// Where the basis and the component sizes of each kernel size begin in the arrays that Python sends.
export function offsets(sizes) {
  let kernels = 0;
  let values = 0;
  return Object.fromEntries(
    sizes.map((k) => {
      const at = { kernels, values };
      kernels += k ** 4;
      values += k ** 2;
      return [k, at];
    }),
  );
}

// x̂: every patch on the stride's grid becomes Σ_n ⟨w_n, patch⟩ w_n, and where patches overlap the mean of theirs is
// taken. The picture is continued by its edge so that the grid ends on it.
export function rebuild(x, height, width, basis, k, count, stride) {
  const rows = Math.ceil((height - k) / stride) + 1;
  const columns = Math.ceil((width - k) / stride) + 1;
  const tall = (rows - 1) * stride + k;
  const wide = (columns - 1) * stride + k;
  const taps = k * k;
  const sum = new Float64Array(tall * wide);
  const times = new Float64Array(tall * wide);
  const patch = new Float64Array(taps);
  const made = new Float64Array(taps);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const top = r * stride;
      const left = c * stride;
      for (let u = 0; u < k; u++)
        for (let v = 0; v < k; v++)
          patch[u * k + v] =
            x[Math.min(top + u, height - 1) * width + Math.min(left + v, width - 1)];
      made.fill(0);
      for (let n = 0; n < count; n++) {
        const from = n * taps;
        let code = 0;
        for (let t = 0; t < taps; t++) code += basis[from + t] * patch[t];
        for (let t = 0; t < taps; t++) made[t] += basis[from + t] * code;
      }
      for (let u = 0; u < k; u++)
        for (let v = 0; v < k; v++) {
          const at = (top + u) * wide + left + v;
          sum[at] += made[u * k + v];
          times[at]++;
        }
    }
  return Float64Array.from({ length: height * width }, (_, n) => {
    const at = Math.floor(n / width) * wide + (n % width);
    return sum[at] / times[at];
  });
}

// What kernel `number` (from 1) adds to the rebuilt photograph: the parts of all kernels in use add up to it.
export function part(x, height, width, basis, k, number, stride) {
  const taps = k * k;
  const own = basis.slice((number - 1) * taps, number * taps);
  return rebuild(x, height, width, own, k, 1, stride);
}

// The kernel that an arrow key reaches on the sheet of k kernels per row; past the last of the `count` in use it starts
// again.
export function stepped(number, [down, right], k, count) {
  const at = number - 1 + down * k + right;
  return (((at % count) + count) % count) + 1;
}

// The share of the variance that is rebuilt, and the peak signal-to-noise ratio in decibels.
export function quality(x, y) {
  const middle = mean(x);
  let error = 0;
  let whole = 0;
  x.forEach((v, n) => {
    error += (v - y[n]) ** 2;
    whole += (v - middle) ** 2;
  });
  return { error, whole, share: 1 - error / whole, decibels: -10 * Math.log10(error / x.length) };
}

// Weights and multiply-adds of a layer of `count` k×k kernels on one channel that keeps the picture's size.
export function counts(count, k, places) {
  return { weights: count * k * k, macs: count * k * k * places };
}

// From the sizes of the components (mean squares, the strongest first): the share of the patches' variance that the
// first 1, 2, … of them keep. `variance` is that of a patch's pixels, added up.
export function keeps(values, variance) {
  let left = values.reduce((a, b) => a + b, 0);
  return Array.from(values, (v) => {
    left -= v;
    return 1 - Math.max(0, left) / variance;
  });
}

export function torchCode(basis, k, count, overlap) {
  const kernels = Array.from({ length: count }, (_, n) =>
    torchList(basis.slice(n * k * k, (n + 1) * k * k), 4),
  );
  const stride = overlap ? 1 : k;
  return [
    `kernels = torch.tensor([${kernels.join(",\n    ")}]).view(${count}, 1, ${k}, ${k})`,
    `picture = torch.rand(1, 1, ${12 * k}, ${18 * k})  # your own, values in [0, 1]`,
    `code = torch.nn.functional.conv2d(picture, kernels, stride=${stride})`,
    `rebuilt = torch.nn.functional.conv_transpose2d(code, kernels, stride=${stride})`,
    ...(overlap
      ? [
          `patches = torch.nn.functional.conv_transpose2d(torch.ones_like(code[:, :1]), torch.ones(1, 1, ${k}, ${k}))`,
          "rebuilt = rebuilt / patches",
        ]
      : []),
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  size: among(get("sizes")),
  count: whole(1, Math.max(...get("sizes")) ** 2),
  shown: whole(1, Math.max(...get("sizes")) ** 2),
  overlap: yesOrNo,
});
