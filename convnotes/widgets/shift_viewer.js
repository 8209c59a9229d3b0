// Move three channels, mix them by a 1×1 kernel, and see the convolution that the two make. Pure functions first, then the drawing.

export const REACH = 2;
const MAPS = ["red", "green", "blue", "lightness"];
const LIGHTNESS = [0.299, 0.587, 0.114];

// name → the map in each channel, its displacement (dy, dx), its weight in the 1×1 kernel
export const PRESETS = {
  across: {
    sources: [3, 3, 0],
    displacements: [
      [0, -1],
      [0, 1],
      [0, 0],
    ],
    weight: [-1, 1, 0],
  },
  down: {
    sources: [3, 3, 0],
    displacements: [
      [-1, 0],
      [1, 0],
      [0, 0],
    ],
    weight: [-1, 1, 0],
  },
  second: {
    sources: [3, 3, 3],
    displacements: [
      [0, -1],
      [0, 0],
      [0, 1],
    ],
    weight: [1, -2, 1],
  },
  smear: {
    sources: [3, 3, 3],
    displacements: [
      [0, -2],
      [0, 0],
      [0, 2],
    ],
    weight: [0.35, 0.3, 0.35],
  },
  colours: {
    sources: [0, 1, 2],
    displacements: [
      [0, -1],
      [0, 0],
      [0, 1],
    ],
    weight: [1, -1, 0],
  },
  still: {
    sources: [3, 3, 0],
    displacements: [
      [0, 0],
      [0, 0],
      [0, 0],
    ],
    weight: [-1, 1, 0],
  },
};

// Red, green, blue and lightness [4, H·W] of a photograph [3, H·W].
export function lift(photo, places) {
  const maps = new Float64Array(4 * places);
  maps.set(photo);
  for (let n = 0; n < places; n++)
    maps[3 * places + n] = LIGHTNESS.reduce(
      (sum, share, c) => sum + share * photo[c * places + n],
      0,
    );
  return maps;
}

export function pick(maps, places, sources) {
  const x = new Float64Array(sources.length * places);
  sources.forEach((source, c) =>
    x.set(maps.subarray(source * places, (source + 1) * places), c * places),
  );
  return x;
}

// y[c, i, j] = x[c, i + dy_c, j + dx_c], 0 outside the picture.
export function shift(x, height, width, displacements) {
  const y = new Float64Array(displacements.length * height * width);
  displacements.forEach(([dy, dx], c) => {
    for (let i = Math.max(0, -dy); i < Math.min(height, height - dy); i++) {
      for (let j = Math.max(0, -dx); j < Math.min(width, width - dx); j++)
        y[(c * height + i) * width + j] = x[(c * height + i + dy) * width + j + dx];
    }
  });
  return y;
}

// y[n] = Σ_c weight[c] · x[c, n]
export function mix(x, places, weight) {
  const y = new Float64Array(places);
  weight.forEach((w, c) => {
    for (let n = 0; n < places; n++) y[n] += w * x[c * places + n];
  });
  return y;
}

// The kernel of one channel: 1 where it reads, 0 elsewhere.
export function oneHot([dy, dx]) {
  const side = Array.from({ length: 2 * REACH + 1 }, (_, n) => n - REACH);
  return side.map((row) => side.map((column) => (row === dy && column === dx ? 1 : 0)));
}

// The convolution [4, 5, 5] on the four maps that shift and 1×1 make together: one-hot kernels, weighted and added.
export function composed(sources, displacements, weight) {
  const kernels = MAPS.map(() => oneHot([REACH + 1, 0]));
  sources.forEach((source, c) => {
    kernels[source][displacements[c][0] + REACH][displacements[c][1] + REACH] += weight[c];
  });
  return kernels;
}

// What is counted: a shift of float32 channels reads and writes each number once; a depthwise 3×3 takes 9 multiply-adds.
export function counts(channels, places) {
  return {
    flops: 0,
    bytes: 2 * 4 * channels * places,
    depthwise: 2 * 9 * channels * places,
    mix: 2 * channels * places,
  };
}

