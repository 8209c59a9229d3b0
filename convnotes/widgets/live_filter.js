// Edit a kernel and see what it makes of a photograph, and which waves it lets through.

import { choice, matrix, options, presetChoice, toggle } from "./kit/controls.js";
import { h } from "./kit/dom.js";
import { change, follow, frame, trait } from "./kit/frame.js";
import { format, sum } from "./kit/numbers.js";
import { grey, outline, photoOf, picture, probe, scaleBar, viridis } from "./kit/pictures.js";
import {
  convolve,
  FLOOR,
  MOST,
  PRESETS,
  reachInside,
  resized,
  SAMPLES,
  spectrum,
  strongest,
  taps,
  torchCode,
  written,
} from "./live_filter.compute.js";

const NAMES = {
  identity: "identity",
  mean: "blur (mean, 3×3)",
  wide: "blur (mean, 7×7)",
  gaussian: "Gaussian (5×5)",
  sharpen: "sharpen",
  "sobel-x": "Sobel x",
  "sobel-y": "Sobel y",
  laplacian: "Laplacian",
  emboss: "emboss",
  row: "row mean (1×7)",
  column: "column mean (7×1)",
  upright: "upright lines",
  level: "level lines",
};

// The spectrum of a kernel as a heat map with its axes and its scale.
function spectrumView() {
  const waves = picture(SAMPLES, SAMPLES, "cn-wide cn-spectrum");
  const bar = scaleBar();
  bar.text.textContent = "dark: a hundredth of the largest, or less; bright: the largest";
  bar.surface.setAttribute("aria-label", bar.text.textContent);
  const ends = (className) =>
    h(
      "div",
      { className: `cn-small cn-ends ${className}`, "aria-hidden": "true" },
      ["−½", "0", "½"].map((text) => h("span", {}, text)),
    );
  waves.el.replaceChildren(
    h("div", { className: "cn-axes" }, ends("cn-down"), waves.holder, h("span"), ends("")),
    waves.text,
    bar.el,
  );
  function show(kernel) {
    const gains = spectrum(kernel, SAMPLES);
    const best = strongest(gains, SAMPLES);
    const colours = new Float32Array(3 * gains.length);
    const bright = (gain) =>
      1 - (best.gain ? Math.max(FLOOR, Math.log10(gain / best.gain + 1e-12)) : FLOOR) / FLOOR;
    gains.forEach((gain, n) =>
      viridis(bright(gain)).forEach((v, c) => {
        colours[c * gains.length + n] = v;
      }),
    );
    waves.paint(colours, 3);
    const fine = Math.hypot(best.down, best.across);
    const period = !best.gain ? "none" : fine ? `${format(1 / fine, 1)} px` : "even light";
    waves.describe(
      `Log magnitude of the kernel's spectrum; what passes strongest: ${period}`,
      "Spectrum",
      " of the kernel, log |ŵ|: frequency down and across, in cycles per pixel. Middle: " +
        "even light; edge: waves of two pixels",
    );
    return [
      period,
      best.gain
        ? `${fine ? "the wave that" : "what"} passes strongest, times ${format(best.gain)}`
        : "passes",
    ];
  }
  return { el: waves.el, show };
}

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const kernel = () => model.get("kernel");
  const put = (rows) => change(model, { kernel: rows });
  const ui = frame(model, el, "live-filter", {
    label: "Edit a kernel and see what it makes of a photograph",
    prompt:
      "Choose a preset or change a tap (type, arrow keys, or drag it up and down): what " +
      "is left of the photograph, and which waves pass?",
    code: () => torchCode(kernel(), height, width, model.get("normalise"), model.get("absolute")),
    initial: {
      kernel: PRESETS["sobel-x"],
      normalise: true,
      absolute: false,
      probe: [...model.get("start")],
    },
  });

  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const waves = spectrumView();
  const field = outline(input);
  ui.body.before(h("div", { className: "cn-pair" }, input.el, output.el));
  ui.stage.append(waves.el);
  const side = (name, label, get, set) =>
    choice({ name, label, options: options([1, 3, 5, 7]), get, set: (n) => put(set(Number(n))) });
  const controls = [
    presetChoice({ options: NAMES, presets: PRESETS, now: kernel, apply: put }),
    side(
      "rows",
      "Rows",
      () => kernel().length,
      (n) => resized(kernel(), n, kernel()[0].length),
    ),
    side(
      "columns",
      "Columns",
      () => kernel()[0].length,
      (n) => resized(kernel(), kernel().length, n),
    ),
    toggle({ ...trait(model, "normalise"), label: "Divide by the sum of the taps' sizes" }),
    toggle({ ...trait(model, "absolute"), label: "Show absolute values" }),
  ];
  const holder = h("div");
  ui.panel.append(...controls.map((c) => c.el), holder);
  const point = probe({
    ...trait(model, "probe"),
    label: "Marked place of the output",
    on: output,
    more: [input],
  });
  const answer = ui.fact("answer");
  const cost = ui.fact("cost");
  const wave = ui.fact("wave");

  let cells = null;
  let shape = "";
  function edit(rows, columns) {
    const names = (n) => Array.from({ length: n }, (_, k) => format(k - (n - 1) / 2));
    cells = matrix({
      name: "tap",
      caption: "Kernel: row and column are counted from the place in the middle",
      rows: names(rows),
      columns: names(columns),
      min: -MOST,
      max: MOST,
      step: 0.5,
      centre: true,
      get: (u, v) => kernel()[u]?.[v] ?? 0,
      set: (u, v, value) => put(kernel().with(u, kernel()[u].with(v, value))),
    });
    cells.el.classList.toggle("cn-matrix-5", columns === 5);
    cells.el.classList.toggle("cn-matrix-7", columns === 7);
    holder.replaceChildren(cells.el);
  }

  function drawOutput(used) {
    const y = convolve(photo, height, width, used);
    const most = reachInside(y, height, width, used) || 1;
    const absolute = model.get("absolute");
    const balanced = Math.abs(sum(used.flat())) < 1e-9;
    output.paint(
      y.map((v) => (absolute ? Math.abs(v) / most : balanced ? grey(v, most) : v)),
      1,
    );
    const scale = absolute
      ? `absolute values, black 0, white ${format(most)} or more`
      : balanced
        ? `grey 0, black ${format(-most)} or less, white ${format(most)} or more`
        : "black 0 or less, white 1 or more";
    output.describe(`The photograph filtered by the kernel; ${scale}`, "Output", `: ${scale}`);
    return y;
  }

  function draw() {
    const raw = kernel();
    const used = taps(raw, model.get("normalise"));
    const absolute = model.get("absolute");
    const [row, column] = model.get("probe");
    const rows = raw.length;
    const columns = raw[0].length;
    if (shape !== `${rows}×${columns}`) edit(rows, columns);
    shape = `${rows}×${columns}`;
    for (const control of [...controls, cells, point]) control.refresh();
    field(
      (row - (rows - 1) / 2) / height,
      (column - (columns - 1) / 2) / width,
      rows / height,
      columns / width,
    );
    input.paint(photo, 1);
    input.describe(
      model.get("alt"),
      "Input",
      `; blue: the ${shape} pixels that the marked place sees`,
    );
    const y = drawOutput(used);
    const passing = waves.show(used);
    const value = y[row * width + column];
    const here = absolute ? Math.abs(value) : value;
    answer(format(here, 3), `the answer at row ${row}, column ${column}`);
    cost(`${shape} = ${rows * columns}`, "taps, and multiply-adds per place");
    wave(...passing);
    const lines = written(photo, height, width, used, [row, column]);
    ui.formula.textContent =
      `y[${row}, ${column}] = ${format(here, 3)} = ` +
      `${absolute ? "the size of " : ""}${rows > 1 ? "\n  " : ""}${lines.join("\n+ ")}`;
    ui.say(`Answer ${format(here, 3)} at the marked place; passes strongest: ${passing[0]}`);
  }
  return follow(model, draw);
}

export default { render };
