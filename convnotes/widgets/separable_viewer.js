// The kernels of one input channel as a multiplication table: a stencil times a number per output, and what is left.

import { choice, matrix, options, ranged } from "./kit/controls.js";
import { h, table, tableRow } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { added, format, largest, percent, several } from "./kit/numbers.js";
import { kernelGrid, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  attainable,
  convolve,
  distance,
  firstStencil,
  full,
  LAYERS,
  leftOver,
  MOST,
  pairOf,
  product,
  TARGETS,
  torchCode,
} from "./separable_viewer.compute.js";

const WANTED = {
  edges: tr`three edges`,
  shifts: tr`brightness shifted`,
  fringes: tr`colours shifted`,
  blur: tr`blur`,
};
const FIRST = {
  best: tr`best fit`,
  across: tr`edge across`,
  down: tr`edge down`,
  between: tr`edge between`,
  blur: tr`blur`,
  hand: tr`by hand`,
};
const INPUTS = [tr`red`, tr`green`, tr`blue`];

function render({ model, el }) {
  const { height, width, photo } = photoOf(model, Float32Array);
  const names = ["target", "layers", "stencil", "taps", "channel"];
  const now = () => traits(model, names);
  const pair = () => {
    const { target, layers, stencil, taps } = now();
    return pairOf(TARGETS[target][0], layers, firstStencil(stencil, taps));
  };
  const ui = frame(model, el, "separable-viewer", {
    label: tr`Make the kernels of an input channel from stencils`,
    prompt:
      tr`Three outputs share one stencil per input channel. ` +
      tr`How many stencils does it take until nothing is left over?`,
    code: () => torchCode(pair(), TARGETS[model.get("target")][1]),
    initial: structuredClone(now()),
  });

  const products = h("div", { className: "cn-separable" });
  ui.body.before(products);
  const controls = [
    ranged(model, "layers", tr`Stencils m`, LAYERS),
    choice({ ...trait(model, "target"), label: tr`Target`, options: WANTED }),
    choice({
      ...trait(model, "channel", Number),
      label: tr`Channel`,
      options: options([0, 1, 2], (c) => INPUTS[c]),
    }),
    choice({
      ...trait(model, "stencil"),
      label: tr`Stencil 1`,
      options: FIRST,
      set: (name) =>
        change(model, name === "hand" ? { taps: rounded(), stencil: name } : { stencil: name }),
    }),
  ];
  const [layers, target, ...others] = controls;
  ui.lead(products, layers, target);
  const [made, wanted] = [0, 1].map(() => picture(height, width, "cn-output"));
  ui.stage.append(made.el, wanted.el);
  const holder = h("div");
  const taps = matrix({
    name: "taps",
    caption: tr`Change a tap of stencil 1: type, arrow keys, or drag it up and down`,
    columns: [tr`left`, tr`middle`, tr`right`],
    rows: [tr`above`, tr`middle`, tr`below`],
    centre: true,
    min: -MOST,
    max: MOST,
    get: (u, v) => model.get("taps")[u][v],
    set: (u, v, value) => {
      const old = model.get("taps");
      change(model, { taps: old.with(u, old[u].with(v, value)) });
    },
  });
  ui.panel.append(...others.map((control) => control.el), holder);
  const share = ui.fact("share", "best");
  const rank = ui.fact("rank", "shares");

  // The first stencil that is shown, with taps that can be typed.
  function rounded() {
    const [{ stencil }] = pair()[model.get("channel")];
    return stencil.map((row) => row.map((v) => Math.round(v * 100) / 100));
  }

  function draw() {
    const { channel, stencil, target: name } = now();
    const [kernels, bias] = TARGETS[name];
    const stack = pair();
    const weight = full(stack);
    for (const control of [...controls, taps]) control.refresh();
    const byHand = stencil === "hand";
    if (byHand !== holder.hasChildNodes()) holder.replaceChildren(...(byHand ? [taps.el] : []));
    products.replaceChildren(
      multiplication(
        kernels.map((one) => one[channel]),
        stack[channel],
        INPUTS[channel],
      ),
    );
    const alt = inWords(model.get("alt"));
    const filtered = [
      tr`${alt}, filtered by the separable layer; its three outputs as red, green and blue`,
      tr`${alt}, filtered by the target; its three outputs as red, green and blue`,
    ];
    for (const [one, kernel, words, title] of [
      [made, weight, filtered[0], tr`Output of the separable layer`],
      [wanted, kernels, filtered[1], tr`Output of the target`],
    ]) {
      one.paint(convolve(photo, height, width, kernel, bias), 3);
      one.describe(words, title);
    }
    const { error, whole } = distance(weight, kernels);
    const { ranks, shares } = attainable(kernels);
    const used = model.get("layers");
    const reached = percent(1 - error / whole);
    share(
      reached,
      tr`of the target's squared size is made; at most ${percent(shares[used - 1])} with m = ${used}`,
    );
    const [one, two, three] = shares.map((part) => percent(part));
    rank(
      tr`rank ${ranks[channel]}`,
      tr`of the kernels that read ${INPUTS[channel]}. ` +
        tr`Best possible over all channels: ${one} with m = 1, ${two} with m = 2, ${three} with m = 3`,
    );
    ui.formula.textContent = [
      ...kernels.map((_, o) => `W[${o + 1}, ${INPUTS[channel]}] = ${written(stack[channel], o)}`),
      `${tr`share`} = 1 − ‖W − T‖² / ‖T‖² = 1 − ${format(error, 3)} / ${format(whole, 3)}`,
    ].join("\n");
    const stencils = several(used, tr`stencil`, tr`stencils`);
    ui.say(tr`${reached} of the target is made with ${stencils} per channel`);
  }
  return follow(model, draw, accepts);
}

