// The kit that all widgets share. Python puts this file before each widget's own (base.py): there is no bundler.

// Numbers as a page prints them: thousands apart, a true minus sign, no trailing zeros.
export function format(value, digits = 2) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const rounded = Number(value.toFixed(digits));
  return (Object.is(rounded, -0) ? 0 : rounded)
    .toLocaleString("en-GB", { maximumFractionDigits: digits })
    .replace("-", "−");
}

// What a person typed as a number: a true minus sign and a decimal comma are understood; NaN where it is none.
export function parse(text) {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  return plain === "" ? NaN : Number(plain);
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// An element with properties, attributes and children. `on` holds listeners, `data` data attributes.
function h(tag, { on = {}, data = {}, style = {}, ...rest } = {}, ...children) {
  const svg = ["svg", "g", "rect", "text", "path", "line", "circle"].includes(tag);
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined || value === false) continue;
    if (!svg && key in node && typeof value !== "object") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  Object.assign(node.dataset, data);
  for (const [key, value] of Object.entries(style)) node.style.setProperty(key, value);
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// JupyterLab takes keys for itself unless each element that can be focused says otherwise.
const KEYS = { "data-lm-suppress-shortcuts": "true" };

// The frame of every widget: what to try, the stage with the picture, the panel with the controls, the answer.
function frame({ el, model, name, label, prompt, code, initial }) {
  const stage = h("div", { className: "cn-stage" }),
    panel = h("div", { className: "cn-panel" });
  const answer = h("div", { className: "cn-answer" }),
    formula = h("div", { className: "cn-formula", data: { shown: "formula" } });
  const live = h("p", { className: "cn-live", "aria-live": "polite" });
  const actions = h("div", { className: "cn-actions" });
  const root = h(
    "section",
    { className: "cn-widget", data: { widget: name }, "aria-label": label },
    h("p", { className: "cn-prompt" }, prompt),
    h("div", { className: "cn-body" }, stage, panel),
    answer,
    formula,
    actions,
    live,
  );
  if (initial)
    actions.append(button("reset", "Reset", () => change(model, structuredClone(initial))));
  if (code) actions.append(copyButton(code));
  el.replaceChildren(root);
  let timer;
  const say = (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      live.textContent = text;
    }, 600);
  };
  return { root, stage, panel, answer, formula, actions, say };
}

// Draw now and whenever one of the model's traits changes, whoever changed it; returns what stops it.
function follow(model, draw) {
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

function change(model, traits) {
  for (const [key, value] of Object.entries(traits)) model.set(key, value);
  model.save_changes();
}

function button(name, text, action) {
  return h(
    "button",
    {
      type: "button",
      className: "cn-button",
      data: { control: name },
      on: { click: action },
      ...KEYS,
    },
    text,
  );
}

function copyButton(code) {
  const node = button("copy", "Copy as torch", async () => {
    const text = code();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // no permission, or a page opened from a file
      const area = h("textarea", { value: text, className: "cn-live" });
      node.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      node.focus();
    }
    node.textContent = "Copied";
    node.dataset.copied = text;
    setTimeout(() => {
      node.textContent = "Copy as torch";
    }, 1500);
  });
  return node;
}

// A control is an element and a way to show the state that the model is in.
function slider({ name, label, unit = "", min, max, step = 1, digits = 0, get, set }) {
  const shown = h("output", { data: { shown: name } });
  const input = h("input", {
    type: "range",
    min,
    max,
    step,
    data: { control: name },
    "aria-label": label,
    ...KEYS,
    on: { input: () => set(Number(input.value)) },
  });
  return {
    el: h(
      "label",
      { className: "cn-control" },
      h("span", { className: "cn-label" }, label),
      input,
      shown,
    ),
    refresh() {
      input.value = get();
      shown.textContent = `${format(get(), digits)}${unit && " " + unit}`;
      input.setAttribute("aria-valuetext", shown.textContent);
    },
  };
}

function choice({ name, label, options, get, set }) {
  const input = h(
    "select",
    { data: { control: name }, ...KEYS, on: { change: () => set(input.value) } },
    Object.entries(options).map(([value, text]) => h("option", { value }, text)),
  );
  return {
    el: h("label", { className: "cn-control" }, h("span", { className: "cn-label" }, label), input),
    refresh() {
      input.value = get();
    },
  };
}

