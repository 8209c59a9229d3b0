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
import { tr } from "./kit/words.js";

const SET = ["kept", "narrowed", "branch", "true_5x5"];

// A branch in words; the 5×5 one may have a 3×3 kernel.
function calledBranch({ branch, true_5x5 }) {
  if (branch === "pooling") return tr`pooling branch`;
  return branch === "5×5" && !true_5x5 ? tr`third branch` : tr`${branch} branch`;
}

function render({ model, el }) {
  const fixed = traits(model, ["in_channels", "outputs", "side"]);
  const channels = fixed.in_channels;
  const state = () => ({ ...fixed, ...traits(model, SET) });
  const largest = largestKernel(state());
  const ui = frame(model, el, "branch-diagram", {
    label: tr`The branches of an inception block`,
    prompt: tr`Click a branch and let its 1×1 kernel keep fewer channels: how many weights are left?`,
    code: () => torchCode(state()),
    initial: traits(model, SET),
  });
  const map = h("svg", { class: "cn-drawing", ...movable("branch"), on: { keydown } });
  const words = h("figcaption");
  caption(
    words,
    tr`Heights of the pipes`,
    tr`: channels. Areas of the squares: weights of the kernels, which are written below them.`,
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
    label: tr`1×1 kernels before the large ones and after pooling`,
  });
  const exact = toggle({
    ...trait(model, "true_5x5"),
    label: tr`5×5 kernel as in the paper; off: 3×3 instead, as in torchvision`,
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
    const called = calledBranch(now);
    const branch = tr`the ${called}`;
    const without = now.narrowed ? tr`without 1×1 kernels` : tr`with 1×1 kernels`;
    name.textContent = tr`Channels that the 1×1 kernel of ${branch} keeps`;
    kept.input.setAttribute("aria-label", name.textContent);
    kept.input.disabled = !now.narrowed;
    for (const control of [kept, narrowed, exact]) control.refresh();
    const told =
      tr`${format(rows[n].weights)} weights in ${branch}, ${format(sums.weights)} in the block, ` +
      tr`${channels} to ${sums.outputs} channels`;
    const width = Math.max(290, map.clientWidth || 330);
    const { height, marks } = diagram(rows, channels, now.branch, {
      largest,
      width,
      choose: (chosen) => change(model, { branch: chosen }),
    });
    map.setAttribute("viewBox", `0 0 ${width} ${height}`);
    map.setAttribute(
      "aria-label",
      tr`Branches of an inception block: ${told}. ` +
        tr`Up and down choose a branch, left and right change what it keeps.`,
    );
    map.replaceChildren(...marks);
    const weights = (where, ours, theirs) =>
      theirs
        ? tr`weights in ${where}, ${format(ours / theirs, 3)} times the ${format(theirs)} ${without}`
        : tr`weights in ${where}, ${format(theirs)} ${without}`;
    here(format(rows[n].weights), weights(branch, rows[n].weights, other[n].weights));
    all(format(sums.weights), weights(tr`the block`, sums.weights, others.weights));
    values(
      format(sums.values),
      tr`values written per position by kernels and pooling, ${format(others.values)} ${without}`,
    );
    const { side } = fixed;
    const macs = `${format(sums.weights)} · ${side}² = ${short(sums.weights * side ** 2)}`;
    ui.formula.textContent = [
      tr`${called}: ${written(rows[n])}`,
      tr`multiply-adds on ${side}×${side} positions: ${macs}`,
      tr`receptive field of the block: ${sums.field}×${sums.field}`,
    ].join("\n");
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
