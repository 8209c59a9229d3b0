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
import { cells, maps } from "./kernel_stack_viewer.draw.js";
import { choice, matrix, options, presetChoice, ranged, slider } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { clamp, format, percent, several } from "./kit/numbers.js";
import { kernelGrid } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

const NAMES = {
  box: tr`box`,
  binomial: tr`binomial`,
  sobel: tr`Sobel`,
  laplacian: tr`Laplacian`,
  identity: tr`identity`,
  corner: tr`one corner`,
};

function render({ model, el }) {
  const ui = frame(model, el, "kernel-stack-viewer", {
    label: tr`Stack 3×3 kernels and compare them with one large kernel`,
    prompt:
      tr`Add layers: what does one output see, ` +
      tr`and how many of the large kernel's weights does the stack have?`,
    code: () => torchCode(model.get("kernels")),
    initial: traits(model, ["kernels", "in_channels", "out_channels", "edited"]),
  });
  const pyramid = figure();
  const composed = figure("cn-stack-whole");
  const weights = h("div", { className: "cn-stack-weights" });
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
    caption: tr`Its kernel`,
    rows: [tr`top`, tr`middle`, tr`bottom`],
    columns: [tr`left`, tr`middle`, tr`right`],
    min: -9,
    max: 9,
    step: 0.5,
    get: (i, j) => shown()[i][j],
    set: (i, j, value) => put(shown().with(i, shown()[i].with(j, value))),
    centre: true,
  });
  const which = choice({ ...trait(model, "edited", Number), label: tr`Change`, options: {} });
  const count = slider({
    name: "layers",
    label: tr`3×3 layers`,
    min: 1,
    max: MOST,
    get: () => model.get("kernels").length,
    set: resize,
  });
  const preset = presetChoice({
    options: NAMES,
    presets: PRESETS,
    now: shown,
    apply: put,
    label: tr`Kernel`,
  });
  const inputs = ranged(model, "in_channels", tr`Channels in`, [1, 512]);
  const outputs = ranged(model, "out_channels", tr`Channels out`, [1, 512]);
  const controls = [count, preset, taps, which, inputs, outputs];
  ui.lead(pyramid.el, count, preset);
  const rest = h("div", {}, which.el, inputs.el, outputs.el);
  ui.more(h("div", { className: "cn-pair" }, h("div", {}, taps.el), rest));
  ui.answer.append(weights);
  const cost = ui.fact("parameters");
  const field = ui.fact("field");
  const share = ui.fact("middle");

  let offered = 0;
  function draw() {
    const kernels = model.get("kernels");
    const layers = kernels.length;
    const [before, after] = [model.get("in_channels"), model.get("out_channels")];
    const edited = model.get("edited");
    const size = reach(layers);
    const whole = compose(kernels);
    const here = counts(layers, before, after);
    const part = percent(here.stack / here.large, 0);
    const now = readable(whole);
    pyramid.show(
      maps(layers, edited),
      tr`Maps`,
      tr`: what one output sees in each of them, down to the input`,
    );
    const numbers = size <= 7; // the tiles of a larger kernel are too small for them
    const note = numbers ? now.note : tr`, the stronger the colour, the larger the tap`;
    const grid = kernelGrid(now.taps, tr`The composed kernel, ${size} by ${size}${note}`, {
      numbers,
    });
    grid.classList.add("cn-stack-composed");
    grid.style.maxWidth = `${Math.min(20, 2.75 * size)}rem`;
    composed.show(
      grid,
      tr`Composed kernel`,
      tr` of one channel without ReLU, ${size}×${size}${note}`,
    );
    weights.replaceChildren(cells(size, here.filled));
    if (offered !== layers)
      which.offer(
        options([0, ...kernels.map((_, n) => n + 1)], (n) => (n ? tr`layer ${n}` : tr`all layers`)),
      );
    offered = layers;
    for (const control of controls) control.refresh();
    taps.el.caption.textContent = edited ? tr`Kernel of layer ${edited}` : tr`Kernel of all layers`;
    if (here.stack <= here.large)
      cost(part, tr`of the weights of one ${size}×${size} kernel, in the stack (filled cells)`);
    else
      cost(
        tr`${format(here.stack / here.large)} times`,
        tr`the weights of one ${size}×${size} kernel, in the stack (all cells filled)`,
      );
    field(`${size}×${size}`, tr`pixels seen by one output`);
    const equal = percent(9 / (size * size), 0);
    share(
      percent(middle(whole), 0),
      tr`of the composed taps, in absolute value, lies in the middle 3×3 (equal taps: ${equal})`,
    );
    const later = layers > 1 ? ` + ${layers - 1} · 3² · ${after}²` : "";
    ui.formula.textContent =
      `${tr`stack`}  3² · ${before} · ${after}${later} = ${format(here.stack)}\n` +
      `${tr`large`}  ${size}² · ${before} · ${after} = ${format(here.large)}`;
    const stack = several(layers, tr`layer`, tr`layers`);
    ui.say(tr`${stack}: one output sees ${size} by ${size} pixels, with ${part} of the weights`);
  }
  return follow(model, draw, accepts);
}

export default { render };
