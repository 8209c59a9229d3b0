// Enlarge a picture and see which kernel size answers. Pure functions first, then the drawing. Maps are flat arrays of
// square pictures, a kernel is a nested list of rows.

export const SIZES = [3, 5, 7];
export const WINDOW = 33; // pixels of the picture that are shown, its middle
export const LARGEST = 129;
export const MOST = 4; // parts of one size

// The mean of the inner (k − 2)² taps less the mean of the ring around them.
export function centreSurround(size) {
  return Array.from({ length: size }, (_, u) =>
    Array.from({ length: size }, (_, v) =>
      u % (size - 1) && v % (size - 1) ? 1 / (size - 2) ** 2 : -1 / (4 * (size - 1)),
    ),
  );
}

// For each of `to` pixels the first of the `from` pixels that it takes, and their shares: a triangle as wide as a pixel.
export function shares(from, to) {
  const ratio = from / to,
    reach = Math.max(1, ratio);
  return Array.from({ length: to }, (_, i) => {
    const centre = ratio * (i + 0.5),
      first = Math.max(0, Math.floor(centre - reach + 0.5)),
      end = Math.min(from, Math.floor(centre + reach + 0.5));
    const weights = Array.from({ length: end - first }, (_, n) =>
      Math.max(0, 1 - Math.abs(first + n + 0.5 - centre) / reach),
    );
    const sum = weights.reduce((total, w) => total + w, 0);
    return [first, weights.map((w) => w / sum)];
  });
}

// A picture of from×from pixels as one of to×to, without aliasing.
export function resize(x, from, to) {
  const table = shares(from, to),
    rows = new Float64Array(from * to),
    y = new Float64Array(to * to);
  for (let i = 0; i < from; i++)
    table.forEach(([first, weights], j) => {
      rows[i * to + j] = weights.reduce((sum, w, n) => sum + w * x[i * from + first + n], 0);
    });
  table.forEach(([first, weights], i) =>
    weights.forEach((w, n) => {
      for (let j = 0; j < to; j++) y[i * to + j] += w * rows[(first + n) * to + j];
    }),
  );
  return y;
}

// Where the window begins in a picture of side×side pixels.
export const edge = (side) => (side - WINDOW) / 2;

export function middle(x, side) {
  const y = new Float64Array(WINDOW * WINDOW);
  for (let i = 0; i < WINDOW; i++)
    for (let j = 0; j < WINDOW; j++)
      y[i * WINDOW + j] = x[(i + edge(side)) * side + j + edge(side)];
  return y;
}

// What a kernel gives at the places of the window; the picture is 0 outside itself, not outside the window.
export function respond(x, side, kernel) {
  const y = new Float64Array(WINDOW * WINDOW),
    reach = (kernel.length - 1) / 2;
  kernel.forEach((row, u) =>
    row.forEach((w, v) => {
      for (let i = 0; i < WINDOW; i++) {
        const m = i + edge(side) + u - reach;
        if (m < 0 || m >= side) continue;
        for (let j = 0; j < WINDOW; j++) {
          const n = j + edge(side) + v - reach;
          if (n >= 0 && n < side) y[i * WINDOW + j] += w * x[m * side + n];
        }
      }
    }),
  );
  return y;
}

// The number of the size, among those that the layer has, with the largest value by size.
export function strongest(values, parts) {
  return SIZES.map((_, s) => s)
    .filter((s) => parts[s])
    .reduce((best, s) => (Math.abs(values[s]) > Math.abs(values[best]) ? s : best));
}

export function kernelSizes(parts) {
  return parts.flatMap((count, s) => Array(count).fill(SIZES[s]));
}

// What MixedConv2d(channels, channels, kernelSizes(parts), bias=False) takes on the places of the window.
export function layerCost(parts, channels, depthwise) {
  const sizes = kernelSizes(parts),
    each = Math.floor(channels / sizes.length);
  const splits = sizes.map((_, n) => (n ? each : each + (channels % sizes.length)));
  const params = sizes.reduce(
    (sum, k, n) => sum + splits[n] * (depthwise ? 1 : splits[n]) * k * k,
    0,
  );
  const shared = SIZES.map((k) => splits.reduce((sum, c, n) => sum + (sizes[n] === k ? c : 0), 0));
  return {
    sizes,
    splits,
    shared,
    params,
    macs: params * WINDOW * WINDOW,
    field: Math.max(...sizes),
  };
}

export function torchCode(parts, channels, depthwise) {
  const sizes = kernelSizes(parts);
  return [
    "import torch",
    "from convnotes import MixedConv2d",
    "",
    `layer = MixedConv2d(${channels}, ${channels}, kernel_sizes=(${sizes.join(", ")}${sizes.length > 1 ? "" : ","}), depthwise=${depthwise ? "True" : "False"}, bias=False)`,
    `y = layer(torch.rand(1, ${channels}, ${WINDOW}, ${WINDOW}))`,
  ].join("\n");
}

