// Move the poolings of a network and watch what it writes and computes.

import { ranged } from "./kit/controls.js";
import { figure, h, placeAt } from "./kit/dom.js";
import { change, follow, frame, traits } from "./kit/frame.js";
import { format, percent, short } from "./kit/numbers.js";
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

function render({ model, el }) {
  const [layers, side] = [model.get("layers"), model.get("side")];
  const initial = traits(model, ["pools"]);
  const rows = (pools) => placed(layers, side, pools);
  const published = totals(rows(PUBLISHED));
  const late = rows([layers.length - 3, layers.length - 2, layers.length - 1]); // the largest maps of all placements
  const worst = totals(late);
  const most = Object.fromEntries(
    ["positions", "written", "macs"].map((key) => [key, Math.max(...late.map((row) => row[key]))]),
  );
  const ui = frame(model, el, "pool-placer", {
    label: "Move the poolings of SqueezeNet",
    prompt: "Move a pooling: which of the two bars grows, and what do the parameters do?",
    code: () => torchCode(model.get("pools")),
    initial,
  });
  const picture = figure("cn-wide");
  const name = ["First pooling", "Second", "Third"];
  const controls = Array.from({ length: COUNT }, (_, n) =>
    ranged(model, `pool-${n}`, name[n], limits(n, layers.length), {
      get: () => model.get("pools")[n],
      set: (to) => change(model, { pools: moved(model.get("pools"), n, to, layers.length) }),
    }),
  );
  const bars = Object.fromEntries(
    [
      ["written", "Values written"],
      ["macs", "Multiply-adds"],
    ].map(([key, words]) => {
      const bar = h("div", { className: `cn-pool-total-${key}` });
      const mark = h("div", { className: "cn-pool-first" });
      const shown = h("span", { className: "cn-small", data: { shown: `${key} bar` } });
      placeAt(mark, { left: published[key] / worst[key] });
      return [key, { bar, shown, words, el: h("div", {}, shown, h("div", {}, bar, mark)) }];
    }),
  );
  const totalled = h("div", { className: "cn-pool-totals" });
  totalled.append(
    ...Object.values(bars).map((one) => one.el),
    h(
      "p",
      { className: "cn-small" },
      "Thick mark: version 1.0 as published. Full bar: all poolings at the end.",
    ),
  );
  ui.stage.append(picture.el);
  ui.lead(picture.el, ...controls);
  ui.panel.append(totalled);
  const macs = ui.fact("macs");
  const written = ui.fact("written");
  const parameters = ui.fact("parameters");

  function draw() {
    const pools = model.get("pools");
    const now = rows(pools);
    const all = totals(now);
    for (const control of controls) control.refresh();
    const after = pools.map((number) => layers[number - 1].name).join(", ");
    const words =
      `poolings after ${after}: ${short(all.macs)} multiply-adds, ` +
      `${short(all.written)} values written, ${format(all.parameters)} parameters`;
    picture.show(
      network(now, pools, most, `The layers of the network, ${words}`),
      "Areas",
      " of the squares: positions, values and multiply-adds of each layer. Layer 1 and 10 are convolutions, " +
        `the others fire blocks. Dashed: a pooling. Maps have ${now.map((row) => row.side).join(", ")} positions per side.`,
    );
    for (const [key, { bar, shown, words: label }] of Object.entries(bars)) {
      placeAt(bar, { width: all[key] / worst[key] });
      shown.textContent = `${label}: ${short(all[key])}`;
    }
    const against = (key) => percent(all[key] / published[key], 0);
    macs(short(all.macs), `multiply-adds, ${against("macs")} of version 1.0`);
    written(short(all.written), `values in the maps, ${against("written")} of version 1.0`);
    parameters(format(all.parameters), "parameters, wherever the poolings stand");
    ui.formula.textContent = "multiply-adds = Σ weights of a layer · side² of its map";
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
