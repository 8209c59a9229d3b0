// Bars of a count, one per way to compute a convolution.

import { h, rect, svg } from "./kit/dom.js";

const [W, ROW, TOP] = [340, 40, 6];
const [LEFT, RIGHT] = [2, 338];

function text(words, x, y, anchor = "start", more = "") {
  return h(
    "text",
    { x, y, class: `cn-drawing-text cn-ways-text ${more}`, "text-anchor": anchor },
    words,
  );
}

// `rows` are { name, value, words, best }, drawn in shares of the largest value; one without a value has no bar.
export function bars(rows, label) {
  const height = TOP + ROW * rows.length;
  const drawing = svg(W, height, { class: "cn-drawing", label });
  const most = Math.max(...rows.map((row) => row.value ?? 0)) || 1;
  rows.forEach(({ name, value, words, best }, n) => {
    const y = TOP + n * ROW;
    const width = Math.max(2, ((RIGHT - LEFT) * (value ?? 0)) / most);
    drawing.append(text(name, LEFT, y + 9, "start", best ? "cn-ways-named" : ""));
    drawing.append(text(words, RIGHT, y + 9, "end", best ? "cn-ways-named" : ""));
    if (value !== undefined)
      drawing.append(rect(LEFT, y + 19, width, 12, best ? "cn-ways-best" : "cn-ways-bar"));
  });
  return drawing;
}
