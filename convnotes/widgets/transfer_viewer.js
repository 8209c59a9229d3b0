// Raise the number of examples: is the pre-trained network only faster, or does it also end better?

import { choice, options, slider } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, mean, several, signed } from "./kit/numbers.js";
import {
  accepts,
  ahead,
  caught,
  curvesOf,
  ends,
  gain,
  sizesOf,
  startsOf,
  torchCode,
} from "./transfer_viewer.compute.js";
import { learning } from "./transfer_viewer.draw.js";

const FREEZES = { none: "nothing", stem: "the first kernels", all: "all but the head" };

function render({ model, el }) {
  const runs = model.get("runs");
  const sizes = sizesOf(runs);
  const ui = frame(model, el, "transfer-viewer", {
    label: "Learning curves from another task's kernels and from scratch",
    prompt:
      "Raise the number of examples per class: is the pre-trained network only faster, or does it also end better?",
    code: () => torchCode(model.get("freeze")),
    initial: traits(model, ["start", "freeze", "examples"]),
  });
  const chart = figure();
  const count = slider({
    name: "examples",
    label: "Examples",
    min: 0,
    max: sizes.length - 1,
    get: () => sizes.indexOf(model.get("examples")),
    set: (n) => change(model, { examples: sizes[n] }),
  });
  const rest = [
    choice({ ...trait(model, "start"), label: "First task", options: options(startsOf(runs)) }),
    choice({ ...trait(model, "freeze"), label: "Frozen", options: FREEZES }),
  ];
  ui.stage.append(chart.el);
  ui.lead(chart.el, count);
  ui.more(...rest);
  const faster = ui.fact("faster", "faster-note");
  const better = ui.fact("gain", "ahead");

  function draw() {
    const { start, freeze, examples } = traits(model, ["start", "freeze", "examples"]);
    const shown = curvesOf(runs, start, freeze, examples);
    const scratch = curvesOf(runs, "scratch", freeze, examples);
    const epochs = shown[0].length;
    const epoch = caught(shown, scratch);
    const gained = signed(gain(shown, scratch));
    const average = (curves) => format(mean(ends(curves)), 3);
    const seeds = `${ahead(shown, scratch)} of ${several(shown.length, "seed")}`;
    for (const control of [count, ...rest]) control.refresh();
    const value = `${examples} per class`;
    count.input.setAttribute("aria-valuetext", value);
    count.el.querySelector("output").textContent = value;
    const words = `${gained} points over from scratch with ${examples} examples per class`;
    chart.show(
      learning(shown, scratch, `Test accuracy after ${epochs} epochs: ${words}`),
      "Learning curves",
      `: transfer from ${start}, ${FREEZES[freeze]} frozen (●), and from scratch (□). Thick lines are means, ` +
        `thin lines the ${several(shown.length, "seed")}.`,
    );
    const goal = `the mean of scratch at the end (${average(scratch)})`;
    if (epoch === null) faster("Not reached", `by transfer in ${epochs} epochs: ${goal}`);
    else faster(`Epoch ${epoch}`, `of ${epochs}: the mean of transfer reaches ${goal}`);
    better(`${gained} points`, `at the end, ahead of scratch in ${seeds}`);
    ui.formula.textContent = `gain = 100 · (${average(shown)} − ${average(scratch)}) = ${gained} points`;
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
