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

const SET = ["on", "scales", "shifts", "bias", "padding", "melt", "branch"];

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const fixed = traits(model, ["kernels", "first"]);
  const state = () => ({ ...fixed, ...traits(model, SET) });
  const ui = frame(model, el, "branch-fuser", {
    label: "Melt linear branches into one kernel",
    prompt: "Drag the slider to melt the branches into one kernel. Do the two outputs ever differ?",
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
  const melt = ranged(model, "melt", "Melt", [0, STEPS.length - 1], { step: 0.05, digits: 2 });
  const scale = norm("scales", "Scale of its norm", SCALE);
  const shift = norm("shifts", "Shift of its norm", SHIFT);
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
    label: "Around the map of the 1×1",
    options: PADDINGS,
  });
  const bias = ranged(model, "bias", "Bias of the 1×1", SHIFT, { step: 0.1, digits: 1 });
  const which = h(
    "div",
    { className: "cn-fuser-switches", role: "group", "aria-label": "Branches" },
    switches.map((each) => each.el),
  );
  ui.stage.append(taps, maps);
  ui.lead(taps, melt, scale, { el: which });
  ui.more(shift, bias, around);
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
    for (const [control, what] of [
      [scale, "Scale"],
      [shift, "Shift"],
    ]) {
      control.el.querySelector(".cn-label").textContent = `${what} of the norm of ${name}`;
      control.input.setAttribute("aria-label", `${what} of the norm of ${name}`);
    }
    around.input.disabled = bias.input.disabled = !series;

    const size = Math.max(290, map.clientWidth || 330);
    const drawn = melting(parts, now.melt, chosen(), {
      width: size,
      choose: (kind) => change(model, { branch: kind }),
    });
    const list = parts.map(({ kind }) => NAMES[kind]).join(", ");
    map.setAttribute("viewBox", `0 0 ${size} ${drawn.height}`);
    map.setAttribute(
      "aria-label",
      `Kernels of the branches ${list}, ${step}; ${name} is chosen. Left and right choose a branch, up and down ` +
        "change the scale of its norm.",
    );
    map.replaceChildren(...drawn.marks);
    caption(
      words,
      "Kernels",
      ": orange positive, blue negative. Below each: what its norm multiplies by and adds. The sliders change the " +
        "branch with a border; click another.",
    );

    const y = throughBranches(photo, height, width, parts, now.padding);
    const z = throughOne(photo, height, width, whole);
    const d = y.map((v, n) => v - z[n]);
    const [apart, most] = [Math.max(...d.map(Math.abs)), largest(y)];
    input.paint(photo, 1);
    input.describe(model.get("alt"), "Input");
    for (const [out, values, title] of [
      [many, y, "Branches, added"],
      [one, z, "One kernel"],
    ]) {
      out.paint(
        values.map((v) => grey(v, most)),
        1,
      );
      out.describe(`${title}: grey is 0, black ${format(-most)}, white ${format(most)}`, title);
    }
    const seen = apart > 1e-9;
    gap.paintSigned(seen ? d : d.fill(0), apart || 1);
    gap.describe(
      seen ? `Difference, up to ${tiny(apart)} at the border` : "Difference: none to be seen",
      "Difference",
      seen ? `: full colour at ±${tiny(apart)}` : ": nothing to see",
    );
    const count = operations(parts);
    far(
      tiny(apart),
      seen
        ? "largest difference of the two outputs, at the border: there the 3×3 kernel reads 0 instead of the bias"
        : "largest difference of the two outputs",
    );
    work(`${count} → 1`, "operations, each of which writes a map");
    ui.formula.textContent = written(parts);
    ui.say(`${list}, ${step}: largest difference ${tiny(apart)}, ${count} operations become 1`);
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
