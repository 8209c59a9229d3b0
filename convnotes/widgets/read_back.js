// What of a photograph can be read back after some random blocks, with the shortcut or without.

import { ranged, toggle } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { percent, several } from "./kit/numbers.js";
import { photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import { accepts, readings, torchCode, unpack } from "./read_back.compute.js";
import { curves } from "./read_back.draw.js";

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const [channels, middle, count] = ["channels", "middle", "blocks"].map((name) => model.get(name));
  const weights = unpack(model.get("weights"), channels, middle);
  const both = [false, true].map((shortcut) => readings(photo, weights, height, width, shortcut));
  const ui = frame(model, el, "read-back", {
    label: tr`What can be read back after some blocks, with the shortcut or without`,
    prompt: tr`Send the image through more blocks, then switch the shortcut off: what is left of it?`,
    code: () => torchCode(channels, middle, model.get("depth"), model.get("shortcut")),
    initial: traits(model, ["depth", "shortcut"]),
  });
  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const curve = figure();
  const controls = [
    ranged(model, "depth", tr`Blocks`, [0, count]),
    toggle({ ...trait(model, "shortcut"), label: tr`Shortcut: each block adds its input` }),
  ];
  ui.stage.append(output.el);
  ui.lead(output.el, ...controls);
  ui.panel.append(curve.el, input.el);
  const here = ui.fact("share");
  const other = ui.fact("other");

  function draw() {
    const [depth, shortcut] = [model.get("depth"), model.get("shortcut")];
    const [without, withShortcut] = both;
    const { found, share } = both[Number(shortcut)][depth];
    const alt = inWords(model.get("alt"));
    const blocks = several(depth, tr`block`, tr`blocks`);
    const after = shortcut
      ? tr`after ${blocks} with the shortcut`
      : tr`after ${blocks} without the shortcut`;
    for (const control of controls) control.refresh();
    input.paint(photo, 3);
    input.describe(alt, tr`Input`);
    output.paint(found, 3);
    output.describe(tr`${alt}, read back ${after}`, tr`Read back`, tr` ${after}`);
    const shares = (readings) => readings.map((one) => one.share);
    const words = tr`${percent(share, 0)} of the colours read back ${after}`;
    curve.show(
      curves(shares(withShortcut), shares(without), depth, shortcut, tr`Shares by depth: ${words}`),
      tr`Read back`,
      tr`: share of the variance of the colours`,
    );
    here(percent(share, 0), tr`of the variance of the colours, ${after}`);
    other(
      percent(both[Number(!shortcut)][depth].share, 0),
      shortcut
        ? tr`by the same weights without the shortcut`
        : tr`by the same weights with the shortcut`,
    );
    ui.formula.textContent = shortcut ? "y = ReLU(x + F(x))" : "y = ReLU(F(x))";
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
