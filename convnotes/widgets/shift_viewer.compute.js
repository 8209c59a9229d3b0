// Three channels that are moved and mixed by a 1×1 kernel, and the convolution that the two make.

import { finite, inside, listOf, numberRows, tensor, torchList, whole } from "./kit/numbers.js";
import { LIGHTNESS } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

export const REACH = 2;

export const MAPS = [tr`red`, tr`green`, tr`blue`, tr`lightness`];

const preset = (sources, displacements, weight) => ({
  sources,
  displacements: numberRows(displacements),
  weight,
});

// name → the map in each channel, its displacement (dy, dx), its weight in the 1×1 kernel
export const PRESETS = {
  across: preset([3, 3, 0], "0 -1 / 0 1 / 0 0", [-1, 1, 0]),
  down: preset([3, 3, 0], "-1 0 / 1 0 / 0 0", [-1, 1, 0]),
  second: preset([3, 3, 3], "0 -1 / 0 0 / 0 1", [1, -2, 1]),
  smear: preset([3, 3, 3], "0 -2 / 0 0 / 0 2", [0.35, 0.3, 0.35]),
  colours: preset([0, 1, 2], "0 -1 / 0 0 / 0 1", [1, -1, 0]),
  still: preset([3, 3, 0], "0 0 / 0 0 / 0 0", [-1, 1, 0]),
};

// Red, green, blue and lightness [4, H·W] of a photograph [3, H·W].
export function lift(photo, places) {
  const maps = new Float64Array(4 * places);
  maps.set(photo);
  for (let n = 0; n < places; n++)
    maps[3 * places + n] = LIGHTNESS.reduce(
      (sum, share, c) => sum + share * photo[c * places + n],
      0,
    );
  return maps;
}

export function pick(maps, places, sources) {
  const x = new Float64Array(sources.length * places);
  sources.forEach((source, c) =>
    x.set(maps.subarray(source * places, (source + 1) * places), c * places),
  );
  return x;
}

// y[c, i, j] = x[c, i + dy_c, j + dx_c], 0 outside the picture.
export function shift(x, height, width, displacements) {
  const y = new Float64Array(displacements.length * height * width);
  displacements.forEach(([dy, dx], c) => {
    for (let i = Math.max(0, -dy); i < Math.min(height, height - dy); i++) {
      for (let j = Math.max(0, -dx); j < Math.min(width, width - dx); j++)
        y[(c * height + i) * width + j] = x[(c * height + i + dy) * width + j + dx];
    }
  });
  return y;
}

// y[n] = Σ_c weight[c] · x[c, n]
export function mix(x, places, weight) {
  const y = new Float64Array(places);
  weight.forEach((w, c) => {
    for (let n = 0; n < places; n++) y[n] += w * x[c * places + n];
  });
  return y;
}

// The kernel of one channel: 1 where it reads, 0 elsewhere.
export function oneHot([dy, dx]) {
  const side = Array.from({ length: 2 * REACH + 1 }, (_, n) => n - REACH);
  return side.map((row) => side.map((column) => (row === dy && column === dx ? 1 : 0)));
}

// The convolution [4, 5, 5] on the four maps that shift and 1×1 make together: one-hot kernels, weighted and added.
export function composed(sources, displacements, weight) {
  const kernels = MAPS.map(() => oneHot([REACH + 1, 0]));
  sources.forEach((source, c) => {
    kernels[source][displacements[c][0] + REACH][displacements[c][1] + REACH] += weight[c];
  });
  return kernels;
}

// What is counted: a shift of float32 channels reads and writes each number once; a depthwise 3×3 takes 9
// multiply-adds.
export function counts(channels, places) {
  return {
    flops: 0,
    bytes: 2 * 4 * channels * places,
    depthwise: 2 * 9 * channels * places,
    mix: 2 * channels * places,
  };
}

// Share of the numbers of a shifted picture that come from outside it.
export function outside(height, width, displacements) {
  const kept = displacements.map(
    ([dy, dx]) => Math.max(0, height - Math.abs(dy)) * Math.max(0, width - Math.abs(dx)),
  );
  return 1 - kept.reduce((sum, n) => sum + n, 0) / (displacements.length * height * width);
}

export function torchCode(sources, displacements, weight) {
  const rows = sources.map((source) =>
    source < 3 ? [0, 1, 2].map((c) => (c === source ? 1 : 0)) : LIGHTNESS,
  );
  return [
    `displacements = ${torchList(displacements)}  # convnotes.shift2d(x, displacements) ` +
      "is layer[1] without a multiplication",
    "layer = torch.nn.Sequential(",
    "    torch.nn.Conv2d(3, 3, 1, bias=False),",
    `    torch.nn.Conv2d(3, 3, ${2 * REACH + 1}, padding=${REACH}, groups=3, bias=False),`,
    "    torch.nn.Conv2d(3, 1, 1, bias=False),",
    ")",
    `layer[0].weight.data = ${tensor(rows)}.float()[:, :, None, None]`,
    "layer[1].weight.data.zero_()",
    "for channel, (dy, dx) in enumerate(displacements):",
    `    layer[1].weight.data[channel, 0, dy + ${REACH}, dx + ${REACH}] = 1`,
    `layer[2].weight.data = ${tensor([weight])}.float()[:, :, None, None]`,
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  sources: listOf(whole(0, MAPS.length - 1), 3),
  displacements: listOf(listOf(whole(-REACH, REACH), 2), 3),
  weight: listOf(finite, 3),
  probe: inside(get("height"), get("width")),
});
