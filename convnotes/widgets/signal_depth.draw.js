// The drawings of a signal: its deviation by layer, and histograms.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { BAND, histogram } from "./signal_depth.compute.js";

const WIDE = 340;
const TALL = 320;
const DECADES = 3; // of the axis, on either side of 1
const AREA = chartArea(WIDE, TALL, { left: 52, right: 12, top: 12, bottom: 44 });

export function label(text, x, y, more = {}) {
  return h("text", { x, y, class: "cn-drawing-text cn-signal-label", ...more }, text);
}

// A deviation as a share of the axis: 0 at its lower end, 1 at its upper end, beyond these outside.
function share(value) {
  return 0.5 + Math.log10(Math.max(value, 1e-300)) / (2 * DECADES);
}

// Deviations by layer on a logarithmic axis from 0.001 to 1000, with the band that keeps them. A triangle at an edge
// marks the layer from which a line goes on outside. `held` says whether everything stays inside the band.
export function chart(deviations, gradients, predicted, held, words) {
  const { left, right, top, bottom, y } = AREA;
  const last = deviations.length - 1;
  const x = (l) => left + 10 + (l * (right - left - 20)) / last;
  const drawing = svg(WIDE, TALL, { class: "cn-drawing", label: words });
  const [low, high] = BAND.map((v) => y(share(v)));
  drawing.append(
    rect(left, high, right - left, low - high, `cn-signal-band${held ? " cn-signal-held" : ""}`),
  );
  for (let power = -DECADES; power <= DECADES; power++) {
    const at = y(share(10 ** power));
    const end = { style: { "text-anchor": "end" } };
    drawing.append(
      h("path", { d: `M${left} ${at}H${right}`, class: power ? "cn-ruled" : "cn-signal-one" }),
      label(`${Number(`1e${power}`)}`, left - 6, at, end),
    );
  }
  for (const l of [0, Math.round(last / 2), last])
    drawing.append(label(`${l + 1}`, x(l), bottom + 14));
  drawing.append(label(tr`layer`, (left + right) / 2, bottom + 33));
  const size = { width: right - left, height: bottom - top };
  const inside = h("svg", {
    ...{ x: left, y: top, ...size },
    viewBox: `${left} ${top} ${size.width} ${size.height}`,
  });
  const line = (values, name) =>
    h("path", {
      d: lineThrough(values.map((v, l) => [x(l), y(share(v))])),
      class: `cn-signal-${name}`,
    });
  if (predicted) inside.append(line(predicted, "predicted"));
  inside.append(line(gradients, "back"), line(deviations, "out"));
  drawing.append(inside);
  const mark = (values, shape, name, from) => {
    const out = (v) => share(v) < 0 || share(v) > 1;
    values.forEach((v, l) => {
      if (!out(v)) drawing.append(shape(x(l), y(share(v))));
      else if (l === from || !out(values[l + Math.sign(from - l)]))
        drawing.append(pointer(x(l), share(v) > 1 ? top : bottom, share(v) > 1, name));
    });
  };
  mark(gradients, (cx, cy) => rect(cx - 3, cy - 3, 6, 6, "cn-fill-accent"), "accent", last);
  mark(
    deviations,
    (cx, cy) => h("circle", { cx, cy, r: 3.5, class: "cn-fill-output" }),
    "output",
    0,
  );
  return drawing;
}

function pointer(x, y, up, name) {
  const tip = up ? -9 : 9;
  return h("path", { d: `M${x - 7} ${y}h14L${x} ${y + tip}Z`, class: `cn-fill-${name}` });
}

// Histograms of five layers between −3 and 3 in one row; `ink` is "output" or "accent".
export function histograms(layers, ink, words) {
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
        rect(from + n * bar, tall + 2 - high, Math.max(0.5, bar - 0.4), high, `cn-fill-${ink}`),
      );
    });
    drawing.append(label(k ? `${l + 1}` : tr`layer 1`, from + (bins * bar) / 2, tall + 17));
  });
  return drawing;
}
