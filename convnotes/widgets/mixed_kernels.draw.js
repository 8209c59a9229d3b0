// The responses at the marked pixel while the image is enlarged: one curve per kernel size, a marker at the side now.

import { h, lineThrough, svg } from "./kit/dom.js";
import { format } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { bySize, LARGEST, SIDES, SIZES, WINDOW } from "./mixed_kernels.compute.js";

const [W, H] = [340, 270];
const AREA = chartArea(W, H, { left: 40, right: 44, top: 14, bottom: 42 });
const GAP = 17; // between names that would overlap

// `curves[s]` are the responses of size s for each of SIDES, `at[s]` that at `side`; `best` is the strongest, sizes
// without `parts` are not in the layer.
export function crossing(curves, at, side, best, parts) {
  const { left, right, top, bottom } = AREA;
  const all = [...curves.flat(), ...at, 0];
  const [low, high] = [Math.min(...all), Math.max(...all, 0.05)];
  const x = (v) => AREA.x((v - WINDOW) / (LARGEST - WINDOW));
  const y = (v) => AREA.y((v - low) / (high - low));
  const values = bySize((k, s) => `${k}×${k} ${format(at[s], 3)}`);
  const label =
    tr`Response at the marked pixel against the side of the image. ` +
    tr`At ${side} pixels: ${values}; strongest ${SIZES[best]}×${SIZES[best]}`;
  const drawing = svg(W, H, { class: "cn-drawing", label });
  const text = (words, at, up, anchor, className = "cn-chart-text") =>
    h("text", { x: at, y: up, class: className, "text-anchor": anchor }, words);
  drawing.append(
    h("path", { d: `M${left} ${y(0)}H${right}`, class: "cn-ruled" }),
    text("0", left - 6, y(0) + 5, "end"),
    text(format(high, 2), left - 6, y(high) + 5, "end"),
    text(WINDOW, x(WINDOW), bottom + 18, "middle"),
    text(LARGEST, x(LARGEST), bottom + 18, "middle"),
    text(tr`side of the image, pixels`, (left + right) / 2, H - 5, "middle"),
    h("path", { d: `M${x(side)} ${top}V${bottom}`, class: "cn-mixed-now" }),
  );
  const heights = apart(curves.map((curve) => y(curve.at(-1))));
  curves.forEach((curve, s) => {
    const kind = `${s === best ? " cn-mixed-best" : ""}${parts[s] ? "" : " cn-mixed-absent"}`;
    const points = curve.map((v, n) => [x(SIDES[n]), y(v)]);
    drawing.append(
      h("path", { d: lineThrough(points), class: `cn-curve cn-mixed-curve${kind}` }),
      text(`${SIZES[s]}×${SIZES[s]}`, right + 6, heights[s] + 5, "start", `cn-chart-text${kind}`),
    );
  });
  at.forEach((v, s) => {
    const shape =
      s === best
        ? h("path", { d: diamond(x(side), y(v), 8), class: "cn-point cn-mixed-best" })
        : h("circle", { cx: x(side), cy: y(v), r: 5, class: "cn-point" });
    if (parts[s]) drawing.append(shape);
  });
  return drawing;
}

function diamond(x, y, reach) {
  return `M${x} ${y - reach}L${x + reach} ${y}L${x} ${y + reach}L${x - reach} ${y}Z`;
}

// Heights moved apart so that the names beside them do not overlap.
function apart(heights) {
  const order = [...heights.keys()].sort((a, b) => heights[a] - heights[b]);
  const moved = [...heights];
  const most = AREA.bottom - GAP * (order.length - 1);
  order.forEach((s, n) => {
    const least = n ? moved[order[n - 1]] + GAP : 0;
    moved[s] = Math.min(Math.max(moved[s], least), most + GAP * n);
  });
  return moved;
}
