// Move the synapses of an active convolution and see the ordinary kernel that they make. Pure functions first, then the
// drawing. A position is [y, x] in pixels from the output place, a kernel a nested list of 2·REACH + 1 rows.

export const REACH = 3; // the layer's default max_reach

const around = (radius) =>
  [
    [0, 1],
    [1, 1],
    [1, 0],
    [1, -1],
    [0, -1],
    [-1, -1],
    [-1, 0],
    [-1, 1],
  ].map(([y, x]) => [radius * y, radius * x]);

// name → [weights, positions, bias]
export const PRESETS = {
  relief: [
    [1, 1, -1],
    [
      [0, 0],
      [0.75, 1.5],
      [-0.75, -1.5],
    ],
    0,
  ],
  plain: [Array(9).fill(1 / 9), [[0, 0], ...around(1)], 0],
  dilated: [Array(9).fill(1 / 9), [[0, 0], ...around(2)], 0],
  ghost: [
    [0.5, 0.5],
    [
      [0, 0],
      [2.4, -2.7],
    ],
    0,
  ],
  edges: [
    [-4, 1, 1, 1, 1],
    [
      [0, 0],
      [0, 1.4],
      [1.4, 0],
      [0, -1.4],
      [-1.4, 0],
    ],
    0.5,
  ],
};

// The cell that a coordinate lies in, and how far into it: a whole one begins its cell, REACH ends the last.
export function cellOf(coordinate) {
  const cell = Math.min(Math.floor(coordinate), REACH - 1);
  return [cell, coordinate - cell];
}

// The four pixels around a position, each with its share of the weight: [row, column, share].
export function shares([y, x]) {
  const [row, below] = cellOf(y),
    [column, right] = cellOf(x);
  return [
    [row, column, (1 - below) * (1 - right)],
    [row, column + 1, (1 - below) * right],
    [row + 1, column, below * (1 - right)],
    [row + 1, column + 1, below * right],
  ];
}

// ŵ[u, v] = Σ_k weights[k] · h(u − y_k) · h(v − x_k), h(t) = max(0, 1 − |t|); row 0 is u = −REACH.
export function splat(weights, positions) {
  const side = 2 * REACH + 1,
    kernel = Array.from({ length: side }, () => Array(side).fill(0));
  positions.forEach((place, k) =>
    shares(place).forEach(([u, v, share]) => {
      kernel[u + REACH][v + REACH] += weights[k] * share;
    }),
  );
  return kernel;
}

// How many pixels some synapse has a share of, and the sides of the smallest window that holds them.
export function touched(positions) {
  const pixels = new Map(
    positions
      .flatMap(shares)
      .filter(([, , share]) => share > 0)
      .map(([u, v]) => [`${u},${v}`, [u, v]]),
  );
  const span = (axis) => {
    const all = [...pixels.values()].map((pixel) => pixel[axis]);
    return Math.max(...all) - Math.min(...all) + 1;
  };
  return { pixels: pixels.size, height: span(0), width: span(1) };
}

// y[c, i, j] = bias + Σ_{u,v} kernel[u][v] · x[c, i + u − REACH, j + v − REACH], 0 outside the picture.
export function convolve(x, height, width, kernel, bias) {
  const y = new Float64Array(x.length).fill(bias);
  for (let from = 0; from < x.length; from += height * width) {
    kernel.forEach((row, u) =>
      row.forEach((w, v) => {
        if (w === 0) return;
        const dy = u - REACH,
          dx = v - REACH;
        for (let i = Math.max(0, -dy); i < Math.min(height, height - dy); i++) {
          const here = from + i * width,
            there = here + dy * width + dx;
          for (let j = Math.max(0, -dx); j < Math.min(width, width - dx); j++)
            y[here + j] += w * x[there + j];
        }
      }),
    );
  }
  return y;
}

export function torchCode(weights, positions, bias) {
  const list = (values) =>
    `[${values.map((v) => (Array.isArray(v) ? list(v) : Number(v.toFixed(6)))).join(", ")}]`;
  return [
    "import torch",
    "from convnotes import ActiveConv2d",
    "",
    `layer = ActiveConv2d(1, 1, synapses=${list(positions)})`,
    `layer.weight.data = torch.tensor([[${list(weights)}]], dtype=torch.float32)`,
    `layer.bias.data = torch.tensor([${Number(bias.toFixed(6))}], dtype=torch.float32)`,
  ].join("\n");
}

const UNIT = 44; // of the drawing, a pixel's side

