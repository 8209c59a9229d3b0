// The drawings of a deformable kernel: its taps on the image, what they read, and the four pixels around one of them.

import { TAPS } from "./deform_sampler.compute.js";
import { h, rect, svg } from "./kit/dom.js";
import { format, together } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

// The plain grid as squares, the positions that are read as open rings, so that the pixel below stays in sight, and
// lines between them; the chosen tap on top.
export function tapsOn(from, at, chosen) {
  const order = [...TAPS.keys()].sort((a, b) => (a === chosen) - (b === chosen));
  const square = (k) => rect(from[k][1] - 0.5, from[k][0] - 0.5, 1, 1, "cn-deform-plain");
  const line = (k) =>
    h("line", {
      x1: from[k][1],
      y1: from[k][0],
      x2: at[k][1],
      y2: at[k][0],
      class: k === chosen ? "cn-deform-line cn-deform-chosen" : "cn-deform-line",
    });
  const ring = (k) => {
    const centre = { cx: at[k][1], cy: at[k][0], r: k === chosen ? 0.8 : 0.6 };
    return [
      h("circle", { ...centre, class: "cn-deform-casing" }),
      h("circle", {
        ...centre,
        class: k === chosen ? "cn-deform-ring cn-deform-chosen" : "cn-deform-ring",
      }),
    ];
  };
  return [...order.map(square), ...order.map(line), ...order.flatMap(ring)];
}

// Nine readings as an image of 3×3 pixels with their values; `chosen` is −1 where none is framed.
export function thumbnail(values, chosen, label) {
  const unit = 44;
  const texts = together(values);
  const drawing = svg(3 * unit, 3 * unit, { margin: 2, class: "cn-deform-thumbnail", label });
  values.forEach((value, k) => {
    const [x, y] = [(k % 3) * unit, Math.floor(k / 3) * unit];
    drawing.append(
      toned(x, y, unit, value),
      h(
        "text",
        { x: x + unit / 2, y: y + unit / 2, class: "cn-deform-value", fill: ink(value) },
        texts[k],
      ),
    );
  });
  const [x, y] = [(chosen % 3) * unit, Math.floor(chosen / 3) * unit];
  if (chosen >= 0) drawing.append(rect(x, y, unit, unit, "cn-centre"));
  return drawing;
}

const ink = (value) => (value > 0.45 ? "#000" : "#fff");

function toned(x, y, unit, value) {
  const tone = Math.round(255 * value);
  return rect(x, y, unit, unit, "cn-deform-tone", { fill: `rgb(${tone},${tone},${tone})` });
}

// The four pixels around the chosen tap, and the tap between them.
export function closeUp({ corners, below, right }, tap) {
  const unit = 70;
  const each = corners.map((c) => tr`${format(c.value)} counts ${format(c.share)}`);
  const label = tr`The four pixels around tap ${tap + 1}: ${each.join(tr`, `)}`;
  const drawing = svg(2 * unit, 2 * unit, { margin: 1, class: "cn-deform-close", label });
  corners.forEach(({ value, share, there }, n) => {
    const x = (n % 2) * unit;
    const y = Math.floor(n / 2) * unit;
    const line = (text, up) =>
      h(
        "text",
        {
          x: x + (n % 2 ? unit - 4 : 4),
          y: y + up,
          fill: ink(there ? value : 0),
          "font-size": 13,
          "text-anchor": n % 2 ? "end" : "start",
        },
        text,
      );
    drawing.append(
      toned(x, y, unit, there ? value : 0),
      line(there ? format(value) : tr`0, outside`, n < 2 ? 14 : unit - 20),
      line(`× ${format(share)}`, n < 2 ? 28 : unit - 6),
    );
  });
  const centre = { cx: (0.5 + right) * unit, cy: (0.5 + below) * unit, r: 7 };
  drawing.append(
    rect(unit / 2, unit / 2, unit, unit, "cn-deform-between"),
    h("circle", { ...centre, class: "cn-deform-casing cn-deform-large" }),
    h("circle", { ...centre, class: "cn-deform-ring cn-deform-large" }),
  );
  return drawing;
}
