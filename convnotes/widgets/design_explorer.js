// Accuracy against cost of many designs.

import {
  AXES,
  accepts,
  compact,
  elsewhere,
  front,
  GAINS,
  judged,
  SHORT,
  share,
  torchCode,
} from "./design_explorer.compute.js";
import { axes, emptyChart, nearest, points } from "./design_explorer.draw.js";
import { choice, options } from "./kit/controls.js";
import { arrowStep, h, pointerMoves, table, tableRow } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { clamp, format } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";

function render({ model, el }) {
  const all = model.get("rows");
  const initial = structuredClone(model.get("first"));
  const names = [...new Set(all.map((row) => row.design))];
  const budgets = [...new Set(all.map((row) => row.budget))].sort((a, b) => a - b);
  const now = () => traits(model, Object.keys(initial));
  const shown = () => all.filter((row) => row.budget === now().budget);
  const chosen = () => shown().find((row) => row.design === now().design) ?? shown()[0];
  const ui = frame(model, el, "design-explorer", {
    label: tr`Cost and accuracy of the designs`,
    prompt: tr`Change the budget. Which designs leave the front, and which enter it?`,
    code: () => torchCode(chosen(), model.get("picture")),
    initial,
  });

  const chart = emptyChart();
  ui.stage.append(chart);
  const pick = (name, label, list, read = String) =>
    choice({ ...trait(model, name, read), label, options: list });
  const controls = [
    pick("x", tr`Cost`, AXES),
    pick("gain", tr`Accuracy`, GAINS),
    pick(
      "budget",
      tr`Budget`,
      options(budgets, (budget) => tr`${format(budget)} parameters`),
      Number,
    ),
    pick("design", tr`Design`, options(names, inWords)),
  ];
  const unit = h("span");
  const designs = table(
    "cn-designs",
    tr`◆ no other design is better in both`,
    [tr`design`, unit, tr`accuracy`],
    [],
  );
  const [cost, score, size, which] = controls;
  ui.lead(chart, cost);
  ui.panel.append(size.el, designs);
  ui.more(score, which);
  const accuracy = ui.fact("accuracy", "seeds");
  const price = ui.fact("price", "unit");
  const sight = ui.fact("sight", "meaning");

  const choose = (row) => {
    if (row.design !== model.get("design")) change(model, { design: row.design });
  };
  const pointed = (event) => nearest(event, chart, shown(), axes(all, now().x, now().gain));
  chart.addEventListener("pointermove", (event) => {
    if (!pointerMoves(event)) return;
    const [far, row] = pointed(event);
    if (far < 14) choose(row);
  });
  chart.addEventListener("pointerdown", (event) => choose(pointed(event)[1]));
  chart.addEventListener("keydown", (event) => {
    const step = arrowStep(event);
    if (!step) return;
    const [down, right] = step;
    const key = right ? now().x : now().gain; // sideways by cost, up and down by accuracy
    const ordered = shown().sort(
      (a, b) => a[key] - b[key] || names.indexOf(a.design) - names.indexOf(b.design),
    );
    choose(ordered[clamp(ordered.indexOf(chosen()) + right - down, 0, ordered.length - 1)]);
  });

  function draw() {
    const { x, gain } = now();
    const rows = shown();
    const one = chosen();
    const best = front(rows, x, gain);
    const name = inWords(one.design);
    const judgement = elsewhere(now(), one) + judged(rows, one, x, gain);
    chart.replaceChildren(...points(all, rows, one, x, gain));
    chart.setAttribute(
      "aria-label",
      tr`${name}: ${compact(one[x])} ${SHORT[x]}, accuracy ${share(one[gain])}. ` +
        tr`The arrow keys go to the next design.`,
    );
    for (const control of controls) control.refresh();
    unit.textContent = SHORT[x];
    designs.tBodies[0].replaceChildren(
      ...[...rows]
        .sort((a, b) => b[gain] - a[gain])
        .map((row) =>
          tableRow(
            `${best.includes(row) ? "◆ " : ""}${inWords(row.design)}`,
            [compact(row[x]), share(row[gain])],
            { className: row === one ? "cn-chosen" : "", on: { click: () => choose(row) } },
          ),
        ),
    );
    accuracy(share(one[gain]), tr`${GAINS[gain]}; ${one.accuracies.map(share).join(", ")}`);
    price(compact(one[x]), AXES[x]);
    const field = `${{ fixed: "", bound: "≤ ", start: "≥ " }[one.field]}${one.receptive_field}`;
    sight(one.receptive_field ? tr`${field} pixels` : tr`all`, tr`receptive field`);
    ui.formula.textContent =
      tr`${name}, widths ${one.widths.join("-")}: ${format(one.params)} parameters, ` +
      tr`${format(one.macs)} multiply-adds, ${format(one.adds)} adds, ` +
      tr`inference ${format(one.inference_ms, 1)} ms, step ${format(one.step_ms, 1)} ms` +
      `\n${judgement}`;
    ui.say(judgement);
  }
  return follow(model, draw, accepts);
}

export default { render };
