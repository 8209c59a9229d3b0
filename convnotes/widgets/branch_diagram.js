// Change what the 1×1 kernels of an inception block keep, and watch pipes and kernels.

import {
  accepts,
  branches,
  keeping,
  largestKernel,
  NARROWED,
  torchCode,
  totals,
  written,
} from "./branch_diagram.compute.js";
import { diagram } from "./branch_diagram.draw.js";
import { slider, toggle } from "./kit/controls.js";
import { arrowStep, caption, h, movable } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, short } from "./kit/numbers.js";

const SET = ["kept", "narrowed", "branch", "true_5x5"];

function render({ model, el }) {
  const fixed = traits(model, ["in_channels", "outputs", "side"]);
  const channels = fixed.in_channels;
  const state = () => ({ ...fixed, ...traits(model, SET) });
  const largest = largestKernel(state());
  const ui = frame(model, el, "branch-diagram", {
    label: "The branches of an inception block",
    prompt: "Click a branch and let its 1×1 kernel keep fewer channels: how many weights are left?",
    code: () => torchCode(state()),
    initial: traits(model, SET),
  });
  const map = h("svg", { class: "cn-drawing", ...movable("branch"), on: { keydown } });
  const words = h("figcaption");
  caption(
    words,
    "Heights of the pipes",
    ": channels. Areas of the squares: weights of the kernels, which are written below them.",
  );
  const picture = h("figure", { className: "cn-picture" }, map, words);
  const keep = (count) => {
    const { kept, branch } = state();
    change(model, { kept: keeping(kept, branch, count, channels) });
  };
  const kept = slider({
    name: "kept",
    label: "",
    min: 1,
    max: channels,
    get: () => model.get("kept")[NARROWED.indexOf(model.get("branch"))],
    set: keep,
  });
  const name = kept.el.querySelector(".cn-label");
  const narrowed = toggle({
    ...trait(model, "narrowed"),
    label: "1×1 kernels before the large ones and after pooling",
  });
  const exact = toggle({
    ...trait(model, "true_5x5"),
    label: "5×5 kernel as in the paper; off: 3×3 instead, as in torchvision",
  });
  ui.stage.append(picture);
  ui.lead(picture, kept, narrowed);
  ui.more(exact);
  const here = ui.fact("branch weights", "branch note");
  const all = ui.fact("weights", "weights note");
  const values = ui.fact("values", "values note");

  function keydown(event) {
    const step = arrowStep(event);
    if (!step) return;
    const { branch, narrowed: on } = state();
    const next = NARROWED[NARROWED.indexOf(branch) + step[0]];
    if (step[0] && next) change(model, { branch: next });
    if (step[1] && on) keep(kept.input.valueAsNumber + step[1] * (event.shiftKey ? 8 : 1));
  }

  function draw() {
    const now = state();
    const rows = branches(now);
    const other = branches({ ...now, narrowed: !now.narrowed });
    const [sums, others] = [totals(rows), totals(other)];
    const n = rows.findIndex((row) => row.name === now.branch);
    const called = now.branch === "5×5" && !now.true_5x5 ? "third" : now.branch; // it has a 3×3 kernel
    const branch = `the ${called} branch`;
    const without = now.narrowed ? "without 1×1 kernels" : "with 1×1 kernels";
    name.textContent = `Channels that the 1×1 kernel of ${branch} keeps`;
    kept.input.setAttribute("aria-label", name.textContent);
    kept.input.disabled = !now.narrowed;
    for (const control of [kept, narrowed, exact]) control.refresh();
    const told =
      `${format(rows[n].weights)} weights in ${branch}, ${format(sums.weights)} in the block, ` +
      `${channels} to ${sums.outputs} channels`;
    const width = Math.max(290, map.clientWidth || 330);
    const { height, marks } = diagram(rows, channels, now.branch, {
      largest,
      width,
      choose: (chosen) => change(model, { branch: chosen }),
    });
    map.setAttribute("viewBox", `0 0 ${width} ${height}`);
    map.setAttribute(
      "aria-label",
      `Branches of an inception block: ${told}. Up and down choose a branch, left and right change what it keeps.`,
    );
    map.replaceChildren(...marks);
    const ratio = (ours, theirs) => (theirs ? `${format(ours / theirs, 3)} times the ` : "");
    here(
      format(rows[n].weights),
      `weights in ${branch}, ${ratio(rows[n].weights, other[n].weights)}${format(other[n].weights)} ${without}`,
    );
    all(
      format(sums.weights),
      `weights in the block, ${ratio(sums.weights, others.weights)}${format(others.weights)} ${without}`,
    );
    values(
      format(sums.values),
      `values written per position by kernels and pooling, ${format(others.values)} ${without}`,
    );
    const { field } = sums;
    ui.formula.textContent =
      `${called} branch: ${written(rows[n])}\n` +
      `multiply-adds on ${fixed.side}×${fixed.side} positions: ${format(sums.weights)} · ${fixed.side}² = ` +
      `${short(sums.weights * fixed.side ** 2)}\nreceptive field of the block: ${field}×${field}`;
    ui.say(told);
  }
  const resized = new ResizeObserver(() => {
    if (Math.abs(map.viewBox.baseVal.width - Math.max(290, map.clientWidth)) > 1) draw();
  });
  const end = follow(model, draw, accepts);
  resized.observe(map);
  return () => {
    resized.disconnect();
    end();
  };
}

export default { render };
