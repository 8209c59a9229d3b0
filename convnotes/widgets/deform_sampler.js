// Where a deformable 3×3 kernel looks, and what it reads there. Pure functions first, then the drawing.
// A picture is a flat list of height · width numbers; places are (y, x) in its pixels; `grid` holds stride, padding and dilation.

const STEP = 1 / 256,
  REACH = 8,
  NUDGE = 0.25;
const TAPS = [
  "top left",
  "top",
  "top right",
  "left",
  "middle",
  "right",
  "bottom left",
  "bottom",
  "bottom right",
];

// The four pixels around a place, what each of them counts, and the sum: 0 outside the picture, which so fades over one pixel.
// `slope` is its derivative to (y, x), on pixels that downwards and to the right; 0 where y or x is −1 or less.
export function bilinear(x, height, width, [row, column]) {
  const top = Math.floor(row),
    left = Math.floor(column),
    below = row - top,
    right = column - left;
  const inside = row > -1 && row < height && column > -1 && column < width;
  const corners = [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ].map(([u, v]) => {
    const i = top + u,
      j = left + v,
      there = i >= 0 && i < height && j >= 0 && j < width;
    return {
      row: i,
      column: j,
      there,
      share: (u ? below : 1 - below) * (v ? right : 1 - right),
      value: there ? x[i * width + j] : 0,
    };
  });
  const [a, b, c, d] = corners.map((corner) => corner.value);
  return {
    corners,
    below,
    right,
    value: inside ? corners.reduce((sum, { share, value }) => sum + share * value, 0) : 0,
    slope: inside
      ? [(1 - right) * (c - a) + right * (d - b), (1 - below) * (b - a) + below * (d - c)]
      : [0, 0],
  };
}

// Where the nine taps of an output place lie, each moved by its own (Δy, Δx).
export function places([i, j], moves, { stride, padding, dilation }) {
  return moves.map(([dy, dx], k) => [
    i * stride - padding + Math.floor(k / 3) * dilation + dy,
    j * stride - padding + (k % 3) * dilation + dx,
  ]);
}

// y = bias + Σ_k w_k · x̃(place of tap k), and the samples that it is made of.
export function read(x, height, width, at, weight, bias) {
  const samples = at.map((place) => bilinear(x, height, width, place)),
    w = weight.flat();
  return { samples, value: samples.reduce((sum, sample, k) => sum + w[k] * sample.value, bias) };
}

// The stored offsets of an output place: [18][rows][columns] numbers of two bytes, Δy and Δx of each tap in turn.
export function stored(numbers, rows, columns, [i, j]) {
  const at = (channel) => numbers[(channel * rows + i) * columns + j] * STEP;
  return TAPS.map((_, k) => [at(2 * k), at(2 * k + 1)]);
}

// The offsets that make the plain kernel one of twice the dilation.
export function outwards(dilation) {
  return TAPS.map((_, k) => [(Math.floor(k / 3) - 1) * dilation, ((k % 3) - 1) * dilation]);
}

export function distance(moves) {
  return moves.reduce((sum, move) => sum + Math.hypot(...move), 0) / moves.length;
}

// The output at all places, row by row, for the offsets that `movesAt(place)` gives.
export function everywhere(x, height, width, rows, columns, movesAt, weight, bias, grid) {
  return Float64Array.from({ length: rows * columns }, (_, n) => {
    const place = [Math.floor(n / columns), n % columns];
    return read(x, height, width, places(place, movesAt(place), grid), weight, bias).value;
  });
}

// What a hand may set: at most REACH pixels each way, in steps of a stored number.
export function confined(move) {
  return move.map((v) => clamp(Math.round(v / STEP) * STEP, -REACH, REACH));
}

export function torchCode(moves, weight, bias, { stride, padding, dilation }) {
  const list = (values) =>
    `[${values.map((v) => (Array.isArray(v) ? list(v) : Number(v.toFixed(6)))).join(", ")}]`;
  return [
    "import torch",
    "from convnotes import deform_conv2d",
    "",
    "# the same offsets at every place: an active convolution",
    `moves = torch.tensor(${list(moves)})`,
    `weight = torch.tensor([[${list(weight)}]])`,
    `bias = torch.tensor([${Number(bias.toFixed(6))}])`,
    "",
    "def layer(picture):  # [1, 1, H, W]",
    `    rows, columns = ((side + ${2 * padding - 2 * dilation - 1}) // ${stride} + 1 for side in picture.shape[2:])`,
    "    offset = moves.view(1, 18, 1, 1).expand(1, 18, rows, columns)",
    `    return deform_conv2d(picture, offset, weight, bias, stride=${stride}, padding=${padding}, dilation=${dilation})`,
  ].join("\n");
}

