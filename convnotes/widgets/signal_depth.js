// A signal through a deep random network and its gradient back.

import { choice, ranged } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format } from "./kit/numbers.js";
import {
  accepts,
  deviation,
  expected,
  FIRST,
  LIMITS,
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
      "In the twentieth layer the signal has nearly vanished. Find the σ that " +
      "keeps its size, then compare with He's.",
    code: () => torchCode(now()),
    initial: FIRST,
  });
  const within = (name, label, more) => ranged(model, name, label, LIMITS[name], more);
  const controls = [
    choice({ ...trait(model, "scheme"), label: "Scheme", options: SCHEMES }),
    within("std", "Deviation σ", {
      step: 0.001,
      digits: 3,
      get: () => deviation(now()),
      set: (value) => change(model, { scheme: "normal", std: value }),
    }),
    choice({ ...trait(model, "nonlinearity"), label: "Nonlinearity", options: NONLINEARITIES }),
    within("depth", "Layers"),
    within("width", "Width n", { step: 16 }),
    within("draw", "Draw"),
  ];
  const curve = figure("cn-wide");
  const shapes = figure("cn-wide");
  ui.stage.append(curve.el);
  const [scheme, sigma, bend, ...rest] = controls;
  ui.lead(curve.el, sigma);
  ui.panel.append(scheme.el, bend.el);
  ui.more(...rest);
  ui.panel.append(shapes.el);
  const size = ui.fact("output");
  const back = ui.fact("gradient");

  // The product of the formula, and what it expects of the last layer.
  function written({ depth, width, nonlinearity, ...rest }) {
    const sigma = deviation({ depth, width, nonlinearity, ...rest });
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
      `${scientific(expected({ depth, width, nonlinearity, ...rest }, depth))} expected ` +
      `in layer ${depth}`
    );
  }

  function draw() {
    const { outputs, gradients } = signals(now());
    const deviations = outputs.map(std);
    const returned = gradients.map(std);
    const predicted =
      model.get("nonlinearity") === "tanh"
        ? null
        : deviations.map((_, l) => expected(now(), l + 1));
    for (const control of controls) control.refresh();
    const words =
      `deviation of the last layer's output ${scientific(deviations.at(-1))}, of the first ` +
      `layer's gradient ${scientific(returned[0])}`;
    curve.show(
      chart(
        deviations,
        returned,
        predicted,
        `Standard deviation by layer on a logarithmic axis: ${words}`,
      ),
      "Standard deviation",
      " of what each layer gives (●, from layer 1) and of the gradient (■, dashed, from the last layer back)",
      predicted ? "; grey band: the formula for ●." : ".",
    );
    shapes.show(
      [
        histograms(outputs, "output", "Histograms of the outputs of five layers"),
        histograms(gradients, "gradient", "Histograms of the gradients of five layers"),
      ],
      "Histograms",
      " between −3 and 3 of the outputs (above) and the gradients (below); the height is " +
        "the root of the share, and what lies outside counts to the ends.",
    );
    size(scientific(deviations.at(-1)), `deviation of the output of layer ${model.get("depth")}`);
    back(scientific(returned[0]), "deviation of the gradient in layer 1");
    ui.formula.textContent = written(now());
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
