// What a kernel makes of a photograph, and which waves it lets through. A kernel is a nested list of 1, 3, 5 or 7 rows
// of 1, 3, 5 or 7 taps.

import { bracketed, format, numberRows, sum, tensor } from "./kit/numbers.js";
import { addFiltered } from "./kit/pictures.js";

export const MOST = 99; // a tap's largest size

export const SAMPLES = 64; // frequencies along an axis

export const FLOOR = -2; // log10 of the dark end of the spectrum's scale: a hundredth of the largest

const full = (rows, columns, value = 1) =>
  Array.from({ length: rows }, () => Array(columns).fill(value));

const product = (down, across) => down.map((a) => across.map((b) => a * b));

export const PRESETS = {
  "sobel-x": product([1, 2, 1], [-1, 0, 1]),
  "sobel-y": product([-1, 0, 1], [1, 2, 1]),
  identity: numberRows("0 0 0 / 0 1 0 / 0 0 0"),
  mean: full(3, 3),
  wide: full(7, 7),
  gaussian: product([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]),
  sharpen: numberRows("0 -1 0 / -1 5 -1 / 0 -1 0"),
  laplacian: numberRows("0 1 0 / 1 -4 1 / 0 1 0"),
  emboss: numberRows("-2 -1 0 / -1 1 1 / 0 1 2"),
  row: full(1, 7),
  column: full(7, 1),
  upright: product([1, 1, 1, 1, 1, 1, 1], [-1, 2, -1]),
  level: product([-1, 2, -1], [1, 1, 1, 1, 1, 1, 1]),
};

// The taps that are used: as they are, or divided by the sum of their sizes, so that no answer leaves [−1, 1].
export function taps(kernel, normalise) {
  const size = sum(kernel.flat(), Math.abs);
  return normalise && size ? kernel.map((row) => row.map((w) => w / size)) : kernel;
}

// y[i, j] = Σ_{u,v} kernel[u][v] · x[i + u − ⌊rows/2⌋, j + v − ⌊columns/2⌋], 0 outside the picture.
export function convolve(x, height, width, kernel) {
  return addFiltered(new Float64Array(height * width), x, height, width, kernel);
}

// The largest size of an answer whose pixels all lie inside the picture: the edge to the zeros outside is not the
// picture's.
export function reachInside(y, height, width, kernel) {
  const top = (kernel.length - 1) / 2;
  const left = (kernel[0].length - 1) / 2;
  let most = 0;
  for (let i = top; i < height - top; i++)
    for (let j = left; j < width - left; j++) most = Math.max(most, Math.abs(y[i * width + j]));
  return most;
}

// |Σ_{u,v} kernel[u][v] · exp(−2πi(f·u + g·v))| at n×n frequencies; row i is f = (i − n/2)/n cycles per pixel, and so
// is column g.
export function spectrum(kernel, n) {
  const found = new Float64Array(n * n);
  const turn = (k) => (2 * Math.PI * (k - n / 2)) / n;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let real = 0;
      let imaginary = 0;
      kernel.forEach((row, u) =>
        row.forEach((w, v) => {
          const phase = turn(i) * u + turn(j) * v;
          real += w * Math.cos(phase);
          imaginary -= w * Math.sin(phase);
        }),
      );
      found[i * n + j] = Math.hypot(real, imaginary);
    }
  return found;
}

// The wave that passes strongest: its size and its frequencies down and across, of the equal ones the coarsest.
export function strongest(magnitudes, n) {
  const top = magnitudes.reduce((a, b) => Math.max(a, b), 0);
  let best = { gain: top, down: 0, across: 0 };
  let least = Infinity;
  magnitudes.forEach((value, k) => {
    const down = Math.abs(Math.floor(k / n) - n / 2) / n;
    const across = Math.abs((k % n) - n / 2) / n;
    if (value >= top * (1 - 1e-9) && Math.hypot(down, across) < least) {
      least = Math.hypot(down, across);
      best = { gain: top, down, across };
    }
  });
  return best;
}

// The same kernel on more or fewer rows and columns: zeros are put around it, or its border is cut away.
export function resized(kernel, rows, columns) {
  const dy = (rows - kernel.length) / 2;
  const dx = (columns - kernel[0].length) / 2;
  return Array.from({ length: rows }, (_, u) =>
    Array.from({ length: columns }, (_, v) => kernel[u - dy]?.[v - dx] ?? 0),
  );
}

export function torchCode(kernel, height, width, normalise, absolute) {
  const pad = [kernel, kernel[0]].map((side) => (side.length - 1) / 2);
  return [
    `kernel = ${tensor(kernel)}.float()`,
    ...(normalise ? ["kernel = kernel / kernel.abs().sum()"] : []),
    `picture = torch.rand(1, 1, ${height}, ${width})  # your own, values in [0, 1]`,
    "y = torch.nn.functional.conv2d(picture, kernel[None, None], " +
      `padding=(${pad.join(", ")}))${absolute ? ".abs()" : ""}`,
  ].join("\n");
}

// The answer at one position as it is summed: one line per row of the kernel.
export function written(x, height, width, kernel, [row, column]) {
  const top = (kernel.length - 1) / 2;
  const left = (kernel[0].length - 1) / 2;
  return kernel.map((line, u) =>
    line
      .map((w, v) => {
        const i = row + u - top;
        const j = column + v - left;
        const inside = i >= 0 && i < height && j >= 0 && j < width;
        return `${bracketed(w, 3)}·${inside ? format(x[i * width + j]) : "0"}`;
      })
      .join(" + "),
  );
}
