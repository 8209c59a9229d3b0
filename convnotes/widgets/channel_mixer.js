// Mix the channels of a photograph by a 1×1 kernel.

import {
  accepts,
  counts,
  mix,
  PRESETS,
  permutation,
  permute,
  summary,
  torchCode,
} from "./channel_mixer.compute.js";
import { matrix, presetChoice, slider, toggle } from "./kit/controls.js";
import { h } from "./kit/dom.js";
import { change, follow, frame, trait } from "./kit/frame.js";
import { bracketed, format, percent, short } from "./kit/numbers.js";
import { COLOURS, photoOf, picture, probe } from "./kit/pictures.js";

const NAMES = {
  opponent: "opponent colours",
  identity: "identity",
  luminance: "luminance (1 output)",
  average: "average (1 output)",
  swap: "swap red and blue",
  negative: "negative",
};

const load = ([weight, bias]) => ({ weight, bias });

function render({ model, el }) {
  const { height, width, places, photo } = photoOf(model, Float32Array);
  const scrambled = permute(photo, places, permutation(places));
  const ui = frame(model, el, "channel-mixer", {
    label: "Mix the channels of a photograph by a 1×1 kernel",
    prompt:
      "Change a weight (type it, use the arrow keys, or drag it up and down), then " +
      "scramble the pixels: what does the kernel notice?",
    code: () => torchCode(model.get("weight"), model.get("bias")),
    initial: {
      ...load(PRESETS.opponent),
      scramble: false,
      probe: [Math.floor(height / 2), Math.floor(width / 2)],
    },
  });

  const input = picture(height, width, "cn-input");
  const colour = picture(height, width, "cn-output");
  const maps = [0, 1, 2, 3].map(() => picture(height, width));
  ui.stage.append(...[input, colour, ...maps].map((one) => one.el));
  const controls = [
    presetChoice({
      options: NAMES,
      presets: PRESETS,
      now: () => [model.get("weight"), model.get("bias")],
      apply: (chosen) => change(model, load(chosen)),
    }),
    slider({
      name: "outputs",
      label: "Output channels",
      min: 1,
      max: 4,
      get: () => model.get("weight").length,
      set: resize,
    }),
    toggle({ ...trait(model, "scramble"), label: "Scramble the pixels" }),
  ];
  const holder = h("div");
  const [preset, count, scrambling] = controls;
  ui.lead(colour.el, scrambling);
  ui.panel.append(preset.el, holder);
  ui.more(count);
  const point = probe({ ...trait(model, "probe"), label: "Marked pixel", on: input });
  const parameters = ui.fact("parameters");
  const macs = ui.fact("macs");
  const spread = ui.fact("spread");

  let weights = null;
  let rows = 0;
  function build(outputs) {
    rows = outputs;
    weights = matrix({
      name: "weight",
      caption: "1×1 kernel: each row gives one output channel",
      columns: [...COLOURS, "bias"],
      rows: Array.from({ length: outputs }, (_, o) => `output ${o + 1}`),
      get: (o, c) => (c < 3 ? model.get("weight")[o][c] : model.get("bias")[o]),
      set(o, c, value) {
        const weight = model.get("weight");
        change(
          model,
          c < 3
            ? { weight: weight.with(o, weight[o].with(c, value)) }
            : { bias: model.get("bias").with(o, value) },
        );
      },
    });
    holder.replaceChildren(weights.el);
  }
  function resize(outputs) {
    const weight = model.get("weight").slice(0, outputs);
    const bias = model.get("bias").slice(0, outputs);
    while (weight.length < outputs) {
      weight.push([0, 1, 2].map((c) => (c === weight.length % 3 ? 1 : 0)));
      bias.push(0);
    }
    change(model, { weight, bias });
  }

  function draw() {
    const weight = model.get("weight");
    const bias = model.get("bias");
    const scramble = model.get("scramble");
    const outputs = weight.length;
    if (bias.length !== outputs) return; // between two traits of one change
    if (rows !== outputs) build(outputs);
    const x = scramble ? scrambled : photo;
    const y = mix(x, places, weight, bias);
    const all = summary(y);
    input.paint(x, 3);
    input.describe(
      scramble ? "The photograph with its pixels scrambled" : model.get("alt"),
      "Input",
      " with a marked pixel",
    );
    colour.el.hidden = outputs !== 3;
    if (outputs === 3) {
      colour.paint(y, 3);
      colour.describe(
        "The three output channels shown as red, green and blue",
        "Output",
        " as colour",
        all.outside > 0.0005 ? `, ${percent(all.outside)} clipped` : "",
      );
    }
    maps.forEach((map, o) => {
      map.el.hidden = o >= outputs;
      if (o >= outputs) return;
      map.paint(y.subarray(o * places, (o + 1) * places), 1);
      map.describe(
        `Output channel ${o + 1} in grey`,
        `Output ${o + 1}`,
        o ? "" : " (0 black, 1 white)",
      );
    });
    for (const control of [...controls, weights, point]) control.refresh();
    const here = counts(places, 3, outputs);
    const large = counts(places, 3, outputs, 3);
    parameters(format(here.parameters), `parameters (a 3×3 kernel: ${format(large.parameters)})`);
    macs(
      short(here.macs),
      `multiply-adds on ${height}×${width} pixels (3×3: ${short(large.macs)})`,
    );
    spread(
      `${format(all.mean, 3)} ± ${format(all.deviation, 3)}`,
      "mean ± deviation of the output: scrambling leaves it as it is",
    );
    const [row, column] = model.get("probe");
    const n = row * width + column;
    ui.formula.textContent = weight
      .map((w, o) => {
        const terms = w.map((v, c) => `${bracketed(v)}·${format(x[c * places + n])}`);
        return `y${"₁₂₃₄"[o]} = ${[...terms, bracketed(bias[o])].join(" + ")} = ${format(y[o * places + n], 3)}`;
      })
      .join("\n");
    ui.say(
      `${format(here.parameters)} parameters, ${short(here.macs)} multiply-adds; output mean ${format(all.mean, 3)}`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
