// Rebuild a photograph from its N strongest patch components. Pure functions first, then the drawing. A basis is a flat
// array of k² kernels of k² taps, the strongest first; they are orthonormal.

// Where the basis and the component sizes of each kernel size begin in the arrays that Python sends.
export function offsets(sizes) {
  let kernels = 0,
    values = 0;
  return Object.fromEntries(
    sizes.map((k) => {
      const at = { kernels, values };
      kernels += k ** 4;
      values += k ** 2;
      return [k, at];
    }),
  );
}

// x̂: every patch on the stride's grid becomes Σ_n ⟨w_n, patch⟩ w_n, and where patches overlap the mean of theirs is
// taken. The picture is continued by its edge so that the grid ends on it.
export function rebuild(x, height, width, basis, k, count, stride) {
  const rows = Math.ceil((height - k) / stride) + 1,
    columns = Math.ceil((width - k) / stride) + 1;
  const tall = (rows - 1) * stride + k,
    wide = (columns - 1) * stride + k,
    taps = k * k;
  const sum = new Float64Array(tall * wide),
    times = new Float64Array(tall * wide),
    patch = new Float64Array(taps),
    made = new Float64Array(taps);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const top = r * stride,
        left = c * stride;
      for (let u = 0; u < k; u++)
        for (let v = 0; v < k; v++)
          patch[u * k + v] =
            x[Math.min(top + u, height - 1) * width + Math.min(left + v, width - 1)];
      made.fill(0);
      for (let n = 0; n < count; n++) {
        const from = n * taps;
        let code = 0;
        for (let t = 0; t < taps; t++) code += basis[from + t] * patch[t];
        for (let t = 0; t < taps; t++) made[t] += basis[from + t] * code;
      }
      for (let u = 0; u < k; u++)
        for (let v = 0; v < k; v++) {
          const at = (top + u) * wide + left + v;
          sum[at] += made[u * k + v];
          times[at]++;
        }
    }
  return Float64Array.from({ length: height * width }, (_, n) => {
    const at = Math.floor(n / width) * wide + (n % width);
    return sum[at] / times[at];
  });
}

// The share of the variance that is rebuilt, and the peak signal-to-noise ratio in decibels.
export function quality(x, y) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  let error = 0,
    whole = 0;
  x.forEach((v, n) => {
    error += (v - y[n]) ** 2;
    whole += (v - mean) ** 2;
  });
  return { error, whole, share: 1 - error / whole, decibels: -10 * Math.log10(error / x.length) };
}

// Weights and multiply-adds of a layer of `count` k×k kernels on one channel that keeps the picture's size.
export function counts(count, k, places) {
  return { weights: count * k * k, macs: count * k * k * places };
}

// From the sizes of the components (mean squares, the strongest first): the share of the patches' variance that the first
// 1, 2, … of them keep. `variance` is that of a patch's pixels, added up.
export function keeps(values, variance) {
  let left = values.reduce((a, b) => a + b, 0);
  return Array.from(values, (v) => {
    left -= v;
    return 1 - Math.max(0, left) / variance;
  });
}

export function torchCode(basis, k, count, overlap) {
  const taps = k * k,
    list = (from, n) =>
      `[${Array.from(basis.slice(from, from + n), (v) => Number(v.toFixed(4))).join(", ")}]`;
  const kernels = Array.from({ length: count }, (_, n) => list(n * taps, taps)),
    stride = overlap ? 1 : k;
  return [
    `kernels = torch.tensor([${kernels.join(",\n    ")}]).view(${count}, 1, ${k}, ${k})`,
    `picture = torch.rand(1, 1, ${12 * k}, ${18 * k})  # your own, values in [0, 1]`,
    `code = torch.nn.functional.conv2d(picture, kernels, stride=${stride})`,
    `rebuilt = torch.nn.functional.conv_transpose2d(code, kernels, stride=${stride})`,
    ...(overlap
      ? [
          `patches = torch.nn.functional.conv_transpose2d(torch.ones_like(code[:, :1]), torch.ones(1, 1, ${k}, ${k}))`,
          "rebuilt = rebuilt / patches",
        ]
      : []),
  ].join("\n");
}

// All kernels of a size on a square sheet with a line between them, 0 in the middle of the greys; grey from `count` on.
function sheet(basis, k, count) {
  const side = k * (k + 1) - 1,
    values = new Float32Array(side * side).fill(-1);
  for (let n = 0; n < k * k; n++) {
    const top = Math.floor(n / k) * (k + 1),
      left = (n % k) * (k + 1),
      kernel = basis.subarray(n * k * k, (n + 1) * k * k);
    const peak = kernel.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12);
    kernel.forEach((v, t) => {
      values[(top + Math.floor(t / k)) * side + left + (t % k)] =
        n < count ? 0.5 + v / peak / 2 : 0.5;
    });
  }
  return { values, side };
}

