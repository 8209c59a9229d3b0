// The influence along a row of two networks on one pair of axes.

import { h, lineThrough, svg } from "./kit/dom.js";
import { format, percent } from "./kit/numbers.js";
import { chartArea } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

const [W, H] = [340, 226];
const AREA = chartArea(W, H, { left: 56, right: 10, top: 22, bottom: 40 });

function text(words, x, y, anchor = "middle", className = "") {
  const more = { class: `cn-erf-text ${className}`.trim(), "text-anchor": anchor };
  return h("text", { x, y, ...more }, words);
}

// `lines` are the shares of the influence of A and of B in the columns from −reach to reach.
export function profiles(lines, reach, label) {
  const most = Math.max(...lines.flat());
  const { left, right, bottom, x, y } = AREA;
  const across = (n) => x((n + reach) / (2 * reach));
  const drawing = svg(W, H, { class: "cn-drawing", label });
  for (const share of [0, 0.5, 1])
    drawing.append(
      h("path", { d: `M${left} ${y(share)}H${right}`, class: "cn-ruled" }),
      text(percent(share * most), left - 6, y(share) + 5, "end"),
    );
  for (const n of [-reach, 0, reach])
    drawing.append(
      text(format(n), across(n), bottom + 18, n ? (n < 0 ? "start" : "end") : "middle"),
    );
  drawing.append(text(tr`columns from the output`, (left + right) / 2, H - 5));
  lines.forEach((line, which) => {
    const points = line.map((share, n) => [across(n - reach), y(share / most)]);
    const kind = which ? "cn-curve-other" : "cn-curve cn-erf-a";
    drawing.append(h("path", { d: lineThrough(points), class: kind }));
    // A name stands where its line is half as high as in the middle, A on the left, B on the right.
    const half = line.findIndex((share) => share >= line[reach] / 2);
    const at = which ? line.length - 1 - half : half;
    const [px, py] = points[at];
    drawing.append(
      text(
        which ? "B" : "A",
        which ? Math.min(px + 8, right - 12) : Math.max(px - 8, left + 12),
        py - 6,
        which ? "start" : "end",
        which ? "" : "cn-erf-name",
      ),
    );
  });
  return drawing;
}
