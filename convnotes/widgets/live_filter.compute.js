// What a kernel makes of a photograph, and which waves it passes. A kernel is a nested list of rows of taps, both odd
// in number.

import {
  among,
  between,
  bracketed,
  format,
  inside,
  listOf,
  sum,
  tensor,
  whole,
} from "./kit/numbers.js";
import { addFiltered } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

export const KINDS = ["blur", "derivative", "centre-surround", "hand"];
export const SHAPES = ["square", "row", "column"];
export const SIZE = [3, 15]; // the least and the largest, both odd
export const BY_HAND = 7; // the largest side of a kernel whose taps are changed by hand
export const MOST = 99; // a tap's largest size
export const WAVES = [2, 64]; // pixels, the shortest wave and the longest that is drawn
const SAMPLES = 241; // wavelengths that are looked at, each longer than the last by the same factor

const sides = Array.from({ length: (BY_HAND + 1) / 2 }, (_, n) => 2 * n + 1);

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  kind: among(KINDS),
  size: whole(...SIZE, 2),
  shape: among(SHAPES),
  probe: inside(get("height"), get("width")),
  kernel: (rows) =>
    listOf(listOf(between(-MOST, MOST), 1, BY_HAND), 1, BY_HAND)(rows) &&
    sides.includes(rows.length) &&
    sides.includes(rows[0].length) &&
    rows.every((row) => row.length === rows[0].length),
});

const product = (down, across) => down.map((a) => across.map((b) => a * b));

function bell(places, width) {
  const g = places.map((t) => Math.exp(-((t / width) ** 2) / 2));
  return g.map((v) => v / sum(g));
}

// The kernel of a kind with `size` taps along a side; a row has one row, a column one column. The derivative runs
// across, along a column down. All grow with the size: their bells are as wide as a quarter and a ninth of it.
export function made(kind, size, shape) {
  const t = Array.from({ length: size }, (_, n) => n - (size - 1) / 2);
  const [wide, small] = [bell(t, size / 4), bell(t, size / 9)];
  const slope = t.map(
    (at, n) => (at * wide[n]) / sum(t, (v) => Math.abs(v) * wide[v + (size - 1) / 2]),
  );
  const shaped = (along, other = along) =>
    shape === "row" ? [along] : shape === "column" ? along.map((v) => [v]) : product(other, along);
  if (kind === "blur") return shaped(wide);
  if (kind === "derivative") return shaped(slope, wide);
  const surround = shaped(wide);
  return shaped(small).map((row, u) => row.map((v, n) => v - surround[u][n]));
}

// y[i, j] = Σ_{u,v} kernel[u][v] · x[i + u − ⌊rows/2⌋, j + v − ⌊columns/2⌋]; outside the photograph the nearest pixel
// of its border is read.
export function convolve(x, height, width, kernel) {
  const top = (kernel.length - 1) / 2;
  const left = (kernel[0].length - 1) / 2;
  const [tall, wide] = [height + 2 * top, width + 2 * left];
  const padded = new Float64Array(tall * wide);
  for (let i = 0; i < tall; i++)
    for (let j = 0; j < wide; j++)
      padded[i * wide + j] = x[nearest(i - top, j - left, height, width)];
  const y = addFiltered(new Float64Array(tall * wide), padded, tall, wide, kernel);
  return Float64Array.from({ length: height * width }, (_, n) => {
    const [i, j] = [Math.floor(n / width), n % width];
    return y[(i + top) * wide + j + left];
  });
}

function nearest(i, j, height, width) {
  return Math.min(Math.max(i, 0), height - 1) * width + Math.min(Math.max(j, 0), width - 1);
}

// |Σ_v s[v] · exp(−2πi·v/λ)| with s, the sums of the kernel's columns (waves that run across) or of its rows (down): by
// what factor the kernel multiplies a wave of λ pixels.
export function gain(kernel, wavelength, down = false) {
  const line = down
    ? kernel.map((row) => sum(row))
    : kernel[0].map((_, v) => sum(kernel, (row) => row[v]));
  const turn = (2 * Math.PI) / wavelength;
  return Math.hypot(
    sum(line.map((s, v) => s * Math.cos(turn * v))),
    sum(line.map((s, v) => s * Math.sin(turn * v))),
  );
}