const numbersOf = (view) =>
  Int16Array.from({ length: view.byteLength / 2 }, (_, n) => view.getInt16(2 * n, true));
const STILL = TAPS.map(() => [0, 0]);

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    rows = model.get("rows"),
    columns = model.get("columns");
  const photo = Float64Array.from(
    { length: height * width },
    (_, n) => model.get("image").getUint8(n) / 255,
  );
  const offsets = numbersOf(model.get("offsets"));
  const weight = model.get("weight"),
    bias = model.get("bias");
  const grid = {
    stride: model.get("stride"),
    padding: model.get("padding"),
    dilation: model.get("dilation"),
  };
  const constant = { grid: STILL, outwards: outwards(grid.dilation) };
  const movesAt = (place) =>
    model.get("source") === "learned"
      ? stored(offsets, rows, columns, place)
      : (constant[model.get("source")] ?? model.get("moves"));
  const now = () => movesAt(model.get("place"));
  const moved = (k, move) =>
    change(model, {
      moves: now().map((old, n) => confined(n === k ? move : old)),
      source: "hand",
      tap: k,
    });
  const initial = Object.fromEntries(
    ["source", "moves", "place", "tap"].map((name) => [name, structuredClone(model.get(name))]),
  );
  const ui = frame({
    el,
    model,
    name: "deform-sampler",
    label: "See where a deformable kernel looks, and move its taps",
    prompt:
      "Move the ring over the picture: where does the trained layer look? Then drag a tap, and see what it reads.",
    code: () => torchCode(now(), weight, bias, grid),
    initial,
  });

  // The picture, and on it the taps: a square where the plain grid has one, a line to a circle where it reads.
  const input = picture("", height, width),
    output = picture("", rows, columns);
  input.el.classList.add("cn-input", "cn-wide");
  output.el.classList.add("cn-output");
  const taps = h("svg", {
    viewBox: `-0.5 -0.5 ${width} ${height}`,
    role: "application",
    tabindex: 0,
    data: { control: "taps" },
    ...KEYS,
    style: {
      position: "absolute",
      inset: 0,
      width: "100%",
      height: "100%",
      overflow: "hidden",
      "pointer-events": "none",
    },
  });
  taps.addEventListener("keydown", (event) => {
    const k = model.get("tap"),
      [dy, dx] = now()[k],
      step = event.shiftKey ? 1 : NUDGE;
    const go = {
      ArrowUp: [-step, 0],
      ArrowDown: [step, 0],
      ArrowLeft: [0, -step],
      ArrowRight: [0, step],
    }[event.key];
    if (go) moved(k, [dy + go[0], dx + go[1]]);
    else if (/^[1-9]$/.test(event.key)) change(model, { tap: Number(event.key) - 1 });
    else return;
    event.preventDefault();
  });
  let held = null;
  const placeOf = (event) => {
    const box = input.surface.getBoundingClientRect();
    return [
      ((event.clientY - box.top) / box.height) * height - 0.5,
      ((event.clientX - box.left) / box.width) * width - 0.5,
    ];
  };
  taps.addEventListener("pointerdown", (event) => {
    const k = event.target.dataset?.tap;
    if (k === undefined) return;
    event.stopPropagation();
    event.preventDefault();
    held = Number(k);
    taps.setPointerCapture(event.pointerId);
    taps.focus({ preventScroll: true });
    change(model, { tap: held });
  });
  taps.addEventListener("pointermove", (event) => {
    if (held === null) return;
    event.stopPropagation();
    const [y, x] = placeOf(event),
      [row, column] = places(model.get("place"), STILL, grid)[held];
    moved(held, [y - row, x - column]);
  });
  for (const end of ["pointerup", "pointercancel"])
    taps.addEventListener(end, () => {
      held = null;
    });

  // The ring goes from output place to output place: by keys to the next one, by the pointer to the nearest.
  let pointing = false;
  input.holder.addEventListener("pointerdown", () => {
    pointing = true;
  });
  input.holder.addEventListener(
    "keydown",
    () => {
      pointing = false;
    },
    true,
  );
  const middle = grid.dilation - grid.padding,
    pixel = (n) => n * grid.stride + middle;
  const nearest = (at, old, count) => {
    const n = (at - middle) / grid.stride,
      whole = pointing ? Math.round(n) : n > old ? Math.ceil(n) : Math.floor(n);
    return clamp(whole, 0, count - 1);
  };
  const ring = probe({
    name: "place",
    label: "Output place, in the picture at",
    on: input,
    height,
    width,
    get: () => model.get("place").map(pixel),
    set: ([row, column]) => {
      const [i, j] = model.get("place"),
        place = [nearest(row, i, rows), nearest(column, j, columns)];
      if (place[0] !== i || place[1] !== j) change(model, { place });
    },
  });
  input.holder.append(taps);
  const close = h("figure", { className: "cn-picture" });
  ui.stage.append(input.el, close, output.el);

  const offset = (name, label, axis) =>
    slider({
      name,
      label,
      unit: "px",
      min: -REACH,
      max: REACH,
      step: NUDGE / 5,
      digits: 2,
      get: () => now()[model.get("tap")][axis],
      set: (v) =>
        moved(
          model.get("tap"),
          now()[model.get("tap")].map((old, n) => (n === axis ? v : old)),
        ),
    });
  const controls = [
    choice({
      name: "source",
      label: "Offsets",
      get: () => model.get("source"),
      set: (source) =>
        change(model, source === "hand" ? { moves: now().map(confined), source } : { source }),
      options: {
        learned: "learned",
        grid: "none (plain)",
        outwards: "outwards (dilated)",
        hand: "by hand",
      },
    }),
    choice({
      name: "tap",
      label: "Tap",
      get: () => String(model.get("tap")),
      set: (tap) => change(model, { tap: Number(tap) }),
      options: Object.fromEntries(TAPS.map((name, k) => [k, `${k + 1}, ${name}`])),
    }),
    offset("dy", "Δy, down", 0),
    offset("dx", "Δx, right", 1),
  ];
  ui.panel.append(
    ...controls.map((c) => c.el),
    h(
      "figure",
      { className: "cn-picture" },
      kernelGrid(weight, "The 3×3 kernel"),
      h("figcaption", {}, h("strong", {}, "Kernel"), ", one weight a tap"),
    ),
  );

  const away = h("span", { className: "cn-big", data: { shown: "distance" } }),
    value = h("span", { className: "cn-big", data: { shown: "value" } });
  ui.answer.append(
    ...[
      [away, "mean distance of the taps from the plain grid"],
      [value, "output at this place"],
    ].map(([big, note]) =>
      h("div", { style: { flex: "1 1 12rem" } }, big, h("span", { className: "cn-small" }, note)),
    ),
  );

  // The four pixels around the chosen tap, and the tap between them.
  function zoom({ corners, below, right }) {
    const unit = 60,
      drawing = h("svg", {
        viewBox: `-1 -1 ${2 * unit + 2} ${2 * unit + 2}`,
        class: "cn-kernelgrid",
        role: "img",
        "aria-label": `The four pixels around tap ${model.get("tap") + 1}: ${corners.map((c) => `${format(c.value)} counts ${format(c.share)}`).join(", ")}`,
      });
    corners.forEach(({ value: grey, share, there }, n) => {
      const x = (n % 2) * unit,
        y = Math.floor(n / 2) * unit,
        ink = grey > 0.45 ? "#000" : "#fff",
        tone = Math.round(255 * grey);
      drawing.append(
        h("rect", {
          x,
          y,
          width: unit,
          height: unit,
          fill: there ? `rgb(${tone},${tone},${tone})` : "#000",
          stroke: "var(--cn-muted)",
        }),
        h(
          "text",
          {
            x: x + (n % 2 ? unit - 4 : 4),
            y: y + (n < 2 ? 12 : unit - 18),
            fill: ink,
            "font-size": 11,
            "text-anchor": n % 2 ? "end" : "start",
          },
          there ? format(grey) : "0, outside",
        ),
        h(
          "text",
          {
            x: x + (n % 2 ? unit - 4 : 4),
            y: y + (n < 2 ? 24 : unit - 6),
            fill: ink,
            "font-size": 11,
            "text-anchor": n % 2 ? "end" : "start",
          },
          `× ${format(share)}`,
        ),
      );
    });
    const cx = (0.5 + right) * unit,
      cy = (0.5 + below) * unit;
    drawing.append(
      h("rect", {
        x: unit / 2,
        y: unit / 2,
        width: unit,
        height: unit,
        fill: "none",
        stroke: "var(--cn-accent)",
        "stroke-width": 1.5,
        "stroke-dasharray": "4 3",
      }),
      h("circle", { cx, cy, r: 6, fill: "var(--cn-kernel)", stroke: "#000", "stroke-width": 1.5 }),
      h("circle", { cx, cy, r: 7.5, fill: "none", stroke: "#fff", "stroke-width": 1.5 }),
    );
    return drawing;
  }

  function draw() {
    const place = model.get("place"),
      tap = model.get("tap"),
      moves = now();
    const from = places(place, STILL, grid),
      at = places(place, moves, grid),
      { samples, value: y } = read(photo, height, width, at, weight, bias);
    input.paint(photo, 1);
    input.surface.setAttribute("aria-label", model.get("alt"));
    const outside = at.filter(
      ([row, column]) => row <= -1 || row >= height || column <= -1 || column >= width,
    ).length;
    input.text.replaceChildren(
      h("strong", {}, "Input"),
      `: ring, the output place; squares, the plain grid; circles, what is read${outside ? `; ${outside} outside, 0` : ""}`,
    );
    const order = [...TAPS.keys()].sort((a, b) => (a === tap) - (b === tap)); // the chosen one on top
    taps.replaceChildren(
      h("rect", {
        x: from[0][1] - 0.5,
        y: from[0][0] - 0.5,
        width: 2 * grid.dilation + 1,
        height: 2 * grid.dilation + 1,
        fill: "none",
        stroke: "#56b4e9",
        "stroke-width": 0.18,
      }),
      ...order.flatMap((k) => [
        h("rect", {
          x: from[k][1] - 0.22,
          y: from[k][0] - 0.22,
          width: 0.44,
          height: 0.44,
          fill: "none",
          stroke: "#fff",
          "stroke-width": 0.12,
        }),
        h("line", {
          x1: from[k][1],
          y1: from[k][0],
          x2: at[k][1],
          y2: at[k][0],
          stroke: k === tap ? "#ff8c42" : "#fff",
          "stroke-width": 0.14,
        }),
      ]),
      ...order.flatMap((k) => [
        h("circle", {
          cx: at[k][1],
          cy: at[k][0],
          r: k === tap ? 0.5 : 0.36,
          fill: "var(--cn-kernel)",
          stroke: "#000",
          "stroke-width": 0.12,
        }),
        ...(k === tap
          ? [
              h("circle", {
                cx: at[k][1],
                cy: at[k][0],
                r: 0.62,
                fill: "none",
                stroke: "#fff",
                "stroke-width": 0.14,
              }),
            ]
          : []),
        h("circle", {
          cx: at[k][1],
          cy: at[k][0],
          r: 0.95,
          fill: "transparent",
          data: { tap: k },
          style: { "pointer-events": "all", cursor: "grab", "touch-action": "none" },
        }),
      ]),
    );
    taps.setAttribute(
      "aria-label",
      `Tap ${tap + 1}, ${TAPS[tap]}, of nine: reads at row ${format(at[tap][0])}, column ${format(at[tap][1])}. Arrow keys move it, 1 to 9 choose`,
    );
    ring.refresh();
    controls.forEach((c) => c.refresh());

    const { corners, value: sample, slope } = samples[tap],
      where = `(${format(at[tap][0])}, ${format(at[tap][1])})`;
    close.replaceChildren(
      zoom(samples[tap]),
      h("figcaption", {}, h("strong", {}, `Tap ${tap + 1}`), `: four pixels around ${where}`),
    );
    const map = everywhere(photo, height, width, rows, columns, movesAt, weight, bias, grid);
    const least = Math.min(...map),
      most = Math.max(...map);
    output.paint(
      map.map((v) => (v - least) / Math.max(most - least, 1e-12)),
      1,
    );
    output.surface.setAttribute(
      "aria-label",
      `The output at all ${rows}×${columns} places, from ${format(least)} (black) to ${format(most)} (white)`,
    );
    output.text.replaceChildren(h("strong", {}, "Output"), `, ${format(least)} to ${format(most)}`);

    away.textContent = `${format(distance(moves))} px`;
    value.textContent = format(y, 3);
    const w = weight.flat(),
      inside = corners.map((c) => `${format(c.share)}·${format(c.value)}`).join(" + ");
    ui.formula.textContent = [
      `x̃${where} = ${inside} = ${format(sample, 3)}`,
      `∂x̃/∂Δy = ${format(slope[0], 3)}   ∂x̃/∂Δx = ${format(slope[1], 3)}   ∂y/∂Δ = w · ∂x̃/∂Δ = ${format(w[tap])} · (${slope.map((v) => format(v, 3)).join(", ")})`,
      `y = b + Σ w·x̃ = ${format(bias)}${w.map((v, k) => ` ${v < 0 ? "−" : "+"} ${format(Math.abs(v))}·${format(samples[k].value)}`).join("")} = ${format(y, 3)}`,
    ].join("\n");
    ui.say(
      `Output ${format(y, 3)}; the taps are ${format(distance(moves))} pixels from the plain grid on average; tap ${tap + 1} reads ${format(sample, 3)}`,
    );
  }
  return follow(model, draw);
}

export default { render };
