// Multiplications and memory of one convolution, computed in five ways.

import { among, sum, whole, yesOrNo } from "./kit/numbers.js";

export const KERNEL = [1, 15]; // taps per side, odd
export const SIZE = [4, 224]; // pixels per side
export const CHANNELS = powers(512);
export const IMAGES = powers(64);
const WIDEST = 8; // pixels of a Winograd tile of the input; wider ones lose too many digits of float32

function powers(most) {
  return Array.from({ length: Math.log2(most) + 1 }, (_, n) => 2 ** n);
}

// The test of each trait that a reader sets.
export const accepts = () => ({
  kernel: whole(...KERNEL, 2),
  size: whole(...SIZE),
  channels: among(CHANNELS),
  images: among(IMAGES),
  prepared: yesOrNo,
});

// Of each way its name, its multiplications and the numbers that it stores beside input, weights and output. A Winograd
// tile that is too wide has neither.
export function counts({ kernel: k, size: n, channels: C, images: B, prepared }) {
  const direct = B * C * C * k ** 2 * n ** 2;
  const side = 2 ** Math.ceil(Math.log2(n + k - 1));
  const half = side * (side / 2 + 1); // complex numbers of the transform of real ones
  const transforms = 2 * B * C + (prepared ? 0 : C * C);
  return [
    { name: "direct sum", multiplications: direct, memory: 0 },
    // For 1×1 kernels the image is the matrix.
    {
      name: "matrix product",
      multiplications: direct,
      memory: k === 1 ? 0 : B * C * k ** 2 * n ** 2,
    },
    {
      name: "FFT",
      multiplications: transforms * 2 * side ** 2 * Math.log2(side) + 4 * B * C * C * half,
      memory: 2 * half * (2 * B * C + C * C),
    },
    ...[2, 4].map((m) => winograd(m, k, C, B * Math.ceil(n / m) ** 2, prepared)),
  ];
}

function winograd(m, k, C, tiles, prepared) {
  const t = m + k - 1;
  const name = `Winograd ${m}×${m}`;
  if (t > WIDEST) return { name };
  const kernels = prepared ? 0 : C * C * (t * k ** 2 + t ** 2 * k);
  const transforms = C * tiles * (2 * t ** 3 + m * t ** 2 + m ** 2 * t);
  return {
    name,
    multiplications: C * C * tiles * t ** 2 + transforms + kernels,
    memory: t ** 2 * (2 * C * tiles + C * C),
  };
}

// Numbers of the input, the weights and the output together.
export function needed({ kernel: k, size: n, channels: C, images: B }) {
  return sum([B * C * n ** 2, C * C * k ** 2, B * C * n ** 2]);
}

// The ways with the fewest multiplications.
export function fewest(ways) {
  const counted = ways.filter((way) => way.multiplications !== undefined);
  const least = Math.min(...counted.map((way) => way.multiplications));
  return counted.filter((way) => way.multiplications === least);
}

export function torchCode({ kernel: k, size, channels, images }) {
  return [
    "from convnotes.definitions import conv2d_by_fft, conv2d_by_matrix, conv2d_by_winograd",
    "",
    `x = torch.randn(${images}, ${channels}, ${size}, ${size})`,
    `w = torch.randn(${channels}, ${channels}, ${k}, ${k})`,
    `y = torch.nn.functional.conv2d(x, w, padding=${(k - 1) / 2})`,
    "for by in (conv2d_by_matrix, conv2d_by_fft, conv2d_by_winograd):",
    `    print((by(x, w, padding=${(k - 1) / 2}) - y).abs().max())`,
  ].join("\n");
}
