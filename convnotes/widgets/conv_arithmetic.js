// One layer, plain or transposed, and the arithmetic of its sizes. Pure functions first, then the drawing.
// Along each axis everything follows from one relation. Call the grid that the stride steps over the fine one (the input
// of a convolution, the output of a transposed one) and the other one the coarse; then tap u joins
//     fine place = coarse place · s + u · d − p .

const LIMITS = {
  size: [1, 16],
  kernel: [1, 7],
  stride: [1, 5],
  padding: [0, 6],
  dilation: [1, 4],
  output_padding: [0, 4],
  channels: [1, 512],
};
const AXES = ["height", "width"],
  both = (value) => [value, value];
const PLAIN = {
  size: [8, 8],
  kernel: [3, 3],
  stride: [1, 1],
  padding: [0, 0],
  dilation: [1, 1],
  output_padding: [0, 0],
  channels: [3, 16],
  groups: 1,
  transposed: false,
};

// name → its text, and what differs from a plain 3×3 layer on 8×8 pixels
export const PRESETS = {
  halve: ["3×3, stride 2", { stride: both(2) }],
  valid: ["3×3, valid", {}],
  same: ["3×3, same", { padding: both(1) }],
  stem: [
    "7×7, stride 2",
    { size: both(16), kernel: both(7), stride: both(2), padding: both(3), channels: [3, 64] },
  ],
  patches: ["4×4 patches", { kernel: both(4), stride: both(4), channels: [3, 192] }],
  skipping: ["1×1, stride 2", { kernel: both(1), stride: both(2), channels: [64, 128] }],
  dilated: ["3×3, dilation 2", { padding: both(2), dilation: both(2) }],
  depthwise: ["depthwise 3×3", { padding: both(1), channels: both(32), groups: 32 }],
  row: ["1×5, same", { kernel: [1, 5], padding: [0, 2] }],
  twice: ["transposed 2×2", { size: both(4), kernel: both(2), stride: both(2), transposed: true }],
  uneven: [
    "transposed 3×3",
    { size: both(4), stride: both(2), padding: both(1), output_padding: both(1), transposed: true },
  ],
  even: [
    "transposed 4×4",
    { size: both(4), kernel: both(4), stride: both(2), padding: both(1), transposed: true },
  ],
};
export const preset = (name) => structuredClone({ ...PLAIN, ...PRESETS[name][1] });

const along = (layer, a) => ({
  n: layer.size[a],
  k: layer.kernel[a],
  s: layer.stride[a],
  p: layer.padding[a],
  d: layer.dilation[a],
  e: layer.output_padding[a],
});
const span = (k, d) => d * (k - 1) + 1;
const length = (layer, a) => {
  const { n, k, s, p, d, e } = along(layer, a);
  return layer.transposed
    ? (n - 1) * s - 2 * p + span(k, d) + e
    : Math.floor((n + 2 * p - span(k, d)) / s) + 1;
};

// Why torch refuses the layer or its input; "" where it does not.
export function refusal(layer) {
  const [C, O] = layer.channels,
    G = layer.groups;
  if (C % G || O % G)
    return `${G} groups do not divide ${C % G ? `the ${C} input` : `the ${O} output`} channels.`;
  for (const a of [0, 1]) {
    const { n, k, s, p, d, e } = along(layer, a);
    if (layer.transposed && e >= s && e >= d)
      return `The output padding must be smaller than the stride or the dilation: along the ${AXES[a]} it is ${e}, the stride ${s}, the dilation ${d}.`;
    if (layer.transposed && length(layer, a) < 1)
      return `Along the ${AXES[a]} a padding of ${p} at both ends cuts off all ${length(layer, a) + 2 * p} places: nothing is left.`;
    if (!layer.transposed && n + 2 * p < span(k, d))
      return `Along the ${AXES[a]} a kernel of ${k} with dilation ${d} spans ${span(k, d)} places, and the padded input has ${n + 2 * p}: it fits nowhere.`;
  }
  return "";
}

