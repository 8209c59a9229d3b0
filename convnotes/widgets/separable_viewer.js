// Make a full kernel of a depthwise and a pointwise one, and see what is missing. Pure functions first, then the drawing.
// Kernels are nested lists: a full one [output][input][row][column], a depthwise one [input][row][column], a pointwise one
// [output][input].

const CHANNELS = ["red", "green", "blue"];
const LIGHTNESS = [0.299, 0.587, 0.114];
const NOTHING = [
  [0, 0, 0],
  [0, 0, 0],
  [0, 0, 0],
];
const BLUR = [
  [1, 2, 1],
  [2, 4, 2],
  [1, 2, 1],
].map((row) => row.map((v) => v / 16));
const ACROSS = [
    [-0.5, 0, 0.5],
    [-1, 0, 1],
    [-0.5, 0, 0.5],
  ],
  DOWN = ACROSS[0].map((_, j) => ACROSS.map((row) => row[j]));
const BETWEEN = ACROSS.map((row, i) => row.map((v, j) => (v + DOWN[i][j]) / 2));

const tap = (row, column) =>
  NOTHING.map((_, i) => [0, 1, 2].map((j) => (i === row && j === column ? 1 : 0)));
const scaled = (kernel, factor) => kernel.map((row) => row.map((v) => v * factor));
const ofLightness = (kernels) =>
  kernels.map((kernel) => LIGHTNESS.map((share) => scaled(kernel, share)));
const eachItsOwn = (kernels) =>
  kernels.map((kernel, o) => CHANNELS.map((_, c) => (c === o ? kernel : NOTHING)));

// n numbers in [-0.5, 0.5), drawn once (a linear congruential generator).
function drawn(n, state = 5) {
  return Array.from(
    { length: n },
    () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 4294967296 - 0.5,
  );
}
const numbers = drawn(81);

// name → [full kernel, bias of each output]
export const TARGETS = {
  edges: [ofLightness([ACROSS, DOWN, BETWEEN]), [0.5, 0.5, 0.5]],
  blur: [eachItsOwn([BLUR, BLUR, BLUR]), [0, 0, 0]],
  fringes: [eachItsOwn([tap(1, 0), tap(1, 1), tap(1, 2)]), [0, 0, 0]],
  shifts: [ofLightness([tap(1, 0), tap(1, 1), tap(1, 2)]), [0, 0, 0]],
  random: [
    [0, 1, 2].map((o) =>
      [0, 1, 2].map((c) =>
        [0, 1, 2].map((u) => numbers.slice(27 * o + 9 * c + 3 * u, 27 * o + 9 * c + 3 * u + 3)),
      ),
    ),
    [0.5, 0.5, 0.5],
  ],
};

// y[o, i, j] = bias[o] + Σ_{c,u,v} weight[o][c][u][v] · x[c, i + u − 1, j + v − 1], 0 outside the picture.
export function convolve(x, height, width, weight, bias) {
  const places = height * width,
    y = new Float64Array(weight.length * places);
  weight.forEach((kernels, o) => {
    y.fill(bias[o], o * places, (o + 1) * places);
    kernels.forEach((kernel, c) =>
      kernel.forEach((row, u) =>
        row.forEach((w, v) => {
          if (w === 0) return;
          for (let i = Math.max(0, 1 - u); i < Math.min(height, height + 1 - u); i++) {
            const from = c * places + (i + u - 1) * width + v - 1,
              to = o * places + i * width;
            for (let j = Math.max(0, 1 - v); j < Math.min(width, width + 1 - v); j++)
              y[to + j] += w * x[from + j];
          }
        }),
      ),
    );
  });
  return y;
}

// The full kernel that a pair equals: W[o][c] = pointwise[o][c] · depthwise[c].
export function full(depthwise, pointwise) {
  return pointwise.map((row) => row.map((w, c) => scaled(depthwise[c], w)));
}

const squares = (values) => values.reduce((sum, v) => sum + v * v, 0);

// ‖W − T‖² and ‖T‖² over all taps.
export function distance(weight, target) {
  const w = weight.flat(3),
    t = target.flat(3);
  return { error: squares(t.map((v, n) => v - w[n])), whole: squares(t) };
}

// Eigenvalues of a symmetric matrix, the largest first, each with its vector (Jacobi's rotations).
export function eigen(matrix) {
  const n = matrix.length,
    a = matrix.map((row) => [...row]),
    e = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++)
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]),
          c = Math.cos(angle),
          s = Math.sin(angle);
        for (const rows of [a, e])
          for (const row of rows)
            [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
        [a[p], a[q]] = [
          a[p].map((v, k) => c * v - s * a[q][k]),
          a[p].map((v, k) => s * v + c * a[q][k]),
        ];
      }
  return a
    .map((row, i) => ({ value: Math.max(0, row[i]), vector: e.map((r) => r[i]) }))
    .sort((one, other) => other.value - one.value);
}