function toggle({ name, label, get, set }) {
  const input = h("input", {
    type: "checkbox",
    data: { control: name },
    ...KEYS,
    on: { change: () => set(input.checked) },
  });
  return {
    el: h(
      "label",
      { className: "cn-control cn-toggle" },
      input,
      h("span", { className: "cn-label" }, label),
    ),
    refresh() {
      input.checked = get();
    },
  };
}

// One number that can be typed, stepped with the arrow keys, or dragged up and down.
function cell({ name, label, min, max, step, digits = 2, get, set }) {
  const put = (value) => {
    if (!Number.isNaN(value)) set(clamp(Math.round(value / step) * step, min, max));
  };
  const moves = { ArrowUp: step, ArrowDown: -step, PageUp: 10 * step, PageDown: -10 * step };
  let from = null;
  const input = h("input", {
    type: "text",
    inputMode: "decimal",
    autocomplete: "off",
    className: "cn-cell",
    role: "spinbutton",
    data: { control: name },
    "aria-label": label,
    "aria-valuemin": min,
    "aria-valuemax": max,
    ...KEYS,
    on: {
      keydown(event) {
        if (event.key in moves) put(get() + moves[event.key]);
        else if (event.key === "Home") put(min);
        else if (event.key === "End") put(max);
        else if (event.key === "Enter") put(parse(input.value));
        else if (event.key !== "Escape") return;
        event.preventDefault();
        refresh(true);
      },
      focus() {
        input.select();
      },
      blur() {
        put(parse(input.value));
        refresh(true);
      },
      pointerdown(event) {
        from = { y: event.clientY, value: get(), moved: false };
      },
      pointermove(event) {
        if (!from || !event.buttons) return;
        const rows = Math.round((from.y - event.clientY) / 8);
        if (!from.moved && Math.abs(from.y - event.clientY) > 6) {
          from.moved = true;
          input.setPointerCapture(event.pointerId);
        }
        if (from.moved) {
          put(from.value + rows * step);
          refresh(true);
        }
      },
      pointerup() {
        from = null;
      },
      pointercancel() {
        from = null;
      },
    },
  });
  function refresh(force = false) {
    const value = get(),
      text = format(value, digits);
    if (force || document.activeElement !== input) input.value = text;
    input.setAttribute("aria-valuenow", value);
    input.setAttribute("aria-valuetext", text);
    input.style.setProperty("--strength", `${Math.round(70 * Math.min(1, Math.abs(value)))}%`);
    input.classList.toggle("cn-negative", value < 0);
  }
  return { el: input, refresh };
}

// A grid of signed numbers: the deeper the orange, the larger the number's size; a negative one is hatched as well.
function matrix({ name, caption, rows, columns, get, set, min = -2, max = 2, step = 0.05 }) {
  const cells = [];
  const table = h(
    "table",
    { className: "cn-matrix" },
    h("caption", {}, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("td"),
        columns.map((c) => h("th", { scope: "col" }, c)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((r, i) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, r),
          columns.map((c, j) => {
            const one = cell({
              name: `${name}-${i}-${j}`,
              label: `${r}, ${c}`,
              min,
              max,
              step,
              get: () => get(i, j),
              set: (v) => set(i, j, v),
            });
            cells.push(one);
            return h("td", {}, one.el);
          }),
        ),
      ),
    ),
  );
  return { el: table, refresh: () => cells.forEach((one) => one.refresh()) };
}

// A kernel as every chapter draws it: a grid, the value of every tap, the centre framed.
function kernelGrid(values, label, unit = 44) {
  const rows = values.length,
    columns = values[0].length,
    peak = Math.max(1e-12, ...values.flat().map(Math.abs));
  const drawing = h("svg", {
    viewBox: `-1 -1 ${columns * unit + 2} ${rows * unit + 2}`,
    class: "cn-kernelgrid",
    role: "img",
    "aria-label": label,
  });
  values.forEach((row, i) =>
    row.forEach((value, j) => {
      const centre = rows % 2 && columns % 2 && i === (rows - 1) / 2 && j === (columns - 1) / 2;
      drawing.append(
        h("rect", {
          x: j * unit,
          y: i * unit,
          width: unit,
          height: unit,
          class: centre ? "cn-tap cn-centre" : "cn-tap",
          "fill-opacity": (0.75 * Math.abs(value)) / peak,
        }),
        h(
          "text",
          { x: (j + 0.5) * unit, y: (i + 0.5) * unit, class: "cn-tapvalue" },
          format(value),
        ),
      );
    }),
  );
  return drawing;
}