const DECADES = 4; // of what is lost, from 100 % down

// The share that 1, 2, … kernels lose as a curve, each line a tenth of the one above, with the present number marked.
function curve(shares, count, label) {
  const W = 320,
    H = 170,
    left = 58,
    bottom = 36,
    step = (H - 10 - bottom) / DECADES,
    x = (n) => left + ((n - 1) / Math.max(1, shares.length - 1)) * (W - left - 12);
  const y = (share) => 10 + clamp(-Math.log10(Math.max(1e-12, 1 - share)), 0, DECADES) * step;
  const text = (at, up, words, anchor) =>
    h(
      "text",
      { x: at, y: up, fill: "var(--cn-text)", "font-size": 14, "text-anchor": anchor },
      words,
    );
  return h(
    "svg",
    { viewBox: `0 0 ${W} ${H}`, class: "cn-field", role: "img", "aria-label": label },
    Array.from({ length: DECADES + 1 }, (_, n) => [
      h("path", { d: `M${left} ${10 + n * step}H${W - 8}`, class: "cn-field-rule" }),
      text(left - 6, 15 + n * step, `${format(100 / 10 ** n, 2)} %`, "end"),
    ]).flat(),
    h("path", {
      d: shares.map((s, n) => `${n ? "L" : "M"}${x(n + 1).toFixed(1)} ${y(s).toFixed(1)}`).join(""),
      fill: "none",
      stroke: "var(--cn-kernel-ink)",
      "stroke-width": 2.5,
    }),
    h("circle", {
      cx: x(count),
      cy: y(shares[count - 1]),
      r: 6,
      fill: "var(--cn-accent)",
      stroke: "var(--cn-text)",
      "stroke-width": 1.5,
    }),
    text(left, H - bottom + 17, "1", "middle"),
    text(W - 12, H - bottom + 17, `${shares.length}`, "middle"),
    text((W + left) / 2, H - 4, "kernels N", "middle"),
  );
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    places = height * width,
    sizes = model.get("sizes");
  const view = (name) => {
    const bytes = model.get(name);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  };
  const photo = Float64Array.from(new Uint8Array(view("image")), (v) => v / 255),
    start = offsets(sizes);
  const bases = new Float32Array(view("components")),
    powers = new Float32Array(view("powers"));
  const mean = photo.reduce((a, b) => a + b, 0) / places,
    variance = photo.reduce((a, b) => a + (b - mean) ** 2, 0) / places;
  const size = () => model.get("size"),
    basisOf = (k) => bases.subarray(start[k].kernels, start[k].kernels + k ** 4);
  const count = () => clamp(model.get("count"), 1, size() ** 2),
    shown = () => clamp(model.get("shown"), 1, count());
  const ui = frame({
    el,
    model,
    name: "kernel-count",
    label: "Rebuild a photograph from a few kernels",
    prompt:
      "Move the number of kernels: from how many on do you see no more difference, and what do the last ones add?",
    code: () => torchCode(basisOf(size()), size(), count(), model.get("overlap")),
    initial: {
      size: model.get("first")[0],
      count: model.get("first")[1],
      shown: 1,
      overlap: false,
    },
  });

  const input = picture("", height, width),
    output = picture("", height, width);
  input.el.classList.add("cn-input");
  output.el.classList.add("cn-output");
  ui.stage.parentElement.before(
    h(
      "div",
      {
        style: {
          display: "grid",
          gap: ".75rem",
          "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 17rem), 1fr))",
          "margin-bottom": ".75rem",
        },
      },
      input.el,
      output.el,
    ),
  );
  const all = h("figure", { className: "cn-picture cn-wide", style: { "max-width": "17rem" } }),
    share = h("figure", { className: "cn-picture cn-wide" }),
    one = h("figure", { className: "cn-picture" });
  ui.stage.append(all, share);

  const number = slider({
    name: "count",
    label: "Kernels N",
    min: 1,
    max: 49,
    get: count,
    set: (n) => change(model, { count: n }),
  });
  const which = slider({
    name: "shown",
    label: "Look at number",
    min: 1,
    max: 49,
    get: shown,
    set: (n) => change(model, { shown: n }),
  });
  const controls = [
    choice({
      name: "size",
      label: "Size of a kernel",
      options: Object.fromEntries(sizes.map((k) => [k, `${k}×${k}`])),
      get: () => String(size()),
      set: (k) =>
        change(model, { size: Number(k), count: Math.min(count(), Number(k) ** 2), shown: 1 }),
    }),
    number,
    which,
    toggle({
      name: "overlap",
      label: "A patch at every place, overlaps averaged",
      get: () => model.get("overlap"),
      set: (overlap) => change(model, { overlap }),
    }),
  ];
  ui.panel.append(...controls.map((c) => c.el), one);
  const big = (name) => h("span", { className: "cn-big", data: { shown: name } }),
    small = () => h("span", { className: "cn-small" });
  const [kept, weights, macs] = ["kept", "weights", "macs"].map(big),
    [keptNote, weightsNote, macsNote] = [small(), small(), small()];
  ui.answer.append(
    h("div", {}, kept, keptNote),
    h("div", {}, weights, weightsNote),
    h("div", {}, macs, macsNote),
  );

  function draw() {
    const k = size(),
      n = count(),
      at = shown(),
      basis = basisOf(k),
      overlap = model.get("overlap");
    number.el.querySelector("input").max = k * k;
    which.el.querySelector("input").max = n;
    controls.forEach((c) => c.refresh());
    const y = rebuild(photo, height, width, basis, k, n, overlap ? 1 : k),
      { error, whole, share: part, decibels } = quality(photo, y);
    const percent = `${format(100 * part, 1)}\u00a0%`,
      db = decibels > 99 ? "exact" : `${format(decibels, 1)} dB`;
    input.paint(photo, 1);
    input.surface.setAttribute("aria-label", model.get("alt"));
    input.text.replaceChildren(h("strong", {}, "Photograph"), ` of ${height}×${width} pixels`);
    output.paint(y, 1);
    output.surface.setAttribute(
      "aria-label",
      `The photograph rebuilt from ${n} kernels of ${k} by ${k}: ${percent} of its variance`,
    );
    output.text.replaceChildren(
      h("strong", {}, "Rebuilt"),
      ` from ${n} numbers ${overlap ? "at every place" : `a patch of ${k}×${k}`}`,
    );
    const drawn = sheet(basis, k, n),
      canvas = picture("", drawn.side, drawn.side);
    canvas.paint(drawn.values, 1);
    canvas.surface.setAttribute(
      "aria-label",
      `The ${k * k} components in order of strength, the first ${n} drawn, the others left grey`,
    );
    all.replaceChildren(
      canvas.holder,
      h(
        "figcaption",
        {},
        h("strong", {}, "The kernels"),
        `, strongest first: grey 0, white positive, black negative. ${n < k * k ? `Plain grey: the ${k * k - n} that are not used.` : "All are used."}`,
      ),
    );
    const shares = keeps(
      powers.subarray(start[k].values, start[k].values + k * k),
      variance * k * k,
    );
    share.replaceChildren(
      curve(
        shares,
        n,
        `Share of the variance of all patches that the first kernels lose; with ${n}: ${format(100 - 100 * shares[n - 1], 2)} %`,
      ),
      h(
        "figcaption",
        {},
        h("strong", {}, "Lost"),
        ` of the variance of all ${k}×${k} patches with N kernels; dot: N = ${n}, ${format(100 - 100 * shares[n - 1], 2)} %`,
      ),
    );
    const rows = Array.from({ length: k }, (_, u) =>
      Array.from(basis.subarray((at - 1) * k * k + u * k, (at - 1) * k * k + (u + 1) * k)),
    );
    one.replaceChildren(
      kernelGrid(rows, `Kernel ${at} of ${n} with its values`, 44),
      h("figcaption", {}, h("strong", {}, `Kernel ${at}`), ` of ${n}, its ${k * k} taps`),
    );
    kept.textContent = percent;
    keptNote.textContent = `of the variance is rebuilt (${db})`;
    const cost = counts(n, k, places),
      full = counts(k * k, k, places);
    weights.textContent = format(cost.weights);
    weightsNote.textContent = `weights (all ${k * k} kernels: ${format(full.weights)})`;
    macs.textContent = format(cost.macs);
    macsNote.textContent = `multiply-adds, a layer of N kernels at ${format(places)} places`;
    ui.formula.textContent =
      `share = 1 − Σ (x − x̂)² / Σ (x − x̄)² = 1 − ${format(error, 2)} / ${format(whole, 2)} = ${format(part, 3)}\n` +
      `weights = N·k² = ${n}·${k * k} = ${format(cost.weights)};  multiply-adds = N·k²·H·W = ${format(cost.macs)}`;
    ui.say(`${n} kernels: ${percent} rebuilt, ${format(cost.weights)} weights`);
  }
  return follow(model, draw);
}

export default { render };
