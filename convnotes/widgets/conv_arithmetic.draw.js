// The drawings of a layer's arithmetic: the two grids, the kernel, the channels.

import { extent, outputSize, sizeOf, visits } from "./conv_arithmetic.compute.js";
import { options } from "./kit/controls.js";
import { arrowStep, caption, h, movable, pointedAt, pointerMoves, rect, svg } from "./kit/dom.js";
import { sum } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const UNIT = 40;

function cellText(text, [i, j], className) {
  return h("text", { x: (j + 0.5) * UNIT, y: (i + 0.5) * UNIT, class: className }, text);
}

function kernelText(filled) {
  return `cn-celltext cn-arith-text${filled ? " cn-on-kernel" : ""}`;
}

function box([i, j], [rows, columns], className, inset = 0, more = {}) {
  const gap = 2 * inset;
  return rect(
    j * UNIT + inset,
    i * UNIT + inset,
    columns * UNIT - gap,
    rows * UNIT - gap,
    className,
    more,
  );
}

function mesh([i0, i1], [j0, j1]) {
  const across = Array.from(
    { length: i1 - i0 + 1 },
    (_, n) => `M${j0 * UNIT} ${(i0 + n) * UNIT}H${j1 * UNIT}`,
  );
  const down = Array.from(
    { length: j1 - j0 + 1 },
    (_, n) => `M${(j0 + n) * UNIT} ${i0 * UNIT}V${i1 * UNIT}`,
  );
  return [...across, ...down].join("");
}

// One grid. `marks` are the taps that are drawn on it, `lines` how many taps each position is joined to along both
// axes.
function drawGrid(drawing, layer, side, { marks = [], chosen, numbers, legible, lines }) {
  const size = sizeOf(layer, side);
  const [ys, xs] = extent(layer, side);
  drawing.setAttribute(
    "viewBox",
    `${xs[0] * UNIT - 3} ${ys[0] * UNIT - 3} ${(xs[1] - xs[0]) * UNIT + 6} ${(ys[1] - ys[0]) * UNIT + 6}`,
  );
  const parts = [
    h("path", { d: mesh(ys, xs), class: "cn-arith-outer" }),
    box([0, 0], size, "cn-arith-paper"),
    box([0, 0], size, "cn-arith-area"),
  ];
  const each = lines ? lines[0].flatMap((a, i) => lines[1].map((b, j) => [[i, j], a * b])) : [];
  const joined = each.filter(([, n]) => n);
  const peak = Math.max(1, ...joined.map(([, n]) => n));
  if (numbers)
    parts.push(
      ...joined.map(([place, n]) =>
        box(place, [1, 1], "cn-arith-count", 0, { "fill-opacity": ((0.6 * n) / peak).toFixed(2) }),
      ),
    );
  parts.push(h("path", { d: mesh([0, size[0]], [0, size[1]]), class: "cn-ruled" }));
  const crosses = each
    .filter(([, n]) => !n)
    .map(([[i, j]]) => `M${j * UNIT + 11} ${i * UNIT + 11}l18 18m0 -18l-18 18`)
    .join("");
  if (crosses) parts.push(h("path", { d: crosses, class: "cn-arith-unread" }));
  for (const { tap, place, inside } of marks) {
    parts.push(box(place, [1, 1], inside ? "cn-arith-tap" : "cn-arith-tap cn-arith-outside", 3));
    if (legible && !(lines && numbers && inside))
      parts.push(cellText(tap.join(","), place, kernelText(inside)));
  }
  if (numbers && legible)
    parts.push(
      ...joined.map(([place, n]) =>
        cellText(n, place, "cn-celltext cn-arith-text cn-arith-number"),
      ),
    );
  parts.push(box([0, 0], size, "cn-arith-edge"));
  if (chosen) parts.push(box(chosen, [1, 1], "cn-arith-chosen", 3));
  drawing.replaceChildren(...parts);
}

// The kernel; the taps in use for the chosen position are filled.
export function drawKernel({ kernel: [rows, columns] }, marks) {
  const live = new Set(marks.map(({ tap }) => String(tap)));
  const drawing = svg(columns * UNIT, rows * UNIT, {
    margin: 3,
    class: "cn-arith-kernel",
    style: { "--cells": columns },
    label: tr`Kernel of ${rows} by ${columns} taps, ${live.size} of them in use for the chosen position`,
  });
  for (let u = 0; u < rows; u++)
    for (let v = 0; v < columns; v++) {
      const used = live.has(`${u},${v}`);
      drawing.append(
        box([u, v], [1, 1], used ? "cn-arith-tap" : "cn-arith-none"),
        cellText(`${u},${v}`, [u, v], kernelText(used)),
      );
    }
  if (rows % 2 && columns % 2)
    drawing.append(box([(rows - 1) / 2, (columns - 1) / 2], [1, 1], "cn-centre", 3));
  return drawing;
}

