// The roofline of a machine: which operators wait for bytes, and which are busy with operations.

import { choice, options, presetChoice, ranged, slider } from "./kit/controls.js";
import { arrowStep, table, tableRow } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format } from "./kit/numbers.js";
import { tr } from "./kit/words.js";
import {
  accepts,
  bounds,
  duration,
  LIMITS,
  MACHINES,
  NAMES,
  SPEEDS,
  STEPS,
  scaled,
  speed,
  torchCode,
} from "./roofline.compute.js";
import { emptyChart, nearest, points } from "./roofline.draw.js";

const TRAITS = ["channels", "size", "kernel", "batch", "peak", "bandwidth", "operator"];
const MARKS = { operations: "◆", bytes: "●", both: "■" };
const MACHINE_NAMES = { "laptop CPU": tr`laptop CPU`, GPU: tr`GPU` };
const SIDES = {
  operations: tr`its operations decide`,
  bytes: tr`its bytes decide`,
  both: tr`operations decide in one step, bytes in the other`,
};

function render({ model, el }) {
  const now = () => traits(model, TRAITS);
  const ui = frame(model, el, "roofline", {
    label: tr`Operators under the roofline of a machine`,
    prompt:
      tr`With 64 channels the depthwise layer has a 64th of the full one's multiply-adds. ` +
      tr`What is its share of the time? Choose the other machine.`,
    code: () => torchCode(now()),
    initial: now(),
  });
  const chart = emptyChart();
  ui.stage.append(chart);

  // A slider of a speed, even in its logarithm.
  function speedSlider(name, label, unit) {
    const [min, max] = SPEEDS[name].map(Math.log10);
    const one = slider({
      name,
      label,
      ...{ min, max, step: 0.05 },
      get: () => Math.log10(model.get(name)),
      set: (power) => change(model, { [name]: speed(power) }),
    });
    const shown = one.el.querySelector("output");
    function refresh() {
      one.refresh();
      shown.textContent = scaled(1e9 * model.get(name), unit);
      one.input.setAttribute("aria-valuetext", shown.textContent);
    }
    return { ...one, refresh };
  }

  const layer = [
    ["channels", tr`Channels`],
    ["size", tr`Map side, px`],
    ["kernel", tr`Kernel k×k`],
    ["batch", tr`Images`],
  ].map(([name, label]) => ranged(model, name, label, LIMITS[name], { step: STEPS[name] }));
  const machine = presetChoice({
    label: tr`Machine (rough)`,
    options: options(Object.keys(MACHINES), (name) => MACHINE_NAMES[name]),
    presets: MACHINES,
    now: () => traits(model, ["peak", "bandwidth"]),
    apply: (speeds) => change(model, speeds),
  });
  const which = choice({ ...trait(model, "operator"), label: tr`Operator`, options: NAMES });
  const speeds = [
    speedSlider("peak", tr`Multiply-adds/s`, ""),
    speedSlider("bandwidth", tr`Bytes/s`, "B"),
  ];
  const controls = [...layer, machine, which, ...speeds];
  const list = table(
    "cn-bounds",
    tr`MACs (multiply-adds), bytes, least time`,
    ["", tr`MACs`, tr`bytes`, tr`time`],
    [],
  );
  ui.lead(chart, machine, which);
  ui.panel.append(list, ...layer.map((one) => one.el));
  ui.more(...speeds);
  const time = ui.fact("time", "decides");
  const work = ui.fact("operations", "of-full");
  const moved = ui.fact("bytes", "intensity");

  const choose = (row) => {
    if (row.key !== model.get("operator")) change(model, { operator: row.key });
  };
  chart.addEventListener("pointerdown", (event) =>
    choose(nearest(event, chart, bounds(now()), now())[1]),
  );
  chart.addEventListener("keydown", (event) => {
    const step = arrowStep(event);
    if (!step) return;
    const intensity = (row) => row.operations / row.bytes;
    const ordered = bounds(now()).sort((a, b) => intensity(a) - intensity(b));
    const place = ordered.findIndex((row) => row.key === now().operator);
    choose(ordered[(place + step[1] - step[0] + ordered.length) % ordered.length]);
  });

  function draw() {
    const state = now();
    const rows = bounds(state);
    const one = rows.find((row) => row.key === state.operator);
    const full = rows.find((row) => row.key === "full");
    const ridge = state.peak / state.bandwidth;
    const intensity = format(one.operations / one.bytes, 1);
    for (const control of controls) control.refresh();
    chart.replaceChildren(...points(rows, one, state));
    const side = SIDES[one.decides];
    const least = duration(one.seconds);
    const words =
      tr`${one.name}: ${intensity} multiply-adds per byte, at least ${least}, ${side}; ` +
      tr`the ridge is at ${format(ridge, 1)}`;
    chart.setAttribute("aria-label", tr`${words}. The arrow keys go to the next operator.`);
    list.tBodies[0].replaceChildren(
      ...rows.map((row) =>
        tableRow(
          `${MARKS[row.decides]} ${row.name}`,
          [scaled(row.operations), scaled(row.bytes, "B"), duration(row.seconds)],
          { className: row === one ? "cn-chosen" : "", on: { click: () => choose(row) } },
        ),
      ),
    );
    const share = (of) => format(one[of] / full[of], one[of] < 0.1 * full[of] ? 4 : 2);
    time(
      least,
      one === full
        ? tr`at least; ${side}`
        : tr`at least, ${share("seconds")} of the full layer's; ${side}`,
    );
    work(
      scaled(one.operations),
      one === full
        ? tr`multiply-adds`
        : tr`multiply-adds, ${share("operations")} of the full layer's`,
    );
    moved(scaled(one.bytes, "B"), tr`read and written; ${intensity} multiply-adds per byte`);
    const [peak, bandwidth] = [scaled(1e9 * state.peak), scaled(1e9 * state.bandwidth, "B")];
    ui.formula.textContent =
      `${tr`time of a step ≥ max(multiply-adds / ${peak}, bytes / ${bandwidth}) s`}\n` +
      `${tr`ridge = ${peak} / ${bandwidth} = ${format(ridge, 1)} multiply-adds per byte`}\n` +
      tr`● bytes decide   ◆ operations decide   ■ one in each step`;
    ui.say(words);
  }
  return follow(model, draw, accepts);
}

export default { render };