// How far below the middle of pixel [u, v] its number is drawn, so that no synapse's disc hides it.
function beside(positions, u, v) {
  const free = (offset) =>
    positions.every(
      ([y, x]) => Math.abs((y - u) * UNIT - offset) > 14 || Math.abs(x - v) * UNIT > 27,
    );
  return [15, -15].find(free) ?? 15;
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width");
  const bytes = model.get("image");
  const photo = Float32Array.from(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (v) => v / 255,
  );
  const preset = (name) => ({
    weights: [...PRESETS[name][0]],
    positions: PRESETS[name][1].map((place) => [...place]),
    bias: PRESETS[name][2],
    chosen: 1,
  });
  const ui = frame({
    el,
    model,
    name: "active-synapses",
    label: "Move the synapses of an active convolution",
    prompt:
      "Drag a synapse, or move it with the arrow keys: how many pixels does it touch, and when only one?",
    code: () => torchCode(model.get("weights"), model.get("positions"), model.get("bias")),
    initial: preset("relief"),
  });

  const under = h("div", {}),
    over = h("svg", {
      viewBox: `-1 -1 ${7 * UNIT + 2} ${7 * UNIT + 2}`,
      role: "group",
      "aria-label": "Synapses on the grid",
      style: { position: "absolute", inset: 0, width: "100%", height: "100%", overflow: "visible" },
    });
  const board = h("div", { style: { position: "relative", "line-height": 0 } }, under, over);
  const boardText = h(
    "figcaption",
    {},
    h("strong", {}, "Kernel"),
    ": discs are synapses (dashed: a negative weight), numbers what they make on the pixels; synapse 1 stays in the middle",
  );
  const figure = h(
    "figure",
    { className: "cn-picture cn-wide", style: { "max-width": "24rem" } },
    board,
    boardText,
  );
  const input = picture("", height, width),
    output = picture("", height, width);
  input.el.classList.add("cn-input");
  output.el.classList.add("cn-output");
  const pair = h(
    "div",
    {
      style: {
        display: "grid",
        gap: ".75rem",
        "grid-template-columns": "repeat(2, minmax(0, 1fr))",
        "margin-bottom": ".75rem",
      },
    },
    input.el,
    output.el,
  );
  ui.stage.parentElement.before(pair);
  ui.stage.append(figure);

  const last = () => model.get("weights").length - 1,
    at = () => clamp(model.get("chosen"), 0, last());
  const move = (k, place) =>
    change(model, {
      chosen: k,
      positions: model
        .get("positions")
        .map((old, n) =>
          n === k && n > 0
            ? place.map((v) => clamp(Math.round(v * 20) / 20, -REACH, REACH) + 0)
            : old,
        ),
    });
  const axis = (name, label, n) =>
    slider({
      name,
      label,
      unit: "px",
      min: -REACH,
      max: REACH,
      step: 0.05,
      digits: 2,
      get: () => model.get("positions")[at()][n],
      set: (v) =>
        move(
          at(),
          model.get("positions")[at()].map((old, m) => (m === n ? v : old)),
        ),
    });
  const sides = [axis("y", "y (down)", 0), axis("x", "x (right)", 1)];
  const which = choice({
    name: "chosen",
    label: "Synapse",
    options: {},
    get: () => String(at()),
    set: (k) => change(model, { chosen: Number(k) }),
  });
  const kind = choice({
    name: "preset",
    label: "Preset",
    get: () => matching(model),
    set: (name) => name !== "own" && change(model, preset(name)),
    options: {
      relief: "picture and relief",
      plain: "3×3 blur",
      dilated: "dilated blur",
      ghost: "double exposure",
      edges: "edges between pixels",
      own: "your own",
    },
  });
  const controls = [
    kind,
    which,
    ...sides,
    slider({
      name: "weight",
      label: "Weight",
      min: -4,
      max: 4,
      step: 0.05,
      digits: 2,
      get: () => model.get("weights")[at()],
      set: (v) =>
        change(model, { weights: model.get("weights").map((old, k) => (k === at() ? v : old)) }),
    }),
  ];
  kind.el.classList.add("cn-wide");
  kind.el.style.setProperty("max-width", "24rem");
  ui.stage.prepend(kind.el); // before the discs, whose number it changes
  ui.panel.append(...controls.slice(1).map((c) => c.el));

  const pixels = h("span", { className: "cn-big", data: { shown: "pixels" } }),
    pixelsNote = h("span", { className: "cn-small", data: { shown: "learned" } });
  const sizes = h("span", { className: "cn-big", data: { shown: "window" } }),
    sizesNote = h("span", { className: "cn-small", data: { shown: "cost" } });
  ui.answer.append(
    ...[
      [pixels, pixelsNote],
      [sizes, sizesNote],
    ].map((pair) => h("div", { style: { flex: "1 1 15rem" } }, ...pair)),
  );

  let discs = [];
  function build(count) {
    discs = Array.from({ length: count }, (_, k) => synapse(k));
    over.replaceChildren(...discs);
    which.el
      .querySelector("select")
      .replaceChildren(
        ...discs.map((_, k) => h("option", { value: k }, k ? `${k + 1}` : "1 (in the middle)")),
      );
  }
  // A disc that is dragged or moved by the arrow keys; the first one stays where it is.
  function synapse(k) {
    const free = k > 0;
    const disc = h(
      "g",
      {
        ...(free ? { role: "application", tabindex: 0, ...KEYS } : { role: "img" }),
        data: free ? { control: `synapse-${k + 1}` } : {},
        style: { cursor: free ? "grab" : "default", "touch-action": "none" },
      },
      h("circle", { r: 20, fill: "transparent" }),
      h("circle", { r: 10, fill: "var(--cn-raised)", stroke: "var(--cn-accent)" }),
      h(
        "text",
        {
          y: 0.5,
          "font-size": 13,
          fill: "var(--cn-text)",
          "text-anchor": "middle",
          "dominant-baseline": "central",
        },
        `${k + 1}`,
      ),
    );
    if (!free) return disc;
    disc.addEventListener("focus", () => {
      if (at() !== k) change(model, { chosen: k });
    });
    disc.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.5 : 0.05;
      const [dy, dx] =
        { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[
          event.key
        ] ?? [];
      if (dy === undefined) return;
      event.preventDefault();
      const [y, x] = model.get("positions")[k];
      move(k, [y + dy, x + dx]);
    });
    disc.addEventListener("pointerdown", (event) => {
      disc.setPointerCapture(event.pointerId);
      disc.focus();
      event.preventDefault();
    });
    disc.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const box = over.getBoundingClientRect(),
        pixel = box.width / (7 + 2 / UNIT);
      move(k, [
        (event.clientY - box.top - box.height / 2) / pixel,
        (event.clientX - box.left - box.width / 2) / pixel,
      ]);
    });
    return disc;
  }

  function draw() {
    const weights = model.get("weights"),
      positions = model.get("positions"),
      bias = model.get("bias"),
      k = at();
    if (weights.length !== positions.length) return; // between two traits of one change
    if (discs.length !== weights.length) build(weights.length);
    const kernel = splat(weights, positions),
      size = touched(positions);
    const grid = kernelGrid(
      kernel,
      `The 7×7 kernel that the synapses make, ${size.pixels} of its pixels touched`,
      UNIT,
    );
    grid.style.setProperty("max-width", "none");
    grid.querySelectorAll("text").forEach((text, n) => {
      // a number stands where no disc hides it, below if it can
      const i = Math.floor(n / 7),
        j = n % 7,
        offset = beside(positions, i - REACH, j - REACH);
      text.setAttribute("y", (i + 0.5) * UNIT + offset);
      text.style.setProperty("font-size", "12px");
    });
    under.replaceChildren(grid);
    discs.forEach((disc, n) => {
      const [y, x] = positions[n];
      disc.setAttribute(
        "transform",
        `translate(${(x + REACH + 0.5) * UNIT} ${(y + REACH + 0.5) * UNIT})`,
      );
      disc.setAttribute(
        "aria-label",
        `Synapse ${n + 1} at y ${format(y)}, x ${format(x)}, weight ${format(weights[n])}`,
      );
      disc.children[1].setAttribute("stroke-width", n === k ? 4.5 : 2);
      disc.children[1].setAttribute("stroke-dasharray", weights[n] < 0 ? "4 3" : "none");
    });
    input.paint(photo, 3);
    input.surface.setAttribute("aria-label", model.get("alt"));
    input.text.replaceChildren(h("strong", {}, "Input"));
    output.paint(convolve(photo, height, width, kernel, bias), 3);
    output.surface.setAttribute(
      "aria-label",
      "The photograph filtered by the kernel, each colour by itself",
    );
    output.text.replaceChildren(h("strong", {}, "Output"), bias ? `, ${format(bias)} added` : "");
    controls.forEach((c) => c.refresh());
    sides.forEach((side) => {
      side.el.querySelector("input").disabled = k === 0;
    });
    const learned = 2 * weights.length - 2;
    pixels.textContent = `${size.pixels} pixels`;
    pixelsNote.textContent = `touched by ${weights.length} synapses: ${weights.length} weights and ${learned} coordinates to learn`;
    sizes.textContent = `${size.height}×${size.width}`;
    sizesNote.textContent = `window that holds them: ${size.height * size.width} multiply-adds a place and channel (a 3×3 kernel: 9)`;
    const [y, x] = positions[k];
    const part = (pixel, coordinate) => `(1 − |${format(pixel)} − ${signed(coordinate)}|)`;
    ui.formula.textContent = [
      `synapse ${k + 1} at (${format(y)}, ${format(x)}), weight ${format(weights[k])}, is shared among four pixels [u, v]:`,
      ...shares([y, x]).map(
        ([u, v, share]) =>
          `[${format(u)}, ${format(v)}]  ${signed(weights[k])} · ${part(u, y)} · ${part(v, x)} = ${format(weights[k] * share, 3)}`,
      ),
    ].join("\n");
    ui.say(`Synapse ${k + 1} at y ${format(y)}, x ${format(x)}; ${size.pixels} pixels touched`);
  }
  return follow(model, draw);
}

function signed(value) {
  return value < 0 ? `(${format(value)})` : format(value);
}

function matching(model) {
  const now = JSON.stringify([model.get("weights"), model.get("positions"), model.get("bias")]);
  return Object.keys(PRESETS).find((name) => JSON.stringify(PRESETS[name]) === now) ?? "own";
}

export default { render };
