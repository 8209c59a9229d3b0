// Pictures: bytes from Python, canvases with captions and marks, kernels as grids, colours.

import {
  arrowStep,
  caption,
  h,
  movable,
  placeAt,
  pointedAt,
  pointerMoves,
  rect,
  svg,
  tint,
} from "./dom.js";
import { clamp, largest, together } from "./numbers.js";
import { tr } from "./words.js";

export const COLOURS = ["red", "green", "blue"];
const POSITIVE = [230, 159, 0]; // as --cn-positive and --cn-negative
const NEGATIVE = [0, 114, 178];
const RULE = [136, 136, 136, 128];
export const LIGHTNESS = [0.299, 0.587, 0.114];

// Bytes that Python sent, which may lie anywhere in a larger buffer, in a buffer of their own: numbers lie aligned in
// it.
export function ownBuffer(view) {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

// A photograph of bytes as numbers in [0, 1].
export function photograph(view, Numbers = Float64Array) {
  return Numbers.from(new Uint8Array(ownBuffer(view)), (v) => v / 255);
}

// The photograph in a model's traits `image`, `height` and `width`.
export function photoOf(model, Numbers) {
  const [height, width] = [model.get("height"), model.get("width")];
  return { height, width, places: height * width, photo: photograph(model.get("image"), Numbers) };
}

// Add to y what a kernel gives on x, both flat arrays of height × width: Σ_{u,v} kernel[u][v] · x[i + u − ⌊rows/2⌋,
// j + v − ⌊columns/2⌋], with 0 outside x.
export function addFiltered(y, x, height, width, kernel) {
  const top = (kernel.length - 1) / 2;
  const left = (kernel[0].length - 1) / 2;
  kernel.forEach((row, u) =>
    row.forEach((w, v) => {
      if (w === 0) return;
      const dy = u - top;
      const dx = v - left;
      for (let i = Math.max(0, -dy); i < Math.min(height, height - dy); i++) {
        const from = (i + dy) * width + dx;
        for (let j = Math.max(0, -dx); j < Math.min(width, width - dx); j++)
          y[i * width + j] += w * x[from + j];
      }
    }),
  );
  return y;
}

// A signed value as a grey in [0, 1]: 0 lies in the middle, ±most at the ends.
export function grey(value, most) {
  return 0.5 + value / most / 2;
}

// A picture of [C, H, W] values in [0, 1] (C = 1 grey, 3 colour) with its caption; other values are clipped.
export function picture(height, width, className = "") {
  const surface = h("canvas", { width, height, role: "img" });
  const text = h("figcaption");
  const holder = h("div", { className: "cn-surface" }, surface);
  const el = h("figure", { className: `cn-picture ${className}`.trim() }, holder, text);
  function paint(values, channels) {
    const pen = surface.getContext("2d");
    const pixels = pen.createImageData(width, height);
    const count = height * width;
    for (let n = 0; n < count; n++) {
      for (let c = 0; c < 3; c++) {
        const value = values[(channels === 3 ? c : 0) * count + n];
        pixels.data[4 * n + c] = 255 * clamp(value, 0, 1);
      }
      pixels.data[4 * n + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
  }
  // Signed values on the scale of kernels: the ink of the sign, the more opaque the larger, nothing where 0; a rule
  // where there is no number.
  function paintSigned(values, most) {
    const pen = surface.getContext("2d");
    const pixels = pen.createImageData(width, height);
    values.forEach((value, n) => {
      const share = Math.min(1, Math.abs(value) / most);
      const pixel = Number.isNaN(value)
        ? RULE
        : [...(value < 0 ? NEGATIVE : POSITIVE), 255 * share];
      pixels.data.set(pixel, 4 * n);
    });
    pen.putImageData(pixels, 0, 0);
  }
  // In words: what it shows, and a caption with a bold title.
  function describe(alt, title, ...words) {
    surface.setAttribute("aria-label", alt);
    caption(text, title, ...words);
  }
  return { el, holder, surface, text, height, width, paint, paintSigned, describe };
}

// An outline on a picture: a function that moves it, in shares of the picture.
export function outline(on, className = "cn-window") {
  const el = h("div", { className });
  on.holder.append(el);
  return (top, left, height, width) => placeAt(el, { top, left, height, width });
}

// A ring on a picture that a click or the arrow keys move from position to position, with `hover` the mere pointer too.
// `more` are other pictures of the same positions that can be clicked; those in `echo` show the ring as well.
export function probe({ name, label, on, get, set, more = [], echo = [], ...rest }) {
  const { hover = false, height = on.height, width = on.width } = rest;
  const put = ([row, column]) => {
    const position = [clamp(row, 0, height - 1), clamp(column, 0, width - 1)];
    if (String(position) !== String(get())) set(position);
  };
  function keydown(event) {
    const step = arrowStep(event, event.shiftKey ? 10 : 1);
    if (step) put(get().map((at, n) => at + step[n]));
  }
  const ring = h("div", {
    className: "cn-ring",
    ...movable(name),
    on: { keydown },
  });
  on.holder.append(ring);
  const echoes = echo.map(({ holder }) =>
    holder.appendChild(h("div", { className: "cn-ring", "aria-hidden": "true" })),
  );
  for (const { holder, surface } of [on, ...more]) {
    const pick = (event) => {
      const pressed = event.type === "pointerdown" || event.buttons;
      if (!pressed && !(hover && pointerMoves(event))) return;
      const [down, right] = pointedAt(event, surface);
      put([Math.floor(down * height), Math.floor(right * width)]);
    };
    holder.addEventListener("pointerdown", pick);
    holder.addEventListener("pointermove", pick);
  }
  function refresh() {
    const [row, column] = get();
    for (const one of [ring, ...echoes])
      placeAt(one, { top: (row + 0.5) / height, left: (column + 0.5) / width });
    ring.setAttribute("aria-label", tr`${label}: row ${row}, column ${column}`);
  }
  return { refresh };
}

// Where a chart of width × height lies between its margins; `x` and `y` place a share of it, from the left and from
// below.
export function chartArea(width, height, { left, right, top, bottom }) {
  const ends = { right: width - right, bottom: height - bottom };
  return {
    left,
    top,
    ...ends,
    x: (share) => left + share * (ends.right - left),
    y: (share) => ends.bottom - share * (ends.bottom - top),
  };
}

// A kernel as every chapter draws it: a grid, the value of every tap, the centre framed. Up to `most` in size the taps
// share one scale with those of another kernel; without `numbers` the tiles are all.
export function kernelGrid(
  values,
  label,
  { unit = 44, most = largest(values.flat()), numbers = true } = {},
) {
  const rows = values.length;
  const columns = values[0].length;
  const texts = together(values.flat());
  const drawing = svg(columns * unit, rows * unit, { margin: 1.5, class: "cn-kernelgrid", label });
  values.forEach((row, i) =>
    row.forEach((value, j) => {
      const [x, y] = [j * unit, i * unit];
      drawing.append(tile(x, y, unit, value, most));
      if (numbers)
        drawing.append(
          h(
            "text",
            { x: x + unit / 2, y: y + unit / 2, class: "cn-tapvalue" },
            texts[i * columns + j],
          ),
        );
    }),
  );
  if (rows % 2 && columns % 2)
    drawing.append(
      rect(((columns - 1) / 2) * unit, ((rows - 1) / 2) * unit, unit, unit, "cn-centre"),
    );
  return drawing;
}

// The tile of one tap on the scale of signed numbers, `most` being the deepest.
export function tile(x, y, unit, value, most) {
  const el = h("g", { class: "cn-tap" }, rect(x, y, unit, unit, "cn-tile"));
  tint(el, value, most);
  if (el.classList.contains("cn-negative")) {
    const lines = [0.25, 0.5, 0.75].map((t) => {
      const [near, far] = [t * unit, (1 - t) * unit];
      return `M${x} ${y + near}L${x + near} ${y}M${x + unit - far} ${y + unit}L${x + unit} ${y + unit - far}`;
    });
    el.append(
      h("path", { d: `${lines.join("")}M${x} ${y + unit}L${x + unit} ${y}`, class: "cn-hatch" }),
    );
  }
  return el;
}
