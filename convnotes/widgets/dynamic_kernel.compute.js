// A kernel of 5×5 taps that is mixed from a few others: with shares that are always the same, that a router chooses for
// the whole image, or that each position chooses for itself. An image is a flat list of height · width numbers.

import {
  among,
  between,
  clamp,
  inside,
  mean,
  randomNumbers,
  sum,
  tensor,
  whole,
} from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const MODES = ["fixed", "image", "position"];
export const NOISE = [0, 0.2]; // standard deviation of what is added to the photograph
export const HEAT = [1, 30]; // the softmax's temperature
const REACH = 2; // taps on either side of the middle
const SIDE = 2 * REACH + 1;
const EDGE = 0.03; // the slope per pixel at which half of a kernel is round and half runs along the edge
const SLOPES = [-120, 0, 60]; // of the router: the score of each kernel is slope · roughness + start
const STARTS = [5, 0, -6];

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  mode: among(MODES),
  picture: whole(0, get("captions").length - 1),
  noise: between(...NOISE),
  temperature: between(...HEAT),
  probe: inside(get("height"), get("width")),
});

// A blur: a bell of standard deviation `along` in the direction of `angle` (0 along a row, growing downwards) and
// `across` at right angles to it.
export function bell(along, across = along, angle = 0) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const t = Array.from({ length: SIDE }, (_, n) => n - REACH);
  const k = t.map((y) =>
    t.map((x) =>
      Math.exp(-((((x * c + y * s) / along) ** 2 + ((y * c - x * s) / across) ** 2) / 2)),
    ),
  );
  const total = sum(k.flat());
  return k.map((row) => row.map((v) => v / total));
}

const still = Array.from({ length: SIDE }, (_, u) =>
  Array.from({ length: SIDE }, (_, v) => Number(u === REACH && v === REACH)),
);
const edge = (angle) => bell(1.2, 0.4, angle);

// The kernels that are mixed: those of a whole image, and those of a position.
export const EXPERTS = { keep: still, narrow: bell(0.7), wide: bell(1.6) };
export const PARTS = {
  round: bell(1.6),
  column: edge(Math.PI / 2),
  row: edge(0),
  rising: edge(-Math.PI / 4),
  falling: edge(Math.PI / 4),
};

// What the page calls a kernel that is mixed.
const KERNEL_NAMES = {
  keep: tr`keep`,
  narrow: tr`narrow`,
  wide: tr`wide`,
  round: tr`round`,
  column: tr`column`,
  row: tr`row`,
  rising: tr`rising`,
  falling: tr`falling`,
};
export const namesOf = (kernels) => Object.keys(kernels).map((name) => KERNEL_NAMES[name]);

// Noise of mean 0 and standard deviation 1, always the same.
export function noiseOf(count) {
  const next = randomNumbers(1);
  return Float64Array.from({ length: count }, () => 2 * (next() + next() + next() - 1.5));
}

// y[i, j] = Σ_{u,v} kernel[u][v] · x[i + u − ⌊rows/2⌋, j + v − ⌊rows/2⌋]; outside x the nearest value is read.
export function filtered(x, height, width, kernel) {
  const half = (kernel.length - 1) / 2;
  const y = new Float64Array(height * width);
  kernel.forEach((line, u) =>
    line.forEach((w, v) => {
      if (w === 0) return;
      const read = Int32Array.from({ length: width }, (_, j) => clamp(j + v - half, 0, width - 1));
      for (let i = 0; i < height; i++) {
        const from = clamp(i + u - half, 0, height - 1) * width;
        for (let j = 0; j < width; j++) y[i * width + j] += w * x[from + read[j]];
      }
    }),
  );
  return y;
}

// How far each pixel is from the mean of its four neighbours: what an earlier layer tells the router.
export function roughness(x, height, width) {
  const around = filtered(x, height, width, [
    [0, 0.25, 0],
    [0.25, 0, 0.25],
    [0, 0.25, 0],
  ]);
  return x.map((v, n) => Math.abs(v - around[n]));
}

// What an earlier layer tells the generator of the kernels: four maps with the shares of an edge that runs along the
// column, along the row, up to the right and down to the right. They are 0 where x is even, and add up to less than 1.
export function edges(x, height, width) {
  const smooth = filtered(x, height, width, bell(1.2));
  const across = filtered(smooth, height, width, [
    [0, 0, 0],
    [-0.5, 0, 0.5],
    [0, 0, 0],
  ]);
  const down = filtered(smooth, height, width, [
    [0, -0.5, 0],
    [0, 0, 0],
    [0, 0.5, 0],
  ]);
  const maps = Array.from({ length: 4 }, () => new Float64Array(x.length));
  x.forEach((_, n) => {
    const [gx, gy] = [Math.abs(across[n]), Math.abs(down[n])];
    const [gf, gr] = [across[n] + down[n], across[n] - down[n]].map(
      (v) => Math.abs(v) / Math.SQRT2,
    );
    const leads = [gx - gy, gy - gx, gf - gr, gr - gf].map((v) => Math.max(v, 0));
    const square = gx * gx + gy * gy;
    const strength = square / (square + EDGE * EDGE) / (sum(leads) || 1);
    for (const [d, v] of leads.entries()) maps[d][n] = strength * v;
  });
  return maps;
}

