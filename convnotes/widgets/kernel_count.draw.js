// The drawings of a basis: its kernels on one sheet, and the curve of what is lost.

import { h, lineThrough, svg } from "./kit/dom.js";
import { clamp, largest, percent } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const DECADES = 4; // of what is lost, from 100 % down

const PALE = 0.25; // how much ink a kernel has that is not used

// All kernels of a size on a square sheet, each in shares of its largest tap, with a rule (NaN) between them; pale from
// `count` on.
export function sheet(basis, k, count) {
  const side = k * (k + 1) - 1;
  const values = new Float32Array(side * side).fill(NaN);
  for (let n = 0; n < k * k; n++) {
    const top = Math.floor(n / k) * (k + 1);
    const left = (n % k) * (k + 1);
    const kernel = basis.subarray(n * k * k, (n + 1) * k * k);
    const most = largest(kernel);
    kernel.forEach((v, t) => {
      values[(top + Math.floor(t / k)) * side + left + (t % k)] =
        ((n < count ? 1 : PALE) * v) / most;
    });
  }
  return values;
}

// The share that 1, 2, … kernels lose as a curve; each line is a tenth of the one above. The present number is marked.
export function curve(shares, count, label) {
  const W = 320;
  const H = 170;
  const left = 74;
  const bottom = 36;
  const step = (H - 10 - bottom) / DECADES;
  const lines = Array.from({ length: DECADES + 1 }, (_, n) => n);
  const x = (n) => left + ((n - 1) / Math.max(1, shares.length - 1)) * (W - left - 12);
  const y = (share) => 10 + clamp(-Math.log10(Math.max(1e-12, 1 - share)), 0, DECADES) * step;
  const text = (at, up, words, anchor) =>
    h(
      "text",
      { x: at, y: up, fill: "var(--cn-text)", "font-size": 14, "text-anchor": anchor },
      words,
    );
  return svg(
    W,
    H,
    { class: "cn-drawing", label },
    lines.flatMap((n) => [
      h("path", { d: `M${left} ${10 + n * step}H${W - 8}`, class: "cn-drawing-rule" }),
      text(left - 6, 15 + n * step, `${n < DECADES ? "" : "≤ "}${percent(1 / 10 ** n, 2)}`, "end"),
    ]),
    h("path", {
      d: lineThrough(shares.map((share, n) => [x(n + 1), y(share)])),
      fill: "none",
      stroke: "var(--cn-kernel-ink)",
      "stroke-width": 2.5,
    }),
    h("circle", {
      cx: x(count),
      cy: y(shares[count - 1]),
      r: 6,
      fill: "var(--cn-accent)",
      stroke: "var(--cn-text)",
      "stroke-width": 1.5,
    }),
    text(left, H - bottom + 17, "1", "middle"),
    text(W - 12, H - bottom + 17, `${shares.length}`, "middle"),
    text((W + left) / 2, H - 4, tr`kernels N`, "middle"),
  );
}