// A picture of [C, H, W] values in [0, 1] (C = 1 grey, 3 colour) with its caption; what lies outside is clipped.
function picture(caption, height, width) {
  const surface = h("canvas", { width, height, role: "img" });
  const text = h("figcaption", {}, caption);
  const el = h(
    "figure",
    { className: "cn-picture" },
    h("div", { className: "cn-surface" }, surface),
    text,
  );
  function paint(values, channels) {
    const pen = surface.getContext("2d"),
      pixels = pen.createImageData(width, height),
      places = height * width;
    for (let n = 0; n < places; n++) {
      for (let c = 0; c < 3; c++)
        pixels.data[4 * n + c] = 255 * clamp(values[(channels === 3 ? c : 0) * places + n], 0, 1);
      pixels.data[4 * n + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
  }
  return { el, surface, text, paint, holder: el.firstChild };
}

// A ring on a picture that a click or the arrow keys move from place to place, with `hover` the mere pointer as well;
// `more` are other pictures of the same places that can be clicked.
function probe({ name, label, on, more = [], hover = false, height, width, get, set }) {
  const put = (place) => {
    if (String(place) !== String(get())) set(place);
  };
  const ring = h("div", {
    className: "cn-ring",
    role: "application",
    tabIndex: 0,
    data: { control: name },
    ...KEYS,
    on: {
      keydown(event) {
        const step = event.shiftKey ? 10 : 1;
        const [dy, dx] =
          {
            ArrowUp: [-step, 0],
            ArrowDown: [step, 0],
            ArrowLeft: [0, -step],
            ArrowRight: [0, step],
          }[event.key] ?? [];
        if (dy === undefined) return;
        event.preventDefault();
        const [row, column] = get();
        put([clamp(row + dy, 0, height - 1), clamp(column + dx, 0, width - 1)]);
      },
    },
  });
  on.holder.append(ring);
  for (const { holder, surface } of [on, ...more]) {
    const pick = (event) => {
      const moved = event.movementX || event.movementY; // not the page below a pointer that rests
      if (event.type === "pointermove" && !event.buttons && !(hover && moved)) return;
      const box = surface.getBoundingClientRect();
      put([
        clamp(Math.floor(((event.clientY - box.top) / box.height) * height), 0, height - 1),
        clamp(Math.floor(((event.clientX - box.left) / box.width) * width), 0, width - 1),
      ]);
    };
    holder.addEventListener("pointerdown", pick);
    holder.addEventListener("pointermove", pick);
  }
  return {
    refresh() {
      const [row, column] = get();
      ring.style.top = `${(100 * (row + 0.5)) / height}%`;
      ring.style.left = `${(100 * (column + 0.5)) / width}%`;
      ring.setAttribute("aria-label", `${label}: row ${row}, column ${column}`);
    },
  };
}

// A text with `code` between backticks.
function prose(text) {
  return text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part));
}

// The perceptually uniform map of all heat maps: t in [0, 1] → [red, green, blue] in [0, 1], matplotlib's "viridis".
export function viridis(t) {
  const at = clamp(t, 0, 1) * (VIRIDIS.length - 1),
    n = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[n].map((low, c) => (low + (at - n) * (VIRIDIS[n + 1][c] - low)) / 255);
}
const VIRIDIS = [
  [68, 1, 84],
  [72, 24, 106],
  [71, 45, 123],
  [66, 64, 134],
  [59, 82, 139],
  [51, 99, 141],
  [44, 114, 142],
  [38, 130, 142],
  [33, 145, 140],
  [31, 160, 136],
  [40, 174, 128],
  [63, 188, 115],
  [94, 201, 98],
  [132, 212, 75],
  [173, 220, 48],
  [216, 226, 25],
  [253, 231, 37],
];
