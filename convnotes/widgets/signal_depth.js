// A signal through a deep random network and its gradient back.

import { choice, ranged, toggle } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { change, fold, follow, frame, trait, traits } from "./kit/frame.js";
import { format, several } from "./kit/numbers.js";
import { tr } from "./kit/words.js";
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
    label: tr`A signal through a deep random network and its gradient back`,
    prompt:
      tr`At σ = 0.1 with ReLU the signal nearly vanishes by layer 20. ` +
      tr`Move σ until signal and gradient stay in the band, then compare with He's.`,
    code: () => torchCode(now()),
    initial: FIRST,
  });
  const within = (name, label, more) => ranged(model, name, label, LIMITS[name], more);
  const sigma = within("std", tr`Deviation σ`, {
    step: 0.001,
    digits: 3,
    get: () => deviation(now()),
    set: (value) => change(model, { scheme: "normal", std: value }),
  });
  const beside = [
    choice({ ...trait(model, "scheme"), label: tr`Scheme`, options: SCHEMES }),
    choice({ ...trait(model, "nonlinearity"), label: tr`Nonlinearity`, options: NONLINEARITIES }),
    toggle({ ...trait(model, "norm"), label: tr`Batch norm after every layer` }),
  ];
  const rest = [
    within("draw", tr`Draw of the weights`),
    within("depth", tr`Layers`),
    within("width", tr`Width n`, { step: 16 }),
  ];
  const controls = [sigma, ...beside, ...rest];
  const curve = figure("cn-wide");
  const shapes = figure("cn-wide");
  ui.stage.append(curve.el);
  ui.lead(curve.el, sigma);
  ui.panel.append(...beside.map((control) => control.el));
  ui.more(...rest, fold(tr`Histograms of five layers`, false, shapes.el));
  const found = ui.fact("found", "found-note");
  const size = ui.fact("output");
  const back = ui.fact("gradient");
  const verdict = ui.answer.querySelector("[data-shown=found]");

  // Whether the signal and the gradient stay in the band: a word, and what it means.
  function kept(signal, gradient, depth) {
    if (signal) return [tr`not kept`, tr`the signal leaves the band in layer ${signal}`];
    const all = tr`the signal stays in the band in ${several(depth, tr`layer`, tr`layers`)}`;
    if (gradient) return [tr`signal kept`, tr`${all}; the gradient leaves it in layer ${gradient}`];
    return [tr`✓ found it`, tr`${all}, and so does the gradient`];
  }

  // The product of the formula, and what it expects of the last layer.
  function written(state) {
    const { depth, width, nonlinearity, norm } = state;
    const sigma = deviation(state);
    if (norm) return tr`(z − mean) / √(variance + ε) in every layer: 1, whatever σ is`;
    const relu = nonlinearity === "relu";
    const each = width * sigma ** 2;
    const number = (value) => format(value, value < 0.1 ? 4 : 3);
    const factor = number(relu ? each / 2 : each);
    if (nonlinearity === "tanh")
      return (
        tr`n·σ² = ${width} · ${number(sigma)}² = ${number(each)} per layer, ` +
        tr`as long as tanh is nearly straight; less where it bends`
      );
    return (
      tr`${relu ? "n·σ²/2" : "n·σ²"} = ${width} · ${number(sigma)}²${relu ? " / 2" : ""} = ${factor} per layer` +
      "\n" +
      tr`√(n·σ²) · √${factor}^${depth - 1} = ${scientific(expected(state, depth))} expected in layer ${depth}`
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
      tr`${word}: ${note}; deviation of the last layer's output ${scientific(deviations.at(-1))}, ` +
      tr`of the first layer's gradient ${scientific(returned[0])}`;
    curve.show(
      chart(
        deviations,
        returned,
        predicted,
        held,
        tr`Standard deviation by layer on a logarithmic axis: ${words}`,
      ),
      tr`Standard deviation`,
      tr` of the signal (●) and of the gradient (■, dashed). Band: 1/3 to 3; `,
      predicted
        ? tr`▲▼: the line goes on outside; broad grey line: the formula for ●.`
        : tr`▲▼: the line goes on outside.`,
    );
    shapes.show(
      [
        histograms(outputs, "output", tr`Histograms of the outputs of five layers`),
        histograms(gradients, "accent", tr`Histograms of the gradients of five layers`),
      ],
      tr`Histograms`,
      tr` between −3 and 3 of the outputs (above) and the gradients (below); ` +
        tr`the height is the root of the share, and what lies outside counts to the ends.`,
    );
    found(word, note);
    verdict.classList.toggle("cn-signal-found", held);
    size(scientific(deviations.at(-1)), tr`deviation of the signal in layer ${depth}`);
    back(scientific(returned[0]), tr`deviation of the gradient in layer 1`);
    ui.formula.textContent = written(now());
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
