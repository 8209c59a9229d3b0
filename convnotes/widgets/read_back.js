// What of a photograph can be read back after some random blocks, with the shortcut or without.

import { ranged, toggle } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { percent, several } from "./kit/numbers.js";
import { photoOf, picture } from "./kit/pictures.js";
import { accepts, readings, torchCode, unpack } from "./read_back.compute.js";
import { curves } from "./read_back.draw.js";

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const [channels, middle, count] = ["channels", "middle", "blocks"].map((name) => model.get(name));
  const weights = unpack(model.get("weights"), channels, middle);
  const both = [false, true].map((shortcut) => readings(photo, weights, height, width, shortcut));
  const ui = frame(model, el, "read-back", {
    label: "What can be read back after some blocks, with the shortcut or without",
    prompt: "Send the image through more blocks, then switch the shortcut off: what is left of it?",
    code: () => torchCode(channels, middle, model.get("depth"), model.get("shortcut")),
    initial: traits(model, ["depth", "shortcut"]),
  });
  const input = picture(height, width, "cn-input");
  const output = picture(height, width, "cn-output");
  const curve = figure();
  const controls = [
    ranged(model, "depth", "Blocks", [0, count]),
    toggle({ ...trait(model, "shortcut"), label: "Shortcut: each block adds its input" }),
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
    const name = (on) => `${on ? "with" : "without"} the shortcut`;
    const after = `after ${several(depth, "block")}`;
    for (const control of controls) control.refresh();
    input.paint(photo, 3);
    input.describe(model.get("alt"), "Input");
    output.paint(found, 3);
    output.describe(
      `${model.get("alt")}, read back ${after} ${name(shortcut)}`,
      "Read back",
      ` ${after} ${name(shortcut)}`,
    );
    const shares = (readings) => readings.map((one) => one.share);
    const words = `${percent(share, 0)} of the colours read back ${after} ${name(shortcut)}`;
    curve.show(
      curves(shares(withShortcut), shares(without), depth, shortcut, `Shares by depth: ${words}`),
      "Read back",
      ": share of the variance of the colours",
    );
    here(percent(share, 0), `of the variance of the colours, ${after} ${name(shortcut)}`);
    other(
      percent(both[Number(!shortcut)][depth].share, 0),
      `by the same weights ${name(!shortcut)}`,
    );
    ui.formula.textContent = shortcut ? "y = ReLU(x + F(x))" : "y = ReLU(F(x))";
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