export const outputSize = (layer) => (refusal(layer) ? null : [length(layer, 0), length(layer, 1)]);
export const weightShape = ({ channels: [C, O], groups, kernel, transposed }) =>
  transposed ? [C, O / groups, ...kernel] : [O, C / groups, ...kernel];

// Parameters with one bias an output channel; multiply-adds for one picture: each weight works once at every coarse place.
export function counts(layer) {
  const weights = weightShape(layer).reduce((a, b) => a * b),
    [height, width] = layer.transposed ? layer.size : outputSize(layer);
  return { weights, params: weights + layer.channels[1], macs: weights * height * width };
}

// Along axis a: what a place of the grid `side` is joined to in the other one, each [tap, place]. A fine place outside
// its grid is padding, or cut off; a coarse place outside does not exist.
function joined(layer, a, side, at) {
  const { n, k, s, p, d } = along(layer, a),
    fromCoarse = (side === "output") !== layer.transposed;
  const coarse = layer.transposed ? n : length(layer, a),
    found = [];
  for (let u = 0; u < k; u++) {
    const place = fromCoarse ? at * s + u * d - p : (at + p - u * d) / s;
    if (fromCoarse || (Number.isInteger(place) && place >= 0 && place < coarse))
      found.push([u, place]);
  }
  return found;
}

// All taps that join `place` of the grid `side` ("input" or "output") to places of the other one.
export function taps(layer, side, place) {
  const other = side === "output" ? layer.size : outputSize(layer);
  return joined(layer, 0, side, place[0]).flatMap(([u, i]) =>
    joined(layer, 1, side, place[1]).map(([v, j]) => ({
      tap: [u, v],
      place: [i, j],
      inside: i >= 0 && j >= 0 && i < other[0] && j < other[1],
    })),
  );
}

// Along each axis: to how many taps each fine place is joined. On the plane it is the product of the two.
export function visits(layer) {
  const [fine, side] = layer.transposed ? [outputSize(layer), "output"] : [layer.size, "input"];
  return [0, 1].map((a) =>
    Array.from({ length: fine[a] }, (_, at) => joined(layer, a, side, at).length),
  );
}

// Fine places that no tap is joined to: input pixels that are never read, or outputs that only the bias reaches.
export function untouched(layer) {
  const lines = visits(layer),
    [rows, columns] = lines.map((line) => line.filter((n) => n > 0).length);
  return lines[0].length * lines[1].length - rows * columns;
}

// The size along axis a with its numbers put in; and what its floor throws away: places at the end that no kernel reaches.
export function formula(layer, a) {
  const { n, k, s, p, d, e } = along(layer, a),
    out = length(layer, a);
  if (layer.transposed)
    return `(${n} − 1)·${s} − 2·${p} + ${d}·(${k} − 1) + ${e} + 1 = ${format(out)}`;
  return `⌊(${n} + 2·${p} − ${d}·(${k} − 1) − 1) / ${s}⌋ + 1 = ⌊${format(n + 2 * p - span(k, d))}/${s}⌋ + 1 = ${format(out)}`;
}
export const remainder = (layer, a) => {
  const { n, k, s, p, d } = along(layer, a);
  return layer.transposed ? 0 : (n + 2 * p - span(k, d)) % s;
};
const tuple = ([h, w]) => (h === w ? h : `(${h}, ${w})`);
export function torchCode(layer) {
  const {
      channels: [C, O],
      groups,
      size,
      transposed,
    } = layer,
    given = (name, usual) =>
      layer[name].every((v) => v === usual) ? [] : [`${name}=${tuple(layer[name])}`];
  const options = [
    C,
    O,
    `kernel_size=${tuple(layer.kernel)}`,
    ...given("stride", 1),
    ...given("padding", 0),
    ...(transposed ? given("output_padding", 0) : []),
    ...given("dilation", 1),
    ...(groups > 1 ? [`groups=${groups}`] : []),
  ];
  const out = outputSize(layer),
    says = out ? `[1, ${O}, ${out.join(", ")}]` : `refused. ${refusal(layer)}`;
  return `import torch\nfrom torch import nn\n\nlayer = nn.${transposed ? "ConvTranspose2d" : "Conv2d"}(${options.join(", ")})\nx = torch.randn(1, ${C}, ${size.join(", ")})\ny = layer(x)  # ${says}`;
}

