// Stack layers and watch the receptive field grow.

import {
  accepts,
  canvasSide,
  grow,
  LIMITS,
  PRESETS,
  torchCode,
  touched,
} from "./field_grower.compute.js";
import { COUNTED, sideView, tapGrid } from "./field_grower.draw.js";
import { cell, presetChoice, slider } from "./kit/controls.js";
import { figure, h, table, tableRow } from "./kit/dom.js";
import { follow, frame, trait } from "./kit/frame.js";
import { format, percent, several, sum } from "./kit/numbers.js";

const FIELDS = ["kernel", "stride", "dilation"];
const NAMES = {
  grid: "rates 2, 2, 2",
  hybrid: "rates 1, 2, 5",
  doubling: "rates 1, 2, 4",
  plain: "rates 1, 1, 1",
  strided: "strides 2, 2, 1",
  single: "one 7×7 kernel",
};

function render({ model, el }) {
  const { get: layers, set: put } = trait(model, "layers");
  const ui = frame(model, el, "field-grower", {
    label: "Stack layers and watch the receptive field grow",
    prompt:
      "Three layers of rate 2 leave a grid of holes. Change one of them so that no hole is left.",
    code: () => torchCode(layers()),
    initial: { layers: PRESETS.grid },
  });
  const plane = figure("cn-wide");
  const side = figure("cn-wide");
  const holder = h("div");
  ui.stage.append(plane.el);
  const controls = [
    presetChoice({ options: NAMES, presets: PRESETS, now: layers, apply: put }),
    slider({
      name: "layers",
      label: "Layers",
      min: LIMITS.layers[0],
      max: LIMITS.layers[1],
      get: () => layers().length,
      set: (count) => put(Array.from({ length: count }, (_, n) => [...(layers()[n] ?? [3, 1, 1])])),
    }),
  ];
  ui.lead(plane.el, { el: holder });
  ui.panel.append(...controls.map((c) => c.el), side.el);
  const size = ui.fact("size");
  const share = ui.fact("share");
  const weights = ui.fact("weights");

  let cells = [];
  function build(count) {
    const lines = Array.from({ length: count }, (_, n) =>
      FIELDS.map((name, c) =>
        cell({
          name: `${name}-${n}`,
          label: `layer ${n + 1}, ${name}`,
          min: LIMITS[name][0],
          max: LIMITS[name][1],
          step: 1,
          digits: 0,
          get: () => layers()[n]?.[c] ?? 1,
          set: (value) => {
            if (layers()[n] && layers()[n][c] !== value)
              put(layers().with(n, layers()[n].with(c, value)));
          },
        }),
      ),
    );
    cells = lines.flat();
    holder.replaceChildren(
      table(
        "cn-matrix",
        "The layers, from the input up: type, or use the arrow keys",
        ["", ...FIELDS],
        lines.map((line, n) =>
          tableRow(
            `layer ${n + 1}`,
            line.map((one) => one.el),
          ),
        ),
      ),
    );
  }

  function draw() {
    const now = layers();
    const fields = grow(now);
    const found = touched(now);
    const { stride } = fields.at(-1);
    const wide = canvasSide(now);
    if (cells.length !== 3 * now.length) build(now.length);
    for (const control of [...controls, ...cells]) control.refresh();
    const words =
      `a receptive field of ${found.size} by ${found.size} pixels, ${found.places} of them touched, ` +
      `${found.holes} holes`;
    plane.show(
      tapGrid(now, `The input of ${wide} by ${wide} pixels with ${words}`),
      "Input",
      ` of ${wide}×${wide} pixels. Outline: the receptive field of one output position`,
      wide <= COUNTED ? "; number: the paths from that pixel" : "; deeper: more paths",
      found.holes && wide <= 49 ? "; ×: a hole" : "",
      `. Dashed: the receptive field of the next position, ${several(stride, "pixel")} further.`,
    );
    side.show(
      sideView(
        now,
        `One row of the same, from the output through ${now.length} layers down to ` +
          `${found.along} of ${found.size} pixels`,
      ),
      "One row",
      ", from the output (top) through the layers to the pixels that it reads.",
    );
    size(`${format(found.size)}×${format(found.size)}`, "receptive field, in pixels");
    share(percent(found.share), `of it touched, ${format(found.holes)} holes`);
    weights(
      format(sum(now, ([k]) => k * k)),
      `weights (one kernel of that size: ${format(found.size ** 2)})`,
    );
    const terms = now.map(([k, , d], n) => `${k - 1}·${d}·${n ? fields[n - 1].stride : 1}`);
    ui.formula.textContent =
      `F = 1 + Σ (k − 1)·d·S = 1 + ${terms.join(" + ")} = ${found.size}\n` +
      `touched = (${found.along} of ${found.size} along an axis)² = ` +
      `${format(found.places)} of ${format(found.size ** 2)}\n` +
      "S: the product of the strides of the layers below";
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
