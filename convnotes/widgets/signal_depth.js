// A signal through a deep random network and its gradient back.

import { choice, ranged, toggle } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, fold, follow, frame, trait, traits } from "./kit/frame.js";
import { format, several } from "./kit/numbers.js";
import {
  accepts,
  deviation,
  expected,
  FIRST,
  LIMITS,
  leaves,
  NONLINEARITIES,
  SCHEMES,
  scientific,
  signals,
  std,
  torchCode,
} from "./signal_depth.compute.js";
import { chart, histograms } from "./signal_depth.draw.js";

function render({ model, el }) {
  const now = () => traits(model, Object.keys(FIRST));
  const ui = frame(model, el, "signal-depth", {
    label: "A signal through a deep random network and its gradient back",
    prompt:
      "At σ = 0.1 with ReLU the signal nearly vanishes by layer 20. Move σ until signal and " +
      "gradient stay in the band, then compare with He's.",
    code: () => torchCode(now()),
    initial: FIRST,
  });
  const within = (name, label, more) => ranged(model, name, label, LIMITS[name], more);
  const sigma = within("std", "Deviation σ", {
    step: 0.001,
    digits: 3,
    get: () => deviation(now()),
    set: (value) => change(model, { scheme: "normal", std: value }),
  });
  const beside = [
    choice({ ...trait(model, "scheme"), label: "Scheme", options: SCHEMES }),
    choice({ ...trait(model, "nonlinearity"), label: "Nonlinearity", options: NONLINEARITIES }),
    toggle({ ...trait(model, "norm"), label: "Batch norm after every layer" }),
  ];
  const rest = [
    within("draw", "Draw of the weights"),
    within("depth", "Layers"),
    within("width", "Width n", { step: 16 }),
  ];
  const controls = [sigma, ...beside, ...rest];
  const curve = figure("cn-wide");
  const shapes = figure("cn-wide");
  ui.stage.append(curve.el);
  ui.lead(curve.el, sigma);
  ui.panel.append(...beside.map((control) => control.el));
  ui.more(...rest, fold("Histograms of five layers", false, shapes.el));
  const found = ui.fact("found", "found-note");
  const size = ui.fact("output");
  const back = ui.fact("gradient");
  const verdict = ui.answer.querySelector("[data-shown=found]");

  // Whether the signal and the gradient stay in the band: a word, and what it means.
  function kept(signal, gradient, depth) {
    if (signal) return ["not kept", `the signal leaves the band in layer ${signal}`];
    const all = `the signal stays in the band in ${several(depth, "layer")}`;
    if (gradient) return ["signal kept", `${all}; the gradient leaves it in layer ${gradient}`];
    return ["✓ found it", `${all}, and so does the gradient`];
  }

  // The product of the formula, and what it expects of the last layer.
  function written(state) {
    const { depth, width, nonlinearity, norm } = state;
    const sigma = deviation(state);
    if (norm) return "(z − mean) / √(variance + ε) in every layer: 1, whatever σ is";
    const relu = nonlinearity === "relu";
    const each = width * sigma ** 2;
    const number = (value) => format(value, value < 0.1 ? 4 : 3);
    const factor = number(relu ? each / 2 : each);
    if (nonlinearity === "tanh")
      return (
        `n·σ² = ${width} · ${number(sigma)}² = ${number(each)} per layer, as long as tanh is ` +
        "nearly straight; less where it bends"
      );
    return (
      `${relu ? "n·σ²/2" : "n·σ²"} = ${width} · ${number(sigma)}²${relu ? " / 2" : ""} = ${factor} per layer\n` +
      `√(n·σ²) · √${factor}^${depth - 1} = ` +
      `${scientific(expected(state, depth))} expected in layer ${depth}`
    );
  }

  function draw() {
    const { outputs, gradients } = signals(now());
    const deviations = outputs.map(std);
    const returned = gradients.map(std);
    const predicted =
      expected(now(), 1) === null ? null : deviations.map((_, l) => expected(now(), l + 1));
    const depth = deviations.length;
    const signal = leaves(deviations);
    const gradient = leaves(returned.toReversed());
    const held = !signal && !gradient;
    const [word, note] = kept(signal, gradient && depth + 1 - gradient, depth);
    for (const control of controls) control.refresh();
    const words =
      `${word}: ${note}; deviation of the last layer's output ${scientific(deviations.at(-1))}, of the first ` +
      `layer's gradient ${scientific(returned[0])}`;
    curve.show(
      chart(
        deviations,
        returned,
        predicted,
        held,
        `Standard deviation by layer on a logarithmic axis: ${words}`,
      ),
      "Standard deviation",
      " of the signal (●) and of the gradient (■, dashed). Band: 1/3 to 3; ▲▼: the line goes on outside",
      predicted ? "; broad grey line: the formula for ●." : ".",
    );
    shapes.show(
      [
        histograms(outputs, "output", "Histograms of the outputs of five layers"),
        histograms(gradients, "accent", "Histograms of the gradients of five layers"),
      ],
      "Histograms",
      " between −3 and 3 of the outputs (above) and the gradients (below); the height is " +
        "the root of the share, and what lies outside counts to the ends.",
    );
    found(word, note);
    verdict.classList.toggle("cn-signal-found", held);
    size(scientific(deviations.at(-1)), `deviation of the signal in layer ${depth}`);
    back(scientific(returned[0]), "deviation of the gradient in layer 1");
    ui.formula.textContent = written(now());
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
