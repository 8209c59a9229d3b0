// Look for a template in a photograph by inner product and by L1 distance.

import { ranged, slider, toggle } from "./kit/controls.js";
import { figure } from "./kit/dom.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { added, format } from "./kit/numbers.js";
import { outline, photoOf, picture, probe } from "./kit/pictures.js";
import { accepts, corner, HALF, search, torchCode } from "./template_match.compute.js";
import { templateGrid } from "./template_match.draw.js";

const NAMES = { product: "Inner product (convolution)", distance: "−L1 distance (adder)" };

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const now = () => traits(model, ["place", "size", "light", "centred"]);
  const ui = frame(model, el, "template-match", {
    label: "Look for a template by inner product and by L1 distance",
    prompt:
      "Change the light, then drag the ring to choose another template: which of the two still " +
      "finds the position that it was taken from?",
    code: () => torchCode(height, width, now()),
    initial: { place: [...model.get("start")], size: 9, light: 0, centred: false },
  });

  const input = picture(height, width, "cn-wide");
  const kernel = figure();
  const own = outline(input, "cn-template-home");
  const maps = Object.entries(NAMES).map(([name, title]) => {
    const map = picture(height, width);
    return {
      name,
      title,
      map,
      home: outline(map, "cn-template-home"),
      found: outline(map, "cn-template-found"),
      fact: ui.fact(name),
    };
  });
  ui.stage.append(input.el, ...maps.map(({ map }) => map.el));
  const ring = probe({
    ...trait(model, "place"),
    label: "The template's centre",
    on: input,
    get: centre,
  });
  function centre() {
    const { place, size } = now();
    return corner(place, size, height, width).map((first) => first + (size - 1) / 2);
  }
  const controls = [
    slider({
      ...trait(model, "light", (light) => Number(light.toFixed(2))),
      label: "Light added",
      min: -HALF,
      max: HALF,
      step: 0.02,
      digits: 2,
    }),
    ranged(model, "size", "Template size", [5, 15], { unit: "pixels", step: 2 }),
    toggle({ ...trait(model, "centred"), label: "Convolution: template less its mean" }),
  ];
  const [brightness, ...rest] = controls;
  ui.lead(input.el, brightness);
  ui.panel.append(...rest.map((c) => c.el), kernel.el);
  const put = (mark, row, column, size) =>
    mark(row / height, column / width, size / height, size / width);

  // One map of scores and its best match; returns both scores as text.
  function show(
    { map, title, home, found, fact },
    { scores, row, column, value, home: own, miss: off },
    at,
    size,
  ) {
    const columns = width - size + 1;
    const half = (size - 1) / 2;
    const whole = new Float64Array(height * width);
    const low = scores.reduce((a, b) => Math.min(a, b), Infinity);
    const span = Math.max(1e-12, value - low);
    scores.forEach((v, n) => {
      whole[(Math.floor(n / columns) + half) * width + (n % columns) + half] = (v - low) / span;
    });
    map.paint(whole, 1);
    put(home, ...at, size);
    put(found, row, column, size);
    map.describe(
      `${title}: the best match lies ${format(off, 1)} pixels from the template's position`,
      title,
      `: black ${format(low, 1)}, white ${format(value, 1)}. Solid: its best match; dashed: the template's position`,
    );
    fact(`${format(off, 1)} px`, `${off ? "off" : "found"}: ${title}`);
    return `best ${format(value, 2)}, at the template's position ${format(own, 2)}`;
  }

  function draw() {
    const { size, light, centred } = now();
    const found = search(photo, height, width, now());
    for (const control of [...controls, ring]) control.refresh();
    input.paint(found.lit, 1);
    input.describe(
      model.get("alt"),
      "Photograph",
      light ? ` ${added(light)} of light` : "",
      "; dashed: the template, as it was before",
    );
    put(own, ...found.at, size);
    kernel.show(
      templateGrid(found.template, size),
      "Template",
      ` of ${size}×${size}; deeper: brighter`,
    );
    const lines = maps.map((one) => show(one, found[one.name], found.at, size));
    ui.formula.textContent =
      `Σ ${centred ? "(w − w̄)" : "w"}·x    ${lines[0]}\n` +
      `−Σ |x − w|  ${lines[1]} = −${size}²·|${format(light)}|`;
    ui.say(
      `Inner product ${format(found.product.miss, 1)} pixels off, L1 distance ${format(found.distance.miss, 1)}`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