// Share of the numbers of a shifted picture that come from outside it.
export function outside(height, width, displacements) {
  const kept = displacements.map(
    ([dy, dx]) => Math.max(0, height - Math.abs(dy)) * Math.max(0, width - Math.abs(dx)),
  );
  return 1 - kept.reduce((sum, n) => sum + n, 0) / (displacements.length * height * width);
}

export function torchCode(sources, displacements, weight) {
  const list = (values) =>
    `[${values.map((v) => (Array.isArray(v) ? list(v) : Number(v.toFixed(6)))).join(", ")}]`;
  const rows = sources.map((source) =>
    source < 3 ? [0, 1, 2].map((c) => (c === source ? 1 : 0)) : LIGHTNESS,
  );
  return [
    `displacements = ${list(displacements)}  # convnotes.shift2d(x, displacements) is layer[1] without a multiplication`,
    "layer = torch.nn.Sequential(",
    "    torch.nn.Conv2d(3, 3, 1, bias=False),",
    `    torch.nn.Conv2d(3, 3, ${2 * REACH + 1}, padding=${REACH}, groups=3, bias=False),`,
    "    torch.nn.Conv2d(3, 1, 1, bias=False),",
    ")",
    `layer[0].weight.data = torch.tensor(${list(rows)}).float()[:, :, None, None]`,
    "layer[1].weight.data.zero_()",
    "for channel, (dy, dx) in enumerate(displacements):",
    `    layer[1].weight.data[channel, 0, dy + ${REACH}, dx + ${REACH}] = 1`,
    `layer[2].weight.data = torch.tensor(${list([weight])}).float()[:, :, None, None]`,
  ].join("\n");
}

const step = (name, by) => (by ? `${name}${by < 0 ? "−" : "+"}${Math.abs(by)}` : name);

// A kernel grid of which the taps that are 0 stay empty.
function sparse(values, label, unit) {
  const drawing = kernelGrid(values, label, unit);
  for (const text of drawing.querySelectorAll("text")) if (text.textContent === "0") text.remove();
  return drawing;
}

