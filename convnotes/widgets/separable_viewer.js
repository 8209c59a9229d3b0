// Make a full kernel of a depthwise and a pointwise one, and see what is missing.

import { choice, matrix, options, presetChoice } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { button, change, follow, frame, trait } from "./kit/frame.js";
import { format, largest, percent } from "./kit/numbers.js";
import { COLOURS, grey, kernelGrid, photoOf, picture } from "./kit/pictures.js";
import {
  accepts,
  attainable,
  convolve,
  distance,
  fit,
  full,
  TARGETS,
  torchCode,
} from "./separable_viewer.compute.js";

const NAMES = {
  edges: "edge filters",
  blur: "blur",
  fringes: "colours shifted",
  shifts: "lightness shifted",
  random: "random",
  own: "another",
};

const load = ([target, bias]) => ({ target, bias, ...fit(target) });

function render({ model, el }) {
  const { height, width, places, photo } = photoOf(model, Float32Array);
  const ui = frame(model, el, "separable-viewer", {
    label: "Make a full kernel of a depthwise and a pointwise one",
    prompt:
      "Change a tap or a weight: can you come nearer to the target than the best fit? Then load another target.",
    code: () => torchCode(model.get("depthwise"), model.get("pointwise"), model.get("bias")),
    initial: { ...load(TARGETS.edges), channel: 0 },
  });

  const thirds = (...columns) =>
    h(
      "div",
      { className: "cn-separable-thirds cn-wide" },
      columns.map((one) => one.el),
    );
  const [input, made, wanted] = ["cn-input", "cn-output", "cn-output"].map((className) =>
    picture(height, width, className),
  );
  const maps = COLOURS.map(() => picture(height, width));
  const kernels = ["Pair", "Target"].map((whose) => COLOURS.map(() => ({ whose, ...figure() })));
  const photos = thirds(input, made, wanted);
  ui.body.before(photos);
  ui.stage.append(thirds(...maps, ...kernels.flat()));
  const controls = [
    presetChoice({
      name: "target",
      label: "Target kernel",
      options: NAMES,
      presets: TARGETS,
      now: () => [model.get("target"), model.get("bias")],
      apply: (chosen) => change(model, load(chosen)),
    }),
    choice({
      ...trait(model, "channel", Number),
      label: "Input channel",
      options: options([0, 1, 2], (c) => COLOURS[c]),
    }),
  ];
  const holder = h("div");
  const best = h(
    "div",
    { className: "cn-actions" },
    button("fit", "Best fit", () => change(model, fit(model.get("target")))),
  );
  const mixer = matrix({
    name: "pointwise",
    caption: "Pointwise kernel",
    columns: COLOURS,
    rows: [1, 2, 3].map((o) => `output ${o}`),
    get: (o, c) => model.get("pointwise")[o][c],
    set(o, c, value) {
      const pointwise = model.get("pointwise");
      change(model, { pointwise: pointwise.with(o, pointwise[o].with(c, value)) });
    },
  });
  const [goal, from] = controls;
  ui.lead(photos, goal);
  ui.panel.append(from.el, holder, best);
  ui.more(mixer);

  let taps = null;
  let edited = -1;
  function edit(channel) {
    edited = channel;
    taps = matrix({
      name: "depthwise",
      caption: `Depthwise kernel, ${COLOURS[channel]}`,
      columns: ["left", "middle", "right"],
      rows: ["above", "middle", "below"],
      centre: true,
      get: (u, v) => model.get("depthwise")[channel][u][v],
      set(u, v, value) {
        const depthwise = model.get("depthwise");
        const kernel = depthwise[channel];
        change(model, {
          depthwise: depthwise.with(channel, kernel.with(u, kernel[u].with(v, value))),
        });
      },
    });
    holder.replaceChildren(taps.el);
  }
  const share = ui.fact("share", "best");
  const rank = ui.fact("rank", "shares");

  function draw() {
    const target = model.get("target");
    const bias = model.get("bias");
    const depthwise = model.get("depthwise");
    const pointwise = model.get("pointwise");
    const channel = model.get("channel");
    const name = COLOURS[channel];
    const weight = full(depthwise, pointwise);
    if (edited !== channel) edit(channel);
    input.paint(photo, 3);
    input.describe(model.get("alt"), "Input");
    for (const [one, kernel, from, title] of [
      [made, weight, "the pair of kernels", "Output of the pair"],
      [wanted, target, "the target kernel", "Output of the target"],
    ]) {
      one.paint(convolve(photo, height, width, kernel, bias), 3);
      one.describe(`What ${from} gives, its three outputs as red, green and blue`, title);
    }
    maps.forEach((map, c) => {
      const z = convolve(
        photo.subarray(c * places, (c + 1) * places),
        height,
        width,
        [[depthwise[c]]],
        [0],
      );
      const most = largest(z);
      map.paint(
        z.map((v) => grey(v, most)),
        1,
      );
      map.describe(
        `The ${COLOURS[c]} channel through its depthwise kernel, 0 in the middle of the greys`,
        `Depthwise, ${COLOURS[c]}`,
        ` ±${format(most)}`,
      );
    });
    const most = largest([weight, target].flat(4)); // of both, so that equal numbers look alike
    [weight, target].forEach((values, row) =>
      kernels[row].forEach(({ whose, show }, o) =>
        show(
          kernelGrid(
            values[o][channel],
            `${whose}: the 3×3 kernel from ${name} to output ${o + 1}`,
            { most },
          ),
          whose,
          `, ${name} → ${o + 1}`,
        ),
      ),
    );
    for (const control of [...controls, taps, mixer]) control.refresh();
    const { error, whole } = distance(weight, target);
    const { ranks, shares } = attainable(target);
    const now = 1 - error / whole;
    share(
      percent(now),
      `of the target is in the pair; the best that any pair holds: ${percent(shares[0])}`,
    );
    rank(
      `rank ${Math.max(...ranks)}`,
      "of the target's kernels from one channel; the pair's is 1. With 1, 2, 3 kernels per " +
        `channel: ${shares.map((part) => percent(part)).join(", ")}`,
    );
    ui.formula.textContent = [
      ...weight.map(
        (_, o) => `W[${o + 1}, ${name}] = ${format(pointwise[o][channel])} · d[${name}]`,
      ),
      `share = 1 − ‖W − T‖² / ‖T‖² = 1 − ${format(error, 3)} / ${format(whole, 3)} = ${format(now, 3)}`,
    ].join("\n");
    ui.say(
      `${percent(now)} of the target; at most ${percent(shares[0])} with one kernel per channel`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
