// Stack layers and watch the receptive field grow: its size, its taps, its holes. Pure functions first, then the drawing.

const LIMITS = { kernel: [1, 7], stride: [1, 2], dilation: [1, 8], layers: [1, 4] };

// name → the layers from the input up, each [kernel size, stride, dilation]
export const PRESETS = {
  grid: [
    [3, 1, 2],
    [3, 1, 2],
    [3, 1, 2],
  ],
  hybrid: [
    [3, 1, 1],
    [3, 1, 2],
    [3, 1, 5],
  ],
  doubling: [
    [3, 1, 1],
    [3, 1, 2],
    [3, 1, 4],
  ],
  plain: [
    [3, 1, 1],
    [3, 1, 1],
    [3, 1, 1],
  ],
  strided: [
    [3, 2, 1],
    [3, 2, 1],
    [3, 1, 1],
  ],
  single: [[7, 1, 1]],
};

// The field after every layer: its size F and S, how many pixels lie between the fields of two neighbouring places.
export function grow(layers) {
  let size = 1,
    stride = 1;
  return layers.map(([k, s, d]) => {
    const step = (k - 1) * d * stride;
    size += step;
    stride *= s;
    return { size, stride, step };
  });
}

// Along one axis: how many paths lead from each of the F pixels of the field to the output place.
export function pathsAlong(layers) {
  let line = [1],
    stride = 1;
  for (const [k, s, d] of layers) {
    const gap = d * stride,
      longer = new Array(line.length + (k - 1) * gap).fill(0);
    for (let u = 0; u < k; u++)
      line.forEach((paths, n) => {
        longer[u * gap + n] += paths;
      });
    line = longer;
    stride *= s;
  }
  return line;
}

// What of the field is touched: the paths on the plane are the products of those along the axes.
export function touched(layers) {
  const line = pathsAlong(layers),
    size = line.length,
    along = line.filter((paths) => paths > 0).length;
  return {
    size,
    along,
    places: along * along,
    holes: size * size - along * along,
    share: (along / size) ** 2,
  };
}

// The places that one output place uses, level by level from the output (level 0) down to the input, in pixels of the
// input counted from the first pixel of the field; `taps` pairs each place with those of the next level that it reads.
export function levels(layers) {
  const fields = grow(layers),
    below = (n) => (n ? fields[n - 1].stride : 1);
  let places = [0];
  const found = [{ places, taps: [] }];
  for (let n = layers.length - 1; n >= 0; n--) {
    const [k, , d] = layers[n],
      gap = d * below(n),
      taps = [];
    for (const at of places) for (let u = 0; u < k; u++) taps.push([at, at + u * gap]);
    places = [...new Set(taps.map((pair) => pair[1]))].sort((a, b) => a - b);
    found.push({ places, taps });
  }
  return found;
}

// Stretches of equal values: [start, length, value].
export function runs(line) {
  const found = [];
  line.forEach((value, n) => {
    if (found.length && found.at(-1)[2] === value) found.at(-1)[1]++;
    else found.push([n, 1, value]);
  });
  return found;
}

export function torchCode(layers) {
  const lines = layers.map(
    ([k, s, d]) => `    torch.nn.Conv2d(1, 1, ${k}, stride=${s}, dilation=${d}),`,
  );
  return ["net = torch.nn.Sequential(", ...lines, ")"].join("\n");
}

// The side of the input that is drawn: a few fixed sizes, so that the field is seen to grow inside it.
export function canvasSide(layers) {
  const { size, stride } = grow(layers).at(-1);
  return (
    [17, 21, 25, 33, 49, 81, 129, 257, 513].find((side) => side >= size + 2 * stride) ??
    size + 2 * stride
  );
}

const SIDE = 420;

