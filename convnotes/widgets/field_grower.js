// Stack layers, move an output position, and see which pixels it reads.

import {
  accepts,
  canvasSide,
  coloursRead,
  grow,
  LIMITS,
  onLine,
  PRESETS,
  positions,
  REACH,
  torchCode,
  touched,
} from "./field_grower.compute.js";
import {
  answers,
  coloured,
  counted,
  readTogether,
  sideView,
  tapGrid,
} from "./field_grower.draw.js";
import { cell, presetChoice, slider } from "./kit/controls.js";
import { arrowStep, figure, h, movable, pointedAt, table, tableRow } from "./kit/dom.js";
import { fold, follow, frame, trait, traits } from "./kit/frame.js";
import { clamp, format, percent, several, sum } from "./kit/numbers.js";

const OTHERS = ["kernel", "stride"];
const NAMES = {
  grid: "dilations 2, 2, 2",
  hybrid: "dilations 1, 2, 5",
  doubling: "dilations 1, 2, 4",
  plain: "dilations 1, 1, 1",
  threes: "dilations 3, 3, 3",
  strided: "strides 2, 2, 1",
  single: "one 7×7 kernel",
};

function render({ model, el }) {
  const { get: layers, set: put } = trait(model, "layers");
  const { get: position, set: putPosition } = trait(model, "position");
  const ui = frame(model, el, "field-grower", {
    label: "Stack layers, move an output position, and see which pixels it reads",
    prompt:
      "Move the ring one pixel to the right: what becomes of the line? " +
      "Then change one dilation so that no hole is left.",
    code: () => torchCode(layers()),
    initial: structuredClone(traits(model, ["layers", "position"])),
  });
  const goTo = (to) => {
    const at = to.map((v) => clamp(v, -REACH, REACH) + 0);
    if (String(at) !== String(position())) putPosition(at);
  };

  const plane = figure("cn-wide");
  const together = figure();
  const outputs = figure();
  const side = figure();
  const board = h("div", {
    className: "cn-field-board",
    ...movable("position"),
    on: {
      keydown(event) {
        const step = arrowStep(event);
        if (step) goTo(position().map((at, n) => at + step[n]));
      },
      pointerdown(event) {
        board.setPointerCapture(event.pointerId);
        board.focus({ preventScroll: true });
        event.preventDefault();
        drag(event);
      },
      pointermove(event) {
        if (event.buttons) drag(event);
      },
    },
  });
  function drag(event) {
    const { stride } = grow(layers()).at(-1);
    const pixels = pointedAt(event, board).map((share) => (share - 0.5) * canvasSide(layers()));
    goTo(pixels.map((from) => Math.round(from / stride)));
  }

  const dials = h("div", { className: "cn-field-dials" });
  const holder = h("div");
  const controls = [
    presetChoice({ options: NAMES, presets: PRESETS, now: layers, apply: put }),
    slider({
      name: "layers",
      label: "Layers",
      min: LIMITS.layers[0],
      max: LIMITS.layers[1],
      get: () => layers().length,
      set: (count) => put(Array.from({ length: count }, (_, n) => [...(layers()[n] ?? [3, 1, 1])])),
    }),
  ];
  const seen = h("div", { className: "cn-field-below cn-wide" }, together.el, outputs.el);
  ui.stage.append(plane.el, seen);
  ui.lead(plane.el, { el: dials });
  ui.more(...controls, holder);
  ui.panel.append(fold("One row, from the side", true, side.el));
  const facts = ["size", "share", "colours", "line"].map((name) => ui.fact(name, `${name}-note`));

  const set = (n, c, value) => {
    if (layers()[n] && layers()[n][c] !== value) put(layers().with(n, layers()[n].with(c, value)));
  };
  let knobs = [];
  function build(count) {
    const each = Array.from({ length: count }, (_, n) => n);
    const dilations = each.map((n) =>
      slider({
        name: `dilation-${n}`,
        label: `Dilation ${n + 1}`,
        min: LIMITS.dilation[0],
        max: LIMITS.dilation[1],
        get: () => layers()[n]?.[2] ?? 1,
        set: (value) => set(n, 2, value),
      }),
    );
    const lines = each.map((n) =>
      OTHERS.map((name, c) =>
        cell({
          name: `${name}-${n}`,
          label: `layer ${n + 1}, ${name}`,
          min: LIMITS[name][0],
          max: LIMITS[name][1],
          step: 1,
          digits: 0,
          get: () => layers()[n]?.[c] ?? 1,
          set: (value) => set(n, c, value),
        }),
      ),
    );
    knobs = [...dilations, ...lines.flat()];
    dials.replaceChildren(...dilations.map((one) => one.el));
    dials.style.setProperty("--count", count);
    holder.replaceChildren(
      table(
        "cn-matrix",
        "The layers, from the input up: type, or use the arrow keys",
        ["", ...OTHERS],
        lines.map((line, n) =>
          tableRow(
            `layer ${n + 1}`,
            line.map((one) => one.el),
          ),
        ),
      ),
    );
  }

  function draw() {
    const now = layers();
    const at = position();
    const fields = grow(now);
    const found = touched(now);
    const { stride } = fields.at(-1);
    const wide = canvasSide(now);
    const { read, of, m } = coloursRead(now, at);
    const share = onLine(now)[at[1] + REACH];
    if (dials.children.length !== now.length) build(now.length);
    for (const control of [...controls, ...knobs]) control.refresh();
    const words =
      `a receptive field of ${found.size} by ${found.size} pixels, ${found.places} of them read, ` +
      `${found.holes} holes`;
    const [down, right] = at.map((p) => p * stride);
    const where = `${format(down)} down and ${format(right)} to the right of the middle`;
    const sees = share
      ? `a share of ${format(share)} of its paths ends on the line`
      : "it does not read the line";
    board.setAttribute("aria-label", `Output position ${where}. Arrow keys move it`);
    board.replaceChildren(
      tapGrid(
        now,
        at,
        `The input of ${wide} by ${wide} pixels, with a line one pixel wide and ${words}`,
      ),
    );
    plane.show(
      board,
      "Input",
      ` of ${wide}×${wide} pixels with a line. Ring: an output position, to be moved; frame: its receptive field`,
      counted(now) ? "; number: the paths from that pixel" : "; deeper: more paths",
      found.holes && coloured(now) ? "; ×: a hole" : "",
      coloured(now) ? `; colour: row and column modulo ${m}.` : ".",
    );
    together.show(
      readTogether(now, at, `The ${found.places} pixels that it reads, without the holes: ${sees}`),
      "What it reads",
      share ? ", put together" : ", put together: no line",
    );
    const shares = onLine(now).map((v) => format(v));
    outputs.show(
      answers(
        now,
        at,
        `Five rows of ${positions().length} output positions, alike; the shares of a row: ${shares.join(", ")}`,
      ),
      "25 outputs",
      ": share of the paths that end on the line",
    );
    side.show(
      sideView(
        now,
        `One row of the same, from the output through ${now.length} layers down to ` +
          `${found.along} of ${found.size} pixels`,
      ),
      "From the output",
      " (top) through the layers to the pixels that it reads",
    );
    const texts = [
      [`${format(found.size)}×${format(found.size)}`, "receptive field, in pixels"],
      [percent(found.share), `of it read, ${several(found.holes, "hole")}`],
      [`${format(read)} of ${format(of)}`, "colours read"],
      [
        format(share),
        share ? "of its paths end on the line" : "of its paths: the line is not read",
      ],
    ];
    facts.forEach((fact, n) => fact(...texts[n]));
    const terms = now.map(([k, , d], n) => `${k - 1}·${d}·${n ? fields[n - 1].stride : 1}`);
    ui.formula.textContent =
      `F = 1 + Σ (k − 1)·d·S = 1 + ${terms.join(" + ")} = ${found.size}\n` +
      `read = (${found.along} of ${found.size} along an axis)² = ` +
      `${format(found.places)} of ${format(found.size ** 2)}\n` +
      `weights = ${format(sum(now, ([k]) => k * k))} (one kernel of that size: ${format(found.size ** 2)})\n` +
      "S: the product of the strides of the layers below";
    ui.say(`${words}; output position ${where}: ${sees}`);
  }
  return follow(model, draw, accepts);
}

export default { render };
