// The spectrum of a kernel: how much of each wave passes.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { largest } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { band, gains, WAVES } from "./live_filter.compute.js";

const [W, H] = [340, 216];
const AREA = chartArea(W, H, { left: 34, right: 10, top: 12, bottom: 40 });

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
  const { left, right, top: above, bottom, y } = AREA;
  const x = (v) => AREA.x(Math.log(v / low) / Math.log(high / low));
  const line = (values) => lineThrough(values.map((v, n) => [x(waves[n]), y(v / most)]));
  const drawing = svg(W, H, { class: "cn-drawing", label });
  const within = Math.min(to ?? 0, high);
  if (top)
    drawing.append(
      rect(x(from), above, Math.max(2, x(within) - x(from)), bottom - above, "cn-gain-band"),
    );
  for (const [share, words] of [
    [0, "0"],
    [0.5, "½"],
    [1, "1"],
  ])
    drawing.append(
      h("path", { d: `M${left} ${y(share)}H${right}`, class: "cn-ruled" }),
      text(words, left - 6, y(share) + 5, "end"),
    );
  for (let v = low; v <= high; v *= 2) drawing.append(text(v, x(v), bottom + 18));
  drawing.append(text(tr`wavelength in pixels`, (left + right) / 2, H - 5));
  if (largest(across.map((v, n) => v - down[n])) > 1e-9 * most)
    drawing.append(h("path", { d: line(down), class: "cn-curve-other" }));
  drawing.append(h("path", { d: line(across), class: "cn-curve cn-gain-across" }));
  if (top)
    drawing.append(
      h("circle", { cx: x(Math.min(wave, high)), cy: y(1), r: 6, class: "cn-gain-best" }),
    );
  return drawing;
}
