// Mix the channels of a photograph by a 1×1 kernel. Pure functions first, then the drawing.

const NAMES = ["red", "green", "blue"];

// name → [weights of each output, bias of each output]
export const PRESETS = {
  opponent: [
    [
      [1 / 3, 1 / 3, 1 / 3],
      [0.5, -0.5, 0],
      [0.25, 0.25, -0.5],
    ],
    [0, 0.5, 0.5],
  ],
  identity: [
    [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    [0, 0, 0],
  ],
  luminance: [[[0.299, 0.587, 0.114]], [0]],
  average: [[[1 / 3, 1 / 3, 1 / 3]], [0]],
  swap: [
    [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 0],
    ],
    [0, 0, 0],
  ],
  negative: [
    [
      [-1, 0, 0],
      [0, -1, 0],
      [0, 0, -1],
    ],
    [1, 1, 1],
  ],
};

// y[o, n] = bias[o] + Σ_c weight[o][c] · x[c, n] for x of `places` pixels a channel.
export function mix(x, places, weight, bias) {
  const y = new Float32Array(weight.length * places);
  weight.forEach((row, o) => {
    for (let n = 0; n < places; n++) {
      let sum = bias[o];
      for (let c = 0; c < row.length; c++) sum += row[c] * x[c * places + n];
      y[o * places + n] = sum;
    }
  });
  return y;
}

// A fixed permutation of n places (Fisher and Yates, a linear congruential generator).
export function permutation(n, seed = 1) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export function permute(x, places, order) {
  const y = new Float32Array(x.length);
  for (let c = 0; c * places < x.length; c++)
    for (let n = 0; n < places; n++) y[c * places + n] = x[c * places + order[n]];
  return y;
}

export function counts(places, inputs, outputs, size = 1) {
  const weights = size * size * inputs * outputs;
  return { parameters: weights + outputs, macs: weights * places };
}

export function summary(values) {
  let sum = 0,
    square = 0,
    outside = 0;
  for (const v of values) {
    sum += v;
    square += v * v;
    outside += v < 0 || v > 1;
  }
  const mean = sum / values.length;
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, square / values.length - mean * mean)),
    outside: outside / values.length,
  };
}

