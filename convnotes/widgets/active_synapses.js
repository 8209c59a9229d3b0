// Move the synapses of an active convolution and see the ordinary kernel that they make.

import {
  accepts,
  convolve,
  PRESETS,
  REACH,
  sharing,
  splat,
  torchCode,
  touched,
} from "./active_synapses.compute.js";
import { choice, options, pixelSlider, presetChoice, slider } from "./kit/controls.js";
import { arrowStep, figure, h, movable, pointedAt, rect, svg } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { bracketed, clamp, format, several } from "./kit/numbers.js";
import { kernelGrid, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const UNIT = 46; // the side of a pixel in the drawing
const SIDE = 2 * REACH + 1;
const NAMES = {
  relief: tr`photograph and relief`,
  plain: tr`3×3 blur`,
  dilated: tr`dilated blur`,
  ghost: tr`double exposure`,
  edges: tr`edges between pixels`,
};

// How far below the middle of pixel [u, v] its number is drawn, so that no synapse's disc hides it.
function beside(positions, u, v) {
  const free = (offset) =>
    positions.every(
      ([y, x]) => Math.abs((y - u) * UNIT - offset) > 15 || Math.abs(x - v) * UNIT > 30,
    );
  return [16, -16].find(free) ?? 16;
}

// The kernel below the discs. A pixel that no synapse touches has no number; each number stands where no disc hides it,
// below the middle if it can. The pixels that share the weight of synapse k are lit up, each tied to its disc by a line
// as thick as its share.
function kernelBelow(positions, kernel, k, label) {
  const grid = kernelGrid(kernel, label, { unit: UNIT });
  const held = new Set(positions.flatMap(sharing).map(([u, v]) => `${u},${v}`));
  grid.querySelectorAll("text").forEach((text, n) => {
    const [u, v] = [Math.floor(n / SIDE) - REACH, (n % SIDE) - REACH];
    if (!held.has(`${u},${v}`)) return text.remove();
    text.setAttribute("y", middle(u) + beside(positions, u, v));
    text.textContent = format(kernel[u + REACH][v + REACH], 3);
  });
  const numbers = grid.querySelectorAll("text");
  const lit = sharing(positions[k]);
  const [y, x] = positions[k].map(middle);
  grid.append(
    ...lit.map(([u, v]) =>
      rect(middle(v) - UNIT / 2 + 2, middle(u) - UNIT / 2 + 2, UNIT - 4, UNIT - 4, "cn-lit"),
    ),
    ...lit.map(([u, v, share]) =>
      h("line", {
        ...{ x1: x, y1: y, x2: middle(v), y2: middle(u), class: "cn-lit" },
        "stroke-width": 1 + 6 * share,
      }),
    ),
    ...numbers, // on top
  );
  return grid;
}

// The middle of a row or a column of the drawing, counted from the middle one.
function middle(offset) {
  return (offset + REACH + 0.5) * UNIT;
}

// A disc that is dragged or moved by the arrow keys; the first one stays where it is.
function synapse(k, { over, choose, move, position }) {
  const free = k > 0;
  const use = free ? movable(`synapse-${k + 1}`) : { role: "img" };
  const disc = h(
    "g",
    { class: "cn-synapse", ...use },
    h("circle", { r: 20, class: "cn-synapse-hold" }),
    h("circle", { r: 10, class: "cn-synapse-disc" }),
    h("text", { y: 0.5, class: "cn-synapse-number" }, `${k + 1}`),
  );
  if (!free) return disc;
  disc.addEventListener("focus", choose);
  disc.addEventListener("keydown", (event) => {
    const step = arrowStep(event, event.shiftKey ? 0.5 : 0.05);
    if (step) move(position().map((v, n) => v + step[n]));
  });
  disc.addEventListener("pointerdown", (event) => {
    disc.setPointerCapture(event.pointerId);
    disc.focus();
    event.preventDefault();
  });
  disc.addEventListener("pointermove", (event) => {
    if (event.buttons)
      move(pointedAt(event, over).map((share) => (share - 0.5) * (SIDE + 2 / UNIT)));
  });
  return disc;
}

function render({ model, el }) {
  const { height, width, photo } = photoOf(model, Float32Array);
  const load = ([weights, positions, bias]) => ({ weights, positions, bias, chosen: 1 });
  const now = () => [model.get("weights"), model.get("positions"), model.get("bias")];
  const ui = frame(model, el, "active-synapses", {
    label: tr`Move the synapses of an active convolution`,
    prompt: tr`Drag a synapse, or move it with the arrow keys: how many pixels does it touch, and when only one?`,
    code: () => torchCode(...now()),
    initial: structuredClone(traits(model, ["weights", "positions", "bias", "chosen"])),
  });

  const under = h("div");
  const over = svg(SIDE * UNIT, SIDE * UNIT, {
    margin: 1,
    role: "group",
    label: tr`Synapses on the grid`,
    class: "cn-synapses",
  });
  const board = figure("cn-wide");
  const stack = h("div", { className: "cn-board" }, under, over);
  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  ui.body.before(h("div", { className: "cn-synapse-pair" }, input.el, output.el));

  const at = () => clamp(model.get("chosen"), 0, model.get("weights").length - 1);
  const within = (v) => clamp(Math.round(v * 20) / 20, -REACH, REACH) + 0;
  const move = (k, position) => {
    const positions = model.get("positions");
    change(model, {
      chosen: k,
      positions: k > 0 ? positions.with(k, position.map(within)) : [...positions],
    });
  };
  const axis = (name, label, n) =>
    pixelSlider({
      name,
      label,
      reach: REACH,
      step: 0.05,
      get: () => model.get("positions")[at()][n],
      set: (v) => move(at(), model.get("positions")[at()].with(n, v)),
    });
  const sides = [axis("y", tr`y (down)`, 0), axis("x", tr`x (right)`, 1)];
  const which = choice({
    ...trait(model, "chosen", Number),
    label: tr`Synapse`,
    options: {},
    get: () => String(at()),
  });
  const preset = presetChoice({
    options: NAMES,
    presets: PRESETS,
    now,
    apply: (chosen) => change(model, load(chosen)),
  });
  const weight = slider({
    name: "weight",
    label: tr`Weight`,
    min: -4,
    max: 4,
    step: 0.05,
    digits: 2,
    get: () => model.get("weights")[at()],
    set: (v) => change(model, { weights: model.get("weights").with(at(), v) }),
  });
  preset.el.classList.add("cn-wide");
  ui.stage.append(preset.el, board.el); // the preset before the discs, whose number it changes
  ui.lead(board.el, weight);
  ui.panel.append(which.el);
  ui.more(...sides);
  const pixels = ui.fact("pixels", "learned");
  const sizes = ui.fact("window", "cost");

  let discs = [];
  function build(count) {
    discs = Array.from({ length: count }, (_, k) =>
      synapse(k, {
        over,
        position: () => model.get("positions")[k],
        choose: () => at() !== k && change(model, { chosen: k }),
        move: (position) => move(k, position),
      }),
    );
    over.replaceChildren(...discs);
    which.offer(
      options(
        discs.map((_, k) => k),
        (k) => (k ? `${k + 1}` : tr`1 (in the middle)`),
      ),
    );
  }

  function draw() {
    const [weights, positions, bias] = now();
    const k = at();
    if (weights.length !== positions.length) return; // between two traits of one change
    if (discs.length !== weights.length) build(weights.length);
    const kernel = splat(weights, positions);
    const size = touched(positions);
    under.replaceChildren(
      kernelBelow(
        positions,
        kernel,
        k,
        tr`The 7×7 kernel that the synapses make, ${size.pixels} of its pixels touched`,
      ),
    );
    board.show(
      stack,
      tr`Kernel`,
      tr`: discs are synapses (dashed: a negative weight), numbers what they make on the pixels. ` +
        tr`Lit up: the pixels that share the weight of synapse ${k + 1}. Synapse 1 stays in the middle`,
    );
    discs.forEach((disc, n) => {
      const [y, x] = positions[n];
      const circle = disc.children[1];
      disc.setAttribute("transform", `translate(${middle(x)} ${middle(y)})`);
      disc.setAttribute(
        "aria-label",
        tr`Synapse ${n + 1} at y ${format(y)}, x ${format(x)}, weight ${format(weights[n])}`,
      );
      circle.setAttribute("stroke-width", n === k ? 4.5 : 2);
      circle.setAttribute("stroke-dasharray", weights[n] < 0 ? "4 3" : "none");
    });
    input.paint(photo, 3);
    input.describe(inWords(model.get("alt")), tr`Input`);
    output.paint(convolve(photo, height, width, kernel, bias), 3);
    output.describe(
      tr`The photograph filtered by the kernel, each colour by itself`,
      tr`Output`,
      bias ? tr`, ${format(bias)} added` : "",
    );
    for (const control of [preset, which, ...sides, weight]) control.refresh();
    for (const side of sides) side.input.disabled = k === 0;
    const [count, moved] = [weights.length, 2 * weights.length - 2];
    pixels(
      several(size.pixels, tr`pixel`, tr`pixels`),
      tr`touched by ${count} synapses: ${count} weights and ${moved} coordinates to learn`,
    );
    sizes(
      `${SIDE}×${SIDE}`,
      tr`window of a layer of reach ${REACH}, wherever the synapses lie: ` +
        tr`${SIDE * SIDE} multiply-adds per position and pair of channels (a 3×3 kernel: 9). ` +
        tr`These synapses fill ${size.height}×${size.width} of it`,
    );
    const [y, x] = positions[k];
    const holders = sharing([y, x]);
    const held = several(holders.length, tr`pixel`, tr`pixels`);
    const part = (pixel, coordinate) => `(1 − |${format(pixel)} − ${bracketed(coordinate)}|)`;
    ui.formula.textContent = [
      tr`synapse ${k + 1} at (${format(y)}, ${format(x)}) gives its weight ${format(weights[k])} to ${held} [u, v]:`,
      ...holders.map(
        ([u, v, share]) =>
          `[${format(u)}, ${format(v)}]  ${bracketed(weights[k])} · ${part(u, y)} · ` +
          `${part(v, x)} = ${format(weights[k] * share, 3)}`,
      ),
    ].join("\n");
    ui.say(tr`Synapse ${k + 1} at y ${format(y)}, x ${format(x)}; ${size.pixels} pixels touched`);
  }
  return follow(model, draw, accepts);
}

export default { render };
