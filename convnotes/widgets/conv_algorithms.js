// One convolution, computed in five ways: who multiplies least, and who stores most?

import {
  accepts,
  CHANNELS,
  counts,
  fewest,
  IMAGES,
  KERNEL,
  needed,
  SIZE,
  torchCode,
} from "./conv_algorithms.compute.js";
import { bars } from "./conv_algorithms.draw.js";
import { choice, options, ranged, toggle } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { format, short } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const TRAITS = ["kernel", "size", "channels", "images", "prepared"];
const NAMES = { "direct sum": tr`direct sum`, "matrix product": tr`matrix product` };
const nameOf = (way) => NAMES[way.name] ?? way.name;

function render({ model, el }) {
  const now = () => traits(model, TRAITS);
  const ui = frame(model, el, "conv-algorithms", {
    label: tr`One convolution, computed in five ways`,
    prompt: tr`Make the kernel larger: which way multiplies least, and what does it store for that?`,
    code: () => torchCode(now()),
    initial: now(),
  });
  const products = figure();
  const memory = figure();
  const pair = h("div", { className: "cn-pair" }, products.el, memory.el);
  ui.body.before(pair);
  const power = (name, label, values) =>
    choice({
      ...trait(model, name, Number),
      label,
      options: options(values),
    });
  const controls = [
    ranged(model, "kernel", tr`Kernel k×k`, KERNEL, { step: 2 }),
    ranged(model, "size", tr`Map, pixels per side`, SIZE, { step: 4 }),
  ];
  const more = [
    power("channels", tr`Channels, in and out`, CHANNELS),
    power("images", tr`Images`, IMAGES),
    toggle({ ...trait(model, "prepared"), label: tr`Kernels are transformed beforehand` }),
  ];
  ui.lead(pair, ...controls);
  ui.panel.append(...more.map((control) => control.el));
  const best = ui.fact("best");
  const stored = ui.fact("stored");

  function draw() {
    const state = now();
    const ways = counts(state);
    const [direct] = ways;
    const least = fewest(ways);
    const base = needed(state);
    for (const control of [...controls, ...more]) control.refresh();
    const times = (value, of) => `${format(value / of, value / of < 10 ? 2 : 1)} ×`;
    const rows = (field, of) =>
      ways.map((way) => ({
        name: nameOf(way),
        value: way[field],
        words: way[field] === undefined ? tr`tile wider than 8 px` : times(way[field], of),
        best: least.includes(way),
      }));
    const { kernel: k, size: n } = state;
    const size = tr`${k}×${k} on ${n}×${n} pixels`;
    const names = least.map(nameOf).reduce((some, name) => tr`${some}, ${name}`);
    products.show(
      bars(
        rows("multiplications", direct.multiplications),
        tr`Multiplications of five ways, ${size}`,
      ),
      tr`Multiplications`,
      tr`, in multiples of the direct sum's ${short(direct.multiplications)}`,
    );
    memory.show(
      bars(rows("memory", base), tr`Numbers stored by five ways, ${size}`),
      tr`Numbers stored in between`,
      tr`, in multiples of the ${short(base)} of input, weights and output. ` +
        tr`Orange: the fewest multiplications`,
    );
    best(names, tr`fewest multiplications: ${short(least[0].multiplications)}`);
    stored(short(least[least.length - 1].memory), tr`numbers it stores in between`);
    ui.formula.textContent =
      `${tr`direct: B·C·O·k²·n² = ${short(direct.multiplications)}`}\n` +
      `${tr`FFT: transforms + 4·B·C·O·P·(P/2 + 1), P ≥ n + k − 1, a power of two`}\n` +
      tr`Winograd m×m: transforms + B·C·O·⌈n/m⌉²·(m + k − 1)²`;
    ui.say(tr`${size}: ${names} takes the fewest multiplications`);
  }
  return follow(model, draw, accepts);
}

export default { render };
