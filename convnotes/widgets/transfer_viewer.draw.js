// Accuracy over the number of examples, with one mark per seed.

import { h, lineThrough, rect, svg } from "./kit/dom.js";
import { format, mean } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { find } from "./transfer_viewer.compute.js";

export function plot(runs, sizes, start, freeze, examples) {
  const width = 340;
  const height = 230;
  const area = chartArea(width, height, { left: 44, right: 8, top: 12, bottom: 32 });
  const { left, right, top, bottom, y } = area;
  const x = (n) => area.x((sizes.indexOf(n) + 0.5) / sizes.length);
  const of = (name) => sizes.map((n) => find(runs, name, freeze, n));
  const means = (name) =>
    of(name)
      .map((run) => format(mean(run.accuracies), 3))
      .join(", ");
  const drawing = svg(
    width,
    height,
    {
      class: "cn-drawing cn-transfer",
      label:
        `Mean accuracy with ${sizes.join(", ")} examples per class: ${means(start)} from ` +
        `${start}, ${means("scratch")} from scratch`,
    },
    rect(x(examples) - 44, top, 88, bottom - top, "cn-transfer-here"),
    [0, 0.25, 0.5, 0.75, 1].flatMap((a) => [
      h("line", { x1: left, x2: right, y1: y(a), y2: y(a), class: "cn-ruled" }),
      h("text", { x: left - 8, y: y(a) + 5, "text-anchor": "end" }, format(a)),
    ]),
    sizes.map((n) =>
      h(
        "text",
        { x: x(n), y: bottom + 20, "text-anchor": "middle" },
        n === sizes[0] ? `${n} per class` : n,
      ),
    ),
  );
  for (const [name, line, shift] of [
    ["scratch", "cn-curve-other", 12],
    [start, "cn-curve cn-transfer-shown", -12],
  ]) {
    const group = of(name);
    const mark = (cx, cy) =>
      name === "scratch" ? rect(cx - 4, cy - 4, 8, 8, "cn-point") : h("circle", { cx, cy, r: 4.5 });
    drawing.append(
      h("path", {
        class: line,
        d: lineThrough(group.map((run) => [x(run.examples) + shift, y(mean(run.accuracies))])),
      }),
      ...group.flatMap((run) => run.accuracies.map((a) => mark(x(run.examples) + shift, y(a)))),
    );
  }
  return drawing;
}
