// Operators in the cells of a map, and which of them contains which. Both come from Python.

import { format, percent } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";

export const COLUMNS = 3;
const BOX = { height: 38, gap: 22, apart: 8, top: 4, margin: 12 }; // a line may pass on either side, in the margin
const HEAD = 8; // pixels, the length of the head of an arrow

export function operatorCalled(operators, name) {
  return operators.find((one) => one.name === name);
}

// All that an operator contains ("special"), or all that contain it ("general"), over any number of steps.
export function reached(inclusions, name, towards) {
  const from = towards === "special" ? "general" : "special";
  const found = new Set();
  const waiting = [name];
  while (waiting.length) {
    const next = waiting.pop();
    for (const one of inclusions)
      if (one[from] === next && !found.has(one[towards])) {
        found.add(one[towards]);
        waiting.push(one[towards]);
      }
  }
  return found;
}

// What the arguments have to be, in words: "dilation = 1".
export function setting(inclusion) {
  return Object.entries(inclusion.set)
    .map(([name, value]) => `${name} = ${inWords(value)}`)
    .join(tr`; `);
}

// Where the boxes lie on a drawing of some width: name → x, y, width, height; and the height of the drawing.
export function boxes(operators, width) {
  const column = (width - 2 * BOX.margin) / COLUMNS;
  const places = Object.fromEntries(
    operators.map(({ name, at }) => [
      name,
      {
        x: BOX.margin + at[0] * column + BOX.apart / 2,
        y: BOX.top + at[1] * (BOX.height + BOX.gap),
        width: column - BOX.apart,
        height: BOX.height,
      },
    ]),
  );
  const rows = 1 + Math.max(...operators.map(({ at }) => at[1]));
  return { places, height: BOX.top + rows * (BOX.height + BOX.gap) };
}

// Where the arrow from a general operator to a special one ends, the direction back from there, and the rest of its
// path. It turns just above the special operator, so that arrows from one operator begin as one line, and goes round by
// the margin where boxes stand between the two.
function route(operators, special, general, places) {
  const [low, high] = [special, general].map((name) => operatorCalled(operators, name).at);
  const [from, to] = [places[special], places[general]];
  const centre = (box) => box.x + box.width / 2;
  const middle = (box) => box.y + box.height / 2;
  if (low[1] === high[1]) {
    const right = low[0] < high[0];
    return {
      tip: [right ? from.x + from.width : from.x, middle(from)],
      back: [right ? 1 : -1, 0],
      rest: `H${right ? to.x : to.x + to.width}`,
    };
  }
  const between = operators.some(
    ({ at }) => at[0] === low[0] && low[0] === high[0] && at[1] > high[1] && at[1] < low[1],
  );
  if (!between) {
    const tip = [centre(from), from.y];
    const end = [centre(to), to.y + to.height];
    const turn = tip[0] === end[0] ? "" : `V${tip[1] - BOX.gap / 2}H${end[0]}`;
    return { tip, back: [0, -1], rest: `${turn}V${end[1]}` };
  }
  const way = low[0] === 0 ? -1 : 1;
  const out = BOX.margin;
  const aside = `q${way * (out - HEAD)} 0 ${way * (out - HEAD)} -12V${middle(to) + 12}q0 -12 ${-way * out} -12`;
  const tip = [way < 0 ? from.x : from.x + from.width, middle(from)];
  return { tip, back: [way, 0], rest: aside };
}

// The path of an arrow from a general operator to a special one, without its head.
export function line(operators, special, general, places) {
  const { tip, back, rest } = route(operators, special, general, places);
  return `M${tip.map((v, axis) => v + HEAD * back[axis]).join(" ")}${rest}`;
}

// The head of that arrow, a triangle.
export function head(operators, special, general, places) {
  const { tip, back } = route(operators, special, general, places);
  const [base, half] = [back.map((v) => v * HEAD), back.map((v) => v * HEAD * 0.6)];
  const corner = (sign) => [tip[0] + base[0] - sign * half[1], tip[1] + base[1] + sign * half[0]];
  return `M${tip.join(" ")}L${corner(1).join(" ")}L${corner(-1).join(" ")}Z`;
}

// The operator that an arrow key leads to: the nearest one in that direction, or the same one.
export function neighbour(operators, name, [down, right]) {
  const [column, row] = operatorCalled(operators, name).at;
  const far = ({ at }) =>
    right
      ? (at[1] === row ? 0 : 100) + Math.abs(at[1] - row) + Math.abs(at[0] - column) * 10
      : Math.abs(at[1] - row) * 10 + Math.abs(at[0] - column);
  const ahead = operators.filter(({ at }) =>
    right ? (at[0] - column) * right > 0 : (at[1] - row) * down > 0,
  );
  return (
    ahead.reduce((best, one) => (best && far(best) <= far(one) ? best : one), null)?.name ?? name
  );
}

const HAN = /\p{Script=Han}/gu;

// A label in one line, or in two where it is longer than `most` letters; a Chinese character is as wide as 1.6 of them,
// and lines may end between Chinese words.
export function lines(name, most) {
  const long = (text) => text.length + 0.6 * (text.match(HAN)?.length ?? 0);
  const words = name.match(HAN) ? chineseWords(name) : name.split(/(?= )/);
  if (long(name) <= most || words.length === 1) return [name];
  const cuts = words.slice(1).map((_, n) => {
    const halves = [words.slice(0, n + 1), words.slice(n + 1)];
    const parts = halves.map((half) => half.join("").trim());
    return { parts, longest: Math.max(...parts.map(long)) };
  });
  return cuts.reduce((best, cut) => (cut.longest < best.longest ? cut : best)).parts;
}

// Where a line may end in a text with Chinese words: behind them and at blanks, not inside "1×1".
function chineseWords(text) {
  const words = [];
  for (const { segment } of new Intl.Segmenter("zh", { granularity: "word" }).segment(text)) {
    const before = words.at(-1);
    if (!before || segment === " " || (before.match(HAN) && segment.match(HAN)))
      words.push(segment);
    else words[words.length - 1] += segment;
  }
  return words;
}

// A count beside that of the plain convolution: "12.8 %", "1.42 times".
export function beside(count, plain) {
  if (!count) return "";
  const ratio = count / plain;
  if (ratio === 1) return tr`as the convolution`;
  return ratio < 1
    ? tr`${percent(ratio, ratio < 0.1 ? 1 : 0)} of the convolution's`
    : tr`${format(ratio, 2)} times the convolution's`;
}

// The page of a chapter: a notebook in Jupyter, a page of the book elsewhere.
export function address(chapter, inBook) {
  return `${chapter}.${inBook ? "html" : "ipynb"}`;
}

export function torchCode({ layer }) {
  const ours = [...new Set(layer.match(/(?<![.\w])[A-Z]\w+(?=\()/g))].sort();
  return [
    "import torch",
    "from torch import nn",
    ...(ours.length ? [`from convnotes import ${ours.join(", ")}`] : []),
    "",
    `layer = ${layer}`,
    "y = layer(torch.randn(1, 64, 56, 56))",
  ].join("\n");
}
