// The branches as grids of taps that melt into one: norms are folded, zeros come around small kernels, all are added.

import { folded, framed, fused, NAMES, plus, steps } from "./branch_fuser.compute.js";
import { h, rect } from "./kit/dom.js";
import { format, largest, together } from "./kit/numbers.js";
import { tile } from "./kit/pictures.js";
import { tr } from "./kit/words.js";

const [LEFT, TOP, BELOW, LARGEST] = [26, 26, 34, 46];

function text(words, x, y, anchor = "middle", more = "") {
  const name = `cn-drawing-text cn-small-text ${more}`.trim();
  return h("text", { x, y, class: name, "text-anchor": anchor }, words);
}

// A grid of 3×3 taps at [x, y]; taps outside `inside` are as opaque as `around` says.
function grid(kernel, [x, y], unit, most, inside, around) {
  const texts = together(kernel.flat());
  const cells = kernel.flatMap((row, u) =>
    row.map((value, v) => {
      const [left, top] = [x + v * unit, y + u * unit];
      const words = text(texts[3 * u + v], left + unit / 2, top + unit / 2);
      return h(
        "g",
        { style: { opacity: inside(u, v) ? 1 : around } },
        tile(left, top, unit, value, most),
        words,
      );
    }),
  );
  return [...cells, rect(x + unit, y + unit, unit, unit, "cn-centre")];
}

// What stands on a drawing of some width, and its height. `choose` gets the kind of a branch that is clicked.
export function melting(parts, melt, chosen, { width, choose }) {
  const columns = width < 560 ? 2 : 4;
  const slot = width / columns;
  const unit = Math.min(LARGEST, Math.floor((slot - LEFT - 4) / 3));
  const high = TOP + 3 * unit + BELOW;
  const corner = (n) => [(n % columns) * slot + LEFT, Math.floor(n / columns) * high + TOP];
  const [norms, zeros, sums] = steps(melt);
  const whole = fused(parts);
  const ends = parts.map(folded);
  const starts = parts.map(({ kernel }) => framed(kernel));
  const most = largest([...ends, whole].flatMap((one) => one.kernel.flat()).concat(starts.flat(2)));
  const goal = corner(parts.length);
  const frame = ([x, y]) => rect(x, y, 3 * unit, 3 * unit, "cn-fuser-frame");
  const [under, over] = [[], []];
  parts.forEach((part, n) => {
    const at = corner(n);
    const [x, y] = at;
    const name = `cn-fuser-branch${part.kind === chosen ? " cn-fuser-chosen" : ""}`;
    const box = rect(x - 6, y - TOP + 2, 3 * unit + 12, high - 4, name, { rx: 6 });
    box.addEventListener("click", () => choose(part.kind));
    const normed = `× ${format(part.scale, 2)} ${plus(part.shift)}`;
    const before = part.series ? [`(${format(part.factor, 2)}·x ${plus(part.bias)}),`] : [];
    const notes = norms < 0.5 ? [...before, normed] : [plus(ends[n].bias)]; // in one line it is wider than its slot
    under.push(
      box,
      frame(at),
      text(NAMES[part.kind], x + 1.5 * unit, y - 11, "middle", "cn-fuser-name"),
      ...notes.map((note, line) =>
        text(note, x + 1.5 * unit, y + 3 * unit + (notes.length > 1 ? 11 : 15) + 14 * line),
      ),
    );
    if (n) under.push(text("+", x - LEFT / 2 - 1, y + 1.5 * unit, "middle", "cn-fuser-sign"));
    if (sums === 1) return;
    const kernel = starts[n].map((row, u) =>
      row.map((w, v) => w + norms * (ends[n].kernel[u][v] - w)),
    );
    const [rows, columnsOf] = [part.kernel.length, part.kernel[0].length];
    const inside = (u, v) => 2 * Math.abs(u - 1) < rows && 2 * Math.abs(v - 1) < columnsOf;
    const moved = at.map((from, axis) => from + sums * (goal[axis] - from));
    over.push(
      h(
        "g",
        { class: "cn-fuser-moving", style: { opacity: 1 - 0.6 * sums } },
        grid(kernel, moved, unit, most, inside, zeros),
      ),
    );
  });
  const [x, y] = goal;
  under.push(
    frame(goal),
    text("=", x - LEFT / 2 - 1, y + 1.5 * unit, "middle", "cn-fuser-sign"),
    text(tr`one kernel`, x + 1.5 * unit, y - 11, "middle", "cn-fuser-name"),
  );
  if (sums)
    over.push(
      h(
        "g",
        { style: { opacity: sums } },
        grid(whole.kernel, goal, unit, most, () => true, 1),
        text(plus(whole.bias), x + 1.5 * unit, y + 3 * unit + 15),
      ),
    );
  const height = high * Math.ceil((parts.length + 1) / columns);
  return { height, marks: [...under, ...over] };
}
