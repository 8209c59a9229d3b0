// Look for a template in a photograph by inner product and by L1 distance. Pure functions first, then the drawing.
// A photograph is a flat array of height·width values; a map of scores has (height − size + 1)·(width − size + 1).

const HALF = 0.4;

// The first row and column of a template of this size around a place, moved inside where the place is too near to the border.
export function corner([row, column], size, height, width) {
  const half = (size - 1) / 2;
  return [clamp(row - half, 0, height - size), clamp(column - half, 0, width - size)];
}

export function cut(x, width, [row, column], size) {
  return Float64Array.from(
    { length: size * size },
    (_, n) => x[(row + Math.floor(n / size)) * width + column + (n % size)],
  );
}

export function lessMean(template) {
  const mean = template.reduce((sum, v) => sum + v, 0) / template.length;
  return Float64Array.from(template, (v) => v - mean);
}

function score(x, height, width, template, size, term) {
  const rows = height - size + 1,
    columns = width - size + 1,
    y = new Float64Array(rows * columns);
  for (let u = 0; u < size; u++)
    for (let v = 0; v < size; v++) {
      const w = template[u * size + v];
      for (let i = 0; i < rows; i++)
        for (let j = 0, from = (i + u) * width + v, to = i * columns; j < columns; j++)
          y[to + j] += term(x[from + j], w);
    }
  return y;
}

// y[i, j] = Σ_{u,v} x[i + u, j + v] · w[u, v]
export function product(x, height, width, template, size) {
  return score(x, height, width, template, size, (a, w) => a * w);
}

// y[i, j] = −Σ_{u,v} | x[i + u, j + v] − w[u, v] |
export function distance(x, height, width, template, size) {
  return score(x, height, width, template, size, (a, w) => -Math.abs(a - w));
}

// The row and column of the largest score, and the score.
export function best(scores, columns) {
  let at = 0;
  scores.forEach((v, n) => {
    if (v > scores[at]) at = n;
  });
  return { row: Math.floor(at / columns), column: at % columns, value: scores[at] };
}

export function miss({ row, column }, [top, left]) {
  return Math.hypot(row - top, column - left);
}

// Both searches for the template that is cut out around `place`, in the photograph plus `light`.
export function search(x, height, width, { place, size, light, centred }) {
  const at = corner(place, size, height, width),
    template = cut(x, width, at, size),
    columns = width - size + 1;
  const lit = Float64Array.from(x, (v) => v + light),
    kernel = centred ? lessMean(template) : template;
  const maps = {
    product: product(lit, height, width, kernel, size),
    distance: distance(lit, height, width, template, size),
  };
  const found = Object.fromEntries(
    Object.entries(maps).map(([name, scores]) => {
      const top = best(scores, columns);
      return [name, { ...top, scores, home: scores[at[0] * columns + at[1]], miss: miss(top, at) }];
    }),
  );
  return { at, template, lit, ...found };
}

export function torchCode(height, width, { place, size, light, centred }) {
  const [row, column] = corner(place, size, height, width);
  return [
    "import torch",
    "from convnotes import adder2d",
    `picture = torch.rand(1, 1, ${height}, ${width})  # your own, values in [0, 1]`,
    `template = picture[:, :, ${row}:${row + size}, ${column}:${column + size}]`,
    `lit = picture + ${light}`,
    `product = torch.nn.functional.conv2d(lit, template${centred ? " - template.mean()" : ""})`,
    "distance = adder2d(lit, template)",
  ].join("\n");
}

// A square on a picture, in its pixels; dashed where the template was taken, solid where it was found.
function mark(on, dashed) {
  const el = h("div", {
    style: {
      position: "absolute",
      "box-sizing": "border-box",
      "pointer-events": "none",
      border: dashed ? "2px dashed #fff" : "3px solid #fff",
      outline: dashed ? "2px dotted #000" : "2px solid #d55e00",
    },
  });
  on.holder.append(el);
  return (top, left, size, height, width) => {
    el.style.top = `${(100 * top) / height}%`;
    el.style.left = `${(100 * left) / width}%`;
    el.style.height = `${(100 * size) / height}%`;
    el.style.width = `${(100 * size) / width}%`;
  };
}

