// Two networks, a few large kernels or many small ones: what of a photograph matters to one output of each.

import {
  accepts,
  along,
  CHANNELS,
  cost,
  deviation,
  fieldOf,
  influence,
  LIMITS,
  lit,
  network,
  parts,
  square,
  torchCode,
} from "./effective_field.compute.js";
import { profiles } from "./effective_field.draw.js";
import { choice, options, slider, toggle } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, percent, several, short } from "./kit/numbers.js";
import { outline, photoOf, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const NAMES = ["A", "B"];
const WIDEST = 80; // columns either way that the chart shows at most
const SET = ["kernel_sizes", "depths", "dilations", "channels", "residual", "probe"];

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const now = () => traits(model, SET);
  const ui = frame(model, el, "effective-field", {
    label: tr`What matters to one output: a few large kernels against many small ones`,
    prompt:
      tr`The brighter a pixel, the more it matters to the output in the ring. ` +
      tr`Blue: the receptive field, at first 31×31 pixels for both networks. ` +
      tr`Orange: the square that holds 95% of the influence. ` +
      tr`How many layers does B need until its orange square is as wide as that of A?`,
    code: () => torchCode(now()),
    initial: structuredClone(now()),
  });

  const dial = (which, name, label, step = 1) => {
    const [min, max] = LIMITS[name];
    return slider({
      name: `${name}-${NAMES[which].toLowerCase()}`,
      label: tr`${NAMES[which]}: ${label}`,
      ...{ min, max, step },
      get: () => model.get(name)[which],
      set: (value) => change(model, { [name]: model.get(name).with(which, value) }),
    });
  };
  const views = NAMES.map((_, which) => {
    const shown = picture(height, width);
    const controls = [
      dial(which, "kernel_sizes", tr`size K`, 2),
      dial(which, "depths", tr`layers n`),
    ];
    const [theory, most] = [outline(shown), outline(shown, "cn-window cn-erf-most")];
    const side = h(
      "div",
      { className: "cn-erf-side" },
      [shown, ...controls].map((one) => one.el),
    );
    return { shown, controls, theory, most, side };
  });
  const pair = h(
    "div",
    { className: "cn-pair" },
    views.map((view) => view.side),
  );
  ui.body.before(pair);
  const shortcut = toggle({
    ...trait(model, "residual"),
    label: tr`Shortcuts: each layer adds its input`,
  });
  ui.lead(pair, shortcut);
  const chart = figure();
  ui.stage.append(chart.el);
  const rest = [
    ...NAMES.map((_, which) => dial(which, "dilations", tr`dilation`)),
    choice({
      ...trait(model, "channels", Number),
      label: tr`Channels`,
      options: options(CHANNELS),
    }),
  ];
  ui.more(...rest);
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Position of the output`,
    on: views[0].shown,
    more: [views[1].shown],
    echo: [views[1].shown],
  });
  const facts = NAMES.map((name) => ui.fact(name.toLowerCase(), `${name.toLowerCase()}-note`));

  const kept = [null, null]; // the parts of each network and the state that they belong to
  function partsOf(which) {
    const one = network(now(), which);
    const key = JSON.stringify(one);
    if (kept[which]?.key !== key) kept[which] = { key, all: parts(one) };
    return kept[which].all;
  }

  function frameOn(move, side, [row, column]) {
    move(
      (row + 0.5 - side / 2) / height,
      (column + 0.5 - side / 2) / width,
      side / height,
      side / width,
    );
  }

  function draw() {
    const state = now();
    const at = state.probe;
    const nets = NAMES.map((_, which) => network(state, which));
    const costs = nets.map((one) => cost(one, state.channels));
    const sides = nets.map((_, which) => square(partsOf(which)));
    const fields = nets.map(fieldOf);
    const words = nets.map(({ k, n, d }) => {
      const layers = several(n, tr`layer`, tr`layers`);
      return d > 1 ? tr`${layers} of ${k}×${k} of dilation ${d}` : tr`${layers} of ${k}×${k}`;
    });
    views.forEach((view, which) => {
      for (const control of view.controls) control.refresh();
      const map = influence(partsOf(which), height, width, at);
      view.shown.paint(lit(photo, map, at[0] * width + at[1]), 3);
      view.shown.describe(
        tr`${inWords(model.get("alt"))}, each pixel as bright as its influence on the output ` +
          tr`at row ${at[0]}, column ${at[1]} of ${words[which]}`,
        tr`${NAMES[which]}: ${words[which]}`,
      );
      frameOn(view.theory, fields[which], at);
      frameOn(view.most, sides[which], at);
      const { params, macs } = costs[which];
      const [side, field] = [sides[which], fields[which]];
      const times = format(params / costs[0].params);
      facts[which](
        tr`${NAMES[which]}: ${side}×${side}`,
        tr`pixels hold 95% of the influence, ` +
          tr`${percent((side / field) ** 2, 0)} of the receptive field of ${field}×${field}. ` +
          tr`${short(params)} parameters, ${short(macs)} multiply-adds` +
          (which ? tr`, ${times} times those of A` : ""),
      );
    });
    for (const control of [shortcut, ...rest, point]) control.refresh();
    const reach = Math.min(WIDEST, (Math.max(...fields) - 1) / 2);
    chart.show(
      profiles(
        NAMES.map((_, which) => along(partsOf(which), reach)),
        reach,
        tr`Share of the influence by column: A in ${sides[0]} columns and rows, B in ${sides[1]}`,
      ),
      tr`Along the row`,
      tr`: the share of the influence in each column, A solid, B dashed`,
    );
    ui.formula.textContent = nets
      .map((one, which) => {
        const half = one.residual ? "½·" : "";
        const sum =
          `d·√(${half}n·(K² − 1)/12) = ` +
          `${one.d}·√(${half}${one.n}·${format((one.k ** 2 - 1) / 12)}) = ${format(deviation(one))}`;
        return tr`${NAMES[which]}: σ = ${sum} pixels`;
      })
      .join("\n");
    ui.say(
      NAMES.map(
        (name, which) =>
          tr`${name}, ${words[which]}: ` +
          tr`${sides[which]} by ${sides[which]} pixels hold 95 percent of the influence`,
      ).reduce((some, one) => tr`${some}; ${one}`),
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
