// The drawing of a shift: the pad on which a channel's displacement is set.

import { arrowStep, h, movable, pointedAt } from "./kit/dom.js";
import { clamp, format } from "./kit/numbers.js";
import { kernelGrid } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { oneHot, REACH } from "./shift_viewer.compute.js";

// An arrow from the output position to the pixel that is read, [dy, dx] from it.
function arrow([dy, dx], unit) {
  const centre = (REACH + 0.5) * unit;
  const length = Math.hypot(dy, dx);
  if (!length) return [];
  const [uy, ux] = [dy / length, dx / length];
  const [y, x] = [centre + dy * unit - 9 * uy, centre + dx * unit - 9 * ux];
  const head =
    `M${x} ${y}L${x - 9 * ux + 5 * uy} ${y - 9 * uy - 5 * ux}L${x - 9 * ux - 5 * uy} ` +
    `${y - 9 * uy + 5 * ux}Z`;
  return [
    h("line", { x1: centre, y1: centre, x2: x - 6 * ux, y2: y - 6 * uy, class: "cn-arrow" }),
    h("path", { d: head, class: "cn-arrowhead" }),
    h("circle", { cx: centre, cy: centre, r: 3, class: "cn-arrowhead" }),
  ];
}

// The one-hot kernel of a channel with its arrow; drag it or use the arrow keys.
export function pad({ name, label, get, set }) {
  const unit = 34;
  const side = 2 * REACH + 1;
  const put = (position) => {
    const next = position.map((d) => clamp(d, -REACH, REACH));
    if (String(next) !== String(get())) set(next);
  };
  const follows = (event) =>
    put(pointedAt(event, el).map((share) => Math.floor(share * side) - REACH));
  const on = {
    keydown(event) {
      const step = arrowStep(event);
      if (step) put(get().map((d, n) => d + step[n]));
      if (event.key !== "Home") return;
      event.preventDefault();
      put([0, 0]);
    },
    pointerdown(event) {
      el.setPointerCapture(event.pointerId);
      follows(event);
    },
    pointermove(event) {
      if (event.buttons) follows(event);
    },
  };
  const el = h("div", {
    className: "cn-pad",
    ...movable(name),
    on,
  });
  function refresh() {
    const [dy, dx] = get();
    const words =
      dy || dx
        ? tr`${label} reads row ${format(dy)}, column ${format(dx)} from its position`
        : tr`${label} reads its own position`;
    const drawing = kernelGrid(oneHot([dy, dx]), words, { unit, numbers: false });
    drawing.append(...arrow([dy, dx], unit));
    el.replaceChildren(drawing);
    el.setAttribute("aria-label", words);
  }
  return { el, refresh };
}
