// Mix a kernel of a few others: always alike, by the image, or by the position; and see which leaves the least noise.

import {
  accepts,
  error,
  HEAT,
  MODES,
  mixed,
  mixture,
  NOISE,
  namesOf,
  noiseOf,
  output,
  seen,
  torchCode,
} from "./dynamic_kernel.compute.js";
import { shareBars } from "./dynamic_kernel.draw.js";
import { choice, options, ranged } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, largest } from "./kit/numbers.js";
import { kernelGrid, outline, photoOf, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const NAMES = { fixed: tr`fixed`, image: tr`per image`, position: tr`per position` };
const RESULTS = {
  fixed: tr`What the fixed kernel makes of it`,
  image: tr`What the per image kernel makes of it`,
  position: tr`What the per position kernel makes of it`,
};
const KERNELS = {
  fixed: tr`The kernel everywhere`,
  image: tr`The kernel in this image`,
  position: tr`The kernel at the ring`,
};
const MIXTURES = {
  fixed: tr` everywhere, a mixture`,
  image: tr` in this image, a mixture`,
  position: tr` at the ring, a mixture`,
};
const SOURCES = {
  fixed: tr` always alike`,
  image: tr` from the mean roughness of the image`,
  position: tr` from the pixel at the ring alone`,
};
const listed = (texts) => texts.reduce((some, one) => tr`${some}, ${one}`);

function render({ model, el }) {
  const { height, width, places, photo: all } = photoOf(model);
  const captions = model.get("captions").map(inWords);
  const noise = noiseOf(places);
  const names = ["mode", "picture", "noise", "temperature", "probe"];
  const now = () => traits(model, names);
  const ui = frame(model, el, "dynamic-kernel", {
    label: tr`See a kernel change with the image or with the position`,
    prompt:
      tr`Change the noise, and switch between a fixed kernel, one per image and one per position: ` +
      tr`which leaves the smallest error? Then move the ring.`,
    code: () => torchCode(now()),
    initial: structuredClone(now()),
  });

  const input = picture(height, width, "cn-input");
  const result = picture(height, width, "cn-output");
  const frames = [input, result].map((one) => outline(one));
  const pair = h("div", { className: "cn-pair" }, input.el, result.el);
  ui.body.before(pair);
  const controls = [
    choice({
      ...trait(model, "mode"),
      label: tr`Kernel`,
      options: options(MODES, (mode) => NAMES[mode]),
    }),
    ranged(model, "noise", tr`Noise`, NOISE, { step: 0.01, digits: 2 }),
    choice({
      ...trait(model, "picture", Number),
      label: tr`Image`,
      options: options([...captions.keys()], (n) => captions[n]),
    }),
  ];
  const heat = ranged(model, "temperature", tr`Temperature, per image`, HEAT, {
    set: (temperature) => change(model, { temperature, mode: "image" }),
  });
  ui.lead(pair, ...controls);
  ui.more(heat.el);
  const own = figure();
  const fixed = figure();
  const bars = figure();
  ui.stage.append(h("div", { className: "cn-dynamic-kernels cn-wide" }, own.el, fixed.el, bars.el));
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Marked position`,
    on: input,
    more: [result],
    echo: [result],
  });
  const left = ui.fact("error");
  const least = ui.fact("least");

  // What does not depend on the ring, kept from draw to draw.
  let view = null;
  let made = "";
  let errors = {};
  let answer = null;
  function refresh({ mode, picture: n, noise: sigma, temperature }) {
    const photo = all.subarray(n * places, (n + 1) * places);
    if (made !== `${n}, ${sigma}`) view = seen(photo, height, width, noise, sigma);
    made = `${n}, ${sigma}`;
    const outputs = MODES.map((one) => [one, output(one, view, temperature)]);
    errors = Object.fromEntries(outputs.map(([one, y]) => [one, error(y, photo)]));
    errors.none = error(view.x, photo);
    answer = Object.fromEntries(outputs)[mode];
  }

  let last = "";
  function draw() {
    const state = now();
    const { mode, noise: sigma, temperature, probe: position } = state;
    const [row, column] = position;
    const n = row * width + column;
    const settings = JSON.stringify({ ...state, probe: null });
    if (settings !== last) refresh(state);
    last = settings;
    for (const control of [...controls, heat, point]) control.refresh();

    input.paint(view.x, 1);
    input.describe(
      tr`${captions[state.picture]}, with noise of standard deviation ${format(sigma)}`,
      tr`Input`,
      tr`; the blue frame is what the kernel at the ring reads`,
    );
    result.paint(answer, 1);
    result.describe(
      RESULTS[mode],
      tr`Output`,
      tr`, ${NAMES[mode]}: error ${format(errors[mode], 3)}`,
    );
    for (const put of frames) put((row - 2) / height, (column - 2) / width, 5 / height, 5 / width);

    const { kernels, shares } = mixture(mode, view, temperature);
    const r = shares(n);
    const kernel = mixed(kernels, r);
    const same = mixture("fixed", view, temperature);
    const plain = mixed(same.kernels, same.shares(n));
    const most = largest([...kernel, ...plain].flat());
    own.show(kernelGrid(kernel, KERNELS[mode], { unit: 46, most }), tr`Kernel`, MIXTURES[mode]);
    fixed.show(
      kernelGrid(plain, tr`The fixed kernel`, { unit: 46, most }),
      tr`Fixed kernel`,
      tr`, to compare`,
    );
    const names = namesOf(kernels);
    const list = listed(names.map((name, e) => `${name} ${format(r[e])}`));
    bars.show(
      shareBars(kernels, r, tr`Shares: ${list}`),
      tr`Shares`,
      SOURCES[mode],
      tr`; each small kernel in shades of its own`,
    );

    left(
      format(errors[mode], 3),
      tr`error left by this kernel (of the input: ${format(errors.none, 3)})`,
    );
    const best = MODES.reduce((a, b) => (errors[b] < errors[a] ? b : a));
    least(
      NAMES[best],
      tr`leaves the least here: ${listed(MODES.map((one) => `${NAMES[one]} ${format(errors[one], 3)}`))}`,
    );
    ui.formula.textContent =
      `${tr`kernel = ${names.map((name, e) => `${format(r[e])}·${name}`).join(" + ")}`}\n` +
      tr`y[${row}, ${column}] = ${format(answer[n], 3)}   input ${format(view.x[n], 3)}`;
    ui.say(tr`${NAMES[mode]}: ${list}; error ${format(errors[mode], 3)}; least: ${NAMES[best]}`);
  }
  return follow(model, draw, accepts);
}

export default { render };
