// Move the poolings of a network and watch what it writes and computes.

import { ranged } from "./kit/controls.js";
import { figure, h, placeAt } from "./kit/dom.js";
import { change, follow, frame, traits } from "./kit/frame.js";
import { format, percent, short } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  COUNT,
  limits,
  moved,
  PUBLISHED,
  placed,
  torchCode,
  totals,
} from "./pool_placer.compute.js";
import { network } from "./pool_placer.draw.js";

const KINDS = {
  macs: (share) => tr`multiply-adds, ${share} of version 1.0`,
  written: (share) => tr`values written, ${share} of version 1.0`,
};

function render({ model, el }) {
  const [layers, side] = [model.get("layers"), model.get("side")];
  const initial = traits(model, ["pools"]);
  const rows = (pools) => placed(layers, side, pools);
  const published = totals(rows(PUBLISHED));
  const late = rows([layers.length - 3, layers.length - 2, layers.length - 1]); // the largest maps of all placements
  const worst = totals(late);
  const ui = frame(model, el, "pool-placer", {
    label: tr`Move the poolings of SqueezeNet`,
    prompt: tr`Move a pooling: what happens to the two totals, and what to the parameters?`,
    code: () => torchCode(model.get("pools")),
    initial,
  });
  const picture = figure();
  const names = [tr`First after layer`, tr`Second after layer`, tr`Third after layer`];
  const controls = Array.from({ length: COUNT }, (_, n) =>
    ranged(model, `pool-${n}`, names[n], limits(n, layers.length), {
      get: () => model.get("pools")[n],
      set: (to) => change(model, { pools: moved(model.get("pools"), n, to, layers.length) }),
    }),
  );
  const bars = ["macs", "written"].map((key) => {
    const bar = h("div", { className: `cn-pool-total-${key}` });
    const mark = h("div", { className: "cn-pool-first" });
    const number = h("span", { className: "cn-big", data: { shown: key } });
    const note = h("span", { className: "cn-small", data: { shown: `${key} share` } });
    placeAt(mark, { left: published[key] / worst[key] });
    return { key, bar, number, note, el: h("div", {}, number, note, h("div", {}, bar, mark)) };
  });
  const scale = tr`Mark: version 1.0. Full bar: all poolings at the end.`;
  ui.stage.append(picture.el);
  ui.panel.append(
    ...controls.map((control) => control.el),
    h(
      "div",
      { className: "cn-pool-totals" },
      bars.map((one) => one.el),
      h("p", { className: "cn-small" }, scale),
    ),
  );
  const parameters = ui.fact("parameters");

  function draw() {
    const pools = model.get("pools");
    const now = rows(pools);
    const all = totals(now);
    for (const control of controls) control.refresh();
    const after = pools.map((number) => inWords(layers[number - 1].name)).join(", ");
    const words =
      tr`poolings after ${after}: ${short(all.macs)} multiply-adds, ` +
      tr`${short(all.written)} values written, ${format(all.parameters)} parameters`;
    const sides = now.map((row) => row.side).join(", ");
    picture.show(
      network(now, pools, tr`The layers of the network, ${words}`),
      tr`Heights`,
      tr` of the bars: what each layer has. Dashed lines: poolings. ` +
        tr`Layers 1 and 10 are convolutions, the others Fire blocks. ` +
        tr`Sides of the maps: ${sides}.`,
    );
    for (const { key, bar, number, note } of bars) {
      const share = percent(all[key] / published[key], 0);
      placeAt(bar, { width: all[key] / worst[key] });
      number.textContent = short(all[key]);
      note.textContent = ` ${KINDS[key](share)}`;
    }
    parameters(format(all.parameters), tr`parameters, wherever the poolings stand`);
    ui.formula.textContent = tr`multiply-adds = Σ weights of a layer · side² of its map`;
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
