// Edit the taps of a kernel and see what it makes of a photograph, and which waves it lets through. Pure functions first,
// then the drawing. A kernel is a nested list of 1, 3, 5 or 7 rows of 1, 3, 5 or 7 taps.

const MOST = 99; // a tap's largest size
const SAMPLES = 64; // frequencies along an axis
const FLOOR = -2; // log10 of the dark end of the spectrum's scale: a hundredth of the largest

const full = (rows, columns, value = 1) =>
  Array.from({ length: rows }, () => Array(columns).fill(value));
const product = (down, across) => down.map((a) => across.map((b) => a * b));

export const PRESETS = {
  "sobel-x": product([1, 2, 1], [-1, 0, 1]),
  "sobel-y": product([-1, 0, 1], [1, 2, 1]),
  identity: [
    [0, 0, 0],
    [0, 1, 0],
    [0, 0, 0],
  ],
  mean: full(3, 3),
  wide: full(7, 7),
  gaussian: product([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]),
  sharpen: [
    [0, -1, 0],
    [-1, 5, -1],
    [0, -1, 0],
  ],
  laplacian: [
    [0, 1, 0],
    [1, -4, 1],
    [0, 1, 0],
  ],
  emboss: [
    [-2, -1, 0],
    [-1, 1, 1],
    [0, 1, 2],
  ],
  row: full(1, 7),
  column: full(7, 1),
  upright: product([1, 1, 1, 1, 1, 1, 1], [-1, 2, -1]),
  level: product([-1, 2, -1], [1, 1, 1, 1, 1, 1, 1]),
};

// The taps that are used: as they are, or divided by the sum of their sizes, so that no answer leaves [−1, 1].
export function taps(kernel, normalise) {
  const size = kernel.flat().reduce((sum, w) => sum + Math.abs(w), 0);
  return normalise && size ? kernel.map((row) => row.map((w) => w / size)) : kernel;
}

// y[i, j] = Σ_{u,v} kernel[u][v] · x[i + u − ⌊rows/2⌋, j + v − ⌊columns/2⌋], 0 outside the picture.
export function convolve(x, height, width, kernel) {
  const y = new Float64Array(height * width),
    top = (kernel.length - 1) / 2,
    left = (kernel[0].length - 1) / 2;
  kernel.forEach((row, u) =>
    row.forEach((w, v) => {
      if (w === 0) return;
      const dy = u - top,
        dx = v - left;
      for (let i = Math.max(0, -dy); i < Math.min(height, height - dy); i++) {
        for (let j = Math.max(0, -dx); j < Math.min(width, width - dx); j++)
          y[i * width + j] += w * x[(i + dy) * width + j + dx];
      }
    }),
  );
  return y;
}

// The largest size of an answer whose pixels all lie inside the picture: the edge to the zeros outside is not the picture's.
export function reachInside(y, height, width, kernel) {
  const top = (kernel.length - 1) / 2,
    left = (kernel[0].length - 1) / 2;
  let most = 0;
  for (let i = top; i < height - top; i++)
    for (let j = left; j < width - left; j++) most = Math.max(most, Math.abs(y[i * width + j]));
  return most;
}

// |Σ_{u,v} kernel[u][v] · exp(−2πi(f·u + g·v))| at n×n frequencies; row i is f = (i − n/2)/n cycles a pixel, so is column g.
export function spectrum(kernel, n) {
  const found = new Float64Array(n * n),
    turn = (k) => (2 * Math.PI * (k - n / 2)) / n;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let real = 0,
        imaginary = 0;
      kernel.forEach((row, u) =>
        row.forEach((w, v) => {
          const phase = turn(i) * u + turn(j) * v;
          real += w * Math.cos(phase);
          imaginary -= w * Math.sin(phase);
        }),
      );
      found[i * n + j] = Math.hypot(real, imaginary);
    }
  return found;
}

