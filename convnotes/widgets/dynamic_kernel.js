// Mix a kernel of a few others: always alike, by the image, or by the position; and see which leaves the least noise.

import {
  accepts,
  error,
  HEAT,
  MODES,
  mixed,
  mixture,
  NOISE,
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

const NAMES = { fixed: "fixed", image: "per image", position: "per position" };

function render({ model, el }) {
  const { height, width, places, photo: all } = photoOf(model);
  const captions = model.get("captions");
  const noise = noiseOf(places);
  const names = ["mode", "picture", "noise", "temperature", "probe"];
  const now = () => traits(model, names);
  const ui = frame(model, el, "dynamic-kernel", {
    label: "See a kernel change with the image or with the position",
    prompt:
      "Change the noise, and switch between a fixed kernel, one per image and one per position: which leaves the " +
      "smallest error? Then move the ring.",
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
      label: "Kernel",
      options: options(MODES, (mode) => NAMES[mode]),
    }),
    ranged(model, "noise", "Noise", NOISE, { step: 0.01, digits: 2 }),
    choice({
      ...trait(model, "picture", Number),
      label: "Image",
      options: options([...captions.keys()], (n) => captions[n]),
    }),
  ];
  const heat = ranged(model, "temperature", "Temperature, per image", HEAT, {
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
    label: "Marked position",
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
      `${captions[state.picture]}, with noise of standard deviation ${format(sigma)}`,
      "Input",
      "; the blue frame is what the kernel at the ring reads",
    );
    result.paint(answer, 1);
    result.describe(
      `What the ${NAMES[mode]} kernel makes of it`,
      "Output",
      `, ${NAMES[mode]}: error ${format(errors[mode], 3)}`,
    );
    for (const put of frames) put((row - 2) / height, (column - 2) / width, 5 / height, 5 / width);

    const { kernels, shares } = mixture(mode, view, temperature);
    const r = shares(n);
    const kernel = mixed(kernels, r);
    const same = mixture("fixed", view, temperature);
    const plain = mixed(same.kernels, same.shares(n));
    const most = largest([...kernel, ...plain].flat());
    const where = { fixed: "everywhere", image: "in this image", position: "at the ring" }[mode];
    own.show(
      kernelGrid(kernel, `The kernel ${where}`, { unit: 46, most }),
      "Kernel",
      ` ${where}, a mixture`,
    );
    fixed.show(
      kernelGrid(plain, "The fixed kernel", { unit: 46, most }),
      "Fixed kernel",
      ", to compare",
    );
    const list = Object.keys(kernels).map((name, e) => `${name} ${format(r[e])}`);
    const from = {
      fixed: "always alike",
      image: "from the mean roughness of the image",
      position: "from the pixel at the ring alone",
    }[mode];
    bars.show(
      shareBars(kernels, r, `Shares: ${list.join(", ")}`),
      "Shares",
      ` ${from}; each small kernel in shades of its own`,
    );

    left(
      format(errors[mode], 3),
      `error left by this kernel (of the input: ${format(errors.none, 3)})`,
    );
    const best = MODES.reduce((a, b) => (errors[b] < errors[a] ? b : a));
    least(
      NAMES[best],
      `leaves the least here: ${MODES.map((one) => `${NAMES[one]} ${format(errors[one], 3)}`).join(", ")}`,
    );
    ui.formula.textContent =
      `kernel = ${Object.keys(kernels)
        .map((name, e) => `${format(r[e])}·${name}`)
        .join(" + ")}\n` +
      `y[${row}, ${column}] = ${format(answer[n], 3)}   input ${format(view.x[n], 3)}`;
    ui.say(
      `${NAMES[mode]}: ${list.join(", ")}; error ${format(errors[mode], 3)}; least: ${NAMES[best]}`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
