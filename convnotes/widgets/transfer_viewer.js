// Raise the number of examples: is the pre-trained network only faster, or does it also end better?

import { choice, options, slider } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, mean, several, signed } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";
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

const FREEZES = { none: tr`nothing`, stem: tr`the first kernels`, all: tr`all but the head` };
const STARTS = { digits: tr`digits`, textures: tr`textures` }; // those of the book

const nameOf = (start) => STARTS[start] ?? inWords(start);

function render({ model, el }) {
  const runs = model.get("runs");
  const sizes = sizesOf(runs);
  const ui = frame(model, el, "transfer-viewer", {
    label: tr`Learning curves from another task's kernels and from scratch`,
    prompt:
      tr`Raise the number of examples per class: ` +
      tr`is the pre-trained network only faster, or does it also end better?`,
    code: () => torchCode(model.get("freeze")),
    initial: traits(model, ["start", "freeze", "examples"]),
  });
  const chart = figure();
  const count = slider({
    name: "examples",
    label: tr`Examples`,
    min: 0,
    max: sizes.length - 1,
    get: () => sizes.indexOf(model.get("examples")),
    set: (n) => change(model, { examples: sizes[n] }),
  });
  const rest = [
    choice({
      ...trait(model, "start"),
      label: tr`First task`,
      options: options(startsOf(runs), nameOf),
    }),
    choice({ ...trait(model, "freeze"), label: tr`Frozen`, options: FREEZES }),
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
    const end = average(scratch);
    const seeds = several(shown.length, tr`seed`, tr`seeds`);
    for (const control of [count, ...rest]) control.refresh();
    const value = tr`${examples} per class`;
    count.input.setAttribute("aria-valuetext", value);
    count.el.querySelector("output").textContent = value;
    const words = tr`${gained} points over from scratch with ${examples} examples per class`;
    chart.show(
      learning(shown, scratch, tr`Test accuracy after ${epochs} epochs: ${words}`),
      tr`Learning curves`,
      tr`: transfer from ${nameOf(start)}, ${FREEZES[freeze]} frozen (●), and from scratch (□). ` +
        tr`Thick lines are means, thin lines the ${seeds}.`,
    );
    if (epoch === null)
      faster(
        tr`Not reached`,
        tr`by transfer in ${epochs} epochs: the mean of scratch at the end (${end})`,
      );
    else
      faster(
        tr`Epoch ${epoch}`,
        tr`of ${epochs}: the mean of transfer reaches the mean of scratch at the end (${end})`,
      );
    better(
      tr`${gained} points`,
      tr`at the end, ahead of scratch in ${ahead(shown, scratch)} of ${seeds}`,
    );
    ui.formula.textContent = tr`gain = 100 · (${average(shown)} − ${end}) = ${gained} points`;
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
