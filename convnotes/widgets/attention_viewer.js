// See what a place of a picture attends to. Pure functions first, then the drawing.

// softmax over j of scale · q_i·k_j, for query and key of `depth` channels with `places` numbers each.
export function attend(query, key, depth, places, place, scale) {
  const products = new Float64Array(places);
  for (let d = 0; d < depth; d++) {
    const q = scale * query[d * places + place];
    for (let n = 0; n < places; n++) products[n] += q * key[d * places + n];
  }
  const top = Math.max(...products);
  let sum = 0;
  const weights = products.map((p) => Math.exp(p - top));
  for (const w of weights) sum += w;
  return weights.map((w) => w / sum);
}

// The part of the window×window neighbourhood of a place that lies on the map: [top, left, bottom, right], ends left out.
export function neighbourhood(rows, columns, [row, column], window) {
  const reach = (window - 1) / 2;
  return [
    Math.max(0, row - reach),
    Math.max(0, column - reach),
    Math.min(rows, row + reach + 1),
    Math.min(columns, column + reach + 1),
  ];
}

export function share(weights, columns, [top, left, bottom, right]) {
  let sum = 0;
  for (let i = top; i < bottom; i++)
    for (let j = left; j < right; j++) sum += weights[i * columns + j];
  return sum;
}

// The smallest distance, in places, within which half of the weight lies.
export function halfway(weights, columns, [row, column]) {
  const far = Array.from(weights, (w, n) => [
    Math.hypot(Math.floor(n / columns) - row, (n % columns) - column),
    w,
  ]);
  far.sort((a, b) => a[0] - b[0]);
  let sum = 0;
  for (const [distance, w] of far) if ((sum += w) >= 0.5 - 1e-12) return distance;
  return far.at(-1)[0];
}

export function torchCode(row, column, scale) {
  return [
    "import torch",
    "# block: a trained NonLocal2d, x: its input [B, C, H, W]",
    "q, k = block.theta(x), block.phi(x)  # [B, D, H, W]",
    `products = torch.einsum("bd,bdhw->bhw", q[:, :, ${row}, ${column}], k)`,
    `weights = torch.softmax(${Number(scale.toFixed(4))} * products.flatten(1), 1).view(products.shape)`,
  ].join("\n");
}