function tapGrid(layers, label) {
  const line = pathsAlong(layers),
    size = line.length,
    side = canvasSide(layers),
    unit = SIDE / side;
  const { stride } = grow(layers).at(-1),
    peak = Math.max(...line),
    start = Math.floor((side - size) / 2);
  const strength = (paths) => (paths / peak) ** 0.35,
    at = (n) => (start + n) * unit;
  const drawing = h("svg", {
    viewBox: `-2 -2 ${SIDE + 4} ${SIDE + 4}`,
    class: "cn-field",
    role: "img",
    "aria-label": label,
  });
  drawing.append(h("rect", { x: 0, y: 0, width: SIDE, height: SIDE, class: "cn-field-input" }));
  drawing.append(
    h("rect", {
      x: at(0),
      y: at(0),
      width: size * unit,
      height: size * unit,
      class: "cn-field-ground",
    }),
  );
  // Columns in orange, rows of the ground over them: what shines through is the product of the two.
  for (const [n, length, paths] of runs(line))
    if (paths)
      drawing.append(
        h("rect", {
          x: at(n),
          y: at(0),
          width: length * unit,
          height: size * unit,
          class: "cn-field-tap",
          "fill-opacity": strength(paths).toFixed(3),
        }),
      );
  for (const [n, length, paths] of runs(line))
    drawing.append(
      h("rect", {
        x: at(0),
        y: at(n),
        width: size * unit,
        height: length * unit,
        class: "cn-field-ground",
        "fill-opacity": (1 - strength(paths)).toFixed(3),
      }),
    );
  if (side <= 49) {
    const rules = Array.from(
      { length: side + 1 },
      (_, n) => `M${n * unit} 0V${SIDE}M0 ${n * unit}H${SIDE}`,
    ).join("");
    drawing.append(h("path", { d: rules, class: "cn-field-rule" }));
    const r = unit * 0.2;
    const cross = (i, j) =>
      `M${at(j + 0.5) - r} ${at(i + 0.5) - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
    const holes = line
      .map((a, i) => line.map((b, j) => (a * b ? "" : cross(i, j))).join(""))
      .join("");
    drawing.append(h("path", { d: holes, class: "cn-field-hole" }));
  }
  if (side <= 21)
    line.forEach((a, i) =>
      line.forEach(
        (b, j) =>
          a * b &&
          drawing.append(
            h(
              "text",
              {
                x: at(j + 0.5),
                y: at(i + 0.5),
                class:
                  strength(a) * strength(b) > 0.63
                    ? "cn-field-paths cn-field-strong"
                    : "cn-field-paths",
                "font-size": unit * (a * b > 99 ? 0.42 : 0.54),
              },
              format(a * b),
            ),
          ),
      ),
    );
  drawing.append(
    h("rect", {
      x: at(stride),
      y: at(0),
      width: size * unit,
      height: size * unit,
      class: "cn-field-next",
    }),
  );
  drawing.append(
    h("rect", {
      x: at(0),
      y: at(0),
      width: size * unit,
      height: size * unit,
      class: "cn-field-outline",
    }),
  );
  return drawing;
}

function sideView(layers, label) {
  const all = levels(layers),
    side = canvasSide(layers),
    unit = SIDE / side,
    gap = 46;
  const size = grow(layers).at(-1).size,
    start = Math.floor((side - size) / 2),
    centre = (size - 1) / 2;
  // A place of a level is drawn above the middle of its own field.
  const fields = grow(layers),
    half = (level) =>
      level === layers.length ? 0 : (fields[layers.length - level - 1].size - 1) / 2;
  const x = (place, level) => (start + place + half(level) + 0.5) * unit,
    y = (level) => 12 + level * gap;
  const drawing = h("svg", {
    viewBox: `-2 0 ${SIDE + 4} ${24 + layers.length * gap}`,
    class: "cn-field",
    role: "img",
    "aria-label": label,
  });
  const last = layers.length,
    r = Math.min(6, 0.4 * unit);
  const seen = new Set(all[last].places),
    lines = all
      .slice(1)
      .map(({ taps }, n) =>
        taps
          .map(
            ([from, to]) =>
              `M${x(from, n).toFixed(1)} ${y(n)}L${x(to, n + 1).toFixed(1)} ${y(n + 1)}`,
          )
          .join(""),
      )
      .join("");
  drawing.append(h("path", { d: lines, class: "cn-field-line" }));
  for (let n = 0; n < size; n++)
    if (!seen.has(n) && side <= 129)
      drawing.append(
        h("circle", {
          cx: x(n, last),
          cy: y(last),
          r: Math.max(0.8, 0.6 * r),
          class: "cn-field-missed",
        }),
      );
  all.forEach(({ places }, level) =>
    places.forEach((place) =>
      drawing.append(
        h("circle", {
          cx: x(place, level),
          cy: y(level),
          r,
          class:
            level === last
              ? "cn-field-node cn-field-in"
              : level
                ? "cn-field-node"
                : "cn-field-node cn-field-out",
        }),
      ),
    ),
  );
  return drawing;
}

function render({ model, el }) {
  const layers = () => model.get("layers");
  const copy = (list) => list.map((layer) => [...layer]);
  const ui = frame({
    el,
    model,
    name: "field-grower",
    label: "Stack layers and watch the receptive field grow",
    prompt:
      "Three layers of rate 2 leave a grid of holes. Change one of them so that no hole is left.",
    code: () => torchCode(layers()),
    initial: { layers: copy(PRESETS.grid) },
  });
  const plane = h("figure", { className: "cn-picture cn-wide" }),
    row = h("figure", { className: "cn-picture cn-wide" });
  ui.stage.append(plane);

  const controls = [
    choice({
      name: "preset",
      label: "Preset",
      get: () =>
        Object.keys(PRESETS).find(
          (name) => JSON.stringify(PRESETS[name]) === JSON.stringify(layers()),
        ) ?? "own",
      set: (name) => name !== "own" && change(model, { layers: copy(PRESETS[name]) }),
      options: {
        grid: "rates 2, 2, 2",
        hybrid: "rates 1, 2, 5",
        doubling: "rates 1, 2, 4",
        plain: "rates 1, 1, 1",
        strided: "strides 2, 2, 1",
        single: "one 7×7 kernel",
        own: "your own",
      },
    }),
    slider({
      name: "layers",
      label: "Layers",
      min: LIMITS.layers[0],
      max: LIMITS.layers[1],
      get: () => layers().length,
      set: (count) => {
        const now = copy(layers()).slice(0, count);
        while (now.length < count) now.push([3, 1, 1]);
        change(model, { layers: now });
      },
    }),
  ];
  const table = h("div", {});
  ui.panel.append(...controls.map((c) => c.el), table, row);
  const size = h("span", { className: "cn-big", data: { shown: "size" } }),
    share = h("span", { className: "cn-big", data: { shown: "share" } });
  const weights = h("span", { className: "cn-big", data: { shown: "weights" } });
  const sizeNote = h("span", { className: "cn-small" }),
    shareNote = h("span", { className: "cn-small" }),
    weightsNote = h("span", { className: "cn-small" });
  ui.answer.append(
    h("div", {}, size, sizeNote),
    h("div", {}, share, shareNote),
    h("div", {}, weights, weightsNote),
  );

  let cells = [];
  function build(count) {
    const names = ["kernel", "stride", "dilation"];
    cells = [];
    table.replaceChildren(
      h(
        "table",
        { className: "cn-matrix" },
        h("caption", {}, "The layers, from the input up: type, or use the arrow keys"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("td"),
            names.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          Array.from({ length: count }, (_, n) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, `layer ${n + 1}`),
              names.map((name, c) => {
                const one = cell({
                  name: `${name}-${n}`,
                  label: `layer ${n + 1}, ${name}`,
                  min: LIMITS[name][0],
                  max: LIMITS[name][1],
                  step: 1,
                  digits: 0,
                  get: () => layers()[n]?.[c] ?? 1,
                  set: (value) => {
                    const now = copy(layers());
                    if (!now[n] || now[n][c] === value) return;
                    now[n][c] = value;
                    change(model, { layers: now });
                  },
                });
                cells.push(one);
                return h("td", {}, one.el);
              }),
            ),
          ),
        ),
      ),
    );
  }

  function draw() {
    const now = layers(),
      fields = grow(now),
      found = touched(now),
      { stride } = fields.at(-1),
      side = canvasSide(now);
    if (cells.length !== 3 * now.length) build(now.length);
    controls.forEach((c) => c.refresh());
    cells.forEach((one) => one.refresh());
    const words = `a field of ${found.size} by ${found.size} pixels, ${found.places} of them touched, ${found.holes} holes`;
    plane.replaceChildren(
      tapGrid(now, `The input of ${side} by ${side} pixels with ${words}`),
      h(
        "figcaption",
        {},
        h("strong", {}, "Input"),
        ` of ${side}×${side} pixels. Outline: the field of one output place`,
        side <= 21 ? "; number: the paths from that pixel" : "; deeper: more paths",
        found.holes && side <= 49 ? "; ×: a hole" : "",
        `. Dashed: the field of the next place, ${stride} pixel${stride > 1 ? "s" : ""} further.`,
      ),
    );
    row.replaceChildren(
      sideView(
        now,
        `One row of the same, from the output through ${now.length} layers down to ${found.along} of ${found.size} pixels`,
      ),
      h(
        "figcaption",
        {},
        h("strong", {}, "One row"),
        ", from the output (top) through the layers to the pixels that it reads.",
      ),
    );
    size.textContent = `${format(found.size)} × ${format(found.size)}`;
    sizeNote.textContent = "the field, in pixels";
    share.textContent = `${format(100 * found.share, 1)} %`;
    shareNote.textContent = `of it touched, ${format(found.holes)} holes`;
    const own = now.reduce((sum, [k]) => sum + k * k, 0);
    weights.textContent = format(own);
    weightsNote.textContent = `weights (one kernel of that size: ${format(found.size ** 2)})`;
    const terms = now.map(([k, , d], n) => `${k - 1}·${d}·${n ? fields[n - 1].stride : 1}`);
    ui.formula.textContent =
      `F = 1 + Σ (k − 1)·d·S = 1 + ${terms.join(" + ")} = ${found.size}\n` +
      `touched = (${found.along} of ${found.size} along an axis)² = ${format(found.places)} of ${format(found.size ** 2)}\nS: the product of the strides of the layers below`;
    ui.say(words);
  }
  return follow(model, draw);
}

export default { render };
