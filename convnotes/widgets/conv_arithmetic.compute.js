// One layer, plain or transposed, and the arithmetic of its sizes.
// Along each axis everything follows from one relation. Call the grid that the stride steps over the fine one (the
// input of a convolution, the output of a transposed one) and the other one the coarse; then tap u joins
//     fine position = coarse position · s + u · d − p .

import { among, format, listOf, several, whole, yesOrNo } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const LIMITS = {
  size: [1, 16],
  kernel: [1, 7],
  stride: [1, 5],
  padding: [0, 6],
  dilation: [1, 4],
  output_padding: [0, 4],
  channels: [1, 512],
};

export const AXES = ["height", "width"];
const AXIS_NAMES = [tr`the height`, tr`the width`];
export const both = (value) => [value, value];

export const PLAIN = {
  size: both(8),
  kernel: both(3),
  stride: both(1),
  padding: both(0),
  dilation: both(1),
  output_padding: both(0),
  channels: [3, 16],
  groups: 1,
  transposed: false,
};

// name → its text, and what differs from a plain 3×3 layer on 8×8 pixels
export const PRESETS = {
  halve: [tr`3×3, stride 2`, { stride: both(2) }],
  valid: [tr`3×3, valid`, {}],
  same: [tr`3×3, same`, { padding: both(1) }],
  stem: [
    tr`7×7, stride 2`,
    { size: both(16), kernel: both(7), stride: both(2), padding: both(3), channels: [3, 64] },
  ],
  patches: [tr`4×4 patches`, { kernel: both(4), stride: both(4), channels: [3, 192] }],
  skipping: [tr`1×1, stride 2`, { kernel: both(1), stride: both(2), channels: [64, 128] }],
  dilated: [tr`3×3, dilation 2`, { padding: both(2), dilation: both(2) }],
  depthwise: [tr`depthwise 3×3`, { padding: both(1), channels: both(32), groups: 32 }],
  row: [tr`1×5, same`, { kernel: [1, 5], padding: [0, 2] }],
  twice: [
    tr`transposed 2×2`,
    { size: both(4), kernel: both(2), stride: both(2), transposed: true },
  ],
  uneven: [
    tr`transposed 3×3`,
    { size: both(4), stride: both(2), padding: both(1), output_padding: both(1), transposed: true },
  ],
  even: [
    tr`transposed 4×4`,
    { size: both(4), kernel: both(4), stride: both(2), padding: both(1), transposed: true },
  ],
};

export const preset = (name) => structuredClone({ ...PLAIN, ...PRESETS[name][1] });

const along = (layer, a) => ({
  n: layer.size[a],
  k: layer.kernel[a],
  s: layer.stride[a],
  p: layer.padding[a],
  d: layer.dilation[a],
  e: layer.output_padding[a],
});

const span = (k, d) => d * (k - 1) + 1;

const length = (layer, a) => {
  const { n, k, s, p, d, e } = along(layer, a);
  return layer.transposed
    ? (n - 1) * s - 2 * p + span(k, d) + e
    : Math.floor((n + 2 * p - span(k, d)) / s) + 1;
};

// Why torch refuses the layer or its input; "" where it does not.
export function refusal(layer) {
  const [C, O] = layer.channels;
  const G = layer.groups;
  if (C % G || O % G)
    return C % G
      ? tr`${G} groups do not divide the ${C} input channels.`
      : tr`${G} groups do not divide the ${O} output channels.`;
  for (const a of [0, 1]) {
    const { n, k, s, p, d, e } = along(layer, a);
    const axis = AXIS_NAMES[a];
    if (layer.transposed && e >= s && e >= d)
      return (
        tr`The output padding must be smaller than the stride or the dilation: ` +
        tr`along ${axis} it is ${e}, the stride ${s}, the dilation ${d}.`
      );
    if (layer.transposed && length(layer, a) < 1)
      return (
        tr`Along ${axis} a padding of ${p} at both ends cuts off all ${length(layer, a) + 2 * p} positions: ` +
        tr`nothing is left.`
      );
    if (!layer.transposed && n + 2 * p < span(k, d))
      return (
        tr`Along ${axis} a kernel of ${k} with dilation ${d} spans ${span(k, d)} positions, ` +
        tr`and the padded input has ${n + 2 * p}: it does not fit.`
      );
  }
  return "";
}