// The wave that passes strongest: its size and its frequencies down and across, of the equal ones the coarsest.
export function strongest(magnitudes, n) {
  const top = magnitudes.reduce((a, b) => Math.max(a, b), 0);
  let best = { gain: top, down: 0, across: 0 },
    least = Infinity;
  magnitudes.forEach((value, k) => {
    const down = Math.abs(Math.floor(k / n) - n / 2) / n,
      across = Math.abs((k % n) - n / 2) / n;
    if (value >= top * (1 - 1e-9) && Math.hypot(down, across) < least) {
      least = Math.hypot(down, across);
      best = { gain: top, down, across };
    }
  });
  return best;
}

// The same kernel on more or fewer rows and columns: zeros are put around it, or its border is cut away.
export function resized(kernel, rows, columns) {
  const dy = (rows - kernel.length) / 2,
    dx = (columns - kernel[0].length) / 2;
  return Array.from({ length: rows }, (_, u) =>
    Array.from({ length: columns }, (_, v) => kernel[u - dy]?.[v - dx] ?? 0),
  );
}

export function torchCode(kernel, height, width, normalise, absolute) {
  const list = (row) => `[${row.map((v) => Number(v.toFixed(6))).join(", ")}]`,
    pad = [kernel, kernel[0]].map((side) => (side.length - 1) / 2);
  return [
    `kernel = torch.tensor([${kernel.map(list).join(", ")}]).float()`,
    ...(normalise ? ["kernel = kernel / kernel.abs().sum()"] : []),
    `picture = torch.rand(1, 1, ${height}, ${width})  # your own, values in [0, 1]`,
    `y = torch.nn.functional.conv2d(picture, kernel[None, None], padding=(${pad.join(", ")}))${absolute ? ".abs()" : ""}`,
  ].join("\n");
}

// The answer at one place as it is summed: a line a row of the kernel.
function written(x, height, width, kernel, [row, column]) {
  const top = (kernel.length - 1) / 2,
    left = (kernel[0].length - 1) / 2;
  return kernel.map((line, u) =>
    line
      .map((w, v) => {
        const i = row + u - top,
          j = column + v - left,
          inside = i >= 0 && i < height && j >= 0 && j < width;
        return `${signed(w, 3)}·${inside ? format(x[i * width + j]) : "0"}`;
      })
      .join(" + "),
  );
}

