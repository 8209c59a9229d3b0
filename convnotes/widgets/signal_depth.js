// A signal through a deep random network and its gradient back: pure functions first, then the drawing.

const BATCH = 32,
  LIMITS = { std: [0.01, 0.4], depth: [2, 30], width: [16, 96], draw: [1, 9] };
const SCHEMES = { normal: "normal", xavier: "Xavier", he: "He", orthogonal: "orthogonal" };
const NONLINEARITIES = { linear: "none", relu: "ReLU", tanh: "tanh" };

export const FIRST = {
  scheme: "normal",
  std: 0.1,
  depth: 20,
  width: 64,
  nonlinearity: "relu",
  draw: 3,
};

// Standard normal numbers, those of Python: the generator mulberry32, then Box and Muller.
export function gaussians(seed, count) {
  const values = new Float64Array(count);
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  for (let n = 0; n < count; n += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform())),
      turn = 2 * Math.PI * uniform();
    values[n] = radius * Math.cos(turn);
    if (n + 1 < count) values[n + 1] = radius * Math.sin(turn);
  }
  return values;
}

// One seed for each stream of a draw: 0 the input, 1 the gradient, 2 and on the layers.
export function seedOf(draw, stream) {
  return (Math.imul(draw, 0x9e3779b1) + Math.imul(stream, 0x85ebca6b)) >>> 0;
}

// The rows of a matrix [n, n] made orthonormal, one after the other; twice, for the rounding.
export function orthonormal(matrix, n) {
  const rows = Float64Array.from(matrix);
  for (let i = 0; i < n; i++) {
    for (let pass = 0; pass < 2; pass++)
      for (let j = 0; j < i; j++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += rows[i * n + k] * rows[j * n + k];
        for (let k = 0; k < n; k++) rows[i * n + k] -= dot * rows[j * n + k];
      }
    let square = 0;
    for (let k = 0; k < n; k++) square += rows[i * n + k] ** 2;
    for (let k = 0; k < n; k++) rows[i * n + k] /= Math.sqrt(square);
  }
  return rows;
}

// The standard deviation σ of the weights; for an orthogonal matrix that of its entries.
export function deviation({ scheme, std, width, nonlinearity }) {
  const gain = nonlinearity === "relu" ? Math.SQRT2 : 1;
  return {
    normal: std,
    xavier: 1 / Math.sqrt(width),
    he: Math.sqrt(2 / width),
    orthogonal: gain / Math.sqrt(width),
  }[scheme];
}

const ACT = { linear: (z) => z, relu: (z) => Math.max(z, 0), tanh: Math.tanh };
const SLOPE = { linear: () => 1, relu: (z) => (z > 0 ? 1 : 0), tanh: (z) => 1 - Math.tanh(z) ** 2 };

// What each layer gives: z_l = scale · W_l φ(z_{l−1}), with the input [batch, n] in the place of φ(z_0).
export function forward(weights, scale, input, n, nonlinearity) {
  const batch = input.length / n;
  let a = input;
  return weights.map((weight) => {
    const z = new Float64Array(batch * n);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < n; o++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += weight[o * n + i] * a[b * n + i];
        z[b * n + o] = scale * sum;
      }
    a = z.map(ACT[nonlinearity]);
    return z;
  });
}

// The gradient with respect to each z_l, from that of the last: g_l = φ′(z_l) · scale · W_{l+1}ᵀ g_{l+1}.
export function backward(weights, scale, outputs, top, n, nonlinearity) {
  const batch = top.length / n,
    gradients = [Float64Array.from(top)];
  for (let l = weights.length - 1; l > 0; l--) {
    const weight = weights[l],
      after = gradients[0],
      before = new Float64Array(batch * n);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < n; o++) {
        const g = scale * after[b * n + o];
        for (let i = 0; i < n; i++) before[b * n + i] += weight[o * n + i] * g;
      }
    outputs[l - 1].forEach((z, k) => {
      before[k] *= SLOPE[nonlinearity](z);
    });
    gradients.unshift(before);
  }
  return gradients;
}

export function std(values) {
  let sum = 0,
    square = 0;
  for (const v of values) sum += v;
  const mean = sum / values.length;
  for (const v of values) square += (v - mean) ** 2;
  return Math.sqrt(square / values.length);
}

