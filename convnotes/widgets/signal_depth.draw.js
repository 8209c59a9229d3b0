// The drawings of a signal: its deviation by layer, and histograms.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { clamp } from "./kit/numbers.js";
import { histogram, scientific } from "./signal_depth.compute.js";

const WIDE = 340;
const DECADES = 10;

export function label(text, x, y, more = {}) {
  return h("text", { x, y, class: "cn-drawing-text cn-signal-label", ...more }, text);
}

// The deviations by layer on a logarithmic axis from 10⁻¹⁰ to 10¹⁰; what lies outside stays at the edge.
export function chart(deviations, gradients, predicted, words) {
  const top = 14;
  const height = 250;
  const left = 46;
  const right = WIDE - 8;
  const last = deviations.length - 1;
  const x = (l) => left + 8 + (l * (right - left - 16)) / last;
  const y = (v) =>
    top +
    height * (0.5 - clamp(Math.log10(Math.max(v, 1e-300)), -DECADES, DECADES) / (2 * DECADES));
  const drawing = svg(WIDE, top + height + 34, { class: "cn-drawing", label: words });
  for (let power = -DECADES; power <= DECADES; power += 5) {
    const at = y(10 ** power);
    const text = power ? scientific(10 ** power).replace("1.0·", "") : "1";
    drawing.append(
      h("line", {
        x1: left,
        x2: right,
        y1: at,
        y2: at,
        class: power ? "cn-ruled" : "cn-signal-one",
      }),
      label(text, left - 6, at, { style: { "text-anchor": "end" } }),
    );
  }
  for (const l of [0, Math.round(last / 2), last])
    drawing.append(label(l ? `${l + 1}` : "layer 1", x(l), top + height + 18));
  const line = (values, name) =>
    h("path", { d: lineThrough(values.map((v, l) => [x(l), y(v)])), class: `cn-signal-${name}` });
  if (predicted) drawing.append(line(predicted, "predicted"));
  drawing.append(line(gradients, "back"), line(deviations, "out"));
  gradients.forEach((v, l) => drawing.append(rect(x(l) - 3, y(v) - 3, 6, 6, "cn-signal-gradient")));
  deviations.forEach((v, l) =>
    drawing.append(h("circle", { cx: x(l), cy: y(v), r: 3.5, class: "cn-signal-output" })),
  );
  return drawing;
}

// Histograms of five layers between −3 and 3 in one row; `kind` is "output" or "gradient".
export function histograms(layers, kind, words) {
  const count = layers.length;
  const bins = 25;
  const reach = 3;
  const tall = 56;
  const chosen = [...new Set([0, 1, 2, 3, 4].map((k) => Math.round((k * (count - 1)) / 4)))];
  const step = WIDE / chosen.length;
  const bar = (step - 10) / bins;
  const drawing = svg(WIDE, tall + 26, { class: "cn-drawing", label: words });
  chosen.forEach((l, k) => {
    const from = k * step + 5;
    drawing.append(
      h("line", {
        x1: from,
        x2: from + bins * bar,
        y1: tall + 2,
        y2: tall + 2,
        class: "cn-signal-ground",
      }),
    );
    histogram(layers[l], reach, bins).forEach((share, n) => {
      const high = tall * Math.min(1, Math.sqrt(share));
      drawing.append(
        rect(from + n * bar, tall + 2 - high, Math.max(0.5, bar - 0.4), high, `cn-signal-${kind}`),
      );
    });
    drawing.append(label(k ? `${l + 1}` : "layer 1", from + (bins * bar) / 2, tall + 17));
  });
  return drawing;
}
