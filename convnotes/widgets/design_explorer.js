// Accuracy against cost of many designs. Pure functions first, then the drawing. The rows come from Python.

const AXES = {
  macs: "multiply-adds",
  operations: "multiply-adds + adds/2",
  inference_ms: "inference, ms a batch",
  step_ms: "training step, ms a batch",
  step_bytes: "bytes of a training step",
  params: "parameters",
};
const SHORT = {
  macs: "multiply-adds",
  operations: "operations",
  inference_ms: "ms",
  step_ms: "ms",
  step_bytes: "bytes",
  params: "parameters",
};
const GAINS = { mean: "mean of the seeds", worst: "worst seed" };

// Does row a cost no more and reach no less than row b, and differ in one of the two?
export function beats(a, b, x, gain) {
  return a[x] <= b[x] && a[gain] >= b[gain] && (a[x] < b[x] || a[gain] > b[gain]);
}

// The rows that beat `row`, the cheapest first.
export function beaters(rows, row, x, gain) {
  return rows.filter((other) => beats(other, row, x, gain)).sort((a, b) => a[x] - b[x]);
}

// The rows that none beats, in order of cost.
export function front(rows, x, gain) {
  return rows
    .filter((row) => !rows.some((other) => beats(other, row, x, gain)))
    .sort((a, b) => a[x] - b[x] || b[gain] - a[gain]);
}

// Where values lie on an axis from `low` to `high` of a drawing, with the logarithm: → a function.
export function scale(values, low, high, log) {
  const at = log ? Math.log : (v) => v,
    ends = [Math.min(...values), Math.max(...values)].map(at);
  const room = 0.05 * (ends[1] - ends[0] || 1),
    from = ends[0] - room,
    to = ends[1] + room;
  return (value) => low + ((high - low) * (at(value) - from)) / (to - from);
}

// Round values for the ticks of an axis: 1, 2, 5 times powers of ten, within the values.
export function ticks(values, log) {
  const low = Math.min(...values),
    high = Math.max(...values);
  if (!log) {
    const step = [0.02, 0.05, 0.1, 0.2, 0.5].find((s) => (high - low) / s <= 6) ?? 1;
    return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, n) =>
      Number(((Math.ceil(low / step) + n) * step).toFixed(6)),
    );
  }
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const first of [1, 2, 5]) {
      const value = first * 10 ** power;
      if (value >= low && value <= high) found.push(Number(value.toPrecision(6)));
    }
  return found.length > 7
    ? found.filter((value) => String(value).match(/[1-9]/)[0] === "1")
    : found;
}

export function short(value) {
  return value < 1e3
    ? format(value, value < 10 ? 2 : 1)
    : value < 1e6
      ? `${format(value / 1e3, value < 1e4 ? 1 : 0)} k`
      : `${format(value / 1e6, 1)} M`;
}

export function torchCode(row, picture) {
  const [channels, height, width] = picture.split("×").map(Number),
    [a, b, c] = row.widths;
  return [
    "import torch",
    "from convnotes.designs import Network",
    "",
    `# ${format(row.params)} parameters`,
    `net = Network("${row.design}", (${a}, ${b}, ${c}), channels=${channels})`,
    `logits = net(torch.randn(32, ${channels}, ${height}, ${width}))`,
  ].join("\n");
}

// An accuracy, always with three digits.
export function share(value) {
  return value.toFixed(3);
}

// In words, whether a row stands on the front and, if not, what beats it.
export function judged(rows, row, x, gain) {
  const others = beaters(rows, row, x, gain);
  if (!others.length) return `${row.design}: no design has fewer ${SHORT[x]} and is as often right`;
  const best = others.reduce((a, b) => (b[gain] > a[gain] ? b : a));
  return `${best.design} beats it: ${short(best[x])} ≤ ${short(row[x])} ${SHORT[x]}, ${share(best[gain])} ≥ ${share(row[gain])}`;
}

const W = 440,
  H = 640,
  LEFT = 46,
  RIGHT = 12,
  TOP = 12,
  BOTTOM = 50;
