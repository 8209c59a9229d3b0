// Look for nine pixels of a row along that row, by inner product and by L1 distance.

import { ranged, slider, toggle } from "./kit/controls.js";
import { arrowStep, caption, figure, h, movable, placeAt, pointedAt } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { added, clamp, format, several, sum } from "./kit/numbers.js";
import { outline, photoOf, picture } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  centres,
  cut,
  gaps,
  HALF,
  products,
  REACH,
  search,
  TAPS,
  torchCode,
} from "./template_match.compute.js";
import { bars, overlay, profile, trace } from "./template_match.draw.js";

const NAMES = { distance: tr`Adder`, product: tr`Convolution` };
const BAND = 21; // rows of the photograph that are shown
const MARK = 5; // rows that a mark on them covers

function render({ model, el }) {
  const { height, width, photo } = photoOf(model);
  const names = ["place", "window", "light", "centred"];
  const now = () => traits(model, names);
  const ui = frame(model, el, "template-match", {
    label: tr`Look for nine pixels of a row by inner product and by L1 distance`,
    prompt:
      tr`Drag the window along the row, then add light: ` +
      tr`which of the two still scores highest where the template was cut out?`,
    code: () => torchCode(width, now()),
    initial: structuredClone(now()),
  });

  const [first, last] = centres(width);
  const rows = Math.min(BAND, height);
  const band = picture(rows, width, "cn-input");
  const row = outline(band, "cn-match-line");
  const home = outline(band, "cn-template-home");
  const seen = outline(band);
  const [both, each] = [figure(), figure()];
  const pair = h("div", { className: "cn-pair" }, both.el, each.el);
  const line = along(movable("along"));
  const traces = Object.keys(NAMES).map((name) => ({ name, on: along(), fact: ui.fact(name) }));
  const head = h("div", { className: "cn-match-head" }, band.el, line.el, pair);

  // A drawing along the row with a caption, on which a pointer moves the window.
  function along(more = {}) {
    const holder = h("div", { className: "cn-match-along", ...more });
    const text = h("figcaption");
    draggable(holder);
    return { el: h("figure", { className: "cn-picture" }, holder, text), holder, text };
  }
  function put(column) {
    const window = clamp(column, first, last);
    if (window !== model.get("window")) change(model, { window });
  }
  function draggable(holder) {
    const pick = (event) => {
      if (event.type === "pointerdown" || event.buttons)
        put(Math.floor(pointedAt(event, holder)[1] * width));
    };
    holder.addEventListener("pointerdown", pick);
    holder.addEventListener("pointermove", pick);
  }
  draggable(band.holder);
  line.holder.addEventListener("keydown", (event) => {
    const step = arrowStep(event, event.shiftKey ? 10 : 1);
    if (step) put(model.get("window") + step[1]);
  });

  const controls = [
    slider({
      ...trait(model, "light", (light) => Number(light.toFixed(2))),
      label: tr`Light added`,
      min: -HALF,
      max: HALF,
      step: 0.02,
      digits: 2,
    }),
    ranged(model, "window", tr`Window at pixel`, [first, last]),
    toggle({ ...trait(model, "centred"), label: tr`Convolution: template less its mean` }),
  ];
  const coordinate = (axis, name, label, [min, max]) =>
    slider({
      ...{ name, label, min, max },
      get: () => model.get("place")[axis],
      set: (v) => change(model, { place: model.get("place").with(axis, v) }),
    });
  const others = [
    coordinate(1, "column", tr`Template at pixel`, [first, last]),
    coordinate(0, "row", tr`Row`, [0, height - 1]),
  ];
  ui.stage.remove();
  ui.body.before(head);
  ui.lead(head, ...controls);
  ui.answer.after(
    h(
      "div",
      { className: "cn-match-head" },
      traces.map(({ on }) => on.el),
    ),
  );
  ui.more(...others);

  function drawBand({ place, window }) {
    const top = clamp(place[0] - (rows - 1) / 2, 0, height - rows);
    const at = (place[0] - top) / rows;
    band.paint(photo.slice(top * width, (top + rows) * width), 1);
    band.describe(
      tr`Rows ${top} to ${top + rows - 1} of: ${inWords(model.get("alt"))}`,
      tr`Photograph`,
      tr`, the rows around row ${place[0]} (thin line); dashed: the template; blue: the window`,
    );
    row(at, 0, 1 / rows, 1);
    for (const [mark, column] of [
      [home, place[1]],
      [seen, window],
    ])
      mark(at - (MARK - 1) / 2 / rows, (column - REACH) / width, MARK / rows, TAPS / width);
  }

  function draw() {
    const { place, window, light, centred } = now();
    const found = search(photo, width, now());
    const values = cut(found.lit, window);
    const apart = gaps(values, found.template);
    const parts = products(values, found.kernel);
    const [score, total] = [-sum(apart), sum(parts)];
    const weight = centred ? "(w − w̄)" : "w";
    for (const control of [...controls, ...others]) control.refresh();
    drawBand(now());
    line.holder.replaceChildren(
      profile(
        found.lit,
        place[1],
        window,
        light
          ? tr`Brightness along row ${place[0]} ${added(light)} of light`
          : tr`Brightness along row ${place[0]}`,
      ),
    );
    line.holder.setAttribute(
      "aria-label",
      tr`The window, at pixel ${window}; the template is from pixel ${place[1]}. Arrow keys move it`,
    );
    caption(
      line.text,
      tr`The row`,
      light
        ? tr` ${added(light)} of light, not clipped; thin lines at 0 and 1. Drag the window`
        : tr`; thin lines at 0 and 1. Drag the window`,
    );
    both.show(
      overlay(
        found.template,
        values,
        tr`The template and the window at pixel ${window}; the gaps between them add up to ${format(-score)}`,
      ),
      tr`Window on template`,
      tr`: orange the template w, blue dashed the window x. Adder: minus the shaded gap, ${format(score)}`,
    );
    each.show(
      bars(parts, found.kernel, tr`The nine products, which add up to ${format(total)}`),
      tr`Products ${weight}·x`,
      tr`. Convolution: the sum of the bars, ${format(total)}`,
    );
    for (const { name, on, fact } of traces) {
      const { value, best, miss, home } = found[name];
      const title = NAMES[name];
      const far = several(miss, tr`pixel`, tr`pixels`);
      const { drawing, top } = trace(
        found[name],
        width,
        place[1],
        window,
        tr`${title}: its scores along the row; the best lies ${far} from the template's position`,
      );
      const dot = h("div", { className: "cn-match-best" });
      placeAt(dot, { top, left: (best + 0.5) / width });
      on.holder.replaceChildren(drawing, dot);
      caption(
        on.text,
        title,
        tr`'s score at every pixel, thin line at 0: best (dot) ${format(value)}; ` +
          tr`at the template (dashed) ${format(home)}`,
      );
      fact(
        miss ? tr`${title}: ${format(miss)} px off` : tr`${title}: found`,
        tr`best match at pixel ${best}`,
      );
    }
    const list = (terms) => Array.from(terms, (v, k) => (k ? added(v) : format(v))).join(" ");
    ui.formula.textContent =
      `−Σ |x − w| = −(${list(apart)}) = ${format(score)}\n` +
      `Σ ${weight}·x = ${list(parts)} = ${format(total)}`;
    const off = (name) => several(found[name].miss, tr`pixel`, tr`pixels`);
    ui.say(
      tr`At pixel ${window} the adder scores ${format(score)}, the convolution ${format(total)}. ` +
        tr`Best matches: adder ${off("distance")} off, convolution ${off("product")} off`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