function written(layers, output) {
  return layers
    .map(({ numbers }, n) => {
      const number = n ? added(numbers[output]) : format(numbers[output]);
      return `${number} · ${tr`stencil ${n + 1}`}`;
    })
    .join(" ");
}

// Rows that are subtracted: the target, number × stencil of each layer, what is left over. A column per output.
function multiplication(kernels, layers, colour) {
  const rest = kernels.map((kernel, o) => leftOver(kernel, layers, o));
  const shown = layers.map((layer) => kernels.map((_, o) => product(layer, o)));
  const most = largest([kernels, rest, shown].flat(4)); // one scale, so that equal numbers look alike
  const grid = (values, label, scale = most) => kernelGrid(values, label, { most: scale });
  const row = (name, values, words) =>
    tableRow(
      name,
      values.map((kernel, o) => grid(kernel, words(o + 1))),
    );
  const slots = Array.from({ length: LAYERS[1] }, (_, n) => {
    const title = h("span", { className: "cn-separable-text" }, tr`− stencil ${n + 1}`);
    if (!layers[n])
      return tableRow(
        title,
        kernels.map(() => null),
        { className: "cn-separable-unused" },
      );
    const { stencil, numbers } = layers[n];
    return tableRow(
      [title, grid(stencil, tr`Stencil ${n + 1} of ${colour}`, 1)],
      kernels.map((_, o) => [
        h("span", { className: "cn-separable-text" }, `× ${format(numbers[o])} =`),
        grid(shown[n][o], tr`Number times stencil ${n + 1}, for output ${o + 1}`),
      ]),
    );
  });
  return table(
    "cn-separable-table",
    tr`Kernels from ${colour}; orange positive, blue negative`,
    ["", ...kernels.map((_, o) => tr`output ${o + 1}`)],
    [
      row(tr`target`, kernels, (output) => tr`Target kernel from ${colour} to output ${output}`),
      ...slots,
      row(
        tr`= left over`,
        rest,
        (output) => tr`What is left over of the target of output ${output}`,
      ),
    ],
  );
}

export default { render };