export const outputSize = (layer) => (refusal(layer) ? null : [length(layer, 0), length(layer, 1)]);

export const weightShape = ({ channels: [C, O], groups, kernel, transposed }) =>
  transposed ? [C, O / groups, ...kernel] : [O, C / groups, ...kernel];

// The size of the grid "input" or "output"; null where torch refuses the layer and there is no output.
export const sizeOf = (layer, side) => (side === "input" ? layer.size : outputSize(layer));

// Parameters with one bias per output channel; multiply-adds for one image: each weight works once at every coarse
// position.
export function counts(layer) {
  const weights = weightShape(layer).reduce((a, b) => a * b);
  const [height, width] = layer.transposed ? layer.size : outputSize(layer);
  return { weights, params: weights + layer.channels[1], macs: weights * height * width };
}

// Along axis a: what a position of the grid `side` is joined to in the other one, each [tap, position]. A fine
// position outside its grid is padding, or cut off; a coarse one outside does not exist.
export function joined(layer, a, side, at) {
  const { n, k, s, p, d } = along(layer, a);
  const fromCoarse = (side === "output") !== layer.transposed;
  const coarse = layer.transposed ? n : length(layer, a);
  const found = [];
  for (let u = 0; u < k; u++) {
    const place = fromCoarse ? at * s + u * d - p : (at + p - u * d) / s;
    if (fromCoarse || (Number.isInteger(place) && place >= 0 && place < coarse))
      found.push([u, place]);
  }
  return found;
}

// All taps that join `place` of the grid `side` ("input" or "output") to positions of the other one.
export function taps(layer, side, place) {
  const other = sizeOf(layer, side === "output" ? "input" : "output");
  return joined(layer, 0, side, place[0]).flatMap(([u, i]) =>
    joined(layer, 1, side, place[1]).map(([v, j]) => ({
      tap: [u, v],
      place: [i, j],
      inside: i >= 0 && j >= 0 && i < other[0] && j < other[1],
    })),
  );
}

// Along each axis: to how many taps each fine position is joined. On the plane it is the product of the two.
export function visits(layer) {
  const [fine, side] = layer.transposed ? [outputSize(layer), "output"] : [layer.size, "input"];
  return [0, 1].map((a) =>
    Array.from({ length: fine[a] }, (_, at) => joined(layer, a, side, at).length),
  );
}

// Fine positions that no tap is joined to: input pixels that are never read, or outputs that only the bias reaches.
export function untouched(layer) {
  const lines = visits(layer);
  const [rows, columns] = lines.map((line) => line.filter((n) => n > 0).length);
  return lines[0].length * lines[1].length - rows * columns;
}

// The size along axis a with its numbers put in; and what its floor throws away: positions at the end that no kernel
// reaches.
export function formula(layer, a) {
  const { n, k, s, p, d, e } = along(layer, a);
  const out = length(layer, a);
  if (layer.transposed)
    return `(${n} − 1)·${s} − 2·${p} + ${d}·(${k} − 1) + ${e} + 1 = ${format(out)}`;
  return (
    `⌊(${n} + 2·${p} − ${d}·(${k} − 1) − 1) / ${s}⌋ + 1 = ` +
    `⌊${format(n + 2 * p - span(k, d))}/${s}⌋ + 1 = ${format(out)}`
  );
}

export const remainder = (layer, a) => {
  const { n, k, s, p, d } = along(layer, a);
  return layer.transposed ? 0 : (n + 2 * p - span(k, d)) % s;
};

const tuple = ([h, w]) => (h === w ? h : `(${h}, ${w})`);