function render({ model, el }) {
  const size = model.get("size"),
    channels = model.get("channels"),
    bytes = model.get("image");
  const photo = Float64Array.from(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (v) => v / 255,
  );
  const kernels = SIZES.map(centreSurround);
  const ui = frame({
    el,
    model,
    name: "mixed-kernels",
    label: "Enlarge a picture and see which kernel size answers",
    prompt:
      "Enlarge the picture. Which kernel answers most strongly at the ring, and when does the next one take over?",
    code: () => torchCode(model.get("parts"), channels, model.get("depthwise")),
    initial: model.get("first"),
  });

  const input = picture("", WINDOW, WINDOW),
    maps = SIZES.map(() => picture("", WINDOW, WINDOW));
  input.el.classList.add("cn-input", "cn-wide");
  input.el.style.setProperty("max-width", "20rem");
  ui.stage.append(input.el);
  const outline = input.holder.appendChild(h("div", { className: "cn-window" }));
  const marks = maps.map((map) =>
    map.holder.appendChild(h("div", { className: "cn-ring", "aria-hidden": "true" })),
  );
  const grids = kernels.map((kernel, s) => {
    const k = SIZES[s],
      unit = 44,
      drawing = kernelGrid(
        kernel,
        `The ${k}×${k} kernel: 1/${(k - 2) ** 2} inside, −1/${4 * (k - 1)} on the ring`,
        unit,
      );
    drawing.append(
      h("rect", {
        x: unit,
        y: unit,
        width: (k - 2) * unit,
        height: (k - 2) * unit,
        class: "cn-seen cn-seen-output",
      }),
    );
    drawing.style.setProperty("max-width", "none");
    return h(
      "figure",
      {
        className: "cn-picture",
        style: { flex: `${k} 1 ${2.3 * k}rem`, "max-width": `${2.75 * k}rem` },
      },
      drawing,
      h(
        "figcaption",
        {},
        h("strong", {}, `Kernel ${k}×${k}`),
        k > 3
          ? `: 1/${(k - 2) ** 2} inside the outline, −1/${4 * (k - 1)} on the ring`
          : ": 1, −1/8",
      ),
    );
  });
  const row = h(
    "div",
    {
      style: {
        display: "flex",
        "flex-wrap": "wrap",
        gap: ".5rem .75rem",
        "align-items": "end",
        "margin-top": ".75rem",
      },
    },
    ...grids,
  );
  const thirds = h(
    "div",
    { className: "cn-thirds", style: { "margin-top": ".75rem" } },
    ...maps.map((map) => map.el),
  );
  ui.stage.parentElement.after(row, thirds);

  const share = (s) =>
    slider({
      name: `parts-${SIZES[s]}`,
      label: `Parts of ${SIZES[s]}×${SIZES[s]}`,
      min: 0,
      max: MOST,
      get: () => model.get("parts")[s],
      set: (count) => {
        const parts = model.get("parts").map((old, n) => (n === s ? count : old));
        if (parts.some((n) => n)) change(model, { parts });
        else draw(); // a layer has one part at least
      },
    });
  const controls = [
    slider({
      name: "side",
      label: "Picture's side",
      unit: "px",
      min: WINDOW,
      max: LARGEST,
      step: 4,
      get: () => model.get("side"),
      set: (side) => change(model, { side }),
    }),
    ...SIZES.map((_, s) => share(s)),
    toggle({
      name: "depthwise",
      label: "Depthwise: one kernel a channel",
      get: () => model.get("depthwise"),
      set: (depthwise) => change(model, { depthwise }),
    }),
  ];
  const layer = h("p", { className: "cn-small", data: { shown: "layer" } });
  ui.panel.append(...controls.map((c) => c.el), layer);
  const point = probe({
    name: "probe",
    label: "Marked place",
    on: input,
    more: maps,
    height: WINDOW,
    width: WINDOW,
    get: () => model.get("probe"),
    set: (place) => change(model, { probe: place }),
  });
  const who = h("span", { className: "cn-big", data: { shown: "who" } }),
    whoNote = h("span", { className: "cn-small", data: { shown: "responses" } });
  const weights = h("span", { className: "cn-big", data: { shown: "weights" } }),
    weightsNote = h("span", { className: "cn-small", data: { shown: "others" } });
  ui.answer.append(
    ...[
      [who, whoNote],
      [weights, weightsNote],
    ].map((pair) => h("div", { style: { flex: "1 1 15rem" } }, ...pair)),
  );

  function draw() {
    const side = model.get("side"),
      [i, j] = model.get("probe"),
      parts = model.get("parts"),
      depthwise = model.get("depthwise");
    const x = resize(photo, size, side),
      responses = kernels.map((kernel) => respond(x, side, kernel));
    const at = responses.map((y) => y[i * WINDOW + j]),
      best = strongest(at, parts),
      k = SIZES[best];
    const reach = Math.max(1e-12, ...responses.flatMap((y) => [...y]).map(Math.abs));
    const { sizes, splits, shared, params, macs, field } = layerCost(parts, channels, depthwise);

    input.paint(middle(x, side), 1);
    input.surface.setAttribute(
      "aria-label",
      `${model.get("alt")}, resized to ${side} by ${side} pixels`,
    );
    input.text.replaceChildren(
      h("strong", {}, "Picture"),
      side > WINDOW
        ? `, ${side}×${side} pixels: its middle ${WINDOW}×${WINDOW}. `
        : `, ${side}×${side} pixels. `,
      `Outline: the ${k}×${k} taps that answer most strongly at the ring. Click, or use the arrow keys.`,
    );
    Object.assign(outline.style, {
      left: `${(100 * (j + 0.5 - k / 2)) / WINDOW}%`,
      top: `${(100 * (i + 0.5 - k / 2)) / WINDOW}%`,
      width: `${(100 * k) / WINDOW}%`,
      height: `${(100 * k) / WINDOW}%`,
    });
    maps.forEach((map, s) => {
      const name = `${SIZES[s]}×${SIZES[s]}`,
        here = format(at[s], 3);
      map.paint(
        responses[s].map((v) => 0.5 + v / reach / 2),
        1,
      );
      map.el.classList.toggle("cn-output", s === best);
      map.surface.setAttribute(
        "aria-label",
        `What the ${name} kernel gives, 0 in the middle of the greys; ${here} at the ring`,
      );
      map.text.replaceChildren(
        h("strong", {}, `${name}: ${here}`),
        s === best ? " ◆ strongest" : parts[s] ? "" : " not in the layer",
      );
      map.surface.style.setProperty("opacity", parts[s] ? 1 : 0.45);
      marks[s].style.left = `${(100 * (j + 0.5)) / WINDOW}%`;
      marks[s].style.top = `${(100 * (i + 0.5)) / WINDOW}%`;
    });
    controls.forEach((c) => c.refresh());
    point.refresh();
    layer.replaceChildren(
      "The layer: ",
      h("code", {}, `kernel_sizes=(${sizes.join(", ")}${sizes.length > 1 ? "" : ","})`),
      `, ${channels} channels in ${sizes.length} part${sizes.length > 1 ? "s" : ""}`,
    );
    who.textContent = `${k}×${k}`;
    whoNote.textContent = `answers most strongly at the ring: ${SIZES.map((n, s) => `${format(at[s], 3)} for ${n}×${n}`).join(", ")}`;
    weights.textContent = format(params);
    const alone = (n) =>
      format(
        layerCost(
          SIZES.map((m) => (m === n ? sizes.length : 0)),
          channels,
          depthwise,
        ).params,
      );
    weightsNote.textContent = `weights, ${format(macs)} multiply-adds, field ${field}×${field}. All 3×3: ${alone(3)} weights, all 5×5: ${alone(5)}, all 7×7: ${alone(7)}`;
    const inner = innerMean(x, side, i, j, k),
      ring = inner - at[best];
    ui.formula.textContent = [
      `${k}×${k} at the ring: mean of ${(k - 2) ** 2} inner pixel${k > 3 ? "s" : ""} − mean of ${4 * (k - 1)} around = ${format(inner, 3)} − ${format(ring, 3)} = ${format(at[best], 3)}`,
      `channels: ${SIZES.map((n, s) => `${shared[s]} of ${n}×${n}`).join(", ")}`,
      `weights = ${sizes.map((n, p) => `${splits[p]}${depthwise ? "" : `·${splits[p]}`}·${n}²`).join(" + ")} = ${format(params)}; × ${WINDOW}² places = ${format(macs)}`,
    ].join("\n");
    ui.say(`${k} by ${k} answers most strongly, ${format(at[best], 3)}; ${format(params)} weights`);
  }
  return follow(model, draw);
}

// The mean of the inner (k − 2)² pixels around a place of the window, 0 outside the picture.
export function innerMean(x, side, i, j, k) {
  const reach = (k - 3) / 2,
    [row, column] = [i + edge(side), j + edge(side)];
  let sum = 0;
  for (let m = row - reach; m <= row + reach; m++)
    for (let n = column - reach; n <= column + reach; n++)
      if (m >= 0 && m < side && n >= 0 && n < side) sum += x[m * side + n];
  return sum / (k - 2) ** 2;
}

export default { render };