// Where a drawn grid begins and ends along both axes: the fine one has its padding, or what is cut off, around it.
export function extent(layer, side) {
  const size = side === "input" ? layer.size : outputSize(layer),
    fine = (side === "output") === layer.transposed;
  return [0, 1].map((a) => {
    const { p, e } = along(layer, a);
    return fine ? [-p, size[a] + (layer.transposed ? Math.max(0, p - e) : p)] : [0, size[a]];
  });
}
const UNIT = 40;
const cellText = (text, [i, j], className) =>
  h("text", { x: (j + 0.5) * UNIT, y: (i + 0.5) * UNIT, class: className }, text);
const box = ([i, j], [rows, columns], className, inset = 0, more = {}) =>
  h("rect", {
    x: j * UNIT + inset,
    y: i * UNIT + inset,
    width: columns * UNIT - 2 * inset,
    height: rows * UNIT - 2 * inset,
    class: className,
    ...more,
  });
const mesh = ([i0, i1], [j0, j1]) =>
  Array.from(
    { length: i1 - i0 + 1 },
    (_, n) => `M${j0 * UNIT} ${(i0 + n) * UNIT}H${j1 * UNIT}`,
  ).join("") +
  Array.from(
    { length: j1 - j0 + 1 },
    (_, n) => `M${(j0 + n) * UNIT} ${i0 * UNIT}V${i1 * UNIT}`,
  ).join("");

function drawGrid(svg, layer, side, { marks = [], chosen, numbers, legible, lines }) {
  const size = side === "input" ? layer.size : outputSize(layer),
    [ys, xs] = extent(layer, side),
    parts = [];
  svg.setAttribute(
    "viewBox",
    `${xs[0] * UNIT - 3} ${ys[0] * UNIT - 3} ${(xs[1] - xs[0]) * UNIT + 6} ${(ys[1] - ys[0]) * UNIT + 6}`,
  );
  parts.push(
    h("path", { d: mesh(ys, xs), class: "cn-arith-outer" }),
    box([0, 0], size, "cn-arith-paper"),
    box([0, 0], size, `cn-arith-${side}`),
  );
  const each = lines ? lines[0].flatMap((a, i) => lines[1].map((b, j) => [[i, j], a * b])) : [],
    peak = Math.max(1, ...each.map(([, n]) => n));
  if (numbers)
    for (const [place, n] of each)
      if (n)
        parts.push(
          box(place, [1, 1], "cn-arith-count", 0, {
            "fill-opacity": ((0.6 * n) / peak).toFixed(2),
          }),
        );
  parts.push(h("path", { d: mesh([0, size[0]], [0, size[1]]), class: "cn-arith-rule" }));
  const crosses = each
    .map(([[i, j], n]) => (n ? "" : `M${j * UNIT + 11} ${i * UNIT + 11}l18 18m0 -18l-18 18`))
    .join("");
  if (crosses) parts.push(h("path", { d: crosses, class: "cn-arith-unread" }));
  for (const { tap, place, inside } of marks) {
    parts.push(box(place, [1, 1], inside ? "cn-arith-tap" : "cn-arith-tap cn-arith-outside", 3));
    if (legible && !(lines && numbers && inside))
      parts.push(
        cellText(tap.join(","), place, inside ? "cn-arith-text cn-arith-strong" : "cn-arith-text"),
      );
  }
  if (numbers && legible)
    for (const [place, n] of each)
      if (n) parts.push(cellText(n, place, "cn-arith-text cn-arith-number"));
  parts.push(box([0, 0], size, `cn-arith-edge cn-arith-edge-${side}`));
  if (chosen) parts.push(box(chosen, [1, 1], "cn-arith-chosen", 3));
  svg.replaceChildren(...parts);
}

