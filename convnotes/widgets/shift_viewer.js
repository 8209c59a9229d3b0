// Move three channels, mix them by a 1×1 kernel, and see the convolution that the two make.

import { choice, matrix, options, presetChoice } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { added, bracketed, format, largest, percent } from "./kit/numbers.js";
import { grey, kernelGrid, photoOf, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  composed,
  counts,
  lift,
  MAPS,
  mix,
  outside,
  PRESETS,
  pick,
  shift,
  torchCode,
} from "./shift_viewer.compute.js";
import { pad } from "./shift_viewer.draw.js";

const NAMES = {
  across: tr`upright edges`,
  down: tr`horizontal edges`,
  second: tr`second difference`,
  smear: tr`smear`,
  colours: tr`red against green`,
  still: tr`nothing moves`,
};
const THREE = [0, 1, 2];
const step = (name, by) => (by ? `${name}${added(by).replace(" ", "")}` : name);

function render({ model, el }) {
  const { height, width, places, photo } = photoOf(model, Float32Array);
  const maps = lift(photo, places);
  const now = () => traits(model, ["sources", "displacements", "weight"]);
  const replace = (key, c, value) => change(model, { [key]: model.get(key).with(c, value) });
  const ui = frame(model, el, "shift-viewer", {
    label: tr`Move channels and mix them`,
    prompt:
      tr`Drag an arrow (or use the arrow keys): the channel reads that pixel. ` +
      tr`Put both arrows on the centre: what is left of the edges?`,
    code: () => torchCode(...Object.values(now())),
    initial: structuredClone({ ...now(), probe: model.get("probe") }),
  });

  const shifted = THREE.map(() => picture(height, width));
  const output = picture(height, width, "cn-output");
  const kernels = h("div", { className: "cn-kernels" });
  const result = h("div", { className: "cn-shift-result" }, output.el, kernels);
  const pads = THREE.map((c) =>
    pad({
      name: `shift-${c}`,
      label: tr`Channel ${c + 1}`,
      get: () => model.get("displacements")[c],
      set: (value) => replace("displacements", c, value),
    }),
  );
  ui.body.before(
    h(
      "div",
      { className: "cn-thirds" },
      [...shifted, ...pads].map((one) => one.el),
    ),
    result,
  );
  ui.stage.remove();
  const controls = [
    presetChoice({
      options: NAMES,
      presets: PRESETS,
      now,
      apply: (chosen) => change(model, chosen),
    }),
    ...THREE.map((c) =>
      choice({
        name: `source-${c}`,
        label: tr`Channel ${c + 1} holds`,
        options: options([0, 1, 2, 3], (n) => MAPS[n]),
        get: () => model.get("sources")[c],
        set: (source) => replace("sources", c, Number(source)),
      }),
    ),
    matrix({
      name: "weight",
      caption: tr`1×1 kernel after the shift`,
      rows: [tr`output`],
      columns: THREE.map((c) => tr`ch. ${c + 1}`),
      get: (_, c) => model.get("weight")[c],
      set: (_, c, value) => replace("weight", c, value),
    }),
  ];
  const [preset, ...rest] = controls;
  const mixer = rest.pop();
  ui.lead(result, mixer, preset);
  ui.more(...rest);
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Marked position of the output`,
    on: output,
  });
  const [flops, moved, border] = ["flops", "moved", "border"].map((name) => ui.fact(name));
  const counted = counts(3, places);

  // The kernels on the maps that are used, without those that are 0.
  function drawKernels({ sources, displacements, weight }) {
    const all = composed(sources, displacements, weight);
    const used = MAPS.map((_, n) => n).filter((n) => sources.includes(n));
    const some = used.filter(
      (n) => all[n].flat().some((w) => Math.abs(w) > 1e-9) || used.length === 1,
    );
    kernels.replaceChildren(
      ...some.map((n) => {
        const one = figure();
        one.show(
          kernelGrid(all[n], tr`The kernel on ${MAPS[n]} that shift and 1×1 make together`),
          tr`Together`,
          tr`: this kernel on ${MAPS[n]}`,
        );
        return one.el;
      }),
    );
    if (!some.length)
      kernels.append(h("p", { className: "cn-small" }, tr`Together: a kernel of zeros.`));
  }

  function draw() {
    const { sources, displacements, weight } = now();
    const x = shift(pick(maps, places, sources), height, width, displacements);
    const y = mix(x, places, weight);
    const most = largest(y);
    shifted.forEach((one, c) => {
      const name = MAPS[sources[c]];
      const [dy, dx] = displacements[c].map((d) => format(d));
      const by = `(${dy},\u00a0${dx})`;
      one.paint(x.subarray(c * places, (c + 1) * places), 1);
      one.describe(
        tr`Channel ${c + 1}: ${name}, displacement ${dy}, ${dx}. ${inWords(model.get("alt"))}`,
        tr`Channel ${c + 1}`,
        tr`: ${name}, ${by}`,
      );
    });
    output.paint(
      y.map((v) => grey(v, most)),
      1,
    );
    output.describe(
      tr`The weighted sum of the three shifted channels, 0 in the middle of the greys`,
      tr`Output`,
      most > 1e-9
        ? tr` of the 1×1 kernel: −${format(most)} black, 0 grey, ${format(most)} white`
        : tr` of the 1×1 kernel: 0 everywhere`,
    );
    drawKernels(now());
    for (const control of [...pads, ...controls, point]) control.refresh();
    flops(
      `${format(counted.flops)} FLOPs`,
      tr`of the shift (a depthwise 3×3: ${format(counted.depthwise)}); ` +
        tr`the 1×1 after it: ${format(counted.mix)}`,
    );
    moved(tr`${format(counted.bytes)} bytes`, tr`read and written by the shift, in float32`);
    border(
      percent(outside(height, width, displacements)),
      tr`of the shifted numbers come from outside: 0`,
    );
    const [i, j] = model.get("probe");
    const at = i * width + j;
    const terms = THREE.map(
      (c) =>
        `${bracketed(weight[c])}·${MAPS[sources[c]]}[${step("i", displacements[c][0])}, ` +
        `${step("j", displacements[c][1])}]`,
    );
    const numbers = THREE.map((c) => `${bracketed(weight[c])}·${format(x[c * places + at])}`);
    ui.formula.textContent =
      `y[i, j] = ${terms.join(" + ")}\ny[${i}, ${j}] = ${numbers.join(" + ")} = ${format(y[at], 3)}\n` +
      `${tr`bytes`} = 2 · ${THREE.length} · ${height} · ${width} · 4 = ${format(counted.bytes)}`;
    ui.say(
      (most > 1e-9
        ? tr`Output from ${format(-most)} to ${format(most)}; `
        : tr`Output 0 everywhere; `) +
        tr`the shift takes 0 FLOPs and moves ${format(counted.bytes)} bytes`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
