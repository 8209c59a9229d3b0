// Stack 3×3 kernels: what they reach, what they compose, what one large kernel would cost. Pure functions first.

const MOST = 5;

export const PRESETS = {
  box: [
    [1, 1, 1],
    [1, 1, 1],
    [1, 1, 1],
  ],
  binomial: [
    [1, 2, 1],
    [2, 4, 2],
    [1, 2, 1],
  ],
  sobel: [
    [-1, 0, 1],
    [-2, 0, 2],
    [-1, 0, 1],
  ],
  laplacian: [
    [0, 1, 0],
    [1, -4, 1],
    [0, 1, 0],
  ],
  identity: [
    [0, 0, 0],
    [0, 1, 0],
    [0, 0, 0],
  ],
  corner: [
    [1, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
  ],
};

// The one kernel that two layers make: K[y][x] = Σ_{u,v} first[u][v] · second[y − u][x − v].
export function composeTwo(first, second) {
  const rows = first.length + second.length - 1,
    columns = first[0].length + second[0].length - 1;
  const whole = Array.from({ length: rows }, () => new Array(columns).fill(0));
  first.forEach((row, u) =>
    row.forEach((a, v) =>
      second.forEach((line, y) =>
        line.forEach((b, x) => {
          whole[u + y][v + x] += a * b;
        }),
      ),
    ),
  );
  return whole;
}

export function compose(kernels) {
  return kernels.reduce(composeTwo, [[1]]);
}

// Pixels on a side that one output of `layers` layers sees: each adds size − 1.
export function reach(layers, size = 3) {
  return layers * (size - 1) + 1;
}

// Weights and multiply-adds a place, without biases, of the stack and of the one kernel of its reach.
export function counts(layers, inputs, outputs = inputs) {
  const large = reach(layers);
  return {
    stack: 9 * inputs * outputs + 9 * (layers - 1) * outputs * outputs,
    large: large * large * inputs * outputs,
  };
}

// Share of the size (absolute value) of a kernel's weights in its middle 3×3.
export function middle(kernel) {
  const from = Math.max(0, (kernel.length - 3) / 2),
    size = (part) => part.flat().reduce((sum, v) => sum + Math.abs(v), 0);
  const all = size(kernel);
  return all ? size(kernel.slice(from, from + 3).map((row) => row.slice(from, from + 3))) / all : 0;
}

// The taps as they are drawn: as they are where they are short, else in per cent of the largest.
export function readable(kernel) {
  const peak = Math.max(...kernel.flat().map(Math.abs));
  const short = kernel.flat().every((v) => format(v).length <= 4);
  return short || !peak
    ? { taps: kernel, note: "" }
    : {
        taps: kernel.map((row) => row.map((v) => Math.round((100 * v) / peak))),
        note: ", in % of its largest tap",
      };
}

export function torchCode(kernels) {
  const list = (row) => `[${row.map((v) => Number(v.toFixed(6))).join(", ")}]`,
    n = reach(kernels.length);
  return [
    `kernels = torch.tensor([${kernels.map((k) => `[${k.map(list).join(", ")}]`).join(", ")}])`,
    `stack = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, bias=False) for _ in kernels])`,
    `for layer, kernel in zip(stack, kernels):`,
    `    layer.weight.data = kernel[None, None]`,
    `large = torch.nn.Conv2d(1, 1, ${n}, bias=False)  # the same map, in one layer`,
    `large.weight.data = torch.tensor([${compose(kernels).map(list).join(", ")}])[None, None]`,
  ].join("\n");
}

function render({ model, el }) {
  const copies = (kernel, n) => Array.from({ length: n }, () => kernel.map((row) => [...row]));
  const ui = frame({
    el,
    model,
    name: "kernel-stack-viewer",
    label: "Stack 3×3 kernels and compare them with one large kernel",
    prompt:
      "Add layers: what happens to the reach, to the price of the one large kernel, and to the middle of the composed one?",
    code: () => torchCode(model.get("kernels")),
    initial: { kernels: copies(PRESETS.box, 3), channels: 64, edited: 0 },
  });

  const panel = (parent) => {
    const place = h("div", {}),
      text = h("figcaption", {});
    const figure = h("figure", { className: "cn-picture cn-wide" }, place, text);
    parent.append(figure);
    return {
      show(drawing, ...words) {
        place.replaceChildren(drawing);
        text.replaceChildren(...words);
      },
    };
  };
  const pyramid = panel(ui.stage),
    composed = panel(ui.stage);

  const shown = () =>
    model.get("kernels")[
      Math.max(0, Math.min(model.get("edited"), model.get("kernels").length) - 1)
    ];
  const put = (kernel) => {
    const edited = model.get("edited");
    change(model, {
      kernels: model
        .get("kernels")
        .map((old, n) => (edited === 0 || edited === n + 1 ? kernel : old).map((row) => [...row])),
    });
  };
  const resize = (layers) => {
    const kernels = model.get("kernels");
    change(model, {
      edited: Math.min(model.get("edited"), layers),
      kernels: Array.from({ length: layers }, (_, n) =>
        (kernels[n] ?? kernels[kernels.length - 1]).map((row) => [...row]),
      ),
    });
  };
  const sides = ["top", "middle", "bottom"],
    across = ["left", "middle", "right"];
  const table = matrix({
    name: "kernel",
    caption: "Its kernel",
    rows: sides,
    columns: across,
    min: -9,
    max: 9,
    step: 0.5,
    get: (i, j) => shown()[i][j],
    set: (i, j, value) => {
      const kernel = shown().map((row) => [...row]);
      kernel[i][j] = value;
      put(kernel);
    },
  });
  const controls = [
    slider({
      name: "layers",
      label: "3×3 layers",
      min: 1,
      max: MOST,
      get: () => model.get("kernels").length,
      set: resize,
    }),
    slider({
      name: "channels",
      label: "Channels",
      min: 1,
      max: 512,
      get: () => model.get("channels"),
      set: (channels) => change(model, { channels }),
    }),
    choice({
      name: "edited",
      label: "Change",
      get: () => model.get("edited"),
      set: (n) => change(model, { edited: Number(n) }),
      options: { 0: "all layers" },
    }),
    choice({
      name: "preset",
      label: "Preset",
      get: () => matching(shown()),
      set: (name) => name !== "own" && put(PRESETS[name]),
      options: {
        box: "box",
        binomial: "binomial",
        sobel: "Sobel",
        laplacian: "Laplacian",
        identity: "identity",
        corner: "one corner",
        own: "your own",
      },
    }),
  ];
  ui.panel.append(...controls.map((c) => c.el), table.el);
  const tiles = panel(ui.panel);

  const cost = h("span", { className: "cn-big", data: { shown: "parameters" } }),
    costNote = h("span", { className: "cn-small" });
  const field = h("span", { className: "cn-big", data: { shown: "reach" } });
  const share = h("span", { className: "cn-big", data: { shown: "middle" } }),
    shareNote = h("span", { className: "cn-small" });
  ui.answer.append(
    h("div", {}, cost, costNote),
    h("div", {}, field, h("span", { className: "cn-small" }, "pixels seen by one output")),
    h("div", {}, share, shareNote),
  );

  function draw() {
    const kernels = model.get("kernels"),
      layers = kernels.length,
      channels = model.get("channels"),
      edited = model.get("edited");
    const size = reach(layers),
      whole = compose(kernels),
      here = counts(layers, channels),
      now = readable(whole);
    pyramid.show(
      maps(layers, edited),
      h("strong", {}, "Maps"),
      `: what one output sees in each of them, down to ${size}×${size} pixels of the input`,
    );
    const grid = kernelGrid(
      now.taps,
      `The composed kernel, ${size} by ${size}${now.note}`,
      44 - Math.max(0, size - 5) * 1.5,
    );
    grid.style.maxWidth = `${Math.min(24, 3 * size)}rem`;
    composed.show(
      grid,
      h("strong", {}, "Composed kernel"),
      ` of one channel without ReLU, ${size}×${size}${now.note}`,
    );
    tiles.show(
      count(layers),
      h("strong", {}, "Weights a channel pair"),
      `: ${layers} · 9 = ${9 * layers} in the stack, ${size}² = ${size * size} in the large kernel`,
    );
    const layerList = controls[2].el.querySelector("select");
    while (layerList.options.length > layers + 1) layerList.lastChild.remove();
    for (let n = layerList.options.length; n <= layers; n++)
      layerList.append(h("option", { value: n }, `layer ${n}`));
    controls.forEach((c) => c.refresh());
    table.refresh();
    table.el.caption.textContent = edited ? `Kernel of layer ${edited}` : "Kernel of all layers";
    cost.textContent = `${format(here.stack)} : ${format(here.large)}`;
    costNote.textContent = `weights of the stack : of one ${size}×${size} kernel (${format((100 * here.stack) / here.large, 0)} %)`;
    field.textContent = `${size}×${size}`;
    share.textContent = `${format(100 * middle(whole), 0)} %`;
    shareNote.textContent = `of the composed weight lies in the middle 3×3 (${format(900 / (size * size), 0)} % if all taps were equal)`;
    ui.formula.textContent = `stack  ${layers} · 3² · ${channels}² = ${format(here.stack)}\nlarge  ${size}² · ${channels}² = ${format(here.large)}`;
    ui.say(
      `${layers} layers see ${size} by ${size} pixels with ${format((100 * here.stack) / here.large, 0)} % of the large kernel's weights`,
    );
  }
  return follow(model, draw);
}

// The maps as tilted plates, the output on top; on each the part that one output sees.
function maps(layers, edited) {
  const cells = 2 * layers + 3,
    cell = 190 / cells,
    tilt = 0.35,
    lean = 0.4,
    deep = cells * cell * tilt,
    gap = 26;
  const step = Math.max(46, deep * 0.55 + gap - 4 * layers),
    height = step * layers + deep + 8;
  const drawing = h("svg", {
    viewBox: `0 0 440 ${height}`,
    class: "cn-stack",
    role: "img",
    "aria-label": `${layers + 1} maps, from the output, where one place is marked, down to the input, where ${reach(layers)} by ${reach(layers)} pixels are outlined`,
  });
  const at = (level, row, column) => [
    4 + column * cell + (cells - row) * cell * lean,
    4 + level * step + row * cell * tilt,
  ];
  const path = (points) => `M${points.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join("L")}Z`;
  const square = (level, from, to) => [
    at(level, from, from),
    at(level, from, to),
    at(level, to, to),
    at(level, to, from),
  ];
  for (let level = layers; level >= 0; level--) {
    const sees = reach(level),
      from = (cells - sees) / 2,
      to = from + sees,
      last = level === layers;
    drawing.append(h("path", { d: path(square(level, 0, cells)), class: "cn-plate" }));
    for (let n = 1; n < cells; n++) {
      for (const [a, b] of [
        [at(level, n, 0), at(level, n, cells)],
        [at(level, 0, n), at(level, cells, n)],
      ]) {
        drawing.append(h("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "cn-rule" }));
      }
    }
    if (!last) {
      const under = (cells - reach(level + 1)) / 2;
      [
        [from, from, under, under],
        [to, from, cells - under, under],
        [from, to, under, cells - under],
        [to, to, cells - under, cells - under],
      ].forEach(([r, c, r2, c2]) => {
        const [a, b] = [at(level, r, c), at(level + 1, r2, c2)];
        drawing.append(h("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "cn-ray" }));
      });
    }
    drawing.append(
      h("path", {
        d: path(square(level, from, to)),
        class: `cn-seen ${last ? "cn-seen-input" : level ? "" : "cn-seen-output"}`,
      }),
    );
    const words = level === 0 ? "output" : last ? "input" : `after layer ${layers - level}`;
    const [x, y] = [4 + cells * cell * (1 + lean) + 8, 4 + level * step + deep * 0.5];
    drawing.append(h("text", { x, y, class: "cn-stacktext" }, `${words}: ${sees}×${sees}`));
    if (level < layers)
      drawing.append(
        h(
          "text",
          {
            x,
            y: y + step / 2,
            class: `cn-stacktext cn-stacklayer${edited === layers - level ? " cn-picked" : ""}`,
          },
          `↕ 3×3, layer ${layers - level}${edited === layers - level ? " ◂" : ""}`,
        ),
      );
  }
  return drawing;
}

// As many cells as weights: the large kernel, and beside it the kernels of the stack.
function count(layers) {
  const size = reach(layers),
    unit = 14,
    columns = Math.ceil(layers / Math.max(1, Math.floor((size + 1) / 4)));
  const width = (size + 2 + columns * 4) * unit,
    drawing = h("svg", {
      viewBox: `-1 -1 ${width + 2} ${Math.max(size, 3) * unit + 2}`,
      class: "cn-count",
      role: "img",
      "aria-label": `A grid of ${size} by ${size} weights beside ${layers} grids of 3 by 3`,
    });
  const grid = (side, left, top, className) => {
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++)
        drawing.append(
          h("rect", {
            x: left + j * unit,
            y: top + i * unit,
            width: unit,
            height: unit,
            class: className,
          }),
        );
  };
  grid(size, 0, 0, "cn-large");
  const perColumn = Math.ceil(layers / columns);
  for (let n = 0; n < layers; n++)
    grid(
      3,
      (size + 2 + 4 * Math.floor(n / perColumn)) * unit,
      4 * (n % perColumn) * unit,
      "cn-small-tap",
    );
  drawing.style.maxWidth = `${width / 14}rem`;
  return drawing;
}

function matching(kernel) {
  const now = JSON.stringify(kernel);
  return Object.keys(PRESETS).find((name) => JSON.stringify(PRESETS[name]) === now) ?? "own";
}

export default { render };
