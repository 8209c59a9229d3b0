// One layer, plain or transposed, and the arithmetic of its sizes.

import {
  AXES,
  accepts,
  both,
  counts,
  formula,
  LIMITS,
  outputSize,
  PLAIN,
  PRESETS,
  preset,
  refusal,
  remainder,
  sentence,
  sizeOf,
  taps,
  torchCode,
  untouched,
  weightShape,
} from "./conv_arithmetic.compute.js";
import { drawChannels, drawGrids, drawKernel, gridView } from "./conv_arithmetic.draw.js";
import { cell, options, presetChoice, slider, toggle } from "./kit/controls.js";
import { figure, h, table, tableRow } from "./kit/dom.js";
import { button, change, fold, follow, frame, trait, traits } from "./kit/frame.js";
import { clamp, format, several, short } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

const NAMES = {
  size: tr`Input`,
  kernel: tr`Kernel`,
  stride: tr`Stride`,
  padding: tr`Padding`,
  dilation: tr`Dilation`,
  output_padding: tr`Output pad`,
};
const FIELDS = Object.keys(NAMES);
const LEADS = ["stride", "padding"];

function render({ model, el }) {
  const layer = () => traits(model, Object.keys(PLAIN));
  const fit = (place, side, now) =>
    outputSize(now) ? place.map((v, a) => clamp(v, 0, sizeOf(now, side)[a] - 1)) : place;
  const chosen = (now) => fit(model.get("probe"), model.get("side"), now);
  const ui = frame(model, el, "conv-arithmetic", {
    label: tr`The arithmetic of a convolution layer`,
    prompt:
      tr`× marks a pixel that this layer never reads (transposed: never writes). ` +
      tr`Change one number so that no × is left.`,
    code: () => torchCode(layer()),
    initial: { ...preset("halve"), linked: true, numbers: false, side: "output", probe: [1, 1] },
  });

  const grids = Object.fromEntries(
    ["input", "output"].map((side) => [side, gridView(side, { layer, at, put })]),
  );
  function put(side, place) {
    const probe = fit(place, side, layer());
    if (model.get("side") !== side || String(model.get("probe")) !== String(probe))
      change(model, { side, probe });
  }
  // The chosen position; in the other grid the middle of what it is joined to.
  function at(side) {
    const now = layer();
    if (model.get("side") === side) return chosen(now);
    const inside = outputSize(now)
      ? taps(now, model.get("side"), chosen(now)).filter((one) => one.inside)
      : [];
    return inside.length ? inside[inside.length >> 1].place : [0, 0];
  }
  const wrong = h("p", { className: "cn-arith-wrong", data: { shown: "refusal" } });
  const said = h("p", { className: "cn-small cn-wide cn-arith-said", data: { shown: "place" } });
  const kernelView = figure();
  const channelView = figure();
  const main = h("div", { className: "cn-arith-main" }); // the sliders of stride and padding
  const [rows, rare] = [h("div"), h("div")]; // those of the rest, and of a transposed layer alone
  const shown = [grids.input.el, grids.output.el, wrong];
  const pair = h("div", { className: "cn-arith-grids cn-wide" }, shown);
  ui.stage.append(pair, said);
  ui.lead(pair, { el: main });

  const [presets, transposed, linked, numbers] = [
    presetChoice({
      options: options(Object.keys(PRESETS), (name) => PRESETS[name][0]),
      presets: options(Object.keys(PRESETS), (name) => preset(name)),
      now: layer,
      apply: (next) =>
        change(model, {
          ...next,
          linked: FIELDS.every((f) => next[f][0] === next[f][1]),
          side: next.transposed ? "input" : "output",
          probe: [1, 1],
        }),
    }),
    toggle({
      ...trait(model, "transposed"),
      label: tr`Transposed`,
      set: (on) => change(model, { transposed: on, side: on ? "input" : "output", probe: [1, 1] }),
    }),
    toggle({
      ...trait(model, "linked"),
      label: tr`Height and width together`,
      set: (on) =>
        change(model, { linked: on, ...(on ? options(FIELDS, (f) => both(model.get(f)[0])) : {}) }),
    }),
    toggle({ ...trait(model, "numbers"), label: tr`Count taps per position` }),
  ];
  const count = { min: LIMITS.channels[0], max: LIMITS.channels[1], step: 1, digits: 0 };
  const channels = [
    ...["in", "out"].map((name, n) =>
      cell({
        name: `channels-${name}`,
        label: [tr`channels in`, tr`channels out`][n],
        ...count,
        get: () => model.get("channels")[n],
        set: (value) => change(model, { channels: model.get("channels").with(n, value) }),
      }),
    ),
    cell({ ...trait(model, "groups"), name: "channels-groups", label: tr`groups`, ...count }),
  ];
  ui.panel.classList.add("cn-arith-panel");
  ui.panel.append(
    presets.el,
    rows,
    kernelView.el,
    fold(
      tr`More: transposed, channels, groups`,
      false,
      transposed,
      rare,
      numbers,
      linked,
      table(
        "cn-matrix cn-arith-table",
        "",
        [tr`channels in`, tr`out`, tr`groups`],
        tableRow(
          null,
          channels.map((one) => one.el),
        ),
      ),
      channelView.el,
    ),
  );
  const facts = options(["output", "untouched", "params", "macs"], (name) => ui.fact(name));

  let sliders = [];
  let built = "";
  function build(now) {
    const kind = `${model.get("linked")} ${now.transposed}`;
    if (built === kind) return;
    built = kind;
    const fields = FIELDS.filter((f) => f !== "output_padding" || now.transposed);
    const [min, max] = [0, 1].map((n) => (f) => LIMITS[f][n]);
    const one = (f) => ({
      field: f,
      ...slider({
        name: f,
        label: NAMES[f],
        min: min(f),
        max: max(f),
        get: () => model.get(f)[0],
        set: (value) => change(model, { [f]: both(value) }),
      }),
    });
    const two = (f) =>
      AXES.map((axis, a) => ({
        field: f,
        ...slider({
          name: `${f}-${axis}`,
          label: `${NAMES[f]} ${"HW"[a]}`,
          min: min(f),
          max: max(f),
          get: () => model.get(f)[a],
          set: (value) => change(model, { [f]: model.get(f).with(a, value) }),
        }),
      }));
    sliders = fields.flatMap(model.get("linked") ? one : two);
    const holder = (field) =>
      LEADS.includes(field) ? main : field === "output_padding" ? rare : rows;
    for (const each of [main, rows, rare])
      each.replaceChildren(
        ...sliders.filter(({ field }) => holder(field) === each).map(({ el }) => el),
      );
  }

  // Play: the chosen position goes over the coarse grid, from one to the next.
  let timer;
  let own = false;
  const play = button("play", tr`Play`, () => (timer ? stop() : start()));
  ui.actions.prepend(play);
  function stop() {
    clearInterval(timer);
    timer = undefined;
    play.textContent = tr`Play`;
  }
  function start() {
    let n = 0;
    const side = layer().transposed ? "input" : "output";
    const step = () => {
      const size = sizeOf(layer(), side);
      if (!el.isConnected || !size || n >= size[0] * size[1]) return stop();
      own = true;
      put(side, [Math.floor(n / size[1]), n++ % size[1]]);
      own = false;
    };
    play.textContent = tr`Pause`;
    timer = setInterval(step, 350);
    step();
  }

  function tell(now, out) {
    const cost = out && counts(now);
    const fine = now.transposed ? out : now.size;
    if (out) {
      const all = format(fine[0] * fine[1]);
      const count = now.channels[1];
      facts.output(`${out[0]}×${out[1]}`, tr`output, H × W`);
      facts.untouched(
        format(untouched(now)),
        now.transposed ? tr`of ${all} outputs only bias` : tr`of ${all} pixels never read`,
      );
      facts.params(
        format(cost.params),
        count === 1 ? tr`parameters, 1 bias` : tr`parameters, ${count} biases`,
      );
    } else {
      facts.output(tr`none`, tr`no output`);
      facts.untouched("–", "");
      facts.params("–", "");
    }
    facts.macs(out ? short(cost.macs) : "–", tr`multiply-adds`);
    const heads = formula(now, 0) === formula(now, 1) ? ["H_out = W_out"] : ["H_out", "W_out"];
    const left = [0, 1].map((a) => remainder(now, a));
    const shape = now.transposed ? "weight [C, O/groups, KH, KW]" : "weight [O, C/groups, KH, KW]";
    ui.formula.textContent = [
      ...heads.map((head, a) => `${head} = ${formula(now, a)}`),
      ...(out && (left[0] || left[1])
        ? [
            tr`remainder: ${several(left[0], tr`row`, tr`rows`)} and ${several(left[1], tr`column`, tr`columns`)} ` +
              tr`at the end of the padded input are left over`,
          ]
        : []),
      ...(out ? [`${shape} = [${weightShape(now).join(", ")}]`] : []),
    ].join("\n");
  }

  function draw() {
    const now = layer();
    const out = outputSize(now);
    const side = model.get("side");
    if (timer && !own) stop();
    build(now);
    for (const control of [presets, transposed, linked, numbers, ...sliders, ...channels])
      control.refresh();
    const place = chosen(now);
    const marks = out ? taps(now, side, place) : [];
    drawGrids(grids, now, { side, place, marks, numbers: model.get("numbers") });
    wrong.textContent = refusal(now);
    wrong.hidden = Boolean(out);
    said.textContent = out ? sentence(now, side, place) : tr`torch refuses this layer.`;
    const [C, O] = now.channels;
    kernelView.show(drawKernel(now, marks), tr`Kernel`, tr` ${now.kernel.join("×")}, taps u,v`);
    channelView.show(
      drawChannels(now),
      tr`Channels`,
      now.groups === 1
        ? tr` ${C} in (across), ${O} out (down), 1 group`
        : tr` ${C} in (across), ${O} out (down), ${now.groups} groups`,
    );
    tell(now, out);
    ui.say(out ? tr`output ${out[0]} by ${out[1]}. ${sentence(now, side, place)}` : refusal(now));
  }
  const leave = follow(model, draw, accepts);
  return () => {
    stop();
    leave();
  };
}

export default { render };