function drawKernel({ kernel: [rows, columns] }, marks) {
  const live = new Set(marks.map(({ tap }) => String(tap)));
  const drawing = h("svg", {
    viewBox: `-3 -3 ${columns * UNIT + 6} ${rows * UNIT + 6}`,
    class: "cn-arith-kernel",
    role: "img",
    style: { "--cells": columns },
    "aria-label": `Kernel of ${rows} by ${columns} taps, ${live.size} of them in use for the chosen place`,
  });
  for (let u = 0; u < rows; u++)
    for (let v = 0; v < columns; v++) {
      const used = live.has(`${u},${v}`);
      drawing.append(
        box([u, v], [1, 1], "cn-tap", 0, { "fill-opacity": used ? 1 : 0.06 }),
        cellText(`${u},${v}`, [u, v], used ? "cn-arith-text cn-arith-strong" : "cn-arith-text"),
      );
    }
  if (rows % 2 && columns % 2)
    drawing.append(box([(rows - 1) / 2, (columns - 1) / 2], [1, 1], "cn-arith-centre", 3));
  return drawing;
}

// Which channels see which: input channels across, output channels down, one orange block a group.
function drawChannels({ channels: [C, O], groups }) {
  const whole = C % groups === 0 && O % groups === 0,
    step = 120 / groups;
  const every = (count, line) =>
    count <= 32
      ? Array.from({ length: count - 1 }, (_, n) => line(((n + 1) * 120) / count)).join("")
      : "";
  const drawing = h(
    "svg",
    {
      viewBox: "-2 -2 124 124",
      class: "cn-arith-plan",
      role: "img",
      "aria-label": `Each of ${O} output channels sees ${whole ? C / groups : "no whole number"} of ${C} input channels`,
    },
    h("rect", { x: 0, y: 0, width: 120, height: 120, class: "cn-arith-none" }),
  );
  if (whole)
    for (let g = 0; g < groups; g++)
      drawing.append(
        h("rect", { x: g * step, y: g * step, width: step, height: step, class: "cn-arith-group" }),
      );
  drawing.append(
    h("path", {
      d: every(C, (x) => `M${x} 0V120`) + every(O, (y) => `M0 ${y}H120`),
      class: "cn-arith-pair",
    }),
  );
  return drawing;
}

const several = (count, one, many = `${one}s`) => `${format(count)} ${count === 1 ? one : many}`;
const listed = (marks, axis) =>
  [...new Set(marks.map(({ place }) => place[axis]))].map((n) => format(n)).join(", ");

// What the chosen place reads, spreads to, gathers from or is read by, as one sentence.
export function sentence(layer, side, place) {
  const marks = taps(layer, side, place),
    here = `(${place.join(", ")})`,
    kept = marks.filter(({ inside }) => inside).length,
    lost = marks.length - kept;
  if (side === "output" && !layer.transposed)
    return `Output ${here} reads rows ${listed(marks, 0)} and columns ${listed(marks, 1)}: ${several(kept, "input pixel")}${lost ? ` and ${several(lost, "zero")} of the padding` : ""}.`;
  if (side === "input" && layer.transposed)
    return `Input pixel ${here} spreads the kernel over rows ${listed(marks, 0)} and columns ${listed(marks, 1)}: ${several(kept, "output")}${lost ? `, and ${lost} cut off by the padding` : ""}.`;
  if (side === "input")
    return kept
      ? `Input pixel ${here} is read by ${several(kept, "output place")}, by each through another tap.`
      : `Input pixel ${here} is never read.`;
  return kept
    ? `Output ${here} is the sum of ${several(kept, "input pixel")}, each through another tap.`
    : `No tap reaches output ${here}: it is the bias.`;
}

const FIELDS = ["size", "kernel", "stride", "padding", "dilation", "output_padding"];
const NAMES = {
  size: "Input",
  kernel: "Kernel",
  stride: "Stride",
  padding: "Padding",
  dilation: "Dilation",
  output_padding: "Output pad",
};

