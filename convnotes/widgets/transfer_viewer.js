// Kernels of a first task, what a second one makes of them, and what was gained.

import { choice, options, slider } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { format, largest, mean, percent, signed } from "./kit/numbers.js";
import { kernelGrid } from "./kit/pictures.js";
import { accepts, find, gain, moved, torchCode } from "./transfer_viewer.compute.js";
import { plot } from "./transfer_viewer.draw.js";

const FREEZES = { none: "nothing", stem: "the first kernels", all: "all but the head" };

function render({ model, el }) {
  const starts = model.get("starts");
  const runs = model.get("runs");
  const names = Object.keys(starts).filter((name) => name !== "scratch");
  const sizes = [...new Set(runs.map((run) => run.examples))].sort((a, b) => a - b);
  const ui = frame(model, el, "transfer-viewer", {
    label: "Kernels before and after fine-tuning, and what was gained",
    prompt:
      "Change the number of examples, then the first task: where is the gain large, and where is it below zero?",
    code: () => torchCode(model.get("freeze")),
    initial: traits(model, ["start", "freeze", "examples", "kernel"]),
  });

  const kernels = ["Pre-trained", "Fine-tuned", "From scratch"].map((title) => ({
    title,
    ...figure(),
  }));
  const chart = figure();
  ui.body.before(
    h(
      "div",
      { className: "cn-thirds" },
      kernels.map((one) => one.el),
    ),
  );
  ui.stage.append(chart.el);
  const controls = [
    choice({ ...trait(model, "start"), label: "First task", options: options(names) }),
    choice({ ...trait(model, "freeze"), label: "Frozen", options: FREEZES }),
    choice({
      ...trait(model, "examples", Number),
      label: "Examples",
      options: options(sizes, (n) => `${n} per class`),
    }),
    slider({
      ...trait(model, "kernel", (n) => n - 1),
      label: "Kernel",
      min: 1,
      max: starts.scratch.length,
      get: () => model.get("kernel") + 1,
    }),
  ];
  const [first, frozen, count, which] = controls;
  ui.lead(chart.el, count);
  ui.panel.append(first.el, frozen.el);
  ui.more(which);
  const points = ui.fact("gain", "seeds");
  const path = ui.fact("moved", "scratch-moved");

  function draw() {
    const {
      start,
      freeze,
      examples,
      kernel: k,
    } = traits(model, ["start", "freeze", "examples", "kernel"]);
    const shown = find(runs, start, freeze, examples);
    const scratch = find(runs, "scratch", freeze, examples);
    const far = moved(starts[start], shown.kernels);
    const wide = moved(starts.scratch, scratch.kernels);
    const gained = signed(gain(shown, scratch));
    const by = (from, run) => `moved by ${percent(moved(starts[from][k], run.kernels[k]), 0)}`;
    const most = largest([starts[start][k], shown.kernels[k], scratch.kernels[k]].flat(2));
    [
      [starts[start][k], `kernel ${k + 1}, from ${start}`],
      [shown.kernels[k], by(start, shown)],
      [scratch.kernels[k], by("scratch", scratch)],
    ].forEach(([values, words], n) => {
      const { title, show } = kernels[n];
      show(kernelGrid(values, `${title}, ${words}`, { most }), title, `: ${words}`);
    });
    chart.show(
      plot(runs, sizes, start, freeze, examples),
      "Accuracy of each seed",
      `: circles from ${start}, squares from scratch; the lines join the means`,
    );
    for (const control of controls) control.refresh();
    const average = (run) => format(mean(run.accuracies), 3);
    const range = (run) =>
      `${average(run)} (${format(Math.min(...run.accuracies), 3)} to ${format(Math.max(...run.accuracies), 3)})`;
    points(
      `${gained} points`,
      `over from scratch: ${range(shown)} against ${range(scratch)}, ${shown.accuracies.length} seeds`,
    );
    path(
      percent(far, 0),
      `is how far the first layer's kernels moved (from scratch ${percent(wide, 0)})`,
    );
    ui.formula.textContent =
      `gain = 100 · (${average(shown)} − ${average(scratch)}) = ${gained} points\n` +
      `moved = ‖θ − θ₀‖ / ‖θ₀‖ = ${format(far, 2)}`;
    ui.say(`${gained} points over from scratch with ${examples} examples per class`);
  }
  return follow(model, draw, accepts);
}

export default { render };