// The wavelengths that are drawn, and the gain of each along both axes.
export function gains(kernel) {
  const [low, high] = WAVES;
  const waves = Array.from(
    { length: SAMPLES },
    (_, n) => low * (high / low) ** (n / (SAMPLES - 1)),
  );
  const [across, down] = [false, true].map((along) =>
    waves.map((wave) => gain(kernel, wave, along)),
  );
  return { waves, across, down };
}

// What passes along the axis of the larger gain (of equal ones along that which passes less): the wave of the largest
// gain, and from which to which wave half of that or more passes. A kernel that passes even light best has no longest
// wave.
export function band(kernel) {
  const { waves, across, down } = gains(kernel);
  const even = gain(kernel, Infinity);
  const most = (values) => Math.max(even, ...values);
  const lead = most(down) - most(across);
  const values = lead > 1e-9 || (lead > -1e-9 && sum(down) < sum(across)) ? down : across;
  const top = most(values);
  if (top < 1e-9) return { top: 0 };
  const best = even === top ? waves.length - 1 : values.indexOf(top);
  let [first, last] = [best, best];
  while (first > 0 && values[first - 1] >= top / 2) first--;
  while (last < waves.length - 1 && values[last + 1] >= top / 2) last++;
  const open = last === waves.length - 1 && even >= top / 2;
  return {
    top,
    along: values === down ? "down" : "across",
    wave: even === top ? Infinity : waves[best],
    from: waves[first],
    to: open ? Infinity : waves[last],
  };
}

// The band in words, as a number of pixels: "≥ 18.6 px", "2.4 to 12 px".
export function bandInWords({ top, from, to }) {
  if (!top) return tr`nothing`;
  return to === Infinity
    ? `≥ ${format(from, 1)} px`
    : tr`${format(from, 1)} to ${format(to, 1)} px`;
}

export function torchCode({ kind, size, shape, kernel }, height, width) {
  const used = kind === "hand" ? kernel : made(kind, size, shape);
  const [py, px] = [used.length, used[0].length].map((side) => (side - 1) / 2);
  const shaped = (line, other = line) =>
    shape === "square"
      ? `torch.outer(${other}, ${line})`
      : `${line}${shape === "row" ? "[None]" : "[:, None]"}`;
  const kernels = {
    blur: shaped("wide"),
    derivative: shaped("slope", "wide"),
    "centre-surround": `${shaped("small")} - ${shaped("wide")}`,
  };
  return [
    ...(kind === "hand"
      ? [`kernel = ${tensor(kernel)}.float()`]
      : [
          `t = torch.arange(${size}.0) - ${(size - 1) / 2}`,
          "def bell(width):",
          "    g = torch.exp(-((t / width) ** 2) / 2)",
          "    return g / g.sum()",
          "",
          `small, wide = bell(${size} / 9), bell(${size} / 4)`,
          "slope = t * wide / (t.abs() * wide).sum()",
          `kernel = ${kernels[kind]}`,
        ]),
    `image = torch.rand(1, 1, ${height}, ${width})  # your own, values in [0, 1]`,
    `padded = torch.nn.functional.pad(image, (${px}, ${px}, ${py}, ${py}), mode="replicate")`,
    "y = torch.nn.functional.conv2d(padded, kernel[None, None])",
  ].join("\n");
}

// The answer at one position as it is summed: one line per row of the kernel.
export function written(x, height, width, kernel, [row, column]) {
  const top = (kernel.length - 1) / 2;
  const left = (kernel[0].length - 1) / 2;
  return kernel.map((line, u) =>
    line
      .map((w, v) => {
        const at = nearest(row + u - top, column + v - left, height, width);
        return `${bracketed(w, 3)}·${format(x[at])}`;
      })
      .join(" + "),
  );
}
