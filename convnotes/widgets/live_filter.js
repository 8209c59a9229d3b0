// Make a kernel larger and see what it makes of a photograph, and which waves it passes.

import { choice, matrix, options, ranged } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, largest, sum } from "./kit/numbers.js";
import { grey, kernelGrid, outline, photoOf, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  BY_HAND,
  band,
  bandInWords,
  convolve,
  KINDS,
  MOST,
  made,
  SHAPES,
  SIZE,
  torchCode,
  written,
} from "./live_filter.compute.js";
import { spectrum } from "./live_filter.draw.js";

const SHAPED = { square: tr`square, k×k`, row: tr`row, 1×k`, column: tr`column, k×1` };
const NAMES = {
  blur: tr`blur`,
  derivative: tr`derivative`,
  "centre-surround": tr`centre-surround`,
  hand: tr`by hand`,
};

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const now = () => traits(model, ["kind", "size", "shape", "kernel"]);
  const kernel = () => {
    const { kind, size, shape } = now();
    return kind === "hand" ? now().kernel : made(kind, size, shape);
  };
  const ui = frame(model, el, "live-filter", {
    label: tr`Make a kernel larger and see which waves it passes`,
    prompt: tr`Make the kernel larger: what is left of the photograph, and which waves still pass?`,
    code: () => torchCode(now(), height, width),
    initial: structuredClone({ ...now(), probe: model.get("probe") }),
  });

  const input = picture(height, width, "cn-input cn-wide");
  const output = picture(height, width, "cn-output");
  const waves = figure();
  const taps = figure();
  const seen = outline(input);
  const pair = h("div", { className: "cn-pair" }, output.el, waves.el);
  ui.body.before(pair);
  const side = ranged(model, "size", tr`Size k`, SIZE, { step: 2 });
  const kind = choice({
    ...trait(model, "kind"),
    label: tr`Kernel`,
    options: options(KINDS, (name) => NAMES[name]),
    set: (name) => {
      const few = kernel().length <= BY_HAND && kernel()[0].length <= BY_HAND;
      change(model, name === "hand" && few ? { kernel: rounded(), kind: name } : { kind: name });
    },
  });
  const shape = choice({
    ...trait(model, "shape"),
    label: tr`Shape`,
    options: options(SHAPES, (name) => SHAPED[name]),
  });
  ui.lead(pair, side, kind);
  ui.stage.append(input.el);
  const holder = h("div");
  ui.panel.append(shape.el, taps.el);
  ui.more(holder);
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Marked position of the output`,
    on: output,
    more: [input],
  });
  const wave = ui.fact("wave");
  const cost = ui.fact("cost");
  const answer = ui.fact("answer");

  // The kernel with numbers that can be read and typed.
  function rounded() {
    return kernel().map((row) => row.map((w) => Math.round(w * 1e3) / 1e3));
  }

  let cells = null;
  let built = "";
  function edit(rows, columns) {
    if (built === `${rows}×${columns}`) return;
    built = `${rows}×${columns}`;
    const names = (n) => Array.from({ length: n }, (_, k) => format(k - (n - 1) / 2));
    cells =
      Math.max(rows, columns) > BY_HAND
        ? null
        : matrix({
            name: "tap",
            caption: tr`Change a tap: type, arrow keys, or drag it up and down`,
            rows: names(rows),
            columns: names(columns),
            min: -MOST,
            max: MOST,
            step: 0.05,
            centre: true,
            get: (u, v) => kernel()[u]?.[v] ?? 0,
            set: (u, v, value) => {
              if (kernel()[u][v] === value) return;
              const next = rounded();
              change(model, { kernel: next.with(u, next[u].with(v, value)), kind: "hand" });
            },
          });
    holder.replaceChildren(
      cells?.el ?? h("p", { className: "cn-small" }, tr`Taps can be changed up to 7×7.`),
    );
    cells?.el.classList.toggle("cn-matrix-5", columns === 5);
    cells?.el.classList.toggle("cn-matrix-7", columns === 7);
  }

  function drawOutput(used) {
    const y = convolve(photo, height, width, used);
    const balanced = Math.abs(sum(used.flat())) < 1e-9;
    const most = largest(y);
    output.paint(balanced ? y.map((v) => grey(v, most)) : y, 1);
    const scale = balanced
      ? tr`grey 0, black ${format(-most)}, white ${format(most)}`
      : tr`black 0, white 1`;
    output.describe(
      tr`The photograph filtered by the kernel; ${scale}`,
      tr`Output`,
      tr`: ${scale}`,
    );
    return y;
  }

  function draw() {
    const used = kernel();
    const [rows, columns] = [used.length, used[0].length];
    const [row, column] = model.get("probe");
    const size = `${rows}×${columns}`;
    edit(rows, columns);
    for (const control of [side, kind, shape, point, cells]) control?.refresh();
    side.input.disabled = shape.input.disabled = now().kind === "hand";
    input.paint(photo, 1);
    input.describe(
      inWords(model.get("alt")),
      tr`Input`,
      tr`; blue: the ${size} pixels that the ring's output reads`,
    );
    seen(
      (row - (rows - 1) / 2) / height,
      (column - (columns - 1) / 2) / width,
      rows / height,
      columns / width,
    );
    taps.show(
      kernelGrid(used, tr`The kernel of ${size} taps`, {
        unit: 60,
        numbers: Math.max(rows, columns) <= 5,
      }),
      tr`Kernel`,
      tr` ${size}; orange positive, blue negative`,
    );
    const passing = band(used);
    const words = bandInWords(passing);
    const best = passing.wave === Infinity ? tr`even light` : `${format(passing.wave, 1)} px`;
    const strongest = passing.top ? tr`; strongest: ${best}, gain ${format(passing.top, 2)}` : "";
    const passes = {
      across: tr`wavelengths across that pass at half of the largest gain or more`,
      down: tr`wavelengths down that pass at half of the largest gain or more`,
    };
    waves.show(
      spectrum(
        used,
        tr`Gain against wavelength: half of the largest or more for waves of ${words}${strongest}`,
      ),
      tr`Spectrum`,
      tr`: the share of the largest gain, waves across (dashed: down, where it differs). Shaded: half or more`,
    );
    const y = drawOutput(used);
    const value = format(y[row * width + column], 3);
    const plain = tr`wavelengths that pass at half of the largest gain or more`;
    wave(words, `${passes[passing.along] ?? plain}${strongest}`);
    cost(`${size} = ${rows * columns}`, tr`taps, and multiply-adds per output`);
    answer(value, tr`output at the ring, row ${row}, column ${column}`);
    ui.formula.textContent =
      rows * columns > 15
        ? tr`y[${row}, ${column}] = Σ of ${rows * columns} products = ${value}`
        : `y[${row}, ${column}] = ${value} = ${rows > 1 ? "\n  " : ""}` +
          `${written(photo, height, width, used, [row, column]).join("\n+ ")}`;
    ui.say(tr`${size}: passes waves of ${words}${strongest}; output ${value} at the ring`);
  }
  return follow(model, draw, accepts);
}

export default { render };
