// Test accuracy after each epoch, from a first task and from scratch: a thin line per seed, a thick one for the mean.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";
import { meanCurve } from "./transfer_viewer.compute.js";

const [W, H] = [360, 276];
const GAP = 17; // between names that would overlap

function text(words, x, y, anchor, className = "") {
  const kind = `cn-chart-text ${className}`.trim();
  return h("text", { x, y, "text-anchor": anchor, class: kind }, words);
}

export function learning(curves, scratch, label) {
  const area = chartArea(W, H, { left: 44, right: 82, top: 28, bottom: 44 });
  const { left, right, top, bottom, y } = area;
  const epochs = curves[0].length;
  const x = (epoch) => area.x((epoch - 1) / Math.max(1, epochs - 1));
  const drawing = svg(W, H, { class: "cn-drawing", label });
  drawing.append(
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((a) => [
      h("path", { d: `M${left} ${y(a)}H${right}`, class: "cn-ruled" }),
      text(a, left - 8, y(a) + 5, "end"),
    ]),
    ...[1, Math.ceil(epochs / 2), epochs].map((epoch) =>
      text(epoch, x(epoch), bottom + 18, "middle"),
    ),
    text(tr`epoch`, (left + right) / 2, H - 6, "middle"),
    text(tr`test accuracy`, left, top - 14, "start"),
  );
  const path = (curve, className) =>
    h("path", {
      class: className,
      d: lineThrough(curve.map((value, n) => [x(n + 1), y(value)])),
    });
  const [own, other] = [meanCurve(curves), meanCurve(scratch)];
  drawing.append(
    ...scratch.map((curve) => path(curve, "cn-transfer-seed cn-transfer-other")),
    ...curves.map((curve) => path(curve, "cn-transfer-seed")),
    path(other, "cn-curve-other cn-transfer-mean"),
    path(own, "cn-curve cn-transfer-mean cn-transfer-shown"),
    ...other.map((value, n) => rect(x(n + 1) - 4, y(value) - 4, 8, 8, "cn-point")),
    ...own.map((value, n) =>
      h("circle", { cx: x(n + 1), cy: y(value), r: 4.5, class: "cn-fill-accent" }),
    ),
  );
  const middle = (y(own.at(-1)) + y(other.at(-1))) / 2;
  const apart = Math.max(GAP, Math.abs(y(own.at(-1)) - y(other.at(-1)))) / 2;
  const up = own.at(-1) >= other.at(-1) ? -1 : 1;
  drawing.append(
    text(
      tr`transfer`,
      right + 8,
      middle + up * apart + 5,
      "start",
      "cn-fill-accent cn-transfer-name",
    ),
    text(tr`scratch`, right + 8, middle - up * apart + 5, "start", "cn-fill-muted"),
  );
  return drawing;
}
