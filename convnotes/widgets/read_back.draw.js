// How much of the colours can be read back, by the number of blocks.

import { h, lineThrough, svg } from "./kit/dom.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

const [W, H] = [340, 230];
const AREA = chartArea(W, H, { left: 58, right: 14, top: 14, bottom: 44 });

function text(words, x, y, anchor, more = "") {
  return h(
    "text",
    { x, y, class: `cn-drawing-text cn-read-text ${more}`, "text-anchor": anchor },
    words,
  );
}

// Two curves of shares after 0, 1, 2, … blocks, and a ring around the state that is shown.
export function curves(withShortcut, without, depth, shortcut, label) {
  const drawing = svg(W, H, { class: "cn-drawing", label });
  const last = withShortcut.length - 1;
  const { left, right, bottom, y } = AREA;
  const x = (n) => AREA.x(last ? n / last : 0);
  for (const share of [0, 0.5, 1])
    drawing.append(
      h("path", { d: `M${left} ${y(share)}H${right}`, class: "cn-ruled" }),
      text(`${100 * share}%`, left - 8, y(share), "end"),
    );
  for (const n of new Set([0, Math.round(last / 2), last]))
    drawing.append(text(n, x(n), bottom + 16, "middle"));
  drawing.append(text(tr`blocks`, (left + right) / 2, H - 10, "middle"));
  const path = (values) => lineThrough(values.map((v, n) => [x(n), y(v)]));
  drawing.append(
    h("path", { d: path(without), class: "cn-curve-other" }),
    h("path", { d: path(withShortcut), class: "cn-curve cn-read-with" }),
  );
  const middle = Math.round(last / 2);
  drawing.append(
    text(tr`with shortcut`, right, y(withShortcut[middle]) - 14, "end", "cn-fill-accent"),
    text(tr`without`, right, y(without[middle]) - 14, "end", "cn-fill-muted"),
    h("circle", {
      cx: x(depth),
      cy: y((shortcut ? withShortcut : without)[depth]),
      r: 7,
      class: "cn-point cn-read-now",
    }),
  );
  return drawing;
}
