// Which pixels matter to one output of a network of random weights: the expected squared gradient.
//
// A path from a pixel to the output takes one tap of each layer. The square of its gradient is, on average over the
// weights, in proportion to the number of its paths. So the place of a path is a sum of n independent steps.

import { among, inside, listOf, sum, whole, yesOrNo } from "./kit/numbers.js";

export const LIMITS = { kernel_sizes: [3, 51], depths: [1, 72], dilations: [1, 15] };
export const CHANNELS = [16, 32, 64, 128, 256, 512];
export const HELD = 0.95; // the share of the influence that the square holds
export const POSITIONS = 56 * 56; // of the map that multiply-adds are counted for
const DIM = 0.2; // how bright a pixel without influence stays
const SHORTCUT = 0.5; // the share of the variance that passes a layer's kernel where its input is added

// One network of the two: its size k, its layers n, its dilation d, and whether each layer adds its input.
export function network(state, which) {
  const { kernel_sizes, depths, dilations, residual } = state;
  return { k: kernel_sizes[which], n: depths[which], d: dilations[which], residual };
}

export function fieldOf({ k, n, d }) {
  return 1 + n * (k - 1) * d;
}

// Along an axis, of the place of a path.
export function deviation({ k, n, d, residual }) {
  return d * Math.sqrt((n * (residual ? SHORTCUT : 1) * (k * k - 1)) / 12);
}

// One more layer along an axis: the mean of k copies, d apart. A running sum, as neighbours share all copies but two.
function spread(line, k, d) {
  const longer = new Float64Array(line.length + (k - 1) * d);
  for (let i = 0; i < longer.length; i++) {
    const enters = i < line.length ? line[i] : 0;
    const leaves = i >= k * d ? line[i - k * d] : 0;
    longer[i] = Math.max(0, (i >= d ? longer[i - d] : 0) + (enters - leaves) / k);
  }
  return longer;
}

// The influence as a sum of parts, {share, line}: on the plane each is share · line[i] · line[j]. With shortcuts a
// path goes through m of the n kernels, as in n tosses of a coin; else through all of them.
export function parts({ k, n, d, residual }) {
  let line = Float64Array.of(1);
  let share = residual ? (1 - SHORTCUT) ** n : 0;
  const all = [{ share, line }];
  for (let m = 1; m <= n; m++) {
    line = spread(line, k, d);
    share *= ((n - m + 1) / m) * (SHORTCUT / (1 - SHORTCUT));
    all.push({ share, line });
  }
  return residual ? all : [{ share: 1, line }];
}

// The influence of each pixel of height × width on the output at [row, column]. All pixels of a plane without borders
// add to 1.
export function influence(all, height, width, [row, column]) {
  const map = new Float64Array(height * width);
  for (const { share, line } of all) {
    const middle = (line.length - 1) / 2;
    const start = Math.max(0, column - middle);
    const end = Math.min(width, column + middle + 1);
    for (let i = Math.max(0, row - middle); i < Math.min(height, row + middle + 1); i++) {
      const down = share * line[i - row + middle];
      for (let j = start; j < end; j++) map[i * width + j] += down * line[j - column + middle];
    }
  }
  return map;
}

// The side of the smallest square around the output that holds the share HELD.
export function square(all) {
  const within = all.map(({ share, line }) => {
    const middle = (line.length - 1) / 2;
    const grown = [line[middle]];
    for (let r = 1; r <= middle; r++)
      grown.push(grown[r - 1] + line[middle - r] + line[middle + r]);
    return { share, grown };
  });
  const held = (r) =>
    sum(within, ({ share, grown }) => share * grown[Math.min(r, grown.length - 1)] ** 2);
  let [low, high] = [0, Math.max(...within.map(({ grown }) => grown.length - 1))];
  while (low < high) {
    const r = Math.floor((low + high) / 2);
    if (held(r) >= HELD - 1e-9) high = r;
    else low = r + 1;
  }
  return 2 * low + 1;
}

// Along the row of the output: the share of the influence in each column from −reach to reach.
export function along(all, reach) {
  return Array.from({ length: 2 * reach + 1 }, (_, n) =>
    sum(all, ({ share, line }) => share * (line[n - reach + (line.length - 1) / 2] ?? 0)),
  );
}

// What n layers cost, each a depthwise kernel of k×k and a 1×1 kernel, both on so many channels.
export function cost({ k, n }, channels) {
  const params = n * (k * k * channels + channels * channels);
  return { params, macs: params * POSITIONS };
}

// A photograph [3, height, width], each pixel as bright as its influence is large. The pixel `own`, at the output, does
// not set the scale: with shortcuts it has far more influence than any other.
export function lit(photo, map, own) {
  const most = map.reduce((a, b, n) => (n === own ? a : Math.max(a, b)), 0) || 1;
  return photo.map((v, n) => v * (DIM + (1 - DIM) * Math.min(1, map[n % map.length] / most)));
}

export function torchCode(state) {
  const c = state.channels;
  const made = [0, 1].map((which) => {
    const { k, n, d } = network(state, which);
    return `network(${k}, ${n}, ${d})`;
  });
  return [
    ...(state.residual
      ? [
          "class Added(torch.nn.Sequential):",
          "    def forward(self, x):",
          "        return x + super().forward(x)",
          "",
        ]
      : []),
    "def network(size, depth, dilation):",
    "    def layer():",
    `        pad = dilation * (size // 2)`,
    `        return ${state.residual ? "Added" : "torch.nn.Sequential"}(`,
    `            torch.nn.Conv2d(${c}, ${c}, size, padding=pad, dilation=dilation, groups=${c}, bias=False),`,
    `            torch.nn.Conv2d(${c}, ${c}, 1, bias=False),`,
    "        )",
    "    return torch.nn.Sequential(*[layer() for _ in range(depth)])",
    "",
    `a, b = ${made.join(", ")}`,
  ].join("\n");
}

// The test of each trait that a reader sets.
export const accepts = (get) => ({
  kernel_sizes: listOf(whole(...LIMITS.kernel_sizes, 2), 2),
  depths: listOf(whole(...LIMITS.depths), 2),
  dilations: listOf(whole(...LIMITS.dilations), 2),
  channels: among(CHANNELS),
  residual: yesOrNo,
  probe: inside(get("height"), get("width")),
});
