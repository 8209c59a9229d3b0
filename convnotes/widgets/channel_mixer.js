// Mix the channels of a photograph by a 1×1 kernel.

import {
  accepts,
  counts,
  inverse,
  mix,
  PRESETS,
  permutation,
  permute,
  summary,
  torchCode,
} from "./channel_mixer.compute.js";
import { choice, matrix, options, presetChoice, slider, toggle } from "./kit/controls.js";
import { h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { bracketed, format, percent, short } from "./kit/numbers.js";
import { photoOf, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const NAMES = {
  opponent: tr`opponent colours`,
  identity: tr`identity`,
  luminance: tr`luminance (1 output)`,
  average: tr`average (1 output)`,
  swap: tr`swap red and blue`,
  negative: tr`negative`,
};

const load = ([weight, bias]) => ({ weight, bias });

function render({ model, el }) {
  const { height, width, places, photo } = photoOf(model, Float32Array);
  const order = permutation(places);
  const scrambled = permute(photo, places, order);
  const back = inverse(order);
  const names = ["weight", "bias", "scramble", "probe", "row"];
  const ui = frame(model, el, "channel-mixer", {
    label: tr`Mix the channels of a photograph by a 1×1 kernel`,
    prompt: tr`Scramble the pixels: does the kernel notice? The ring stays on its pixel.`,
    code: () => torchCode(model.get("weight"), model.get("bias")),
    initial: structuredClone(traits(model, names)),
  });
  // The chosen row of the kernel; there may be fewer rows than before.
  const chosen = () => Math.min(model.get("row"), model.get("weight").length - 1);
  // Where a pixel of the photograph is shown, and which pixel is shown at a position.
  const moved = ([row, column], by) => {
    if (!model.get("scramble")) return [row, column];
    const at = by[row * width + column];
    return [Math.floor(at / width), at % width];
  };

  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const pair = h("div", { className: "cn-mixer-pair" }, input.el, output.el);
  ui.body.before(pair);
  const colour = picture(height, width);
  const maps = [0, 1, 2, 3].map(() => picture(height, width));
  ui.stage.append(...[...maps, colour].map((one) => one.el));
  maps.forEach((map, o) => {
    map.holder.addEventListener("click", () => change(model, { row: o }));
  });
  const controls = [
    toggle({ ...trait(model, "scramble"), label: tr`Scramble the pixels` }),
    choice({
      ...trait(model, "row", Number),
      label: tr`Row of the kernel`,
      options: {},
      get: chosen,
    }),
    presetChoice({
      options: NAMES,
      presets: PRESETS,
      now: () => [model.get("weight"), model.get("bias")],
      apply: (preset) => change(model, load(preset)),
    }),
    slider({
      name: "outputs",
      label: tr`Output channels`,
      min: 1,
      max: 4,
      get: () => model.get("weight").length,
      set: resize,
    }),
  ];
  const [scrambling, line, preset, count] = controls;
  const holder = h("div");
  ui.lead(pair, scrambling, line);
  ui.panel.append(holder, preset.el);
  ui.more(count);
  const point = probe({
    name: "probe",
    label: tr`Marked pixel`,
    on: input,
    more: [output],
    echo: [output],
    get: () => moved(model.get("probe"), back),
    set: (position) => change(model, { probe: moved(position, order) }),
  });
  const answer = ui.fact("answer", "pixel");
  const spread = ui.fact("spread");
  const parameters = ui.fact("parameters");

  let weights = null;
  let rows = 0;
  function build(outputs) {
    rows = outputs;
    line.offer(
      options(
        Array.from({ length: outputs }, (_, o) => o),
        (o) => tr`output ${o + 1}`,
      ),
    );
    weights = matrix({
      name: "weight",
      caption: tr`1×1 kernel: each row gives one output channel`,
      columns: [tr`red`, tr`green`, tr`blue`, tr`bias`],
      rows: Array.from({ length: outputs }, (_, o) => tr`output ${o + 1}`),
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
    [...weights.el.tBodies[0].rows].forEach((one, o) => {
      one.addEventListener("focusin", () => chosen() !== o && change(model, { row: o }));
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
    const { weight, bias, scramble, probe: pixel } = traits(model, names);
    const outputs = weight.length;
    if (bias.length !== outputs) return; // between two traits of one change
    if (rows !== outputs) build(outputs);
    const x = scramble ? scrambled : photo;
    const y = mix(x, places, weight, bias);
    const o = chosen();
    input.paint(x, 3);
    input.describe(
      scramble ? tr`The photograph with its pixels scrambled` : inWords(model.get("alt")),
      tr`Input`,
      tr`: the ring marks a pixel`,
    );
    const map = (n) => y.subarray(n * places, (n + 1) * places);
    output.paint(map(o), 1);
    output.describe(
      tr`Output channel ${o + 1} in grey, 0 black and 1 white`,
      tr`Output ${o + 1}`,
      tr`, made by the framed row (0 black, 1 white)`,
    );
    const { outside } = summary(y);
    colour.el.hidden = outputs !== 3;
    if (outputs === 3) {
      colour.paint(y, 3);
      colour.describe(
        tr`The three output channels shown as red, green and blue`,
        tr`All three`,
        tr` as colour`,
        outside > 0.0005 ? tr`, ${percent(outside)} clipped` : "",
      );
    }
    maps.forEach((one, n) => {
      one.el.hidden = n >= outputs || outputs === 1;
      one.el.classList.toggle("cn-mixer-chosen", n === o);
      if (n >= outputs) return;
      one.paint(map(n), 1);
      one.describe(tr`Output channel ${n + 1} in grey`, tr`Output ${n + 1}`);
    });
    [...weights.el.tBodies[0].rows].forEach((one, n) => {
      one.classList.toggle("cn-mixer-chosen", n === o);
    });
    for (const control of [...controls, weights, point]) control.refresh();
    const at = pixel[0] * width + pixel[1];
    const here = weight.map((w, n) => {
      const values = w.map((v, c) => v * photo[c * places + at]);
      return values.reduce((total, v) => total + v, bias[n]);
    });
    const value = format(here[o], 3);
    const [row, column] = moved(pixel, back);
    answer(value, tr`output ${o + 1} at the ring, row ${row}, column ${column}`);
    const [small, large] = [1, 3].map((size) => counts(places, 3, outputs, size));
    parameters(
      format(small.parameters),
      tr`parameters and ${short(small.macs)} multiply-adds ` +
        tr`(a 3×3 kernel: ${format(large.parameters)} and ${short(large.macs)})`,
    );
    const { mean, deviation } = summary(map(o));
    spread(
      `${format(mean, 3)} ± ${format(deviation, 3)}`,
      tr`mean ± standard deviation of output ${o + 1}`,
    );
    ui.formula.textContent = weight
      .map((w, n) => {
        const terms = w.map((v, c) => `${bracketed(v)}·${format(photo[c * places + at], 3)}`);
        const sum = [...terms, bracketed(bias[n])].join(" + ");
        return `${n === o ? "→" : " "} y${"₁₂₃₄"[n]} = ${sum} = ${format(here[n], 3)}`;
      })
      .join("\n");
    ui.say(tr`Output ${o + 1} is ${value} at the ring, row ${row}, column ${column}`);
  }
  return follow(model, draw, accepts);
}

export default { render };