const STYLE = `
[data-widget="design-explorer"] .cn-stage { grid-template-columns: minmax(0, 1fr); }
[data-widget="design-explorer"] .cn-control { grid-template-columns: 4.6rem minmax(0, 1fr); }
[data-widget="design-explorer"] .cn-control select { min-width: 0; width: 100%; }
@container (min-width: 640px) { [data-widget="design-explorer"] .cn-panel { width: 19rem; } }
.cn-trade { display: block; width: 100%; height: auto; max-width: 36rem; touch-action: manipulation; cursor: crosshair; }
.cn-trade text { fill: var(--cn-text); font-size: 14px; }
.cn-trade .cn-tick { fill: var(--cn-muted); font-size: 13px; }
.cn-trade path { fill: none; }
.cn-trade-axis { stroke: var(--cn-muted); stroke-width: 1; }
.cn-trade-front { stroke: var(--cn-accent); stroke-width: 1.5; }
.cn-trade-trail { stroke: var(--cn-input-ink); stroke-width: 1.5; stroke-dasharray: 5 4; }
.cn-trade-range { stroke: var(--cn-muted); stroke-width: 1; opacity: .7; }
.cn-trade-point { fill: var(--cn-ground); stroke: var(--cn-input-ink); stroke-width: 2; }
.cn-trade .cn-trade-best { fill: var(--cn-accent); stroke: var(--cn-accent); stroke-width: 2; }
.cn-trade-chosen { fill: none; stroke: var(--cn-text); stroke-width: 2.5; }
.cn-trade .cn-trade-name { font-weight: 650; paint-order: stroke; stroke: var(--cn-ground); stroke-width: 4px; }
.cn-designs { width: 100% !important; border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; table-layout: auto; display: table; }
.cn-designs caption { caption-side: top; text-align: left; padding: 0 0 .2rem; color: var(--cn-muted); }
.cn-designs td, .cn-designs th { border: 0; padding: .1rem .25rem; background: none; color: inherit; font-weight: inherit; text-align: right; white-space: nowrap; }
.cn-designs th:first-child { text-align: left; }
.cn-designs thead th { color: var(--cn-muted); }
.cn-designs tbody tr { border-top: 1px solid var(--cn-line); background: none; cursor: pointer; }
.cn-designs tbody tr.cn-chosen { background: var(--cn-raised); font-weight: 650; }
@media (pointer: coarse) { .cn-designs td, .cn-designs th { padding-block: .45rem; } }`;