function render({ model, el }) {
  const height = model.get("height"),
    width = model.get("width"),
    bytes = model.get("image");
  const photo = Float64Array.from(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (v) => v / 255,
  );
  const kernel = () => model.get("kernel"),
    put = (rows) => change(model, { kernel: rows });
  const ui = frame({
    el,
    model,
    name: "live-filter",
    label: "Edit a kernel and see what it makes of a photograph",
    prompt:
      "Choose a preset or change a tap (type, arrow keys, or drag it up and down): what is left of the photograph, and which waves pass?",
    code: () => torchCode(kernel(), height, width, model.get("normalise"), model.get("absolute")),
    initial: {
      kernel: structuredClone(PRESETS["sobel-x"]),
      normalise: true,
      absolute: false,
      probe: [...model.get("start")],
    },
  });

  const input = picture("", height, width),
    output = picture("", height, width),
    waves = picture("", SAMPLES, SAMPLES);
  input.el.classList.add("cn-input");
  output.el.classList.add("cn-output");
  const pair = h(
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
  );
  ui.stage.parentElement.before(pair);
  const field = input.holder.appendChild(h("div", { className: "cn-window" }));
  const bar = picture("", 1, 128);
  bar.el.classList.add("cn-scalebar");
  bar.paint(
    Float32Array.from({ length: 3 * 128 }, (_, n) => viridis((n % 128) / 127)[Math.floor(n / 128)]),
    3,
  );
  bar.text.textContent = "dark: a hundredth of the largest, or less; bright: the largest";
  bar.surface.setAttribute("aria-label", bar.text.textContent);
  const ends = (style) =>
    h(
      "div",
      {
        className: "cn-small",
        "aria-hidden": "true",
        style: {
          display: "flex",
          "justify-content": "space-between",
          "line-height": 1.2,
          ...style,
        },
      },
      ...["−½", "0", "½"].map((t) => h("span", {}, t)),
    );
  waves.el.style.setProperty("max-width", "20rem");
  waves.el.classList.add("cn-wide");
  waves.el.replaceChildren(
    h(
      "div",
      {
        style: {
          display: "grid",
          gap: ".2rem .35rem",
          "grid-template-columns": "auto minmax(0, 1fr)",
        },
      },
      ends({ "flex-direction": "column", "text-align": "right" }),
      waves.holder,
      h("span", {}),
      ends({}),
    ),
    waves.text,
    bar.el,
  );
  ui.stage.append(waves.el);

  const sizes = Object.fromEntries([1, 3, 5, 7].map((n) => [n, String(n)])),
    side = (name, label, get, set) =>
      choice({
        name,
        label,
        options: sizes,
        get: () => String(get()),
        set: (n) => put(set(Number(n))),
      });
  const controls = [
    choice({
      name: "preset",
      label: "Preset",
      get: () =>
        Object.keys(PRESETS).find(
          (name) => JSON.stringify(PRESETS[name]) === JSON.stringify(kernel()),
        ) ?? "own",
      set: (name) => name !== "own" && put(structuredClone(PRESETS[name])),
      options: {
        identity: "identity",
        mean: "blur (mean, 3×3)",
        wide: "blur (mean, 7×7)",
        gaussian: "Gaussian (5×5)",
        sharpen: "sharpen",
        "sobel-x": "Sobel x",
        "sobel-y": "Sobel y",
        laplacian: "Laplacian",
        emboss: "emboss",
        row: "row mean (1×7)",
        column: "column mean (7×1)",
        upright: "upright lines",
        level: "level lines",
        own: "your own",
      },
    }),
    side(
      "rows",
      "Rows",
      () => kernel().length,
      (n) => resized(kernel(), n, kernel()[0].length),
    ),
    side(
      "columns",
      "Columns",
      () => kernel()[0].length,
      (n) => resized(kernel(), kernel().length, n),
    ),
    toggle({
      name: "normalise",
      label: "Divide by the sum of the taps' sizes",
      get: () => model.get("normalise"),
      set: (normalise) => change(model, { normalise }),
    }),
    toggle({
      name: "absolute",
      label: "Show absolute values",
      get: () => model.get("absolute"),
      set: (absolute) => change(model, { absolute }),
    }),
  ];
  const holder = h("div", {});
  ui.panel.append(...controls.map((c) => c.el), holder);
  const point = probe({
    name: "probe",
    label: "Marked place of the output",
    on: output,
    more: [input],
    height,
    width,
    get: () => model.get("probe"),
    set: (place) => change(model, { probe: place }),
  });
  const big = (name) => h("span", { className: "cn-big", data: { shown: name } }),
    small = () => h("span", { className: "cn-small" });
  const [answer, cost, wave] = ["answer", "cost", "wave"].map(big),
    [answerNote, costNote, waveNote] = [small(), small(), small()];
  ui.answer.append(
    h("div", {}, answer, answerNote),
    h("div", {}, cost, costNote),
    h("div", {}, wave, waveNote),
  );

  let table = null,
    shape = "";
  function edit(rows, columns) {
    const names = (n) => Array.from({ length: n }, (_, k) => format(k - (n - 1) / 2));
    table = matrix({
      name: "tap",
      caption: "Kernel: row and column are counted from the place in the middle",
      rows: names(rows),
      columns: names(columns),
      min: -MOST,
      max: MOST,
      step: 0.5,
      get: (u, v) => kernel()[u]?.[v] ?? 0,
      set: (u, v, value) =>
        put(kernel().map((row, i) => row.map((old, j) => (i === u && j === v ? value : old)))),
    });
    const cells = [...table.el.querySelectorAll("input")];
    if (columns > 5) {
      table.el.style.setProperty("border-spacing", "2px");
      cells.forEach((one) => {
        one.style.width = "2.3rem";
        one.style.padding = "0";
      });
    } else if (columns > 3)
      cells.forEach((one) => {
        one.style.width = "3rem";
      });
    cells[(rows * columns - 1) / 2].style.border = "3px solid var(--cn-accent)";
    holder.replaceChildren(table.el);
  }

  function draw() {
    const raw = kernel(),
      rows = raw.length,
      columns = raw[0].length,
      used = taps(raw, model.get("normalise")),
      [row, column] = model.get("probe");
    if (shape !== `${rows}×${columns}`) {
      shape = `${rows}×${columns}`;
      edit(rows, columns);
    }
    controls.forEach((c) => c.refresh());
    table.refresh();
    const peak = Math.max(1e-12, ...raw.flat().map(Math.abs));
    table.el
      .querySelectorAll("input")
      .forEach((one, n) =>
        one.style.setProperty(
          "--strength",
          `${Math.round((70 * Math.abs(raw[Math.floor(n / columns)][n % columns])) / peak)}%`,
        ),
      );
    point.refresh();
    field.style.top = `${(100 * (row - (rows - 1) / 2)) / height}%`;
    field.style.height = `${(100 * rows) / height}%`;
    field.style.left = `${(100 * (column - (columns - 1) / 2)) / width}%`;
    field.style.width = `${(100 * columns) / width}%`;
    input.paint(photo, 1);
    input.surface.setAttribute("aria-label", model.get("alt"));
    input.text.replaceChildren(
      h("strong", {}, "Input"),
      `; blue: the ${shape} pixels that the marked place sees`,
    );

    const y = convolve(photo, height, width, used),
      reach = reachInside(y, height, width, used) || 1;
    const sum = used.flat().reduce((all, w) => all + w, 0),
      balanced = Math.abs(sum) < 1e-9,
      absolute = model.get("absolute");
    output.paint(
      y.map((v) => (absolute ? Math.abs(v) / reach : balanced ? 0.5 + v / reach / 2 : v)),
      1,
    );
    const scale = absolute
      ? `absolute values, black 0, white ${format(reach)} or more`
      : balanced
        ? `grey 0, black ${format(-reach)} or less, white ${format(reach)} or more`
        : "black 0 or less, white 1 or more";
    output.surface.setAttribute("aria-label", `The photograph filtered by the kernel; ${scale}`);
    output.text.replaceChildren(h("strong", {}, "Output"), `: ${scale}`);

    const gains = spectrum(used, SAMPLES),
      best = strongest(gains, SAMPLES),
      shown = new Float32Array(3 * gains.length);
    gains.forEach((gain, n) =>
      viridis(
        1 - (best.gain ? Math.max(FLOOR, Math.log10(gain / best.gain + 1e-12)) : FLOOR) / FLOOR,
      ).forEach((v, c) => {
        shown[c * gains.length + n] = v;
      }),
    );
    waves.paint(shown, 3);
    waves.text.replaceChildren(
      h("strong", {}, "Spectrum"),
      " of the kernel, log |ŵ|: frequency down and across, in cycles a pixel. Middle: even light; edge: waves of two pixels",
    );
    const fine = Math.hypot(best.down, best.across),
      period = !best.gain ? "none" : fine ? `${format(1 / fine, 1)} px` : "even light";
    waves.surface.setAttribute(
      "aria-label",
      `Log magnitude of the kernel's spectrum; what passes strongest: ${period}`,
    );

    const value = y[row * width + column],
      here = absolute ? Math.abs(value) : value;
    answer.textContent = format(here, 3);
    answerNote.textContent = `the answer at row ${row}, column ${column}`;
    cost.textContent = `${shape} = ${rows * columns}`;
    costNote.textContent = "taps, and multiply-adds a place";
    wave.textContent = period;
    waveNote.textContent = best.gain
      ? `${fine ? "the wave that" : "what"} passes strongest, times ${format(best.gain)}`
      : "passes";
    const lines = written(photo, height, width, used, [row, column]);
    ui.formula.textContent = `y[${row}, ${column}] = ${format(here, 3)} = ${absolute ? "the size of " : ""}${rows > 1 ? "\n  " : ""}${lines.join("\n+ ")}`;
    ui.say(`Answer ${format(here, 3)} at the marked place; passes strongest: ${period}`);
  }
  return follow(model, draw);
}

function signed(value, digits) {
  return value < 0 ? `(${format(value, digits)})` : format(value, digits);
}

export default { render };