// The kernels of one input channel as the rows of a matrix, one row an output, and what its singular vectors give.
function spectrum(target, channel) {
  const rows = target.map((kernels) => kernels[channel].flat());
  return {
    rows,
    parts: eigen(rows.map((r) => rows.map((s) => r.reduce((sum, v, n) => sum + v * s[n], 0)))),
  };
}

// The rank of each input channel's kernels, and the largest share of the target that m kernels a channel can make.
export function attainable(target) {
  const all = CHANNELS.map((_, c) => spectrum(target, c).parts.map((part) => part.value));
  const whole = squares(target.flat(3));
  return {
    ranks: all.map((values) => values.filter((v) => v > 1e-12 * values[0]).length),
    shares: target.map(
      (_, m) =>
        all.flatMap((values) => values.slice(0, m + 1)).reduce((sum, v) => sum + v, 0) / whole,
    ),
  };
}

// The pair with one kernel a channel that comes nearest to the target; the depthwise kernel's largest tap has size 1.
export function fit(target) {
  const depthwise = [],
    pointwise = target.map(() => []);
  const round = (v) => Number(v.toFixed(6)) + 0;
  CHANNELS.forEach((_, c) => {
    const {
      rows,
      parts: [{ value, vector }],
    } = spectrum(target, c);
    const sign = Math.sign(vector.find((v) => Math.abs(v) === Math.max(...vector.map(Math.abs))));
    const kernel = rows[0].map(
      (_, n) => sign * rows.reduce((sum, row, o) => sum + vector[o] * row[n], 0),
    );
    const peak = value > 0 ? Math.max(...kernel.map(Math.abs)) : 1;
    const taps = value > 0 ? kernel.map((v) => round(v / peak)) : tap(1, 1).flat();
    depthwise.push([taps.slice(0, 3), taps.slice(3, 6), taps.slice(6)]);
    pointwise.forEach((row, o) => row.push(value > 0 ? round(sign * vector[o] * peak) : 0));
  });
  return { depthwise, pointwise };
}

