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
import { tr } from "./kit/words.js";

const OTHERS = { kernel: tr`kernel size`, stride: tr`stride` };
const NAMES = {
  grid: tr`dilations 2, 2, 2`,
  hybrid: tr`dilations 1, 2, 5`,
  doubling: tr`dilations 1, 2, 4`,
  plain: tr`dilations 1, 1, 1`,
  threes: tr`dilations 3, 3, 3`,
  strided: tr`strides 2, 2, 1`,
  single: tr`one 7×7 kernel`,
};

function render({ model, el }) {
  const { get: layers, set: put } = trait(model, "layers");
  const { get: position, set: putPosition } = trait(model, "position");
  const ui = frame(model, el, "field-grower", {
    label: tr`Stack layers, move an output position, and see which pixels it reads`,
    prompt:
      tr`Move the ring one pixel to the right: what becomes of the line? ` +
      tr`Then change one dilation so that no hole is left.`,
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
      label: tr`Layers`,
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
  ui.panel.append(fold(tr`One row, from the side`, true, side.el));
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
        label: tr`Dilation ${n + 1}`,
        min: LIMITS.dilation[0],
        max: LIMITS.dilation[1],
        get: () => layers()[n]?.[2] ?? 1,
        set: (value) => set(n, 2, value),
      }),
    );
    const lines = each.map((n) =>
      Object.keys(OTHERS).map((name, c) =>
        cell({
          name: `${name}-${n}`,
          label: tr`layer ${n + 1}, ${OTHERS[name]}`,
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
        tr`The layers, from the input up: type, or use the arrow keys`,
        ["", ...Object.values(OTHERS)],
        lines.map((line, n) =>
          tableRow(
            tr`layer ${n + 1}`,
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
      tr`a receptive field of ${found.size} by ${found.size} pixels, ` +
      tr`${found.places} of them read, ${found.holes} holes`;
    const [down, right] = at.map((p) => p * stride);
    const where = tr`${format(down)} down and ${format(right)} to the right of the middle`;
    const sees = share
      ? tr`a share of ${format(share)} of its paths ends on the line`
      : tr`it does not read the line`;
    board.setAttribute("aria-label", tr`Output position ${where}. Arrow keys move it`);
    board.replaceChildren(
      tapGrid(
        now,
        at,
        tr`The input of ${wide} by ${wide} pixels, with a line one pixel wide and ${words}`,
      ),
    );
    plane.show(
      board,
      tr`Input`,
      tr` of ${wide}×${wide} pixels with a line. ` +
        tr`Ring: an output position, to be moved; frame: its receptive field`,
      counted(now) ? tr`; number: the paths from that pixel` : tr`; deeper: more paths`,
      found.holes && coloured(now) ? tr`; ×: a hole` : "",
      coloured(now) ? tr`; colour: row and column modulo ${m}.` : tr`.`,
    );
    together.show(
      readTogether(
        now,
        at,
        tr`The ${found.places} pixels that it reads, without the holes: ${sees}`,
      ),
      tr`What it reads`,
      share ? tr`, put together` : tr`, put together: no line`,
    );
    const shares = onLine(now).map((v) => format(v));
    const line = shares.join(tr`, `);
    outputs.show(
      answers(
        now,
        at,
        tr`Five rows of ${positions().length} output positions, alike; the shares of a row: ${line}`,
      ),
      tr`25 outputs`,
      tr`: share of the paths that end on the line`,
    );
    side.show(
      sideView(
        now,
        tr`One row of the same, from the output through ${now.length} layers ` +
          tr`down to ${found.along} of ${found.size} pixels`,
      ),
      tr`From the output`,
      tr` (top) through the layers to the pixels that it reads`,
    );
    const texts = [
      [`${format(found.size)}×${format(found.size)}`, tr`receptive field, in pixels`],
      [percent(found.share), tr`of it read, ${several(found.holes, tr`hole`, tr`holes`)}`],
      [tr`${format(read)} of ${format(of)}`, tr`colours read`],
      [
        format(share),
        share ? tr`of its paths end on the line` : tr`of its paths: the line is not read`,
      ],
    ];
    facts.forEach((fact, n) => fact(...texts[n]));
    const terms = now.map(([k, , d], n) => `${k - 1}·${d}·${n ? fields[n - 1].stride : 1}`);
    const all = format(found.size ** 2);
    const places = format(found.places);
    const weights = format(sum(now, ([k]) => k * k));
    ui.formula.textContent = [
      `F = 1 + Σ (k − 1)·d·S = 1 + ${terms.join(" + ")} = ${found.size}`,
      tr`read = (${found.along} of ${found.size} along an axis)² = ${places} of ${all}`,
      tr`weights = ${weights} (one kernel of that size: ${all})`,
      tr`S: the product of the strides of the layers below`,
    ].join("\n");
    ui.say(tr`${words}; output position ${where}: ${sees}`);
  }
  return follow(model, draw, accepts);
}

export default { render };