// r = softmax((slope · mean roughness + start) / T): the shares of the kernels of an image.
export function route(rough, temperature) {
  const scores = SLOPES.map((slope, e) => (slope * mean(rough) + STARTS[e]) / temperature);
  const powers = scores.map((v) => Math.exp(v - Math.max(...scores)));
  return powers.map((v) => v / sum(powers));
}

// What a camera saw, and what all ways of mixing need of it.
export function seen(photo, height, width, noise, sigma) {
  const x = photo.map((v, n) => v + sigma * noise[n]);
  const answers = (kernels) => Object.values(kernels).map((k) => filtered(x, height, width, k));
  return {
    x,
    rough: roughness(x, height, width),
    edges: edges(x, height, width),
    experts: answers(EXPERTS),
    parts: answers(PARTS),
  };
}

// The kernels that a mode mixes, by their names, and the share of each at a position.
export function mixture(mode, { rough, edges: maps }, temperature) {
  if (mode === "position")
    return {
      kernels: PARTS,
      shares: (n) => {
        const along = maps.map((map) => map[n]);
        return [1 - sum(along), ...along];
      },
    };
  const shares = mode === "fixed" ? SLOPES.map(() => 1 / SLOPES.length) : route(rough, temperature);
  return { kernels: EXPERTS, shares: () => shares };
}

// Σ_e share_e · kernel_e
export function mixed(kernels, shares) {
  const all = Object.values(kernels);
  return all[0].map((row, u) => row.map((_, v) => sum(shares.map((r, e) => r * all[e][u][v]))));
}

// What the mixed kernels give at every position. A mixture of kernels gives the mixture of what each of them gives.
export function output(mode, view, temperature) {
  const { shares } = mixture(mode, view, temperature);
  const maps = mode === "position" ? view.parts : view.experts;
  return view.x.map((_, n) => {
    const r = shares(n);
    return sum(maps.map((map, e) => r[e] * map[n]));
  });
}

// The root of the mean squared difference.
export function error(y, photo) {
  return Math.sqrt(mean(Array.from(y, (v, n) => (v - photo[n]) ** 2)));
}

const written = (kernels) =>
  `torch.tensor([${Object.values(kernels)
    .map((k) => tensor(k, 8).slice("torch.tensor(".length, -1))
    .join(",\n    ")}])`;

export function torchCode({ mode, temperature }) {
  const head = [
    "import torch",
    "from convnotes import DynamicConv2d, Involution2d",
    "",
    `kernels = ${written(mode === "position" ? PARTS : EXPERTS)}`,
  ];
  if (mode === "position")
    return [
      ...head,
      "# channel 0: the image; channels 1 to 4: the shares of edges in four directions",
      "layer = Involution2d(5, 5, reduction=1).eval()",
      "with torch.no_grad():",
      "    layer.conv1.bn.running_var.fill_(1 - layer.conv1.bn.eps)",
      "    layer.conv1.conv.weight.copy_(torch.eye(5)[:, :, None, None])",
      "    layer.conv2.conv.weight.zero_()",
      "    layer.conv2.conv.weight[:, 1:, 0, 0] = (kernels[1:] - kernels[0]).flatten(1).T",
      "    layer.conv2.conv.bias.copy_(kernels[0].flatten())",
      "y = layer(torch.rand(1, 5, 64, 64))  # your own channels",
    ].join("\n");
  const heat = mode === "fixed" ? "1e9  # all shares alike: one fixed kernel" : temperature;
  return [
    ...head,
    "layer = DynamicConv2d(2, 1, 5, padding=2, bias=False, num_experts=3, reduction=2)",
    `layer.temperature = ${heat}`,
    "with torch.no_grad():",
    "    for expert, kernel in zip(layer.experts, kernels):",
    "        expert.weight.zero_()[0, 0] = kernel",
    "    layer.fc1.weight.copy_(torch.tensor([[0.0, 1.0]]))",
    "    layer.fc1.bias.zero_()",
    `    layer.fc2.weight.copy_(torch.tensor([${SLOPES.map((v) => `[${v}.0]`).join(", ")}]))`,
    `    layer.fc2.bias.copy_(torch.tensor([${STARTS.map((v) => `${v}.0`).join(", ")}]))`,
    "image = torch.rand(1, 1, 64, 64)  # your own",
    "cross = torch.tensor([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]])[None, None]",
    'padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")',
    "rough = (image - torch.nn.functional.conv2d(padded, cross)).abs()",
    "y = layer(torch.cat([image, rough], 1))",
  ].join("\n");
}
