// The spectrum of a kernel: how much of each wave passes.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { largest } from "./kit/numbers.js";
import { band, gains, WAVES } from "./live_filter.compute.js";

const [W, H, LEFT, RIGHT, TOP, BOTTOM] = [340, 216, 34, 10, 12, 40];

function text(words, x, y, anchor = "middle") {
  return h("text", { x, y, class: "cn-gain-text", "text-anchor": anchor }, words);
}

// Gain in shares of the largest against the wavelength on a logarithmic axis. Along two axes where they differ; the
// band that passes at half or more is shaded.
export function spectrum(kernel, label) {
  const { waves, across, down } = gains(kernel);
  const { top, wave, from, to } = band(kernel);
  const most = top || 1;
  const [low, high] = WAVES;
  const x = (v) => LEFT + (Math.log(v / low) / Math.log(high / low)) * (W - LEFT - RIGHT);
  const y = (share) => H - BOTTOM - share * (H - TOP - BOTTOM);
  const line = (values) => lineThrough(values.map((v, n) => [x(waves[n]), y(v / most)]));
  const drawing = svg(W, H, { class: "cn-drawing", label });
  const within = Math.min(to ?? 0, high);
  if (top)
    drawing.append(
      rect(x(from), TOP, Math.max(2, x(within) - x(from)), H - TOP - BOTTOM, "cn-gain-band"),
    );
  for (const [share, words] of [
    [0, "0"],
    [0.5, "½"],
    [1, "1"],
  ])
    drawing.append(
      h("path", { d: `M${LEFT} ${y(share)}H${W - RIGHT}`, class: "cn-ruled" }),
      text(words, LEFT - 6, y(share) + 5, "end"),
    );
  for (let v = low; v <= high; v *= 2) drawing.append(text(v, x(v), H - BOTTOM + 18));
  drawing.append(text("wavelength in pixels", (LEFT + W - RIGHT) / 2, H - 5));
  if (largest(across.map((v, n) => v - down[n])) > 1e-9 * most)
    drawing.append(h("path", { d: line(down), class: "cn-curve-other" }));
  drawing.append(h("path", { d: line(across), class: "cn-curve cn-gain-across" }));
  if (top)
    drawing.append(
      h("circle", { cx: x(Math.min(wave, high)), cy: y(1), r: 6, class: "cn-gain-best" }),
    );
  return drawing;
}
