// See where a deformable 3×3 kernel looks, and move its taps.

import {
  confined,
  distance,
  everywhere,
  NUDGE,
  outwards,
  places,
  REACH,
  read,
  stored,
  TAPS,
  torchCode,
} from "./deform_sampler.compute.js";
import { closeUp, tapsOn } from "./deform_sampler.draw.js";
import { choice, options, pixelSlider } from "./kit/controls.js";
import { arrowStep, figure, h, movable, pointedAt } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { added, clamp, format } from "./kit/numbers.js";
import { kernelGrid, ownBuffer, photoOf, picture, probe } from "./kit/pictures.js";

const STILL = TAPS.map(() => [0, 0]);
const SOURCES = {
  learned: "learned",
  grid: "none (plain)",
  outwards: "outwards (dilated)",
  hand: "by hand",
};

function render({ model, el }) {
  const { rows, columns, weight, bias } = traits(model, ["rows", "columns", "weight", "bias"]);
  const { height, width, photo } = photoOf(model);
  const offsets = new Int16Array(ownBuffer(model.get("offsets")));
  const grid = traits(model, ["stride", "padding", "dilation"]);
  const constant = { grid: STILL, outwards: outwards(grid.dilation) };
  const movesAt = (place) =>
    model.get("source") === "learned"
      ? stored(offsets, rows, columns, place)
      : (constant[model.get("source")] ?? model.get("moves"));
  const now = () => movesAt(model.get("place"));
  const moved = (k, move) =>
    change(model, { moves: now().with(k, move).map(confined), source: "hand", tap: k });
  const initial = structuredClone(traits(model, ["source", "moves", "place", "tap"]));
  const ui = frame(model, el, "deform-sampler", {
    label: "See where a deformable kernel looks, and move its taps",
    prompt:
      "Move the ring over the picture: where does the trained layer look? Then drag a tap, and see what it reads.",
    code: () => torchCode(now(), weight, bias, grid),
    initial,
  });

  // The picture, and on it the taps: a square where the plain grid has one, a line to a circle where it reads.
  const input = picture(height, width, "cn-input cn-wide");
  const output = picture(rows, columns, "cn-output");
  const close = figure();
  const taps = h("svg", {
    viewBox: `-0.5 -0.5 ${width} ${height}`,
    class: "cn-deform-taps",
    ...movable("taps"),
  });
  taps.addEventListener("keydown", (event) => {
    const k = model.get("tap");
    const step = arrowStep(event, event.shiftKey ? 1 : NUDGE);
    if (step)
      moved(
        k,
        now()[k].map((v, n) => v + step[n]),
      );
    else if (/^[1-9]$/.test(event.key)) {
      event.preventDefault();
      change(model, { tap: Number(event.key) - 1 });
    }
  });
  let held = null;
  taps.addEventListener("pointerdown", (event) => {
    const k = event.target.dataset?.tap;
    if (k === undefined) return;
    event.stopPropagation();
    event.preventDefault();
    held = Number(k);
    taps.setPointerCapture(event.pointerId);
    taps.focus({ preventScroll: true });
    change(model, { tap: held });
  });
  taps.addEventListener("pointermove", (event) => {
    if (held === null) return;
    event.stopPropagation();
    const [down, right] = pointedAt(event, input.surface);
    const [row, column] = places(model.get("place"), STILL, grid)[held];
    moved(held, [down * height - 0.5 - row, right * width - 0.5 - column]);
  });
  for (const end of ["pointerup", "pointercancel"])
    taps.addEventListener(end, () => {
      held = null;
    });

  // The ring goes from output position to output position: by keys to the next one, by the pointer to the nearest.
  let pointing = false;
  input.holder.addEventListener("pointerdown", () => {
    pointing = true;
  });
  input.holder.addEventListener(
    "keydown",
    () => {
      pointing = false;
    },
    true,
  );
  const middle = grid.dilation - grid.padding;
  const pixel = (n) => n * grid.stride + middle;
  const nearest = (at, old, count) => {
    const n = (at - middle) / grid.stride;
    const whole = pointing ? Math.round(n) : n > old ? Math.ceil(n) : Math.floor(n);
    return clamp(whole, 0, count - 1);
  };
  const ring = probe({
    name: "place",
    label: "Output place, in the picture at",
    on: input,
    get: () => model.get("place").map(pixel),
    set([row, column]) {
      const [i, j] = model.get("place");
      const place = [nearest(row, i, rows), nearest(column, j, columns)];
      if (place[0] !== i || place[1] !== j) change(model, { place });
    },
  });
  input.holder.append(taps);
  ui.stage.append(input.el, close.el, output.el);

  const offset = (name, label, axis) =>
    pixelSlider({
      name,
      label,
      reach: REACH,
      step: NUDGE / 5,
      get: () => now()[model.get("tap")][axis],
      set: (v) => moved(model.get("tap"), now()[model.get("tap")].with(axis, v)),
    });
  const controls = [
    choice({
      ...trait(model, "source"),
      label: "Offsets",
      options: SOURCES,
      set: (source) =>
        change(model, source === "hand" ? { moves: now().map(confined), source } : { source }),
    }),
    choice({
      ...trait(model, "tap", Number),
      label: "Tap",
      options: options([...TAPS.keys()], (k) => `${k + 1}, ${TAPS[k]}`),
    }),
    offset("dy", "Δy, down", 0),
    offset("dx", "Δx, right", 1),
  ];
  const kernel = figure();
  kernel.show(kernelGrid(weight, "The 3×3 kernel"), "Kernel", ", one weight per tap");
  ui.panel.append(...controls.map((c) => c.el), kernel.el);
  const away = ui.fact("distance");
  const value = ui.fact("value");

  function drawOutput() {
    const map = everywhere(photo, height, width, rows, columns, movesAt, weight, bias, grid);
    const least = Math.min(...map);
    const most = Math.max(...map);
    output.paint(
      map.map((v) => (v - least) / Math.max(most - least, 1e-12)),
      1,
    );
    output.describe(
      `The output at all ${rows}×${columns} places, from ${format(least)} (black) to ${format(most)} (white)`,
      "Output",
      `, ${format(least)} to ${format(most)}`,
    );
  }

  function draw() {
    const place = model.get("place");
    const tap = model.get("tap");
    const moves = now();
    const w = weight.flat();
    const from = places(place, STILL, grid);
    const at = places(place, moves, grid);
    const { samples, value: y } = read(photo, height, width, at, weight, bias);
    const outside = at.filter(
      ([row, column]) => row <= -1 || row >= height || column <= -1 || column >= width,
    ).length;
    input.paint(photo, 1);
    input.describe(
      model.get("alt"),
      "Input",
      ": ring, the output place; squares, the plain grid; circles, what is " +
        `read${outside ? `; ${outside} outside, 0` : ""}`,
    );
    taps.replaceChildren(...tapsOn(from, at, tap, grid.dilation));
    taps.setAttribute(
      "aria-label",
      `Tap ${tap + 1}, ${TAPS[tap]}, of nine: reads at row ${format(at[tap][0])}, column ` +
        `${format(at[tap][1])}. Arrow keys move it, 1 to 9 choose`,
    );
    for (const control of [ring, ...controls]) control.refresh();

    const { corners, value: sample, slope } = samples[tap];
    const where = `(${format(at[tap][0])}, ${format(at[tap][1])})`;
    close.show(closeUp(samples[tap], tap), `Tap ${tap + 1}`, `: four pixels around ${where}`);
    drawOutput();
    away(`${format(distance(moves))} px`, "mean distance of the taps from the plain grid");
    value(format(y, 3), "output at this place");
    ui.formula.textContent = [
      `x̃${where} = ${corners.map((c) => `${format(c.share)}·${format(c.value)}`).join(" + ")} = ${format(sample, 3)}`,
      `∂x̃/∂Δy = ${format(slope[0], 3)}   ∂x̃/∂Δx = ${format(slope[1], 3)}   ∂y/∂Δ = w · ` +
        `∂x̃/∂Δ = ${format(w[tap])} · (${slope.map((v) => format(v, 3)).join(", ")})`,
      `y = b + Σ w·x̃ = ${format(bias)}${w.map((v, k) => ` ${added(v)}·${format(samples[k].value)}`).join("")} ` +
        `= ${format(y, 3)}`,
    ].join("\n");
    ui.say(
      `Output ${format(y, 3)}; the taps are ${format(distance(moves))} pixels from the ` +
        `plain grid on average; tap ${tap + 1} reads ${format(sample, 3)}`,
    );
  }
  return follow(model, draw);
}

export default { render };