function templateGrid(template, size) {
  const unit = 12,
    peak = Math.max(1e-12, ...template),
    centre = (template.length - 1) / 2;
  const drawing = h("svg", {
    viewBox: `-1 -1 ${size * unit + 2} ${size * unit + 2}`,
    class: "cn-kernelgrid",
    role: "img",
    style: { "max-width": "11rem" },
    "aria-label": `The template of ${size} by ${size} values, ${format(Math.min(...template))} to ${format(peak)}`,
  });
  template.forEach((value, n) =>
    drawing.append(
      h("rect", {
        x: (n % size) * unit,
        y: Math.floor(n / size) * unit,
        width: unit,
        height: unit,
        class: "cn-tap",
        "fill-opacity": ((0.9 * value) / peak).toFixed(3),
      }),
    ),
  );
  drawing.append(
    h("rect", {
      x: (centre % size) * unit,
      y: Math.floor(centre / size) * unit,
      width: unit,
      height: unit,
      class: "cn-tap cn-centre",
      "fill-opacity": 0,
    }),
  );
  return drawing;
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    bytes = model.get("image");
  const photo = Float64Array.from(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (v) => v / 255,
  );
  const state = () => ({
    place: model.get("place"),
    size: model.get("size"),
    light: model.get("light"),
    centred: model.get("centred"),
  });
  const ui = frame({
    el,
    model,
    name: "template-match",
    label: "Look for a template by inner product and by L1 distance",
    prompt:
      "Change the light, then drag the ring to another template: which of the two still finds the place that it was taken from?",
    code: () => torchCode(height, width, state()),
    initial: { place: [...model.get("start")], size: 9, light: 0, centred: false },
  });

  const input = picture("", height, width),
    kernel = h("figure", { className: "cn-picture" });
  const names = { product: "Inner product (convolution)", distance: "−L1 distance (adder)" };
  const maps = Object.fromEntries(
    Object.keys(names).map((name) => [name, picture("", height, width)]),
  );
  input.el.classList.add("cn-wide");
  ui.stage.append(input.el, maps.product.el, maps.distance.el);
  const own = mark(input, true);
  const marks = Object.fromEntries(
    Object.entries(maps).map(([name, map]) => [
      name,
      { home: mark(map, true), found: mark(map, false) },
    ]),
  );
  const ring = probe({
    name: "place",
    label: "The template's centre",
    on: input,
    height,
    width,
    get: centre,
    set: (place) => change(model, { place }),
  });
  function centre() {
    const size = model.get("size"),
      [top, left] = corner(model.get("place"), size, height, width);
    return [top + (size - 1) / 2, left + (size - 1) / 2];
  }
  const controls = [
    slider({
      name: "light",
      label: "Light added",
      min: -HALF,
      max: HALF,
      step: 0.02,
      digits: 2,
      get: () => model.get("light"),
      set: (light) => change(model, { light: Number(light.toFixed(2)) }),
    }),
    slider({
      name: "size",
      label: "Template size",
      unit: "pixels",
      min: 5,
      max: 15,
      step: 2,
      get: () => model.get("size"),
      set: (size) => change(model, { size }),
    }),
    toggle({
      name: "centred",
      label: "Convolution: template less its mean",
      get: () => model.get("centred"),
      set: (centred) => change(model, { centred }),
    }),
  ];
  ui.panel.append(...controls.map((c) => c.el), kernel);
  const big = {},
    notes = {};
  for (const name of Object.keys(names)) {
    big[name] = h("span", { className: "cn-big", data: { shown: name } });
    notes[name] = h("span", { className: "cn-small" });
    ui.answer.append(h("div", {}, big[name], notes[name]));
  }

  function paint(name, { scores, row, column, value, home, miss: off }, at, size) {
    const columns = width - size + 1,
      half = (size - 1) / 2,
      whole = new Float64Array(height * width);
    const low = scores.reduce((a, b) => Math.min(a, b), Infinity),
      span = Math.max(1e-12, value - low);
    scores.forEach((v, n) => {
      whole[(Math.floor(n / columns) + half) * width + (n % columns) + half] = (v - low) / span;
    });
    maps[name].paint(whole, 1);
    marks[name].home(at[0], at[1], size, height, width);
    marks[name].found(row, column, size, height, width);
    maps[name].text.replaceChildren(
      h("strong", {}, names[name]),
      `: black ${format(low, 1)}, white ${format(value, 1)}. Solid: its best match; dashed: the template's place`,
    );
    maps[name].surface.setAttribute(
      "aria-label",
      `${names[name]}: the best match lies ${format(off, 1)} pixels from the template's place`,
    );
    big[name].textContent = `${format(off, 1)} px`;
    notes[name].textContent = `${off ? "off" : "found"}: ${names[name]}`;
    return `best ${format(value, 2)}, at the template's place ${format(home, 2)}`;
  }

  function draw() {
    const now = state(),
      found = search(photo, height, width, now),
      { size } = now;
    controls.forEach((c) => c.refresh());
    ring.refresh();
    input.paint(found.lit, 1);
    input.surface.setAttribute("aria-label", model.get("alt"));
    input.text.replaceChildren(
      h("strong", {}, "Photograph"),
      now.light ? ` ${now.light > 0 ? "+" : "−"} ${format(Math.abs(now.light))} of light` : "",
      "; dashed: the template, as it was before",
    );
    own(...found.at, size, height, width);
    kernel.replaceChildren(
      templateGrid(found.template, size),
      h("figcaption", {}, h("strong", {}, "Template"), ` of ${size}×${size}; deeper: brighter`),
    );
    const lines = Object.keys(names).map((name) => paint(name, found[name], found.at, size));
    ui.formula.textContent = `Σ ${now.centred ? "(w − w̄)" : "w"}·x    ${lines[0]}\n−Σ |x − w|  ${lines[1]} = −${size}²·|${format(now.light)}|`;
    ui.say(
      `Inner product ${format(found.product.miss, 1)} pixels off, L1 distance ${format(found.distance.miss, 1)}`,
    );
  }
  return follow(model, draw);
}

export default { render };