function render({ model, el }) {
  const layer = () =>
    Object.fromEntries(
      [...FIELDS, "channels", "groups", "transposed"].map((name) => [name, model.get(name)]),
    );
  const first = { ...preset("halve"), linked: true, numbers: false, side: "output", probe: [1, 1] };
  const fit = (place, side, now) => {
    const size = side === "input" ? now.size : outputSize(now);
    return size ? place.map((v, a) => clamp(v, 0, size[a] - 1)) : place;
  };
  const chosen = (now) => fit(model.get("probe"), model.get("side"), now);
  const put = (side, place) => {
    if (model.get("side") !== side || String(model.get("probe")) !== String(place))
      change(model, { side, probe: place });
  };
  const ui = frame({
    el,
    model,
    name: "conv-arithmetic",
    label: "The arithmetic of a convolution layer",
    prompt:
      "The × are pixels that this layer never reads. Change one number so that every pixel counts.",
    code: () => torchCode(layer()),
    initial: first,
  });

  const grids = { input: gridView("input"), output: gridView("output") };
  function gridView(side) {
    const svg = h("svg", { class: "cn-arith-svg", "aria-hidden": "true" }),
      caption = h("figcaption", {});
    const holder = h(
      "div",
      {
        className: "cn-arith-holder",
        role: "application",
        tabIndex: 0,
        data: { control: `probe-${side}` },
        ...KEYS,
        on: {
          keydown(event) {
            const [dy, dx] =
                { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
                  event.key
                ] ?? [],
              now = layer();
            if (dy === undefined) return;
            event.preventDefault();
            const from =
              model.get("side") === side ? chosen(now) : outputSize(now) ? partner(now) : [0, 0];
            put(side, fit([from[0] + dy, from[1] + dx], side, now));
          },
          pointerdown: pick,
          pointermove: pick,
        },
      },
      svg,
    );
    function partner(now) {
      // the middle of what the other grid's chosen place is joined to
      const inside = taps(now, model.get("side"), chosen(now)).filter((one) => one.inside);
      return inside.length ? inside[inside.length >> 1].place : [0, 0];
    }
    function pick(event) {
      const now = layer(),
        bounds = svg.getBoundingClientRect();
      if (
        event.type === "pointermove" &&
        !event.buttons &&
        !(event.pointerType === "mouse" && (event.movementX || event.movementY))
      )
        return;
      if (!outputSize(now)) return;
      const [ys, xs] = extent(now, side),
        size = side === "input" ? now.size : outputSize(now);
      const at = [
        ys[0] + Math.floor(((event.clientY - bounds.top) / bounds.height) * (ys[1] - ys[0])),
        xs[0] + Math.floor(((event.clientX - bounds.left) / bounds.width) * (xs[1] - xs[0])),
      ];
      if (event.type === "pointermove" && at.some((v, a) => v < 0 || v >= size[a])) return;
      put(side, fit(at, side, now));
    }
    return {
      svg,
      holder,
      caption,
      el: h("figure", { className: "cn-picture cn-arith-grid" }, holder, caption),
    };
  }
  const wrong = h("p", { className: "cn-arith-wrong", data: { shown: "refusal" } }),
    said = h("p", { className: "cn-small cn-wide cn-arith-said", data: { shown: "place" } });
  const kernelView = h("figure", { className: "cn-picture" }),
    channelView = h("figure", { className: "cn-picture" });
  ui.stage.append(
    h("div", { className: "cn-arith-grids cn-wide" }, grids.input.el, grids.output.el, wrong),
    said,
    h("div", { className: "cn-arith-parts cn-wide" }, kernelView, channelView),
  );

  const top = [
    choice({
      name: "preset",
      label: "Preset",
      options: {
        ...Object.fromEntries(Object.entries(PRESETS).map(([name, [text]]) => [name, text])),
        own: "your own",
      },
      get: () =>
        Object.keys(PRESETS).find((name) =>
          Object.entries(preset(name)).every(
            ([key, value]) => JSON.stringify(value) === JSON.stringify(model.get(key)),
          ),
        ) ?? "own",
      set(name) {
        if (name !== "own") {
          const next = preset(name);
          change(model, {
            ...next,
            linked: FIELDS.every((f) => next[f][0] === next[f][1]),
            side: next.transposed ? "input" : "output",
            probe: [1, 1],
          });
        }
      },
    }),
    toggle({
      name: "transposed",
      label: "Transposed",
      get: () => model.get("transposed"),
      set: (on) => change(model, { transposed: on, side: on ? "input" : "output", probe: [1, 1] }),
    }),
    toggle({
      name: "linked",
      label: "Height and width together",
      get: () => model.get("linked"),
      set: (on) =>
        change(model, {
          linked: on,
          ...(on ? Object.fromEntries(FIELDS.map((f) => [f, both(model.get(f)[0])])) : {}),
        }),
    }),
    toggle({
      name: "numbers",
      label: "Count taps per place",
      get: () => model.get("numbers"),
      set: (on) => change(model, { numbers: on }),
    }),
  ];
  const channels = ["in", "out", "groups"].map((name, n) =>
    cell({
      name: `channels-${name}`,
      label: n < 2 ? `channels ${name}` : name,
      min: LIMITS.channels[0],
      max: LIMITS.channels[1],
      step: 1,
      digits: 0,
      get: () => (n < 2 ? model.get("channels")[n] : model.get("groups")),
      set: (value) =>
        change(
          model,
          n < 2
            ? { channels: model.get("channels").map((old, m) => (m === n ? value : old)) }
            : { groups: value },
        ),
    }),
  );
  const rows = h("div", {});
  ui.panel.classList.add("cn-arith-panel");
  ui.panel.append(
    top[0].el,
    top[1].el,
    top[2].el,
    rows,
    h(
      "table",
      { className: "cn-matrix cn-arith-table" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["channels in", "out", "groups"].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        h(
          "tr",
          {},
          channels.map((one) => h("td", {}, one.el)),
        ),
      ),
    ),
    top[3].el,
  );
  function build(now, linked) {
    if (built === `${linked} ${now.transposed}`) return;
    built = `${linked} ${now.transposed}`;
    sliders = FIELDS.filter((f) => f !== "output_padding" || now.transposed).flatMap((f) =>
      (linked ? [null] : [0, 1]).map((a) =>
        slider({
          name: a === null ? f : `${f}-${AXES[a]}`,
          label: `${NAMES[f]}${a === null ? "" : ` ${"HW"[a]}`}`,
          min: LIMITS[f][0],
          max: LIMITS[f][1],
          get: () => model.get(f)[a ?? 0],
          set: (value) =>
            change(model, {
              [f]: a === null ? both(value) : model.get(f).map((old, b) => (a === b ? value : old)),
            }),
        }),
      ),
    );
    rows.replaceChildren(...sliders.map((one) => one.el));
  }
  const big = Object.fromEntries(
    ["output", "untouched", "params", "macs"].map((name) => {
      const value = h("span", { className: "cn-big", data: { shown: name } }),
        note = h("span", { className: "cn-small" });
      ui.answer.append(h("div", {}, value, note));
      return [
        name,
        (text, words) => {
          value.textContent = text;
          note.textContent = words;
        },
      ];
    }),
  );

  let timer,
    own = false,
    sliders = [],
    built = "";
  const play = button("play", "Play", () => (timer ? stop() : start()));
  ui.actions.prepend(play);
  function stop() {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
  }
  function start() {
    // the coarse grid, place after place
    let n = 0;
    const side = layer().transposed ? "input" : "output";
    const step = () => {
      const size = side === "input" ? layer().size : outputSize(layer());
      if (!el.isConnected || !size || n >= size[0] * size[1]) return stop();
      own = true;
      put(side, [Math.floor(n / size[1]), n++ % size[1]]);
      own = false;
    };
    play.textContent = "Pause";
    timer = setInterval(step, 350);
    step();
  }

  function draw() {
    const now = layer(),
      out = outputSize(now),
      side = model.get("side"),
      linked = model.get("linked"),
      numbers = model.get("numbers");
    if (timer && !own) stop();
    build(now, linked);
    [...top, ...sliders, ...channels].forEach((one) => one.refresh());
    const place = chosen(now),
      marks = out ? taps(now, side, place) : [],
      other = side === "input" ? "output" : "input",
      fine = now.transposed ? "output" : "input";
    const wide = ["input", ...(out ? ["output"] : [])].map((s) => {
      const [, [from, to]] = extent(now, s);
      return to - from;
    });
    const total = wide.reduce((a, b) => a + b),
      legible = total <= 16;
    const lines = out && visits(now),
      lost = out && untouched(now);
    for (const [s, view] of Object.entries(grids)) {
      view.el.hidden = s === "output" && !out;
      if (view.el.hidden) continue;
      drawGrid(view.svg, now, s, {
        marks: s === other ? marks : [],
        chosen: s === side && out ? place : null,
        numbers,
        legible,
        lines: s === fine ? lines : null,
      });
      for (const [key, value] of Object.entries({
        "--cells": wide[s === "input" ? 0 : 1],
        "--all": total,
        "--most": Math.max(...wide),
      }))
        view.el.style.setProperty(key, value);
      const size = s === "input" ? now.size : out,
        title = s === "input" ? "Input" : "Output",
        around =
          s === fine && Math.max(...now.padding)
            ? `; around it: ${now.transposed ? "cut off" : "zeros"}`
            : "";
      view.caption.replaceChildren(h("strong", {}, title), ` ${size.join("×")}${around}`);
      view.holder.setAttribute(
        "aria-label",
        `${title} of ${size.join(" by ")}, chosen: ${s === side ? "" : "in the other grid, "}row ${place[0]}, column ${place[1]}`,
      );
    }
    wrong.textContent = refusal(now);
    wrong.hidden = Boolean(out);
    said.textContent = out ? sentence(now, side, place) : "torch refuses this layer.";
    kernelView.replaceChildren(
      drawKernel(now, marks),
      h("figcaption", {}, h("strong", {}, "Kernel"), ` ${now.kernel.join("×")}, taps u,v`),
    );
    channelView.replaceChildren(
      drawChannels(now),
      h(
        "figcaption",
        {},
        h("strong", {}, "Channels"),
        ` ${now.channels[0]} in (across), ${now.channels[1]} out (down), ${several(now.groups, "group")}`,
      ),
    );
    const fineSize = now.transposed ? out : now.size;
    big.output(out ? `${out[0]} × ${out[1]}` : "none", out ? "output, H × W" : "no output");
    big.untouched(
      out ? format(lost) : "–",
      out
        ? `of ${format(fineSize[0] * fineSize[1])} ${now.transposed ? "outputs only bias" : "pixels never read"}`
        : "",
    );
    const cost = out && counts(now);
    big.params(
      out ? format(cost.params) : "–",
      out ? `parameters, ${several(now.channels[1], "bias", "biases")}` : "",
    );
    big.macs(out ? format(cost.macs) : "–", "multiply-adds");
    const heads = formula(now, 0) === formula(now, 1) ? ["H_out = W_out"] : ["H_out", "W_out"];
    const left = [0, 1].map((a) => remainder(now, a)),
      shape = now.transposed ? "weight [C, O/groups, KH, KW]" : "weight [O, C/groups, KH, KW]";
    ui.formula.textContent = [
      ...heads.map((head, a) => `${head} = ${formula(now, a)}`),
      ...(out && (left[0] || left[1])
        ? [
            `remainder: ${several(left[0], "row")} and ${several(left[1], "column")} at the end of the padded input are left over`,
          ]
        : []),
      ...(out ? [`${shape} = [${weightShape(now).join(", ")}]`] : []),
    ].join("\n");
    ui.say(out ? `output ${out[0]} by ${out[1]}. ${sentence(now, side, place)}` : refusal(now));
  }
  const leave = follow(model, draw);
  return () => {
    stop();
    leave();
  };
}

export default { render };