// The one-hot kernel of a channel with an arrow from the output place to the pixel that is read; drag it or use the arrow keys.
function pad({ name, label, get, set }) {
  const unit = 34,
    side = 2 * REACH + 1;
  const el = h("div", {
    className: "cn-pad",
    role: "application",
    tabIndex: 0,
    data: { control: name },
    ...KEYS,
    on: {
      keydown(event) {
        const moves = {
          ArrowUp: [-1, 0],
          ArrowDown: [1, 0],
          ArrowLeft: [0, -1],
          ArrowRight: [0, 1],
          Home: get().map((d) => -d),
        };
        const [dy, dx] = moves[event.key] ?? [];
        if (dy === undefined) return;
        event.preventDefault();
        put([get()[0] + dy, get()[1] + dx]);
      },
      pointerdown(event) {
        el.setPointerCapture(event.pointerId);
        follows(event);
      },
      pointermove(event) {
        if (event.buttons) follows(event);
      },
    },
  });
  const put = (place) => {
    const next = place.map((d) => clamp(d, -REACH, REACH));
    if (String(next) !== String(get())) set(next);
  };
  const follows = (event) => {
    const box = el.getBoundingClientRect();
    put(
      [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width].map(
        (part) => Math.floor(part * side) - REACH,
      ),
    );
  };
  return {
    el,
    refresh() {
      const [dy, dx] = get(),
        centre = (REACH + 0.5) * unit,
        length = Math.hypot(dy, dx);
      const words = `${label} reads ${dy || dx ? `row ${format(dy)}, column ${format(dx)} from its place` : "its own place"}`;
      const drawing = sparse(oneHot([dy, dx]), words, unit);
      if (length) {
        const [uy, ux] = [dy / length, dx / length],
          [y, x] = [centre + dy * unit - 9 * uy, centre + dx * unit - 9 * ux];
        const head = `M${x} ${y}L${x - 9 * ux + 5 * uy} ${y - 9 * uy - 5 * ux}L${x - 9 * ux - 5 * uy} ${y - 9 * uy + 5 * ux}Z`;
        drawing.append(
          h("line", { x1: centre, y1: centre, x2: x - 6 * ux, y2: y - 6 * uy, class: "cn-arrow" }),
          h("path", { d: head, class: "cn-arrowhead" }),
          h("circle", { cx: centre, cy: centre, r: 3, class: "cn-arrowhead" }),
        );
      }
      el.replaceChildren(drawing);
      el.setAttribute("aria-label", words);
    },
  };
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    places = height * width,
    three = [0, 1, 2];
  const bytes = model.get("image");
  const maps = lift(
    Float32Array.from(
      new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      (v) => v / 255,
    ),
    places,
  );
  const now = () =>
    Object.fromEntries(["sources", "displacements", "weight"].map((key) => [key, model.get(key)]));
  const replaced = (key, c, value) =>
    change(model, { [key]: model.get(key).map((old, k) => (k === c ? value : old)) });
  const ui = frame({
    el,
    model,
    name: "shift-viewer",
    label: "Move channels and mix them",
    prompt:
      "Drag an arrow (or use the arrow keys): the channel reads that pixel. Put both arrows on the centre: what is left of the edges?",
    code: () => torchCode(...Object.values(now())),
    initial: {
      ...structuredClone(PRESETS.across),
      probe: [Math.floor(height / 2), Math.floor(width / 2)],
    },
  });

  const shifted = three.map(() => picture("", height, width)),
    output = picture("", height, width);
  const pads = three.map((c) =>
    pad({
      name: `shift-${c}`,
      label: `Channel ${c + 1}`,
      get: () => model.get("displacements")[c],
      set: (value) => replaced("displacements", c, value),
    }),
  );
  output.el.classList.add("cn-output", "cn-wide");
  const kernels = h("div", { className: "cn-kernels cn-wide" });
  ui.stage.parentElement.before(
    h(
      "div",
      { className: "cn-thirds" },
      shifted.map((one) => one.el),
      pads.map((one) => one.el),
    ),
  );
  ui.stage.append(output.el, kernels);

  const controls = [
    choice({
      name: "preset",
      label: "Preset",
      get: () =>
        Object.keys(PRESETS).find(
          (name) => JSON.stringify(PRESETS[name]) === JSON.stringify(now()),
        ) ?? "own",
      set: (name) => name !== "own" && change(model, structuredClone(PRESETS[name])),
      options: {
        across: "edges across",
        down: "edges down",
        second: "second difference",
        smear: "smear",
        colours: "red against green",
        still: "nothing moves",
        own: "your own",
      },
    }),
    ...three.map((c) =>
      choice({
        name: `source-${c}`,
        label: `Channel ${c + 1} holds`,
        get: () => String(model.get("sources")[c]),
        set: (source) => replaced("sources", c, Number(source)),
        options: Object.fromEntries(MAPS.map((name, n) => [n, name])),
      }),
    ),
    matrix({
      name: "weight",
      caption: "1×1 kernel after the shift",
      rows: ["output"],
      columns: three.map((c) => `ch. ${c + 1}`),
      get: (_, c) => model.get("weight")[c],
      set: (_, c, value) => replaced("weight", c, value),
    }),
  ];
  ui.panel.append(...controls.map((c) => c.el));
  const point = probe({
    name: "probe",
    label: "Marked place of the output",
    on: output,
    height,
    width,
    get: () => model.get("probe"),
    set: (probe) => change(model, { probe }),
  });
  const big = (name) => h("span", { className: "cn-big", data: { shown: name } });
  const [flops, moved, border] = ["flops", "moved", "border"].map(big),
    borderNote = h("span", { className: "cn-small" });
  const counted = counts(3, places);
  flops.textContent = `${format(counted.flops)} FLOPs`;
  moved.textContent = `${format(counted.bytes)} bytes`;
  ui.answer.append(
    h(
      "div",
      {},
      flops,
      h(
        "span",
        { className: "cn-small" },
        `of the shift (a depthwise 3×3: ${format(counted.depthwise)}); the 1×1 after it: ${format(counted.mix)}`,
      ),
    ),
    h(
      "div",
      {},
      moved,
      h("span", { className: "cn-small" }, "read and written by the shift, in float32"),
    ),
    h("div", {}, border, borderNote),
  );

  function draw() {
    const { sources, displacements, weight } = now(),
      x = shift(pick(maps, places, sources), height, width, displacements);
    const y = mix(x, places, weight),
      reach = y.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    shifted.forEach((one, c) => {
      one.paint(x.subarray(c * places, (c + 1) * places), 1);
      const words = `Channel ${c + 1}: ${MAPS[sources[c]]}, displacement ${format(displacements[c][0])}, ${format(displacements[c][1])}`;
      one.surface.setAttribute("aria-label", `${words}. ${model.get("alt")}`);
      one.text.replaceChildren(
        h("strong", {}, `Channel ${c + 1}`),
        `: ${MAPS[sources[c]]}, (${displacements[c].map((d) => format(d)).join(", ")})`,
      );
    });
    pads.forEach((one) => one.refresh());
    output.paint(
      y.map((v) => 0.5 + v / (reach || 1) / 2),
      1,
    );
    output.surface.setAttribute(
      "aria-label",
      "The weighted sum of the three shifted channels, 0 in the middle of the greys",
    );
    output.text.replaceChildren(
      h("strong", {}, "Output"),
      ` of the 1×1 kernel: −${format(reach)} black, 0 grey, ${format(reach)} white`,
    );
    const all = composed(sources, displacements, weight),
      used = MAPS.map((_, n) => n).filter((n) => sources.includes(n));
    kernels.replaceChildren(
      ...used
        .filter((n) => all[n].flat().some((w) => Math.abs(w) > 1e-9) || used.length === 1)
        .map((n) =>
          h(
            "figure",
            { className: "cn-picture" },
            sparse(all[n], `The kernel on ${MAPS[n]} that shift and 1×1 make together`, 44),
            h("figcaption", {}, h("strong", {}, "Together"), `: this kernel on ${MAPS[n]}`),
          ),
        ),
    );
    if (!kernels.childElementCount)
      kernels.append(h("p", { className: "cn-small" }, "Together: a kernel of zeros."));
    controls.forEach((c) => c.refresh());
    point.refresh();
    const share = outside(height, width, displacements);
    border.textContent = `${format(100 * share, 1)}\u00a0%`;
    borderNote.textContent = "of the shifted numbers come from outside: 0";
    const [i, j] = model.get("probe");
    const terms = three.map(
      (c) =>
        `${signed(weight[c])}·${MAPS[sources[c]]}[${step("i", displacements[c][0])}, ${step("j", displacements[c][1])}]`,
    );
    const numbers = three.map(
      (c) => `${signed(weight[c])}·${format(x[c * places + i * width + j])}`,
    );
    ui.formula.textContent =
      `y[i, j] = ${terms.join(" + ")}\ny[${i}, ${j}] = ${numbers.join(" + ")} = ${format(y[i * width + j], 3)}\n` +
      `bytes = 2 · ${three.length} · ${height} · ${width} · 4 = ${format(counted.bytes)}`;
    ui.say(
      `Output from ${format(-reach)} to ${format(reach)}; the shift takes 0 FLOPs and moves ${format(counted.bytes)} bytes`,
    );
  }
  return follow(model, draw);
}

function signed(value) {
  return value < 0 ? `(${format(value)})` : format(value);
}

export default { render };