export function torchCode(depthwise, pointwise, bias) {
  const list = (values) =>
    `[${values.map((v) => (Array.isArray(v) ? list(v) : Number(v.toFixed(6)))).join(", ")}]`;
  return [
    "layer = torch.nn.Sequential(",
    "    torch.nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), torch.nn.Conv2d(3, 3, 1)",
    ")",
    `layer[0].weight.data = torch.tensor(${list(depthwise)}).float()[:, None]`,
    `layer[1].weight.data = torch.tensor(${list(pointwise)}).float()[:, :, None, None]`,
    `layer[1].bias.data = torch.tensor(${list(bias)}).float()`,
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
  const load = ([target, bias]) => ({ target, bias, ...fit(target) });
  const ui = frame({
    el,
    model,
    name: "separable-viewer",
    label: "Make a full kernel of a depthwise and a pointwise one",
    prompt:
      "Change a tap or a weight: can you come nearer to the target than the best fit? Then load another target.",
    code: () => torchCode(model.get("depthwise"), model.get("pointwise"), model.get("bias")),
    initial: { ...load(TARGETS.edges), channel: 0 },
  });

  const thirds = (...children) =>
    h(
      "div",
      {
        className: "cn-wide",
        style: {
          display: "grid",
          gap: ".75rem .5rem",
          "grid-template-columns": "repeat(3, minmax(0, 1fr))",
          "align-content": "start",
        },
      },
      ...children,
    );
  const [input, made, wanted] = [0, 1, 2].map(() => picture("", height, width));
  const maps = CHANNELS.map(() => picture("", height, width));
  const kernels = [0, 1].map(() => CHANNELS.map(() => h("figure", { className: "cn-picture" })));
  input.el.classList.add("cn-input");
  made.el.classList.add("cn-output");
  wanted.el.classList.add("cn-output");
  ui.stage.parentElement.before(thirds(input.el, made.el, wanted.el));
  ui.stage.append(thirds(...maps.map((map) => map.el), ...kernels.flat()));
  ui.stage.parentElement.style.setProperty("margin-top", ".75rem");
  ui.panel.style.setProperty("max-width", "17rem");

  const controls = [
    choice({
      name: "target",
      label: "Target kernel",
      get: () => matching(model),
      set: (name) => name !== "own" && change(model, load(TARGETS[name])),
      options: {
        edges: "edge filters",
        blur: "blur",
        fringes: "colours shifted",
        shifts: "lightness shifted",
        random: "random",
        own: "another",
      },
    }),
    choice({
      name: "channel",
      label: "Input channel",
      get: () => String(model.get("channel")),
      set: (c) => change(model, { channel: Number(c) }),
      options: Object.fromEntries(CHANNELS.map((name, c) => [c, name])),
    }),
  ];
  const holder = h("div", {});
  const mixer = matrix({
    name: "pointwise",
    caption: "Pointwise kernel",
    columns: CHANNELS,
    rows: [1, 2, 3].map((o) => `output ${o}`),
    get: (o, c) => model.get("pointwise")[o][c],
    set: (o, c, value) =>
      change(model, {
        pointwise: model
          .get("pointwise")
          .map((row, r) => row.map((v, k) => (r === o && k === c ? value : v))),
      }),
  });
  const best = h(
    "div",
    { className: "cn-actions" },
    button("fit", "Best fit", () => change(model, fit(model.get("target")))),
  );
  ui.panel.append(...controls.map((c) => c.el), holder, mixer.el, best);

  let table = null,
    edited = -1;
  function edit(channel) {
    edited = channel;
    table = matrix({
      name: "depthwise",
      caption: `Depthwise kernel, ${CHANNELS[channel]}`,
      columns: ["left", "middle", "right"],
      rows: ["above", "middle", "below"],
      get: (u, v) => model.get("depthwise")[channel][u][v],
      set: (u, v, value) =>
        change(model, {
          depthwise: model
            .get("depthwise")
            .map((kernel, c) =>
              c === channel
                ? kernel.map((row, i) => row.map((old, j) => (i === u && j === v ? value : old)))
                : kernel,
            ),
        }),
    });
    holder.replaceChildren(table.el);
  }

  const share = h("span", { className: "cn-big", data: { shown: "share" } }),
    shareNote = h("span", { className: "cn-small", data: { shown: "best" } });
  const rank = h("span", { className: "cn-big", data: { shown: "rank" } }),
    rankNote = h("span", { className: "cn-small", data: { shown: "shares" } });
  ui.answer.append(
    ...[
      [share, shareNote],
      [rank, rankNote],
    ].map((pair) => h("div", { style: { flex: "1 1 15rem" } }, ...pair)),
  );

  function draw() {
    const target = model.get("target"),
      bias = model.get("bias"),
      depthwise = model.get("depthwise"),
      pointwise = model.get("pointwise");
    const channel = model.get("channel"),
      name = CHANNELS[channel],
      weight = full(depthwise, pointwise);
    if (edited !== channel) edit(channel);
    input.paint(photo, 3);
    input.surface.setAttribute("aria-label", model.get("alt"));
    input.text.replaceChildren(h("strong", {}, "Input"));
    made.paint(convolve(photo, height, width, weight, bias), 3);
    made.surface.setAttribute(
      "aria-label",
      "What the pair of kernels gives, its three outputs as red, green and blue",
    );
    made.text.replaceChildren(h("strong", {}, "Output of the pair"));
    wanted.paint(convolve(photo, height, width, target, bias), 3);
    wanted.surface.setAttribute(
      "aria-label",
      "What the target kernel gives, its three outputs as red, green and blue",
    );
    wanted.text.replaceChildren(h("strong", {}, "Output of the target"));
    maps.forEach((map, c) => {
      const z = convolve(
        photo.subarray(c * places, (c + 1) * places),
        height,
        width,
        [[depthwise[c]]],
        [0],
      );
      const reach = z.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12);
      map.paint(
        z.map((v) => 0.5 + v / reach / 2),
        1,
      );
      map.surface.setAttribute(
        "aria-label",
        `The ${CHANNELS[c]} channel through its depthwise kernel, 0 in the middle of the greys`,
      );
      map.text.replaceChildren(h("strong", {}, `Depthwise, ${CHANNELS[c]}`), ` ±${format(reach)}`);
    });
    [
      ["Pair", weight],
      ["Target", target],
    ].forEach(([whose, values], row) =>
      values.forEach((of, o) => {
        kernels[row][o].replaceChildren(
          kernelGrid(of[channel], `${whose}: the 3×3 kernel from ${name} to output ${o + 1}`, 42),
          h("figcaption", {}, h("strong", {}, whose), `, ${name} → ${o + 1}`),
        );
      }),
    );
    controls.forEach((c) => c.refresh());
    table.refresh();
    mixer.refresh();
    const { error, whole } = distance(weight, target),
      { ranks, shares } = attainable(target),
      now = 1 - error / whole;
    const percent = (value) => `${format(100 * value, 1)}\u00a0%`;
    share.textContent = percent(now);
    shareNote.textContent = `of the target is in the pair; the best that any pair holds: ${percent(shares[0])}`;
    rank.textContent = `rank ${Math.max(...ranks)}`;
    rankNote.textContent = `of the target's kernels of a channel; the pair's is 1. With 1, 2, 3 kernels a channel: ${shares.map(percent).join(", ")}`;
    ui.formula.textContent = [
      ...weight.map(
        (_, o) => `W[${o + 1}, ${name}] = ${format(pointwise[o][channel])} · d[${name}]`,
      ),
      `share = 1 − ‖W − T‖² / ‖T‖² = 1 − ${format(error, 3)} / ${format(whole, 3)} = ${format(now, 3)}`,
    ].join("\n");
    ui.say(
      `${percent(now)} of the target; at most ${percent(shares[0])} with one kernel a channel`,
    );
  }
  return follow(model, draw);
}

function matching(model) {
  const now = JSON.stringify([model.get("target"), model.get("bias")]);
  return Object.keys(TARGETS).find((name) => JSON.stringify(TARGETS[name]) === now) ?? "own";
}

export default { render };
