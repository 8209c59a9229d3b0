// The drawings of a deformable kernel: its taps on the picture, and the four pixels around one of them.

import { TAPS } from "./deform_sampler.compute.js";
import { h, svg } from "./kit/dom.js";
import { format } from "./kit/numbers.js";

const ACCENT = "#ff8c42";

// The plain grid as squares, the positions that are read as circles, and lines between them; the chosen tap on top.
export function tapsOn(from, at, chosen, dilation) {
  const order = [...TAPS.keys()].sort((a, b) => (a === chosen) - (b === chosen));
  const side = 2 * dilation + 1;
  const moved = (k) => [
    h("rect", {
      x: from[k][1] - 0.22,
      y: from[k][0] - 0.22,
      width: 0.44,
      height: 0.44,
      fill: "none",
      stroke: "#fff",
      "stroke-width": 0.12,
    }),
    h("line", {
      x1: from[k][1],
      y1: from[k][0],
      x2: at[k][1],
      y2: at[k][0],
      stroke: k === chosen ? ACCENT : "#fff",
      "stroke-width": 0.14,
    }),
  ];
  const disc = (k) => {
    const centre = { cx: at[k][1], cy: at[k][0] };
    return [
      h("circle", {
        ...centre,
        r: k === chosen ? 0.5 : 0.36,
        fill: "var(--cn-kernel)",
        stroke: "#000",
        "stroke-width": 0.12,
      }),
      ...(k === chosen
        ? [h("circle", { ...centre, r: 0.62, fill: "none", stroke: "#fff", "stroke-width": 0.14 })]
        : []),
      h("circle", { ...centre, r: 0.95, class: "cn-deform-hold", data: { tap: k } }),
    ];
  };
  return [
    h("rect", {
      x: from[0][1] - 0.5,
      y: from[0][0] - 0.5,
      width: side,
      height: side,
      fill: "none",
      stroke: "#56b4e9",
      "stroke-width": 0.18,
    }),
    ...order.flatMap(moved),
    ...order.flatMap(disc),
  ];
}

// The four pixels around the chosen tap, and the tap between them.
export function closeUp({ corners, below, right }, tap) {
  const unit = 60;
  const label =
    `The four pixels around tap ${tap + 1}: ` +
    `${corners.map((c) => `${format(c.value)} counts ${format(c.share)}`).join(", ")}`;
  const drawing = svg(2 * unit, 2 * unit, { margin: 1, class: "cn-kernelgrid", label });
  corners.forEach(({ value, share, there }, n) => {
    const x = (n % 2) * unit;
    const y = Math.floor(n / 2) * unit;
    const tone = Math.round(255 * value);
    const line = (text, up) =>
      h(
        "text",
        {
          x: x + (n % 2 ? unit - 4 : 4),
          y: y + up,
          fill: value > 0.45 ? "#000" : "#fff",
          "font-size": 11,
          "text-anchor": n % 2 ? "end" : "start",
        },
        text,
      );
    drawing.append(
      h("rect", {
        x,
        y,
        width: unit,
        height: unit,
        fill: there ? `rgb(${tone},${tone},${tone})` : "#000",
        stroke: "var(--cn-muted)",
      }),
      line(there ? format(value) : "0, outside", n < 2 ? 12 : unit - 18),
      line(`× ${format(share)}`, n < 2 ? 24 : unit - 6),
    );
  });
  const centre = { cx: (0.5 + right) * unit, cy: (0.5 + below) * unit };
  drawing.append(
    h("rect", {
      x: unit / 2,
      y: unit / 2,
      width: unit,
      height: unit,
      fill: "none",
      stroke: "var(--cn-accent)",
      "stroke-width": 1.5,
      "stroke-dasharray": "4 3",
    }),
    h("circle", { ...centre, r: 6, fill: "var(--cn-kernel)", stroke: "#000", "stroke-width": 1.5 }),
    h("circle", { ...centre, r: 7.5, fill: "none", stroke: "#fff", "stroke-width": 1.5 }),
  );
  return drawing;
}