// The share of the values in each of `bins` equal parts of [−reach, reach]; what lies outside counts to the last ones.
export function histogram(values, reach, bins) {
  const shares = new Array(bins).fill(0);
  for (const v of values)
    shares[clamp(Math.floor(((v / reach + 1) / 2) * bins), 0, bins - 1)] += 1 / values.length;
  return shares;
}

const made = new Map(); // numbers are drawn once a draw and width

function base(kind, draw, stream, n, rows) {
  const key = `${kind} ${draw} ${stream} ${n}`;
  if (made.size > 400) made.clear();
  if (!made.has(key))
    made.set(
      key,
      kind === "orthogonal"
        ? orthonormal(base("normal", draw, stream, n, n), n)
        : gaussians(seedOf(draw, stream), rows * n),
    );
  return made.get(key);
}

// A state → what every layer gives and the gradients that come back.
export function signals(state) {
  const { scheme, depth, width, nonlinearity, draw } = state,
    kind = scheme === "orthogonal" ? "orthogonal" : "normal";
  const weights = Array.from({ length: depth }, (_, l) => base(kind, draw, 2 + l, width, width));
  const scale = deviation(state) * (kind === "orthogonal" ? Math.sqrt(width) : 1);
  const outputs = forward(
    weights,
    scale,
    base("normal", draw, 0, width, BATCH),
    width,
    nonlinearity,
  );
  return {
    outputs,
    gradients: backward(
      weights,
      scale,
      outputs,
      base("normal", draw, 1, width, BATCH),
      width,
      nonlinearity,
    ),
  };
}

// What the formula says of the deviation in layer l, for an input of deviation 1; null where there is no such formula.
export function expected(state, layer) {
  const { width, nonlinearity } = state,
    each = width * deviation(state) ** 2;
  if (nonlinearity === "tanh") return null;
  return Math.sqrt(each) * Math.sqrt(nonlinearity === "relu" ? each / 2 : each) ** (layer - 1);
}

// 0.012 and 250 as they are, others as 1.2·10⁻⁵.
export function scientific(value) {
  if (value === 0 || !Number.isFinite(value)) return format(value);
  if (value >= 0.01 && value < 1000) return format(value, value < 1 ? 3 : value < 100 ? 2 : 0);
  const [mantissa, power] = value.toExponential(1).split("e");
  return `${mantissa}·10${[...String(Number(power))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("")}`;
}

export function torchCode({ scheme, std: own, depth, width, nonlinearity }) {
  const gain = nonlinearity === "relu" ? ", gain=2**0.5" : "";
  const draw = {
    normal: `normal_(layer.weight, std=${own})`,
    xavier: "xavier_normal_(layer.weight)",
    he: 'kaiming_normal_(layer.weight, nonlinearity="relu")',
    orthogonal: `orthogonal_(layer.weight${gain})`,
  }[scheme];
  const act = { linear: "torch.nn.Identity()", relu: "torch.nn.ReLU()", tanh: "torch.nn.Tanh()" }[
    nonlinearity
  ];
  return [
    "import torch",
    "",
    "net = torch.nn.Sequential()",
    `for _ in range(${depth}):`,
    `    layer = torch.nn.Linear(${width}, ${width}, bias=False)`,
    `    torch.nn.init.${draw}`,
    `    net.extend([layer, ${act}])`,
    `print(net[:-1](torch.randn(${BATCH}, ${width})).std())`,
  ].join("\n");
}

const WIDE = 340,
  DECADES = 10,
  INK = { output: "var(--cn-output-ink)", gradient: "var(--cn-accent)", muted: "var(--cn-muted)" };

