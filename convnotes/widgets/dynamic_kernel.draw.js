// The kernels that are mixed, and the share of each as a bar.

import { namesOf } from "./dynamic_kernel.compute.js";
import { h, rect, svg } from "./kit/dom.js";
import { format, largest } from "./kit/numbers.js";
import { tile } from "./kit/pictures.js";

const WIDE = 340;
const TEXT = 18; // the height of a line of text
const BAR = 46; // the height of a bar of share 1

const words = (text, x, y) =>
  h("text", { x, y, class: "cn-dynamic-text", "text-anchor": "middle" }, text);

// One column per kernel: its name, its taps as tiles (the largest is the deepest), a bar, and the share as a number.
export function shareBars(kernels, shares, label) {
  const names = namesOf(kernels);
  const column = WIDE / names.length;
  const side = Math.min(60, column - 10);
  const below = TEXT + side + 8 + BAR; // where the bars stand
  const drawing = svg(WIDE, below + TEXT, { class: "cn-drawing cn-dynamic-shares", label });
  Object.values(kernels).forEach((kernel, e) => {
    const middle = (e + 0.5) * column;
    const left = middle - side / 2;
    drawing.append(words(names[e], middle, TEXT - 5));
    const [unit, most] = [side / kernel.length, largest(kernel.flat())];
    kernel.forEach((row, u) =>
      row.forEach((w, v) => drawing.append(tile(left + v * unit, TEXT + u * unit, unit, w, most))),
    );
    const tall = BAR * Math.max(0, shares[e]);
    drawing.append(
      rect(left, below - tall, side, tall, "cn-fill-kernel"),
      h("path", { d: `M${left} ${below}H${left + side}`, class: "cn-ruled" }),
      words(format(shares[e], 2), middle, below + TEXT - 3),
    );
  });
  return drawing;
}
