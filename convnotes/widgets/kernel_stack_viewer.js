// Stack 3×3 kernels and compare them with one large kernel.

import {
  accepts,
  compose,
  counts,
  MOST,
  middle,
  PRESETS,
  reach,
  readable,
  torchCode,
} from "./kernel_stack_viewer.compute.js";
import { maps, tiles } from "./kernel_stack_viewer.draw.js";
import { choice, matrix, options, presetChoice, ranged, slider } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, follow, frame, trait } from "./kit/frame.js";
import { clamp, format, percent } from "./kit/numbers.js";
import { kernelGrid } from "./kit/pictures.js";

const NAMES = {
  box: "box",
  binomial: "binomial",
  sobel: "Sobel",
  laplacian: "Laplacian",
  identity: "identity",
  corner: "one corner",
};

function render({ model, el }) {
  const ui = frame(model, el, "kernel-stack-viewer", {
    label: "Stack 3×3 kernels and compare them with one large kernel",
    prompt:
      "Add layers: what happens to the reach, to the price of the one large kernel, and " +
      "to the middle of the composed one?",
    code: () => torchCode(model.get("kernels")),
    initial: { kernels: Array(3).fill(PRESETS.box), channels: 64, edited: 0 },
  });
  const pyramid = figure("cn-wide");
  const composed = figure("cn-wide");
  const weights = figure("cn-wide");
  ui.stage.append(pyramid.el, composed.el);

  const shown = () =>
    model.get("kernels")[clamp(model.get("edited"), 1, model.get("kernels").length) - 1];
  const put = (kernel) => {
    const edited = model.get("edited");
    change(model, {
      kernels: model
        .get("kernels")
        .map((old, n) => structuredClone(edited === 0 || edited === n + 1 ? kernel : old)),
    });
  };
  const resize = (layers) => {
    const kernels = model.get("kernels");
    change(model, {
      edited: Math.min(model.get("edited"), layers),
      kernels: Array.from({ length: layers }, (_, n) =>
        structuredClone(kernels[n] ?? kernels.at(-1)),
      ),
    });
  };
  const taps = matrix({
    name: "kernel",
    caption: "Its kernel",
    rows: ["top", "middle", "bottom"],
    columns: ["left", "middle", "right"],
    min: -9,
    max: 9,
    step: 0.5,
    get: (i, j) => shown()[i][j],
    set: (i, j, value) => put(shown().with(i, shown()[i].with(j, value))),
    centre: true,
  });
  const which = choice({ ...trait(model, "edited", Number), label: "Change", options: {} });
  const controls = [
    slider({
      name: "layers",
      label: "3×3 layers",
      min: 1,
      max: MOST,
      get: () => model.get("kernels").length,
      set: resize,
    }),
    ranged(model, "channels", "Channels", [1, 512]),
    which,
    presetChoice({ options: NAMES, presets: PRESETS, now: shown, apply: put }),
    taps,
  ];
  const [count, width, , preset] = controls;
  ui.lead(pyramid.el, count);
  ui.panel.append(preset.el, taps.el, weights.el);
  ui.more(which, width);
  const cost = ui.fact("parameters");
  const field = ui.fact("reach");
  const share = ui.fact("middle");

  let offered = 0;
  function draw() {
    const kernels = model.get("kernels");
    const layers = kernels.length;
    const channels = model.get("channels");
    const edited = model.get("edited");
    const size = reach(layers);
    const whole = compose(kernels);
    const here = counts(layers, channels);
    const now = readable(whole);
    pyramid.show(
      maps(layers, edited),
      "Maps",
      `: what one output sees in each of them, down to ${size}×${size} pixels of the input`,
    );
    const grid = kernelGrid(now.taps, `The composed kernel, ${size} by ${size}${now.note}`, {
      unit: 44 - Math.max(0, size - 5) * 1.5,
    });
    grid.style.maxWidth = `${Math.min(24, 3 * size)}rem`;
    composed.show(
      grid,
      "Composed kernel",
      ` of one channel without ReLU, ${size}×${size}${now.note}`,
    );
    weights.show(
      tiles(layers),
      "Weights per channel pair",
      `: ${layers} · 9 = ${9 * layers} in the stack, ${size}² = ${size * size} in the large kernel`,
    );
    if (offered !== layers)
      which.offer(
        options([0, ...kernels.map((_, n) => n + 1)], (n) => (n ? `layer ${n}` : "all layers")),
      );
    offered = layers;
    for (const control of controls) control.refresh();
    taps.el.caption.textContent = edited ? `Kernel of layer ${edited}` : "Kernel of all layers";
    cost(
      `${format(here.stack)} : ${format(here.large)}`,
      `weights of the stack : of one ${size}×${size} kernel (${percent(here.stack / here.large, 0)})`,
    );
    field(`${size}×${size}`, "pixels seen by one output");
    share(
      percent(middle(whole), 0),
      `of the composed weight lies in the middle 3×3 (${percent(9 / (size * size), 0)} if all taps were equal)`,
    );
    ui.formula.textContent =
      `stack  ${layers} · 3² · ${channels}² = ${format(here.stack)}\n` +
      `large  ${size}² · ${channels}² = ${format(here.large)}`;
    ui.say(
      `${layers} layers see ${size} by ${size} pixels with ` +
        `${percent(here.stack / here.large, 0)} of the large kernel's weights`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