// The deviations by layer on a logarithmic axis from 10⁻¹⁰ to 10¹⁰; what lies outside stays at the edge.
function chart(deviations, gradients, predicted, label) {
  const top = 14,
    height = 250,
    left = 46,
    right = WIDE - 8,
    last = deviations.length - 1;
  const x = (l) => left + 8 + (l * (right - left - 16)) / last;
  const y = (v) =>
    top +
    height * (0.5 - clamp(Math.log10(Math.max(v, 1e-300)), -DECADES, DECADES) / (2 * DECADES));
  const drawing = h("svg", {
    viewBox: `0 0 ${WIDE} ${top + height + 34}`,
    class: "cn-field",
    role: "img",
    "aria-label": label,
  });
  for (let power = -DECADES; power <= DECADES; power += 5) {
    drawing.append(
      h("line", {
        x1: left,
        x2: right,
        y1: y(10 ** power),
        y2: y(10 ** power),
        style: {
          stroke: power ? "var(--cn-line)" : INK.muted,
          "stroke-width": power ? "1" : "1.5",
        },
      }),
      h(
        "text",
        {
          x: left - 6,
          y: y(10 ** power),
          class: "cn-stacktext",
          style: { "text-anchor": "end", "font-size": "13px" },
        },
        power ? scientific(10 ** power).replace("1.0·", "") : "1",
      ),
    );
  }
  for (const l of [0, Math.round(last / 2), last])
    drawing.append(
      h(
        "text",
        {
          x: x(l),
          y: top + height + 18,
          class: "cn-stacktext",
          style: { "text-anchor": "middle", "font-size": "13px" },
        },
        l ? `${l + 1}` : "layer 1",
      ),
    );
  const line = (values) =>
    values.map((v, l) => `${l ? "L" : "M"}${x(l).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  if (predicted)
    drawing.append(
      h("path", {
        d: line(predicted),
        style: { fill: "none", stroke: INK.muted, "stroke-width": "6", "stroke-opacity": ".35" },
      }),
    );
  drawing.append(
    h("path", {
      d: line(gradients),
      style: {
        fill: "none",
        stroke: INK.gradient,
        "stroke-width": "1.5",
        "stroke-dasharray": "5 4",
      },
    }),
    h("path", {
      d: line(deviations),
      style: { fill: "none", stroke: INK.output, "stroke-width": "1.5" },
    }),
  );
  gradients.forEach((v, l) =>
    drawing.append(
      h("rect", { x: x(l) - 3, y: y(v) - 3, width: 6, height: 6, style: { fill: INK.gradient } }),
    ),
  );
  deviations.forEach((v, l) =>
    drawing.append(h("circle", { cx: x(l), cy: y(v), r: 3.5, style: { fill: INK.output } })),
  );
  return drawing;
}

// Histograms of five layers between −3 and 3, one row of them.
function histograms(layers, ink, label) {
  const count = layers.length,
    bins = 25,
    reach = 3,
    tall = 56;
  const chosen = [...new Set([0, 1, 2, 3, 4].map((k) => Math.round((k * (count - 1)) / 4)))];
  const step = WIDE / chosen.length,
    bar = (step - 10) / bins;
  const drawing = h("svg", {
    viewBox: `0 0 ${WIDE} ${tall + 26}`,
    class: "cn-field",
    role: "img",
    "aria-label": label,
  });
  chosen.forEach((l, k) => {
    const from = k * step + 5,
      shares = histogram(layers[l], reach, bins);
    drawing.append(
      h("line", {
        x1: from,
        x2: from + bins * bar,
        y1: tall + 2,
        y2: tall + 2,
        style: { stroke: INK.muted, "stroke-width": "1" },
      }),
    );
    shares.forEach((share, n) => {
      const high = tall * Math.min(1, Math.sqrt(share));
      drawing.append(
        h("rect", {
          x: from + n * bar,
          y: tall + 2 - high,
          width: Math.max(0.5, bar - 0.4),
          height: high,
          style: { fill: ink },
        }),
      );
    });
    drawing.append(
      h(
        "text",
        {
          x: from + (bins * bar) / 2,
          y: tall + 17,
          class: "cn-stacktext",
          style: { "text-anchor": "middle", "font-size": "13px" },
        },
        k ? `${l + 1}` : "layer 1",
      ),
    );
  });
  return drawing;
}

function render({ model, el }) {
  const state = () => Object.fromEntries(Object.keys(FIRST).map((key) => [key, model.get(key)]));
  const put = (key) => (value) => change(model, { [key]: value });
  const ui = frame({
    el,
    model,
    name: "signal-depth",
    label: "A signal through a deep random network and its gradient back",
    prompt:
      "By the twentieth layer next to nothing is left of the signal. Find the σ that brings it through, then compare with He's.",
    code: () => torchCode(state()),
    initial: FIRST,
  });
  const controls = [
    choice({
      name: "scheme",
      label: "Scheme",
      options: SCHEMES,
      get: () => model.get("scheme"),
      set: put("scheme"),
    }),
    slider({
      name: "std",
      label: "Deviation σ",
      min: LIMITS.std[0],
      max: LIMITS.std[1],
      step: 0.001,
      digits: 3,
      get: () => deviation(state()),
      set: (value) => change(model, { scheme: "normal", std: value }),
    }),
    choice({
      name: "nonlinearity",
      label: "Nonlinearity",
      options: NONLINEARITIES,
      get: () => model.get("nonlinearity"),
      set: put("nonlinearity"),
    }),
    slider({
      name: "depth",
      label: "Layers",
      min: LIMITS.depth[0],
      max: LIMITS.depth[1],
      get: () => model.get("depth"),
      set: put("depth"),
    }),
    slider({
      name: "width",
      label: "Width n",
      min: LIMITS.width[0],
      max: LIMITS.width[1],
      step: 16,
      get: () => model.get("width"),
      set: put("width"),
    }),
    slider({
      name: "draw",
      label: "Draw",
      min: LIMITS.draw[0],
      max: LIMITS.draw[1],
      get: () => model.get("draw"),
      set: put("draw"),
    }),
  ];
  const curve = h("figure", { className: "cn-picture cn-wide" }),
    shapes = h("figure", { className: "cn-picture cn-wide" });
  ui.stage.append(curve);
  ui.panel.append(...controls.map((c) => c.el), shapes);
  const size = h("span", { className: "cn-big", data: { shown: "output" } }),
    back = h("span", { className: "cn-big", data: { shown: "gradient" } });
  const sizeNote = h("span", { className: "cn-small" }),
    backNote = h("span", { className: "cn-small" });
  ui.answer.append(h("div", {}, size, sizeNote), h("div", {}, back, backNote));

  function draw() {
    const now = state(),
      { depth, width, nonlinearity } = now,
      { outputs, gradients } = signals(now);
    const deviations = outputs.map(std),
      returned = gradients.map(std),
      sigma = deviation(now),
      each = width * sigma ** 2;
    const predicted =
      nonlinearity === "tanh" ? null : deviations.map((_, l) => expected(now, l + 1));
    controls.forEach((c) => c.refresh());
    const words = `deviation of the last layer's output ${scientific(deviations.at(-1))}, of the first layer's gradient ${scientific(returned[0])}`;
    curve.replaceChildren(
      chart(
        deviations,
        returned,
        predicted,
        `Standard deviation by layer on a logarithmic axis: ${words}`,
      ),
      h(
        "figcaption",
        {},
        h("strong", {}, "Standard deviation"),
        " of what each layer gives (●, from layer 1) and of the gradient (■, dashed, from the last layer back)",
        predicted ? "; grey band: the formula for ●." : ".",
      ),
    );
    shapes.replaceChildren(
      histograms(outputs, INK.output, "Histograms of the outputs of five layers"),
      histograms(gradients, INK.gradient, "Histograms of the gradients of five layers"),
      h(
        "figcaption",
        {},
        h("strong", {}, "Histograms"),
        " between −3 and 3 of the outputs (above) and the gradients (below); the height is the root of the share, and what lies outside counts to the ends.",
      ),
    );
    size.textContent = scientific(deviations.at(-1));
    sizeNote.textContent = `deviation of the output of layer ${depth}`;
    back.textContent = scientific(returned[0]);
    backNote.textContent = "deviation of the gradient in layer 1";
    const number = (value) => format(value, value < 0.1 ? 4 : 3);
    ui.formula.textContent =
      nonlinearity === "tanh"
        ? `n·σ² = ${width} · ${number(sigma)}² = ${number(each)} a layer, as long as tanh is nearly straight; less where it bends`
        : `${nonlinearity === "relu" ? "n·σ²/2" : "n·σ²"} = ${width} · ${number(sigma)}²${nonlinearity === "relu" ? " / 2" : ""} = ${number(nonlinearity === "relu" ? each / 2 : each)} a layer\n` +
          `√(n·σ²) · √${number(nonlinearity === "relu" ? each / 2 : each)}^${depth - 1} = ${scientific(expected(now, depth))} expected in layer ${depth}`;
    ui.say(words);
  }
  return follow(model, draw);
}

export default { render };