function render({ model, el }) {
  const all = model.get("rows"),
    initial = structuredClone(model.get("first"));
  const names = [...new Set(all.map((row) => row.design))],
    budgets = [...new Set(all.map((row) => row.budget))].sort((a, b) => a - b);
  const state = () => Object.fromEntries(Object.keys(initial).map((key) => [key, model.get(key)]));
  const shown = () => all.filter((row) => row.budget === state().budget);
  const chosen = () => shown().find((row) => row.design === state().design) ?? shown()[0];
  const ui = frame({
    el,
    model,
    name: "design-explorer",
    label: "Cost and accuracy of the designs",
    prompt: "Change the cost to inference time. Which designs leave the front, and which enter it?",
    code: () => torchCode(chosen(), model.get("picture")),
    initial,
  });
  ui.root.prepend(h("style", {}, STYLE));

  const chart = h("svg", {
    viewBox: `0 0 ${W} ${H}`,
    class: "cn-trade",
    role: "application",
    tabindex: 0,
    "data-control": "points",
    ...KEYS,
  });
  ui.stage.append(chart);
  const pick = (name, label, options, turn = String) =>
    choice({
      name,
      label,
      options,
      get: () => model.get(name),
      set: (value) => change(model, { [name]: turn(value) }),
    });
  const controls = [
    pick("x", "Cost", AXES),
    pick("gain", "Accuracy", GAINS),
    pick(
      "budget",
      "Budget",
      Object.fromEntries(budgets.map((budget) => [budget, `${format(budget)} parameters`])),
      Number,
    ),
    pick("design", "Design", Object.fromEntries(names.map((name) => [name, name]))),
  ];
  const body = h("tbody", {}),
    head = h("th", { scope: "col" });
  ui.panel.append(
    ...controls.map((control) => control.el),
    h(
      "table",
      { className: "cn-designs" },
      h("caption", {}, "◆ no other design beats it"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "design"),
          head,
          h("th", { scope: "col" }, "accuracy"),
        ),
      ),
      body,
    ),
  );
  const big = (name) => h("span", { className: "cn-big", data: { shown: name } }),
    note = (name) => h("span", { className: "cn-small", data: { shown: name } });
  const accuracy = big("accuracy"),
    seeds = note("seeds"),
    price = big("price"),
    unit = note("unit"),
    sight = big("sight"),
    meaning = note("meaning");
  ui.answer.append(
    h("div", {}, accuracy, seeds),
    h("div", {}, price, unit),
    h("div", {}, sight, meaning),
  );

  // Where each shown row lies; the axes hold all budgets, so that a budget can be compared with another.
  function places() {
    const { x, gain } = state(),
      log = true;
    const across = scale(
        all.map((row) => row[x]),
        LEFT,
        W - RIGHT,
        log,
      ),
      up = scale(
        all.flatMap((row) => row.accuracies),
        H - BOTTOM,
        TOP,
        false,
      );
    return {
      across: (row) => across(row[x]),
      up: (row) => up(row[gain]),
      acrossValue: across,
      upValue: up,
    };
  }
  function nearest(event) {
    const box = chart.getBoundingClientRect(),
      { across, up } = places();
    const px = ((event.clientX - box.left) / box.width) * W,
      py = ((event.clientY - box.top) / box.height) * H;
    return shown()
      .map((row) => [Math.hypot(across(row) - px, up(row) - py), row])
      .sort((a, b) => a[0] - b[0])[0];
  }
  const choose = (row) => {
    if (row.design !== model.get("design")) change(model, { design: row.design });
  };
  chart.addEventListener("pointermove", (event) => {
    if (!(event.movementX || event.movementY)) return; // the page below a pointer that rests
    const [far, row] = nearest(event);
    if (far < 14) choose(row);
  });
  chart.addEventListener("pointerdown", (event) => choose(nearest(event)[1]));
  chart.addEventListener("keydown", (event) => {
    const key = {
      ArrowLeft: [state().x, -1],
      ArrowRight: [state().x, 1],
      ArrowDown: [state().gain, -1],
      ArrowUp: [state().gain, 1],
    }[event.key];
    if (!key) return;
    event.preventDefault();
    const ordered = shown().sort(
      (a, b) => a[key[0]] - b[key[0]] || names.indexOf(a.design) - names.indexOf(b.design),
    );
    choose(ordered[clamp(ordered.indexOf(chosen()) + key[1], 0, ordered.length - 1)]);
  });

  function draw() {
    const { x, gain, design } = state(),
      rows = shown(),
      one = chosen(),
      best = front(rows, x, gain),
      at = places();
    const path = (list) =>
      `M${list.map((row) => `${at.across(row).toFixed(1)} ${at.up(row).toFixed(1)}`).join("L")}`;
    const trail = all.filter((row) => row.design === design).sort((a, b) => a.budget - b.budget);
    const label = (row) => {
      const right = at.across(row) < W - 130;
      return h(
        "text",
        {
          x: at.across(row) + (right ? 10 : -10),
          y: at.up(row) - 8,
          "text-anchor": right ? "start" : "end",
          class: "cn-trade-name",
        },
        row.design,
      );
    };
    const diamond = (row, r) =>
      `M${at.across(row).toFixed(1)} ${(at.up(row) - r).toFixed(1)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`;
    chart.replaceChildren(
      h("path", { d: `M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}`, class: "cn-trade-axis" }),
      ...ticks(
        all.map((row) => row[x]),
        true,
      ).map((v) =>
        h(
          "text",
          { x: at.acrossValue(v), y: H - BOTTOM + 18, "text-anchor": "middle", class: "cn-tick" },
          short(v),
        ),
      ),
      ...ticks(
        all.flatMap((row) => row.accuracies),
        false,
      ).map((v) =>
        h(
          "text",
          { x: LEFT - 6, y: at.upValue(v) + 4, "text-anchor": "end", class: "cn-tick" },
          format(v),
        ),
      ),
      h("text", { x: (LEFT + W) / 2, y: H - 8, "text-anchor": "middle" }, AXES[x]),
      h("text", { x: LEFT + 8, y: TOP + 12 }, "test accuracy"),
      h("path", { d: path(best), class: "cn-trade-front" }),
      h("path", { d: path(trail), class: "cn-trade-trail" }),
      ...trail
        .filter((row) => row !== one)
        .map((row) =>
          h("circle", { cx: at.across(row), cy: at.up(row), r: 3.5, class: "cn-trade-point" }),
        ),
      h("path", {
        d: `M${at.across(one).toFixed(1)} ${at.upValue(Math.min(...one.accuracies)).toFixed(1)}V${at.upValue(Math.max(...one.accuracies)).toFixed(1)}`,
        class: "cn-trade-range",
      }),
      ...rows
        .filter((row) => !best.includes(row))
        .map((row) =>
          h("circle", { cx: at.across(row), cy: at.up(row), r: 5.5, class: "cn-trade-point" }),
        ),
      ...best.map((row) => h("path", { d: diamond(row, 7), class: "cn-trade-best" })),
      h("circle", { cx: at.across(one), cy: at.up(one), r: 11, class: "cn-trade-chosen" }),
      label(one),
    );
    chart.setAttribute(
      "aria-label",
      `${one.design}: ${short(one[x])} ${SHORT[x]}, accuracy ${share(one[gain])}. The arrow keys go to the next design.`,
    );
    controls.forEach((control) => control.refresh());
    head.textContent = SHORT[x];
    body.replaceChildren(
      ...[...rows]
        .sort((a, b) => b[gain] - a[gain])
        .map((row) =>
          h(
            "tr",
            { className: row === one ? "cn-chosen" : "", on: { click: () => choose(row) } },
            h("th", { scope: "row" }, `${best.includes(row) ? "◆ " : ""}${row.design}`),
            h("td", {}, short(row[x])),
            h("td", {}, share(row[gain])),
          ),
        ),
    );
    accuracy.textContent = share(one[gain]);
    seeds.textContent = `${GAINS[gain]}; ${one.accuracies.map(share).join(", ")}`;
    price.textContent = short(one[x]);
    unit.textContent = AXES[x];
    sight.textContent = one.receptive_field
      ? `${{ fixed: "", bound: "≤ ", start: "≥ " }[one.field]}${one.receptive_field} pixels`
      : "all";
    meaning.textContent = "receptive field";
    const judgement = judged(rows, one, x, gain);
    ui.formula.textContent =
      `${one.design}, widths ${one.widths.join("-")}: ${format(one.params)} parameters, ${format(one.macs)} multiply-adds, ${format(one.adds)} adds, ` +
      `inference ${format(one.inference_ms, 1)} ms, step ${format(one.step_ms, 1)} ms\n${judgement}`;
    ui.say(judgement);
  }
  return follow(model, draw);
}

export default { render };
