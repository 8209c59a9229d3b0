// Rebuild a photograph from its N strongest patch components.

import {
  accepts,
  counts,
  keeps,
  offsets,
  part,
  quality,
  rebuild,
  stepped,
  torchCode,
} from "./kernel_count.compute.js";
import { curve, sheet } from "./kernel_count.draw.js";
import { choice, options, ranged, toggle } from "./kit/controls.js";
import { arrowStep, figure, h, movable, pointedAt } from "./kit/dom.js";
import { change, follow, frame, trait } from "./kit/frame.js";
import { clamp, format, largest, mean, percent, several, short, sum } from "./kit/numbers.js";
import { kernelGrid, outline, ownBuffer, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

function render({ model, el }) {
  const { height, width, places, photo } = photoOf(model);
  const sizes = model.get("sizes");
  const first = model.get("first");
  const start = offsets(sizes);
  const [bases, powers] = ["components", "powers"].map(
    (name) => new Float32Array(ownBuffer(model.get(name))),
  );
  const middle = mean(photo);
  const variance = sum(photo, (v) => (v - middle) ** 2) / places;
  const size = () => model.get("size");
  const basisOf = (k) => bases.subarray(start[k].kernels, start[k].kernels + k ** 4);
  const count = () => clamp(model.get("count"), 1, size() ** 2);
  const shown = () => clamp(model.get("shown"), 1, count());
  const ui = frame(model, el, "kernel-count", {
    label: tr`Rebuild a photograph from a few kernels`,
    prompt:
      tr`Move the number of kernels: from which number on do you see no difference? ` +
      tr`Click a kernel: what does it add?`,
    code: () => torchCode(basisOf(size()), size(), count(), model.get("overlap")),
    initial: { size: first[0], count: first[1], shown: 1, overlap: false },
  });

  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const pair = h("div", { className: "cn-pair" }, input.el, output.el);
  ui.body.before(pair);
  const sheets = Object.fromEntries(sizes.map((k) => [k, sheetOf(k)]));
  const bank = h("div", { className: "cn-wide" });
  const lost = figure();
  const one = figure();
  const adds = picture(height, width, "cn-wide");
  ui.stage.append(bank, adds.el);
  const fromOne = (name, label, get) => ranged(model, name, label, [1, 49], { get });
  const number = fromOne("count", tr`Kernels N`, count);
  const [area, overlap] = [
    choice({
      ...trait(model, "size"),
      label: tr`Size of a kernel`,
      options: options(sizes, (k) => `${k}×${k}`),
      set: (k) =>
        change(model, { size: Number(k), count: Math.min(count(), Number(k) ** 2), shown: 1 }),
    }),
    toggle({ ...trait(model, "overlap"), label: tr`A patch at every position, overlaps averaged` }),
  ];
  const controls = [area, number, overlap];
  ui.lead(pair, number);
  ui.panel.append(area.el, one.el, lost.el);
  ui.more(overlap);
  const kept = ui.fact("kept");
  const weights = ui.fact("weights");
  const macs = ui.fact("macs");

  // The sheet of all kernels of a size: a click or the arrow keys choose one; a pale one is then used too.
  function sheetOf(k) {
    const side = k * (k + 1) - 1;
    const view = picture(side, side, "cn-sheet");
    const place = outline(view, "cn-chosen");
    const keydown = (event) => {
      const step = arrowStep(event);
      if (step) change(model, { shown: stepped(shown(), step, k, count()) });
    };
    const pointerdown = (event) => {
      const [down, right] = pointedAt(event, view.surface).map((share) => Math.floor(share * k));
      const at = clamp(down, 0, k - 1) * k + clamp(right, 0, k - 1) + 1;
      change(model, { shown: at, count: Math.max(at, count()) });
    };
    const touch = h("div", {
      className: "cn-touch",
      ...movable("shown"),
      on: { keydown, pointerdown },
    });
    view.holder.append(touch);
    function draw(n, at, basis) {
      view.paintSigned(sheet(basis, k, n), 1);
      view.describe(
        tr`The ${k * k} kernels in order of strength, the first ${n} in use, the others pale`,
        tr`The ${k * k} kernels`,
        n < k * k
          ? tr`, strongest first: orange positive, blue negative, pale: not used. Click one.`
          : tr`, strongest first: orange positive, blue negative. Click one.`,
      );
      const cell = (k + 1) / side;
      place(Math.floor((at - 1) / k) * cell, ((at - 1) % k) * cell, k / side, k / side);
      touch.setAttribute("aria-label", tr`Kernel ${at} of ${n} in use is chosen`);
    }
    return { el: view.el, draw };
  }

  // The sheet, the kernel that is looked at and what it adds, and what the first ones lose.
  function drawKernels(k, n, at, basis) {
    const { el, draw } = sheets[k];
    if (bank.firstChild !== el) bank.replaceChildren(el);
    draw(n, at, basis);
    const shares = keeps(
      powers.subarray(start[k].values, start[k].values + k * k),
      variance * k * k,
    );
    const left = percent(1 - shares[n - 1], 2);
    lost.show(
      curve(
        shares,
        n,
        tr`Share of the variance of all patches that the first kernels lose; with ${n}: ${left}`,
      ),
      tr`Lost`,
      tr` of the variance of all ${k}×${k} patches with N kernels; dot: N = ${n}, ${left}`,
    );
    const from = (at - 1) * k * k;
    const rows = Array.from({ length: k }, (_, u) =>
      Array.from(basis.subarray(from + u * k, from + (u + 1) * k), (v) => Math.round(100 * v)),
    );
    one.show(
      kernelGrid(rows, tr`Kernel ${at} of ${n} with its values in hundredths`),
      tr`Kernel ${at}`,
      tr` of ${n}, its ${k * k} taps in hundredths`,
    );
    const stride = model.get("overlap") ? 1 : k;
    const added = part(photo, height, width, basis, k, at, stride);
    const most = largest(added);
    adds.paintSigned(added, most);
    adds.describe(
      tr`What kernel ${at} adds to the rebuilt photograph, at most ${format(most)}`,
      tr`What kernel ${at} adds`,
      tr` to the rebuilt photograph: orange brighter, blue darker, at most ${format(most)} (white is 1)`,
    );
  }

  function draw() {
    const k = size();
    const n = count();
    const basis = basisOf(k);
    const dense = model.get("overlap");
    number.input.max = k * k;
    for (const control of controls) control.refresh();
    const y = rebuild(photo, height, width, basis, k, n, dense ? 1 : k);
    const { error, whole, share, decibels } = quality(photo, y);
    input.paint(photo, 1);
    input.describe(inWords(model.get("alt")), tr`Photograph`, tr` of ${height}×${width} pixels`);
    output.paint(y, 1);
    const kernels = several(n, tr`kernel`, tr`kernels`);
    const numbers = several(n, tr`number`, tr`numbers`);
    output.describe(
      tr`The photograph rebuilt from ${kernels} of ${k} by ${k}: ${percent(share)} of its variance`,
      tr`Rebuilt`,
      dense ? tr` from ${numbers} at every position` : tr` from ${numbers} per patch of ${k}×${k}`,
    );
    drawKernels(k, n, shown(), basis);
    const cost = counts(n, k, places);
    const full = counts(k * k, k, places);
    kept(
      percent(share),
      decibels > 99
        ? tr`of the variance is rebuilt (exact)`
        : tr`of the variance is rebuilt (peak signal to noise: ${format(decibels, 1)} dB)`,
    );
    weights(format(cost.weights), tr`weights (all ${k * k} kernels: ${format(full.weights)})`);
    macs(short(cost.macs), tr`multiply-adds, a layer of N kernels at ${format(places)} positions`);
    ui.formula.textContent =
      tr`share = 1 − Σ (x − x̂)² / Σ (x − x̄)² = 1 − ${format(error, 2)} / ${format(whole, 2)} = ${format(share, 3)}` +
      "\n" +
      tr`weights = N·k² = ${n}·${k * k} = ${format(cost.weights)};  multiply-adds = N·k²·H·W = ${format(cost.macs)}`;
    ui.say(tr`${kernels}: ${percent(share)} rebuilt, ${format(cost.weights)} weights`);
  }
  return follow(model, draw, accepts);
}

export default { render };
