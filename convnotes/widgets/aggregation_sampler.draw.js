// The drawings of a deformable aggregation: its taps on the image, and its masks as bars.

import { SHOWN } from "./aggregation_sampler.compute.js";
import { h, rect, svg } from "./kit/dom.js";
import { largest, together } from "./kit/numbers.js";

export const CHART = { width: 378, height: 150, top: 18, bottom: 130, slot: 42 };

// A disc per tap, its area in proportion to the mask, blue where that is negative; a line from the position to each.
export function tapsOn([i, j], at, masks, chosen) {
  const most = largest(masks);
  const order = [...at.keys()].sort((a, b) => (a === chosen) - (b === chosen));
  const line = (k) =>
    h("line", { x1: j, y1: i, x2: at[k][1], y2: at[k][0], class: "cn-aggregation-line" });
  const disc = (k) => {
    const centre = { cx: at[k][1], cy: at[k][0] };
    const names = ["cn-aggregation-disc"];
    if (masks[k] < 0) names.push("cn-aggregation-negative");
    return [
      h("circle", {
        ...centre,
        r: 0.3 + 1.1 * Math.sqrt(Math.abs(masks[k]) / most),
        class: names.join(" "),
      }),
      h("circle", {
        ...centre,
        r: k === chosen ? 1.7 : 0.25,
        class: k === chosen ? "cn-aggregation-chosen" : "cn-aggregation-point",
      }),
    ];
  };
  return [
    ...order.map(line),
    rect(j - 0.5, i - 0.5, 1, 1, "cn-aggregation-position"),
    ...order.flatMap(disc),
  ];
}

// The height of a mask in the chart, and the mask at a height: from 0 to 1, or from −SHOWN to SHOWN.
export function heightOf(mask, masks) {
  const low = masks === "softmax" ? 0 : -SHOWN;
  const high = masks === "softmax" ? 1 : SHOWN;
  const share = (Math.min(high, Math.max(low, mask)) - low) / (high - low);
  return CHART.bottom - share * (CHART.bottom - CHART.top);
}

export function maskAt(height, masks) {
  const share = (CHART.bottom - height) / (CHART.bottom - CHART.top);
  return masks === "softmax" ? share : SHOWN * (2 * share - 1);
}

// One bar per tap, its mask above it, its number below.
export function bars(values, masks, chosen, label) {
  const zero = heightOf(0, masks);
  const texts = together(values);
  const drawing = svg(CHART.width, CHART.height, { class: "cn-aggregation-bars", label });
  values.forEach((value, k) => {
    const [x, y] = [k * CHART.slot + 6, heightOf(value, masks)];
    const middle = x + (CHART.slot - 12) / 2;
    const text = (words, at) =>
      h("text", { x: middle, y: at, class: "cn-aggregation-text" }, words);
    drawing.append(
      rect(
        x,
        Math.min(y, zero),
        CHART.slot - 12,
        Math.max(1.5, Math.abs(y - zero)),
        `cn-aggregation-bar${value < 0 ? " cn-aggregation-negative" : ""}`,
      ),
      text(texts[k], Math.min(y, zero) - 5),
      text(String(k + 1), CHART.height - 4),
    );
    if (k === chosen)
      drawing.append(
        rect(x - 4, 1, CHART.slot - 4, CHART.height - 2, "cn-aggregation-frame", { rx: 3 }),
      );
  });
  drawing.append(
    h("line", { x1: 0, x2: CHART.width, y1: zero, y2: zero, class: "cn-aggregation-zero" }),
  );
  return drawing;
}
