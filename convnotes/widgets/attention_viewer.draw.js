// The drawings of attention: arcs to the strongest positions, and a strip from near to far.

import { DEEPEST, onScale } from "./attention_viewer.compute.js";
import { h, rect, svg, tint } from "./kit/dom.js";
import { format, percent } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

const [W, H] = [320, 150];
const AREA = chartArea(W, H, { left: 40, right: 8, top: 12, bottom: 40 });

// An arc from the marked position to each of `chosen`, bent towards the middle of the map, the thicker the larger the
// weight on the fixed scale; a circle where the marked position chooses itself.
export function arcs(weights, rows, columns, [row, column], chosen) {
  const unit = columns / 100;
  const [x0, y0] = [column + 0.5, row + 0.5];
  return [...chosen].reverse().flatMap((n) => {
    const [x1, y1] = [(n % columns) + 0.5, Math.floor(n / columns) + 0.5];
    const [dx, dy] = [x1 - x0, y1 - y0];
    const width = 1 + 8 * onScale(weights[n], weights.length);
    if (!dx && !dy) return lined("circle", { cx: x0, cy: y0, r: 4 * unit }, width);
    const middle = [(x0 + x1) / 2, (y0 + y1) / 2];
    const inwards = (columns / 2 - middle[0]) * -dy + (rows / 2 - middle[1]) * dx;
    const bend = inwards < 0 ? -0.3 : 0.3;
    const [cx, cy] = [middle[0] - bend * dy, middle[1] + bend * dx];
    return [
      ...lined("path", { d: `M${x0} ${y0}Q${cx} ${cy} ${x1} ${y1}` }, width),
      h("circle", { cx: x1, cy: y1, r: 1.3 * unit, class: "cn-attention-end" }),
    ];
  });
}

// A line with a casing, so that it is seen on any image.
function lined(tag, shape, width) {
  return [
    h(tag, { ...shape, class: "cn-attention-casing", "stroke-width": width + 2 }),
    h(tag, { ...shape, class: "cn-attention-arc", "stroke-width": width }),
  ];
}

// The mean weight of a position in each band of distance, as a multiple of 1/N, on the fixed scale: a bar goes up from
// the line of equal weights where positions get more than that, and down where they get less.
export function strip({ width, means }, N) {
  const { left, right, bottom, x, y } = AREA;
  const words = means.map(
    (value, n) =>
      tr`${format(n * width, 1)} to ${format((n + 1) * width, 1)}: ${percent(value ?? 0, 2)}`,
  );
  const label =
    tr`Mean weight of a position by its distance in positions: ${words.join(tr`; `)}; ` +
    tr`equal weights: ${percent(1 / N, 2)}`;
  const drawing = svg(W, H, { class: "cn-drawing cn-attention-strip", label });
  const text = (words, at, up, anchor) =>
    h("text", { x: at, y: up, class: "cn-attention-text", "text-anchor": anchor }, words);
  means.forEach((value, n) => {
    if (value === null) return;
    const scaled = onScale(value, N);
    const ends = [y(0.5), y((1 + scaled) / 2)];
    const bar = rect(
      x((n + 0.08) / means.length),
      Math.min(...ends),
      (0.84 * (right - left)) / means.length,
      Math.max(1, Math.abs(ends[0] - ends[1])),
      "cn-tile",
    );
    tint(bar, scaled, 1);
    drawing.append(bar);
  });
  for (const [at, words] of [
    [1, DEEPEST],
    [0.5, "1"],
    [0, `1/${DEEPEST}`],
  ])
    drawing.append(
      h("path", {
        d: `M${left} ${y(at)}H${right}`,
        class: at === 0.5 ? "cn-attention-equal" : "cn-ruled",
      }),
      text(words, left - 6, y(at) + 5, "end"),
    );
  drawing.append(
    text(tr`near: 0`, left, bottom + 18, "start"),
    text(tr`${format(width * means.length, 0)}: far`, right, bottom + 18, "end"),
    text(tr`distance in positions`, (left + right) / 2, bottom + 34, "middle"),
  );
  return drawing;
}
