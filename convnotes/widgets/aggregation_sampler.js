// Choose where nine samples lie and with what masks they are summed, and see the output.

import {
  accepts,
  aggregated,
  confined,
  everywhere,
  GRID,
  MASKS,
  MOST,
  moveTo,
  NUDGE,
  places,
  REACH,
  SCALES,
  scoreFor,
  strengths,
  torchCode,
} from "./aggregation_sampler.compute.js";
import { bars, CHART, maskAt, tapsOn } from "./aggregation_sampler.draw.js";
import { choice, options, ranged, slider } from "./kit/controls.js";
import { arrowStep, h, movable, pointedAt } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { bracketed, clamp, format, largest, sum } from "./kit/numbers.js";
import { grey, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

const NAMES = ["probe", "moves", "scores", "masks", "scale", "tap"];
const KINDS = { softmax: tr`softmax (v3)`, unbounded: tr`unbounded (v4)` };
const HOLD = 22; // pixels of the screen, how near to a tap a pointer must be to move it

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const state = () => traits(model, NAMES);
  const now = () => {
    const { probe, moves, scale, scores, masks } = state();
    return { at: places(probe, moves, scale), strength: strengths(scores, masks) };
  };
  const moved = (k, move) =>
    change(model, { moves: model.get("moves").with(k, confined(move)), tap: k });
  const scored = (k, score) =>
    change(model, { scores: model.get("scores").with(k, clamp(score, -MOST, MOST)), tap: k });
  const ui = frame(model, el, "aggregation-sampler", {
    label: tr`Choose where nine samples lie and how much each of them counts`,
    prompt:
      tr`Drag the taps on the image and the bars of their masks. ` +
      tr`Which outputs can you reach with softmax, and which only without?`,
    code: () => {
      const { moves, scores, masks, scale } = state();
      return torchCode(moves, scores, masks, scale);
    },
    initial: structuredClone(state()),
  });

  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const taps = h("svg", {
    class: "cn-aggregation-taps",
    viewBox: `-0.5 -0.5 ${width} ${height}`,
    ...movable("taps"),
  });
  input.holder.append(taps);
  input.paint(photo, 1);
  const chart = h("div", { className: "cn-aggregation-chart", ...movable("bars") });
  const pair = h("div", { className: "cn-aggregation-pair" }, input.el, output.el);
  const pictures = h("div", { className: "cn-wide" }, pair, chart);
  ui.body.before(pictures);

  let held = null; // the tap that a pointer moves, or −1 for the position
  const under = (event) => {
    const [down, right] = pointedAt(event, input.surface);
    return [down * height - 0.5, right * width - 0.5];
  };
  function drag(event) {
    const { probe, scale } = state();
    const [row, column] = under(event);
    if (held >= 0) return moved(held, moveTo(probe, [row, column], held, scale));
    const at = [clamp(Math.round(row), 0, height - 1), clamp(Math.round(column), 0, width - 1)];
    if (String(at) !== String(probe)) change(model, { probe: at });
  }
  taps.addEventListener("pointerdown", (event) => {
    const [row, column] = under(event);
    const away = now().at.map(([y, x]) => Math.hypot(y - row, x - column));
    const near = away.indexOf(Math.min(...away));
    const unit = input.surface.getBoundingClientRect().width / width;
    event.preventDefault();
    taps.focus({ preventScroll: true });
    taps.setPointerCapture(event.pointerId);
    held = away[near] * unit <= HOLD ? near : -1;
    if (held >= 0) change(model, { tap: near });
    else drag(event);
  });
  taps.addEventListener("pointermove", (event) => {
    if (held !== null) drag(event);
  });
  taps.addEventListener("keydown", (event) => {
    const { tap, moves } = state();
    const step = arrowStep(event, event.shiftKey ? 1 : NUDGE);
    if (step)
      moved(
        tap,
        moves[tap].map((v, axis) => v + step[axis]),
      );
    else choose(event);
  });

  let barHeld = null;
  const onBars = (event) => {
    const [down, right] = pointedAt(event, chart.firstChild);
    return [down * CHART.height, right * CHART.width];
  };
  function raise(event) {
    const { scores, masks } = state();
    scored(barHeld, scoreFor(scores, masks, barHeld, maskAt(onBars(event)[0], masks)));
  }
  chart.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    chart.focus({ preventScroll: true });
    chart.setPointerCapture(event.pointerId);
    barHeld = clamp(Math.floor(onBars(event)[1] / CHART.slot), 0, 8);
    raise(event);
  });
  chart.addEventListener("pointermove", (event) => {
    if (barHeld !== null) raise(event);
  });
  for (const node of [taps, chart])
    for (const end of ["pointerup", "pointercancel"])
      node.addEventListener(end, () => {
        held = null;
        barHeld = null;
      });
  chart.addEventListener("keydown", (event) => {
    const { tap, scores } = state();
    const step = arrowStep(event, 1);
    if (step?.[0]) scored(tap, scores[tap] - 0.1 * step[0]);
    else if (step) change(model, { tap: clamp(tap + step[1], 0, 8) });
    else choose(event);
  });
  // Keys 1 to 9 choose a tap.
  function choose(event) {
    if (!/^[1-9]$/.test(event.key)) return;
    event.preventDefault();
    change(model, { tap: Number(event.key) - 1 });
  }

  const masks = choice({
    ...trait(model, "masks"),
    label: tr`Masks`,
    options: options(MASKS, (name) => KINDS[name]),
    // What acts stays as it is where it can: masks become scores, and scores masks.
    set: (kind) => {
      const { scores } = state();
      const same =
        kind === "unbounded"
          ? strengths(scores, "softmax")
          : scores.map((m) => clamp(Math.log(Math.max(m, 1e-2)), -MOST, MOST));
      change(model, { scores: same, masks: kind });
    },
  });
  const scale = ranged(model, "scale", tr`Offset scale`, SCALES, { step: 0.05, digits: 2 });
  const axis = (name, label, n) =>
    slider({
      name,
      label,
      ...{ min: -REACH, max: REACH, step: NUDGE / 5, digits: 2 },
      get: () => model.get("moves")[model.get("tap")][n],
      set: (v) => {
        const { tap, moves } = state();
        moved(tap, moves[tap].with(n, v));
      },
    });
  const others = [
    choice({
      ...trait(model, "tap", Number),
      label: tr`Tap`,
      options: options([...GRID.keys()], (k) => String(k + 1)),
    }),
    axis("dy", tr`Δy, down`, 0),
    axis("dx", tr`Δx, right`, 1),
    slider({
      name: "score",
      label: tr`Score`,
      ...{ min: -MOST, max: MOST, step: 0.05, digits: 2 },
      get: () => model.get("scores")[model.get("tap")],
      set: (v) => scored(model.get("tap"), v),
    }),
  ];
  ui.lead(pictures, masks, scale);
  ui.more(...others);
  ui.stage.append(h("div", { className: "cn-wide" }, ui.formula));
  const result = ui.fact("value");
  const total = ui.fact("total");

  function draw() {
    const { probe, moves, scale: spread, masks: kind, tap } = state();
    const { at, strength } = now();
    const { samples, value } = aggregated(photo, height, width, at, strength);
    taps.replaceChildren(...tapsOn(probe, at, strength, tap));
    taps.setAttribute(
      "aria-label",
      tr`Tap ${tap + 1} of nine reads at row ${format(at[tap][0])}, column ${format(at[tap][1])}. ` +
        tr`Arrow keys move it, 1 to 9 choose`,
    );
    const texts = strength.map((m) => format(m));
    chart.replaceChildren(
      bars(strength, kind, tap, tr`Masks of the nine taps: ${texts.join(tr`, `)}`),
    );
    chart.setAttribute(
      "aria-label",
      tr`Mask of tap ${tap + 1}: ${texts[tap]}. Up and down change it, left and right choose`,
    );
    const map = everywhere(photo, height, width, moves, strength, spread);
    const signed = kind === "unbounded" && Math.min(...map) < -1e-9;
    const most = largest([...map]);
    const white = Math.max(1, most);
    output.paint(
      map.map((v) => (signed ? grey(v, most) : v / white)),
      1,
    );
    const alt = inWords(model.get("alt"));
    input.describe(alt, tr`Input`, tr`, with the taps of one position`);
    output.describe(
      tr`What the same offsets and masks give at every position of: ${alt}`,
      tr`Output`,
      signed
        ? tr`, mid grey is 0`
        : white > 1
          ? tr`, white is ${format(white)}`
          : tr`, the same offsets and masks everywhere`,
    );
    for (const control of [masks, scale, ...others]) control.refresh();
    const range = tr`${format(Math.min(...samples), 3)} to ${format(Math.max(...samples), 3)}`;
    result(format(value, 3), tr`the output of this position; its samples lie from ${range}`);
    total(format(sum(strength), 2), tr`the sum of the masks`);
    const terms = samples.map((sample, k) => `${bracketed(strength[k])}·${format(sample)}`);
    ui.formula.textContent = `y = Σ m·x̃ = ${terms.join(" + ")} = ${format(value, 3)}`;
    ui.say(tr`The output is ${format(value, 3)}, its samples lie from ${range}`);
  }
  return follow(model, draw, accepts);
}

export default { render };