export function torchCode(weight, bias) {
  const list = (row) => `[${row.map((v) => Number(v.toFixed(6))).join(", ")}]`;
  return [
    `layer = torch.nn.Conv2d(${weight[0].length}, ${weight.length}, kernel_size=1)`,
    `layer.weight.data = torch.tensor([${weight.map(list).join(", ")}]).float()[:, :, None, None]`,
    `layer.bias.data = torch.tensor(${list(bias)}).float()`,
  ].join("\n");
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    places = height * width;
  const bytes = model.get("image");
  const photo = Float32Array.from(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (v) => v / 255,
  );
  const order = permutation(places),
    scrambled = permute(photo, places, order);
  const preset = (name) => ({
    weight: PRESETS[name][0].map((row) => [...row]),
    bias: [...PRESETS[name][1]],
  });
  const ui = frame({
    el,
    model,
    name: "channel-mixer",
    label: "Mix the channels of a photograph by a 1×1 kernel",
    prompt:
      "Change a weight (type it, use the arrow keys, or drag it up and down), then scramble the pixels: what does the kernel notice?",
    code: () => torchCode(model.get("weight"), model.get("bias")),
    initial: {
      ...preset("opponent"),
      scramble: false,
      probe: [Math.floor(height / 2), Math.floor(width / 2)],
    },
  });

  const input = picture("", height, width),
    colour = picture("", height, width);
  const maps = [0, 1, 2, 3].map(() => picture("", height, width));
  input.el.classList.add("cn-input");
  colour.el.classList.add("cn-output");
  ui.stage.append(input.el, colour.el, ...maps.map((map) => map.el));

  const controls = [
    choice({
      name: "preset",
      label: "Preset",
      get: () => matching(model),
      set: (name) => name !== "own" && change(model, preset(name)),
      options: {
        opponent: "opponent colours",
        identity: "identity",
        luminance: "luminance (1 output)",
        average: "average (1 output)",
        swap: "swap red and blue",
        negative: "negative",
        own: "your own",
      },
    }),
    slider({
      name: "outputs",
      label: "Output channels",
      min: 1,
      max: 4,
      get: () => model.get("weight").length,
      set: resize,
    }),
    toggle({
      name: "scramble",
      label: "Scramble the pixels",
      get: () => model.get("scramble"),
      set: (scramble) => change(model, { scramble }),
    }),
  ];
  const tables = h("div", {});
  ui.panel.append(...controls.map((c) => c.el), tables);
  const point = probe({
    name: "probe",
    label: "Marked pixel",
    on: input,
    height,
    width,
    get: () => model.get("probe"),
    set: (probe) => change(model, { probe }),
  });
  const parameters = h("span", { className: "cn-big", data: { shown: "parameters" } }),
    macs = h("span", { className: "cn-big", data: { shown: "macs" } });
  const spread = h("span", { className: "cn-big", data: { shown: "spread" } });
  const parametersNote = h("span", { className: "cn-small" }),
    macsNote = h("span", { className: "cn-small" });
  ui.answer.append(
    h("div", {}, parameters, parametersNote),
    h("div", {}, macs, macsNote),
    h(
      "div",
      {},
      spread,
      h(
        "span",
        { className: "cn-small" },
        "mean ± deviation of the output: scrambling leaves it as it is",
      ),
    ),
  );

  let table = null,
    rows = 0;
  function build(outputs) {
    rows = outputs;
    table = matrix({
      name: "weight",
      caption: "1×1 kernel: each row gives one output channel",
      columns: [...NAMES, "bias"],
      rows: Array.from({ length: outputs }, (_, o) => `output ${o + 1}`),
      get: (o, c) => (c < 3 ? model.get("weight")[o][c] : model.get("bias")[o]),
      set: (o, c, value) => {
        const weight = model.get("weight").map((row) => [...row]),
          bias = [...model.get("bias")];
        if (c < 3) weight[o][c] = value;
        else bias[o] = value;
        change(model, { weight, bias });
      },
    });
    tables.replaceChildren(table.el);
  }
  function resize(outputs) {
    const weight = model
        .get("weight")
        .map((row) => [...row])
        .slice(0, outputs),
      bias = model.get("bias").slice(0, outputs);
    while (weight.length < outputs) {
      weight.push([0, 0, 0].map((_, c) => (c === weight.length % 3 ? 1 : 0)));
      bias.push(0);
    }
    change(model, { weight, bias });
  }

  function draw() {
    const weight = model.get("weight"),
      bias = model.get("bias"),
      outputs = weight.length;
    if (bias.length !== outputs) return; // between two traits of one change
    if (rows !== outputs) build(outputs);
    const x = model.get("scramble") ? scrambled : photo,
      y = mix(x, places, weight, bias),
      all = summary(y);
    input.paint(x, 3);
    input.surface.setAttribute(
      "aria-label",
      model.get("scramble") ? "The photograph with its pixels scrambled" : model.get("alt"),
    );
    input.text.replaceChildren(h("strong", {}, "Input"), " with a marked pixel");
    colour.el.hidden = outputs !== 3;
    if (outputs === 3) {
      colour.paint(y, 3);
      colour.surface.setAttribute(
        "aria-label",
        "The three output channels shown as red, green and blue",
      );
      colour.text.replaceChildren(
        h("strong", {}, "Output"),
        " as colour" + (all.outside > 0.0005 ? `, ${format(100 * all.outside, 1)} % clipped` : ""),
      );
    }
    maps.forEach((map, o) => {
      map.el.hidden = o >= outputs;
      if (o >= outputs) return;
      map.paint(y.subarray(o * places, (o + 1) * places), 1);
      map.surface.setAttribute("aria-label", `Output channel ${o + 1} in grey`);
      map.text.replaceChildren(h("strong", {}, `Output ${o + 1}`), o ? "" : " (0 black, 1 white)");
    });
    controls.forEach((c) => c.refresh());
    table.refresh();
    point.refresh();
    const here = counts(places, 3, outputs),
      large = counts(places, 3, outputs, 3);
    parameters.textContent = format(here.parameters);
    parametersNote.textContent = `parameters (a 3×3 kernel: ${format(large.parameters)})`;
    macs.textContent = format(here.macs);
    macsNote.textContent = `multiply-adds on ${height}×${width} pixels (3×3: ${format(large.macs)})`;
    spread.textContent = `${format(all.mean, 3)} ± ${format(all.deviation, 3)}`;
    const [row, column] = model.get("probe"),
      n = row * width + column;
    ui.formula.textContent = weight
      .map(
        (w, o) =>
          `y${"₁₂₃₄"[o]} = ${w.map((v, c) => `${signed(v)}·${format(x[c * places + n])}`).join(" + ")} + ${signed(bias[o])} = ${format(y[o * places + n], 3)}`,
      )
      .join("\n");
    ui.say(
      `${format(here.parameters)} parameters, ${format(here.macs)} multiply-adds; output mean ${format(all.mean, 3)}`,
    );
  }
  return follow(model, draw);
}

function signed(value) {
  return value < 0 ? `(${format(value)})` : format(value);
}

function matching(model) {
  const now = JSON.stringify([model.get("weight"), model.get("bias")]);
  return Object.keys(PRESETS).find((name) => JSON.stringify(PRESETS[name]) === now) ?? "own";
}

export default { render };
