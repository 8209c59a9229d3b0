// Switch branches on and off, change their norms, and melt them into one kernel.

import {
  accepts,
  branches,
  fused,
  KINDS,
  NAMES,
  operations,
  PADDINGS,
  SCALE,
  SHIFT,
  STEPS,
  stepName,
  throughBranches,
  throughOne,
  tiny,
  torchCode,
  written,
} from "./branch_fuser.compute.js";
import { melting } from "./branch_fuser.draw.js";
import { choice, ranged, slider, toggle } from "./kit/controls.js";
import { arrowStep, caption, h, movable } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { clamp, format, largest } from "./kit/numbers.js";
import { grey, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const SET = ["on", "scales", "shifts", "bias", "padding", "melt", "branch"];

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const fixed = traits(model, ["kernels", "first"]);
  const state = () => ({ ...fixed, ...traits(model, SET) });
  const ui = frame(model, el, "branch-fuser", {
    label: tr`Melt linear branches into one kernel`,
    prompt: tr`Drag the slider to melt the branches into one kernel. Do the two outputs ever differ?`,
    code: () => torchCode(state(), height, width),
    initial: structuredClone(traits(model, SET)),
  });

  const map = h("svg", { class: "cn-drawing", ...movable("branch"), on: { keydown } });
  const words = h("figcaption");
  const taps = h("figure", { className: "cn-picture" }, map, words);
  const input = picture(height, width, "cn-input");
  const many = picture(height, width, "cn-output");
  const one = picture(height, width, "cn-output");
  const gap = picture(height, width);
  gap.surface.classList.add("cn-fuser-gap");
  const maps = h(
    "div",
    { className: "cn-fuser-maps" },
    [input, many, one, gap].map((each) => each.el),
  );

  const chosen = () => {
    const { on, branch } = state();
    return on.includes(branch) ? branch : KINDS.find((kind) => on.includes(kind));
  };
  const norm = (name, label, [min, max]) =>
    slider({
      name,
      label,
      ...{ min, max, step: 0.1, digits: 1 },
      get: () => model.get(name)[KINDS.indexOf(chosen())],
      set: (value) =>
        change(model, { [name]: model.get(name).with(KINDS.indexOf(chosen()), value) }),
    });
  const melt = ranged(model, "melt", tr`Melt`, [0, STEPS.length - 1], { step: 0.05, digits: 2 });
  const scale = norm("scales", tr`Scale of its norm`, SCALE);
  const shift = norm("shifts", tr`Shift of its norm`, SHIFT);
  const switches = KINDS.map((kind) =>
    toggle({
      name: `on-${kind}`,
      label: NAMES[kind],
      get: () => model.get("on").includes(kind),
      set: (yes) => {
        const on = KINDS.filter((other) =>
          other === kind ? yes : model.get("on").includes(other),
        );
        if (on.length) change(model, { on, branch: yes ? kind : model.get("branch") });
        else draw(); // one branch stays
      },
    }),
  );
  const around = choice({
    ...trait(model, "padding"),
    label: tr`Around the map of the 1×1`,
    options: PADDINGS,
  });
  const bias = ranged(model, "bias", tr`Bias of the 1×1`, SHIFT, { step: 0.1, digits: 1 });
  const which = h(
    "div",
    { className: "cn-fuser-switches", role: "group", "aria-label": tr`Branches` },
    switches.map((each) => each.el),
  );
  ui.stage.append(taps, maps);
  ui.lead(taps, melt, scale, { el: which });
  const hint = h(
    "p",
    { className: "cn-small" },
    tr`The branch 1×1, then 3×3 has two more settings.`,
  );
  const border = h("div", {}, hint);
  ui.more(shift, border);
  const far = ui.fact("difference", "difference note");
  const work = ui.fact("operations", "operations note");

  function keydown(event) {
    const step = arrowStep(event);
    if (!step) return;
    const on = KINDS.filter((kind) => model.get("on").includes(kind));
    const next = on[on.indexOf(chosen()) + step[1]];
    if (step[1] && next) change(model, { branch: next });
    if (step[0]) {
      const n = KINDS.indexOf(chosen());
      const value = Math.round(10 * model.get("scales")[n] - step[0]) / 10;
      change(model, { scales: model.get("scales").with(n, clamp(value, ...SCALE)) });
    }
  }

  function draw() {
    const now = state();
    const parts = branches(now);
    const whole = fused(parts);
    const name = NAMES[chosen()];
    const series = now.on.includes("1x1-kxk");
    for (const control of [melt, scale, shift, bias, around, ...switches]) control.refresh();
    const step = stepName(now.melt);
    melt.el.querySelector("output").textContent = step;
    melt.input.setAttribute("aria-valuetext", step);
    for (const [control, label] of [
      [scale, tr`Scale of the norm of ${name}`],
      [shift, tr`Shift of the norm of ${name}`],
    ]) {
      control.el.querySelector(".cn-label").textContent = label;
      control.input.setAttribute("aria-label", label);
    }
    if (series !== border.contains(bias.el))
      border.replaceChildren(...(series ? [bias.el, around.el] : [hint]));

    const size = Math.max(290, map.clientWidth || 330);
    const drawn = melting(parts, now.melt, chosen(), {
      width: size,
      choose: (kind) => change(model, { branch: kind }),
    });
    const list = parts.map(({ kind }) => NAMES[kind]).reduce((some, one) => tr`${some}, ${one}`);
    map.setAttribute("viewBox", `0 0 ${size} ${drawn.height}`);
    map.setAttribute(
      "aria-label",
      tr`Kernels of the branches ${list}, ${step}; ${name} is chosen. ` +
        tr`Left and right choose a branch, up and down change the scale of its norm.`,
    );
    map.replaceChildren(...drawn.marks);
    caption(
      words,
      tr`Kernels`,
      tr`: orange positive, blue negative. Below each: what its norm multiplies by and adds. ` +
        tr`The sliders change the branch with a border; click another.`,
    );

    const y = throughBranches(photo, height, width, parts, now.padding);
    const z = throughOne(photo, height, width, whole);
    const d = y.map((v, n) => v - z[n]);
    const [apart, most] = [Math.max(...d.map(Math.abs)), largest(y)];
    input.paint(photo, 1);
    input.describe(inWords(model.get("alt")), tr`Input`);
    for (const [out, values, title] of [
      [many, y, tr`Branches, added`],
      [one, z, tr`One kernel`],
    ]) {
      out.paint(
        values.map((v) => grey(v, most)),
        1,
      );
      out.describe(tr`${title}: grey is 0, black ${format(-most)}, white ${format(most)}`, title);
    }
    const seen = apart > 1e-9;
    gap.paintSigned(seen ? d : d.fill(0), apart || 1);
    gap.describe(
      seen ? tr`Difference, up to ${tiny(apart)} at the border` : tr`Difference: none to be seen`,
      tr`Difference`,
      seen ? tr`: full colour at ±${tiny(apart)}` : tr`: nothing to see`,
    );
    const count = operations(parts);
    far(
      tiny(apart),
      seen
        ? tr`largest difference of the two outputs, at the border: ` +
            tr`there the 3×3 kernel reads 0 instead of the bias`
        : tr`largest difference of the two outputs`,
    );
    work(`${count} → 1`, tr`operations, each of which writes a map`);
    ui.formula.textContent = written(parts);
    ui.say(tr`${list}, ${step}: largest difference ${tiny(apart)}, ${count} operations become 1`);
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