export function torchCode(layer) {
  const {
    channels: [C, O],
    groups,
    size,
    transposed,
  } = layer;
  const given = (name, usual) =>
    layer[name].every((v) => v === usual) ? [] : [`${name}=${tuple(layer[name])}`];
  const options = [
    C,
    O,
    `kernel_size=${tuple(layer.kernel)}`,
    ...given("stride", 1),
    ...given("padding", 0),
    ...(transposed ? given("output_padding", 0) : []),
    ...given("dilation", 1),
    ...(groups > 1 ? [`groups=${groups}`] : []),
  ];
  const out = outputSize(layer);
  const says = out ? `[1, ${O}, ${out.join(", ")}]` : `refused. ${refusal(layer)}`;
  return (
    "import torch\nfrom torch import nn\n\n" +
    `layer = nn.${transposed ? "ConvTranspose2d" : "Conv2d"}(${options.join(", ")})\n` +
    `x = torch.randn(1, ${C}, ${size.join(", ")})\ny = layer(x)  # ${says}`
  );
}

// Where a drawn grid begins and ends along both axes: the fine one has its padding, or what is cut off, around it.
export function extent(layer, side) {
  const size = sizeOf(layer, side);
  const fine = (side === "output") === layer.transposed;
  return [0, 1].map((a) => {
    const { p, e } = along(layer, a);
    return fine ? [-p, size[a] + (layer.transposed ? Math.max(0, p - e) : p)] : [0, size[a]];
  });
}

// The rows (axis 0) or columns of the marks: "row 2", "columns 2, 3, 4".
function listed(marks, axis) {
  const lines = [...new Set(marks.map(({ place }) => place[axis]))];
  const numbers = lines.map((n) => format(n)).join(", ");
  if (axis === 0) return lines.length > 1 ? tr`rows ${numbers}` : tr`row ${numbers}`;
  return lines.length > 1 ? tr`columns ${numbers}` : tr`column ${numbers}`;
}

// What the chosen position reads, spreads to, gathers from or is read by, as one sentence.
export function sentence(layer, side, place) {
  const marks = taps(layer, side, place);
  const here = `(${place.join(", ")})`;
  const kept = marks.filter(({ inside }) => inside).length;
  const lost = marks.length - kept;
  const pixels = several(kept, tr`input pixel`, tr`input pixels`);
  if (side === "input" && !layer.transposed) {
    const positions = several(kept, tr`output position`, tr`output positions`);
    return kept
      ? tr`Input pixel ${here} is read by ${positions}, each through another tap.`
      : tr`Input pixel ${here} is never read.`;
  }
  if (side === "output" && layer.transposed)
    return kept
      ? tr`Output ${here} is the sum of ${pixels}, each through another tap.`
      : tr`No tap reaches output ${here}: it is the bias.`;
  const [rows, columns] = [0, 1].map((axis) => listed(marks, axis));
  if (side === "output") {
    const zeros = several(lost, tr`zero`, tr`zeros`);
    return lost
      ? tr`Output ${here} reads ${rows} and ${columns}: ${pixels} and ${zeros} of the padding.`
      : tr`Output ${here} reads ${rows} and ${columns}: ${pixels}.`;
  }
  const outputs = kept === 1 ? tr`1 output` : tr`${kept} outputs`;
  return lost
    ? tr`Input pixel ${here} spreads the kernel over ${rows} and ${columns}: ${outputs}, and ${lost} cut off by the padding.`
    : tr`Input pixel ${here} spreads the kernel over ${rows} and ${columns}: ${outputs}.`;
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  ...Object.fromEntries(
    Object.entries(LIMITS).map(([name, limits]) => [name, listOf(whole(...limits), 2)]),
  ),
  groups: whole(...LIMITS.channels),
  side: among(["input", "output"]),
  probe: listOf(whole(0, 1e6), 2),
  ...Object.fromEntries(["transposed", "linked", "numbers"].map((name) => [name, yesOrNo])),
});