// Which channels see which: input channels across, output channels down, one orange block per group.
export function drawChannels({ channels: [C, O], groups }) {
  const whole = C % groups === 0 && O % groups === 0;
  const step = 120 / groups;
  const every = (count, line) =>
    count <= 32
      ? Array.from({ length: count - 1 }, (_, n) => line(((n + 1) * 120) / count)).join("")
      : "";
  const drawing = svg(
    120,
    120,
    {
      margin: 2,
      class: "cn-drawing cn-arith-plan",
      label: whole
        ? tr`Each of ${O} output channels sees ${C / groups} of ${C} input channels`
        : tr`Each of ${O} output channels sees no whole number of ${C} input channels`,
    },
    rect(0, 0, 120, 120, "cn-arith-none"),
  );
  if (whole)
    for (let g = 0; g < groups; g++)
      drawing.append(rect(g * step, g * step, step, step, "cn-arith-group"));
  drawing.append(
    h("path", {
      d: every(C, (x) => `M${x} 0V120`) + every(O, (y) => `M0 ${y}H120`),
      class: "cn-arith-pair",
    }),
  );
  return drawing;
}

// One of the two grids with a chosen position: the pointer and the arrow keys move it. `at(side)` is the position from
// which the arrow keys start, `put` moves it.
export function gridView(side, { layer, at, put }) {
  const drawing = h("svg", { class: `cn-drawing cn-of-${side}`, "aria-hidden": "true" });
  const text = h("figcaption");
  function keydown(event) {
    const step = arrowStep(event);
    const from = at(side);
    if (step)
      put(
        side,
        from.map((v, a) => v + step[a]),
      );
  }
  function pick(event) {
    const now = layer();
    const move = event.type === "pointermove";
    if (move && !event.buttons && !(event.pointerType === "mouse" && pointerMoves(event))) return;
    if (!outputSize(now)) return;
    const shares = pointedAt(event, drawing);
    const size = sizeOf(now, side);
    const position = extent(now, side).map(
      ([from, to], a) => from + Math.floor(shares[a] * (to - from)),
    );
    if (move && position.some((v, a) => v < 0 || v >= size[a])) return;
    put(side, position);
  }
  const holder = h(
    "div",
    {
      className: "cn-arith-holder",
      ...movable(`probe-${side}`),
      on: { keydown, pointerdown: pick, pointermove: pick },
    },
    drawing,
  );
  return {
    drawing,
    holder,
    text,
    el: h("figure", { className: "cn-picture cn-arith-grid" }, holder, text),
  };
}

// Both grids, made of `gridView`: in one of them the chosen position, in the other the taps that it is joined to.
export function drawGrids(grids, now, { side, place, marks, numbers }) {
  const fine = now.transposed ? "output" : "input";
  const out = outputSize(now);
  const counted = out && visits(now);
  const wide = options(out ? ["input", "output"] : ["input"], (s) => {
    const [, [from, to]] = extent(now, s);
    return to - from;
  });
  const total = sum(Object.values(wide));
  const most = Math.max(...Object.values(wide));
  for (const [s, view] of Object.entries(grids)) {
    view.el.hidden = s === "output" && !out;
    if (view.el.hidden) continue;
    drawGrid(view.drawing, now, s, {
      marks: s === side ? [] : marks,
      chosen: s === side && out ? place : null,
      numbers,
      legible: total <= 16,
      lines: s === fine ? counted : null,
    });
    for (const [key, value] of Object.entries({
      "--cells": wide[s],
      "--all": total,
      "--most": most,
    }))
      view.el.style.setProperty(key, value);
    const size = sizeOf(now, s);
    const title = s === "input" ? tr`Input` : tr`Output`;
    const around = s === fine && Math.max(...now.padding) > 0;
    const margin = now.transposed ? tr`; around it: cut off` : tr`; around it: zeros`;
    caption(view.text, title, ` ${size.join("×")}`, around ? margin : "");
    const [row, column] = place;
    view.holder.setAttribute(
      "aria-label",
      s === side
        ? tr`${title} of ${size[0]} by ${size[1]}, chosen: row ${row}, column ${column}`
        : tr`${title} of ${size[0]} by ${size[1]}, chosen: in the other grid, row ${row}, column ${column}`,
    );
  }
}
