// See where a deformable 3×3 kernel reads at two positions, and move its taps.

import {
  accepts,
  apart,
  confined,
  cropped,
  distance,
  frameAround,
  NUDGE,
  outwards,
  places,
  REACH,
  read,
  SOURCES,
  stored,
  TAPS,
  torchCode,
  WHERE,
} from "./deform_sampler.compute.js";
import { closeUp, tapsOn, thumbnail } from "./deform_sampler.draw.js";
import { choice, options, pixelSlider, ranged } from "./kit/controls.js";
import { arrowStep, figure, h, movable, pointedAt } from "./kit/dom.js";
import { change, fold, follow, frame, trait, traits } from "./kit/frame.js";
import { added, format } from "./kit/numbers.js";
import { kernelGrid, ownBuffer, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const STILL = TAPS.map(() => [0, 0]);
const NAMES = { learned: tr`learned`, outwards: tr`dilated`, hand: tr`by hand` };
const ENDS = {
  learned: tr`Plain to learned`,
  outwards: tr`Plain to dilated`,
  hand: tr`Plain to moved`,
};
const TITLES = {
  digits: [tr`Small digit`, tr`Large digit`],
  background: [tr`Background, first`, tr`Background, second`],
};
const PLACES = { digits: tr`on the digits`, background: tr`on the background` };
const HOLD = 24; // pixels of the screen, how near to a tap a pointer must be to move it

function render({ model, el }) {
  const { rows, columns, weight, bias } = traits(model, ["rows", "columns", "weight", "bias"]);
  const { height, width, photo } = photoOf(model);
  const offsets = new Int16Array(ownBuffer(model.get("offsets")));
  const grid = traits(model, ["stride", "padding", "dilation"]);
  const spots = () => model.get(model.get("where"));
  // The whole offsets of a position, and those of the present share.
  const whole = (n) =>
    ({
      learned: () => stored(offsets, rows, columns, spots()[n]),
      outwards: () => outwards(grid.dilation),
      hand: () => model.get("moves")[n],
    })[model.get("source")]();
  const now = (n) => whole(n).map((move) => move.map((v) => v * model.get("share")));
  // A hand takes over the taps where they are.
  const moved = (n, k, move) =>
    change(model, {
      moves: [0, 1].map((m) => (m === n ? now(m).with(k, move) : now(m)).map(confined)),
      source: "hand",
      share: 1,
      spot: n,
      tap: k,
    });
  const names = ["share", "where", "source", "moves", "spot", "tap", "digits", "background"];
  const ui = frame(model, el, "deform-sampler", {
    label: tr`See where a deformable kernel reads at two positions`,
    prompt:
      tr`Slide from the plain grid to the learned offsets: ` +
      tr`do the nine readings at the small and at the large digit become more alike?`,
    code: () => torchCode(now(model.get("spot")), weight, bias, grid),
    initial: structuredClone(traits(model, names)),
  });

  const views = [0, 1].map(spotView);
  const pair = h(
    "div",
    { className: "cn-deform-pair" },
    views.map((view) => view.el),
  );
  ui.body.before(pair);

  // A window of the image with the taps on it, and what they read.
  function spotView(n) {
    const readings = figure();
    const holder = h("div", { className: "cn-deform-spot" });
    const taps = h("svg", { class: "cn-deform-taps", ...movable(`taps-${n + 1}`) });
    let input = null;
    let part = null;
    let held = null;
    const chosen = () => (model.get("spot") === n ? model.get("tap") : -1);
    taps.addEventListener("keydown", (event) => {
      const k = model.get("tap");
      const step = arrowStep(event, event.shiftKey ? 1 : NUDGE);
      if (step)
        moved(
          n,
          k,
          now(n)[k].map((v, axis) => v + step[axis]),
        );
      else if (/^[1-9]$/.test(event.key)) {
        event.preventDefault();
        change(model, { spot: n, tap: Number(event.key) - 1 });
      }
    });
    const under = (event) =>
      pointedAt(event, input.surface).map(
        (v, axis) => v * part.side - 0.5 + [part.top, part.left][axis],
      );
    taps.addEventListener("pointerdown", (event) => {
      const at = places(spots()[n], now(n), grid);
      const [row, column] = under(event);
      const away = at.map(([y, x]) => Math.hypot(y - row, x - column));
      const near = away.indexOf(Math.min(...away));
      const unit = input.surface.getBoundingClientRect().width / part.side;
      event.preventDefault();
      taps.focus({ preventScroll: true });
      if (away[near] * unit > HOLD) return;
      held = near;
      taps.setPointerCapture(event.pointerId);
      change(model, { spot: n, tap: near });
    });
    taps.addEventListener("pointermove", (event) => {
      if (held === null) return;
      const from = places(spots()[n], STILL, grid)[held];
      moved(
        n,
        held,
        under(event).map((v, axis) => v - from[axis]),
      );
    });
    for (const end of ["pointerup", "pointercancel"])
      taps.addEventListener(end, () => {
        held = null;
      });

    function refresh(samples, around) {
      const title = TITLES[model.get("where")][n];
      part = around;
      if (input?.width !== part.side) {
        input = picture(part.side, part.side, "cn-input");
        input.holder.append(taps);
        holder.replaceChildren(input.el, readings.el);
      }
      const plain = places(spots()[n], STILL, grid);
      const at = places(spots()[n], now(n), grid);
      const outside = at.filter(([y, x]) => y <= -1 || y >= height || x <= -1 || x >= width).length;
      input.paint(cropped(photo, height, width, part), 1);
      input.describe(
        tr`${title}, a part of: ${inWords(model.get("alt"))}`,
        title,
        outside ? tr`; ${outside} of 9 taps outside: 0` : "",
      );
      taps.setAttribute(
        "viewBox",
        `${part.left - 0.5} ${part.top - 0.5} ${part.side} ${part.side}`,
      );
      taps.replaceChildren(...tapsOn(plain, at, chosen()));
      const k = model.get("tap");
      const [row, column] = at[k].map((v) => format(v));
      taps.setAttribute(
        "aria-label",
        tr`${title}, tap ${k + 1}, ${TAPS[k]}, of nine: reads at row ${row}, column ${column}. ` +
          tr`Arrow keys move it, 1 to 9 choose`,
      );
      const values = samples.map((sample) => sample.value);
      readings.show(
        thumbnail(
          values,
          chosen(),
          tr`${title}, nine readings: ${values.map((v) => format(v)).join(tr`, `)}`,
        ),
        tr`Read`,
        tr`, in order`,
      );
    }
    return { el: holder, refresh, isHeld: () => held !== null };
  }

  const share = ranged(model, "share", ENDS.learned, [0, 1], { step: 0.05, digits: 2 });
  const where = choice({
    ...trait(model, "where"),
    label: tr`Positions`,
    options: options(WHERE, (name) => PLACES[name]),
  });
  const offset = (name, label, axis) =>
    pixelSlider({
      name,
      label,
      reach: REACH,
      step: NUDGE / 5,
      get: () => now(model.get("spot"))[model.get("tap")][axis],
      set: (v) => {
        const { spot, tap } = traits(model, ["spot", "tap"]);
        moved(spot, tap, now(spot)[tap].with(axis, v));
      },
    });
  const others = [
    choice({
      ...trait(model, "source"),
      label: tr`Offsets`,
      options: options(SOURCES, (name) => NAMES[name]),
      set: (source) =>
        change(model, {
          ...(source === "hand" ? { moves: [0, 1].map((n) => whole(n).map(confined)) } : {}),
          share: model.get("share") || 1, // on the plain grid all offsets look alike
          source,
        }),
    }),
    choice({
      ...trait(model, "spot", Number),
      label: tr`Tap at`,
      options: options([0, 1], (n) => [tr`first position`, tr`second position`][n]),
    }),
    choice({
      ...trait(model, "tap", Number),
      label: tr`Tap`,
      options: options([...TAPS.keys()], (k) => tr`${k + 1}, ${TAPS[k]}`),
    }),
    offset("dy", tr`Δy, down`, 0),
    offset("dx", tr`Δx, right`, 1),
  ];
  ui.lead(pair, share, where);
  ui.more(...others);
  const close = figure();
  const kernel = figure();
  kernel.show(
    kernelGrid(weight, tr`The 3×3 kernel`, { unit: 52 }),
    tr`Kernel`,
    tr`, one weight per tap`,
  );
  const reading = h("div", { className: "cn-deform-reading" }, close.el, kernel.el);
  const explained = fold(tr`How the chosen tap is read`, false, reading, ui.formula);
  ui.stage.append(h("div", { className: "cn-wide" }, explained));
  // A tap that a link or a menu chooses is explained at once; one that a pointer moves, or Reset, opens nothing.
  const picked = () => `${model.get("spot")}, ${model.get("tap")}`;
  const first = picked();
  let last = first;
  function explain() {
    const now = picked();
    const chosen = now !== last && now !== first;
    if (chosen && !views.some((view) => view.isHeld())) explained.open = true;
    last = now;
  }
  const alike = ui.fact("apart");
  const away = ui.fact("distance");

  function draw() {
    const { tap, spot } = traits(model, ["tap", "spot"]);
    queueMicrotask(explain); // once all that is set together has been set
    const w = weight.flat();
    const at = [0, 1].map((n) => places(spots()[n], now(n), grid));
    const reads = at.map((taps) => read(photo, height, width, taps, weight, bias));
    const plain = spots().map((position) =>
      read(photo, height, width, places(position, STILL, grid), weight, bias),
    );
    const values = ({ samples }) => samples.map((sample) => sample.value);
    const all = [STILL, ...[0, 1].flatMap((n) => [whole(n), now(n)])];
    views.forEach((view, n) => view.refresh(reads[n].samples, frameAround(spots()[n], all, grid)));
    for (const control of [share, where, ...others]) control.refresh();
    const ends = ENDS[model.get("source")];
    share.el.querySelector(".cn-label").textContent = ends;
    share.input.setAttribute("aria-label", ends);

    const difference = format(apart(...reads.map(values)), 3);
    const before = format(apart(...plain.map(values)), 3);
    alike(difference, tr`mean difference between the two readings (plain grid: ${before})`);
    const far = [0, 1].map((n) => format(distance(now(n)), 2));
    const both = tr`${far[0]} and ${far[1]}`;
    away(`${both} px`, tr`mean distance of the taps from the plain grid`);

    const { corners, value: sample, slope } = reads[spot].samples[tap];
    const [row, column] = at[spot][tap];
    const position = `(${format(row)}, ${format(column)})`;
    close.show(
      closeUp(reads[spot].samples[tap], tap),
      tr`Tap ${tap + 1}`,
      tr`: the four pixels around ${position}`,
    );
    const shares = corners.map((c) => `${format(c.share)}·${format(c.value)}`);
    const terms = w.map((v, k) => ` ${added(v)}·${format(values(reads[spot])[k])}`);
    ui.formula.textContent = [
      `x̃${position} = ${shares.join(" + ")} = ${format(sample, 3)}`,
      `∂x̃/∂Δy = ${format(slope[0], 3)}   ∂x̃/∂Δx = ${format(slope[1], 3)}   ∂y/∂Δ = w · ` +
        `∂x̃/∂Δ = ${format(w[tap])} · (${slope.map((v) => format(v, 3)).join(", ")})`,
      `y = b + Σ w·x̃ = ${format(bias)}${terms.join("")} ` + `= ${format(reads[spot].value, 3)}`,
    ].join("\n");
    ui.say(
      tr`The readings differ by ${difference} on average; ` +
        tr`the taps are ${both} pixels from the plain grid; tap ${tap + 1} reads ${format(sample, 3)}`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