function render({ model, el }) {
  const [height, width, channels, depth, rows, columns] = [
    "height",
    "width",
    "channels",
    "depth",
    "rows",
    "columns",
  ].map((name) => model.get(name));
  const captions = model.get("captions"),
    places = rows * columns,
    pixels = height * width;
  const pictures = new Uint8Array(buffer(model.get("image"))),
    queries = new Float32Array(buffer(model.get("query"))),
    keys = new Float32Array(buffer(model.get("key")));
  const ui = frame({
    el,
    model,
    name: "attention-viewer",
    label: "See what a place of a picture attends to",
    prompt:
      "Point at a place, tap it or walk there with the arrow keys: what does it look at? Then set the scale to 0.",
    code: () => torchCode(...model.get("probe"), model.get("factor") * model.get("scale")),
    initial: model.get("first"),
  });

  const input = picture("", height, width),
    heat = picture("", height, width);
  const frames = [input, heat].map((one) =>
    one.holder.appendChild(h("div", { className: "cn-window" })),
  );
  for (const one of [input, heat]) {
    one.el.classList.add("cn-wide");
    ui.stage.append(one.el);
  }
  const bar = picture("", 1, 128);
  bar.el.classList.add("cn-wide", "cn-scalebar");
  bar.surface.setAttribute("aria-hidden", "true");
  bar.paint(
    Float32Array.from({ length: 3 * 128 }, (_, n) => viridis((n % 128) / 127)[Math.floor(n / 128)]),
    3,
  );
  ui.stage.append(bar.el);

  const controls = [
    choice({
      name: "picture",
      label: "Picture",
      options: Object.fromEntries(captions.map((text, n) => [n, text])),
      get: () => model.get("picture"),
      set: (value) => change(model, { picture: Number(value) }),
    }),
    slider({
      name: "factor",
      label: "Scale of q·k",
      unit: "× trained",
      min: 0,
      max: 4,
      step: 0.25,
      digits: 2,
      get: () => model.get("factor"),
      set: (factor) => change(model, { factor }),
    }),
    slider({
      name: "window",
      label: "Neighbourhood",
      unit: "places",
      min: 1,
      max: 9,
      step: 2,
      get: () => model.get("window"),
      set: (window) => change(model, { window }),
    }),
  ];
  ui.panel.append(...controls.map((c) => c.el));
  const point = probe({
    name: "probe",
    label: "Marked place",
    on: heat,
    more: [input],
    hover: true,
    height: rows,
    width: columns,
    get: () => model.get("probe"),
    set: (probe) => change(model, { probe }),
  });
  const mark = input.holder.appendChild(h("div", { className: "cn-ring", "aria-hidden": "true" }));
  const outside = h("span", { className: "cn-big", data: { shown: "outside" } }),
    outsideNote = h("span", { className: "cn-small" });
  const half = h("span", { className: "cn-big", data: { shown: "half" } }),
    halfNote = h("span", { className: "cn-small" });
  ui.answer.append(h("div", {}, outside, outsideNote), h("div", {}, half, halfNote));

  function draw() {
    const n = model.get("picture"),
      [row, column] = model.get("probe"),
      scale = model.get("factor") * model.get("scale"),
      window = model.get("window"),
      place = row * columns + column;
    const x = Float32Array.from(
      pictures.subarray(n * channels * pixels, (n + 1) * channels * pixels),
      (v) => v / 255,
    );
    const part = (all) => all.subarray(n * depth * places, (n + 1) * depth * places);
    const weights = attend(part(queries), part(keys), depth, places, place, scale),
      top = Math.max(...weights),
      strongest = weights.indexOf(top);
    const box = neighbourhood(rows, columns, [row, column], window),
      inside = share(weights, columns, box);
    const number = (box[2] - box[0]) * (box[3] - box[1]);

    input.paint(x, channels);
    input.surface.setAttribute("aria-label", captions[n]);
    input.text.replaceChildren(
      h("strong", {}, "Input"),
      `: ${captions[n]}; the blue outline is the neighbourhood`,
    );
    const mixed = new Float32Array(3 * pixels);
    for (let p = 0; p < pixels; p++) {
      const i = Math.floor((Math.floor(p / width) * rows) / height),
        j = Math.floor(((p % width) * columns) / width);
      viridis(weights[i * columns + j] / top).forEach((v, c) => {
        mixed[c * pixels + p] = 0.75 * v + 0.25 * x[(channels === 3 ? c : 0) * pixels + p];
      });
    }
    heat.paint(mixed, 3);
    heat.surface.setAttribute(
      "aria-label",
      `The weights of the marked place over the picture; the largest, ${format(100 * top, 1)} %, in row ${Math.floor(strongest / columns)}, column ${strongest % columns}`,
    );
    heat.text.replaceChildren(
      h("strong", {}, "Attention"),
      ` of the marked place, laid over the picture (${rows}×${columns} places)`,
    );
    bar.text.textContent = `weight: 0 % (dark) to ${format(100 * top, 1)} % (bright); all equal would be ${format(100 / places, 1)} %`;
    for (const one of frames) {
      one.style.top = `${(100 * box[0]) / rows}%`;
      one.style.height = `${(100 * (box[2] - box[0])) / rows}%`;
      one.style.left = `${(100 * box[1]) / columns}%`;
      one.style.width = `${(100 * (box[3] - box[1])) / columns}%`;
    }
    controls.forEach((c) => c.refresh());
    point.refresh();
    mark.style.top = `${(100 * (row + 0.5)) / rows}%`;
    mark.style.left = `${(100 * (column + 0.5)) / columns}%`;
    outside.textContent = `${format(100 * (1 - inside), 1)} %`;
    outsideNote.textContent = `of the attention outside ${window}×${window} places (equal weights: ${format(100 * (1 - number / places), 1)} %)`;
    const distance = halfway(weights, columns, [row, column]);
    half.textContent = `${format(distance, 1)} places`;
    halfNote.textContent = `away, or nearer, lies half of it (${format((distance * height) / rows, 1)} pixels)`;
    let product = 0;
    for (let d = 0; d < depth; d++)
      product += part(queries)[d * places + place] * part(keys)[d * places + strongest];
    ui.formula.textContent = `f(i, j) = exp(scale·qᵢ·kⱼ) / Σ exp(scale·qᵢ·kⱼ)\nlargest: row ${Math.floor(strongest / columns)}, column ${strongest % columns}: scale·q·k = ${format(scale, 3)}·${product < 0 ? `(${format(product)})` : format(product)}, f = ${format(top, 3)}`;
    ui.say(`Row ${row}, column ${column}: ${outside.textContent} outside`);
  }
  return follow(model, draw);
}

// Bytes as they come (a DataView into a larger buffer) in a buffer of their own, so that floats lie aligned.
function buffer(view) {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

export default { render };
