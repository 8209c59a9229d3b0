// Designs of one layer weighed side by side. Pure functions first, then the drawing. The designs come from Python.

// What the letters of a design stand for.
export function letters({ in_channels, out_channels, kernel_size, groups, squeeze }) {
  const m = Math.floor(out_channels / squeeze);
  return {
    C: in_channels,
    O: out_channels,
    k: kernel_size,
    g: groups,
    m,
    h: Math.min(groups, m & -m),
  };
}

// "O/2", "k+2", "C" or "3" as a number.
export function number(text, known) {
  const [, letter, sign, more] = text.match(/^([A-Za-z]|\d+)([/+]?)(\d*)$/);
  const value = known[letter] ?? Number(letter);
  return sign === "/"
    ? Math.max(1, Math.floor(value / more))
    : sign === "+"
      ? value + Number(more)
      : value;
}

// One kernel with its numbers, its count of weights, and the count as a term in letters and in figures.
export function weigh(kernel, known) {
  const pool = kernel[4] === "pool";
  const [height, width, inputs, outputs] = kernel.slice(0, 4).map((text) => number(text, known));
  const groups = pool ? inputs : number(kernel[4], known);
  const parameters = pool ? 0 : height * width * (inputs / groups) * outputs;
  return {
    pool,
    height,
    width,
    inputs,
    outputs,
    groups,
    parameters,
    term: pool ? "" : term(kernel),
    figures: pool ? "" : term([height, width, inputs, outputs, groups].map(String)),
  };
}

// k²·C·O/g, where equal factors become a square, ones are left out and groups that are the inputs cancel.
function term([height, width, inputs, outputs, groups]) {
  const square = (a, b) =>
    a === b
      ? a === "1"
        ? []
        : [`${/[/+]/.test(a) ? `(${a})` : a}²`]
      : [a, b].filter((f) => f !== "1");
  if (groups === inputs && groups !== "1") return [...square(height, width), outputs].join("·");
  return (
    ([...square(height, width), ...square(inputs, outputs)].join("·") || "1") +
    (groups === "1" ? "" : `/${groups}`)
  );
}

// A design in numbers: its kernels, branch by branch, and its totals on side×side places.
export function measured(design, known, side) {
  const row = design.row.map((kernel) => weigh(kernel, known));
  const branches = design.side.map((branch) => branch.map((kernel) => weigh(kernel, known)));
  const all = [...row, ...branches.flat()],
    sum = (of) => all.reduce((total, kernel) => total + of(kernel), 0);
  const reach = (list, along) => list.reduce((total, kernel) => total + kernel[along] - 1, 0);
  const field = (along) =>
    1 + reach(row, along) + Math.max(0, ...branches.map((branch) => reach(branch, along)));
  const parameters = sum((kernel) => kernel.parameters);
  return {
    row,
    branches,
    parameters,
    macs: parameters * side * side,
    written: sum((kernel) => kernel.outputs) * side * side,
    field: [field("height"), field("width")],
  };
}

export function formula(design, known, side) {
  const found = measured(design, known, side),
    heavy = [...found.row, ...found.branches.flat()].filter((kernel) => !kernel.pool);
  const [rows, columns] = found.field;
  const reach = found.branches.length ? "the largest branch" : "1 + Σ (size − 1)";
  return [
    `parameters = ${heavy.map((kernel) => kernel.term).join(" + ")}`,
    `           = ${heavy.map((kernel) => kernel.figures).join(" + ")} = ${format(found.parameters)}`,
    `multiply-adds = ${format(found.parameters)} · ${side}² places = ${format(found.macs)}`,
    `field = ${reach} = ${rows}×${columns}`,
  ].join("\n");
}

export function torchCode(design, known) {
  const line = (kernel) => {
    const { pool, height, width, inputs, outputs, groups } = weigh(kernel, known);
    const size = height === width ? `${height}` : `(${height}, ${width})`;
    const pad =
      height === width ? `${(height - 1) / 2}` : `(${(height - 1) / 2}, ${(width - 1) / 2})`;
    if (pool) return `nn.MaxPool2d(${size}, stride=1, padding=${pad})`;
    return `nn.Conv2d(${inputs}, ${outputs}, ${size}${pad === "0" ? "" : `, padding=${pad}`}${groups > 1 ? `, groups=${groups}` : ""}, bias=False)`;
  };
  const sequence = (kernels) => `nn.Sequential(${kernels.map(line).join(", ")})`;
  if (!design.side.length)
    return ["import torch", "from torch import nn", "", `layer = ${sequence(design.row)}`].join(
      "\n",
    );
  return [
    "import torch",
    "from torch import nn",
    "",
    "class SideBySide(nn.Module):",
    "    def __init__(self, first, branches):",
    "        super().__init__()",
    "        self.first, self.branches = first, nn.ModuleList(branches)",
    "    def forward(self, x):",
    "        x = self.first(x)",
    "        return torch.cat([branch(x) for branch in self.branches], dim=1)",
    "",
    `layer = SideBySide(${sequence(design.row)}, [`,
    ...design.side.map((branch) => `    ${sequence(branch)},`),
    "])",
  ].join("\n");
}

const COLUMNS = {
  parameters: "parameters",
  macs: "multiply-adds",
  written: "values written",
  field: "field",
};
const PLAIN = { row: [["k", "k", "C", "O", "1"]], side: [] };
const STYLE = `
@container (min-width: 640px) { [data-widget="budget-bench"] .cn-panel { width: 15.5rem; } }
[data-widget="budget-bench"] .cn-control { grid-template-columns: 6.9rem minmax(0, 1fr) auto; }
.cn-bench { width: 100% !important; table-layout: auto; border-collapse: collapse; display: table; font-size: .85rem; font-variant-numeric: tabular-nums; }
.cn-bench caption, .cn-shares > p { caption-side: top; text-align: left; padding: 0 0 .25rem; font-size: .9rem; color: var(--cn-muted); }
.cn-bench td, .cn-bench th { border: 0; padding: .25rem .2rem; background: none; color: inherit; font-weight: inherit; text-align: right; vertical-align: top; white-space: nowrap; }
.cn-bench thead th { white-space: normal; color: var(--cn-muted); line-height: 1.2; vertical-align: bottom; }
.cn-bench tbody tr { border-top: 1px solid var(--cn-line); background: none; }
.cn-bench tbody tr.cn-chosen { background: var(--cn-raised); font-weight: 650; }
.cn-bench tbody th { padding: 0; }
.cn-bench button { all: unset; box-sizing: border-box; width: 100%; min-height: 2.4rem; padding: .2rem .25rem; cursor: pointer; text-align: left; white-space: normal; line-height: 1.2;
  border-left: 4px solid transparent; text-decoration: underline dotted; text-underline-offset: 3px; }
.cn-bench .cn-chosen button { border-left-color: var(--cn-accent); }
.cn-bench td > div { height: 5px; margin: 3px 0 0 auto; border-radius: 2px; }
.cn-bench-parameters { background: var(--cn-kernel); } .cn-bench-macs { background: var(--cn-accent); }
.cn-bench-written { background: var(--cn-output-ink); } .cn-bench-field { background: var(--cn-input-ink); }
.cn-shares > div { display: grid; grid-template-columns: minmax(0, 11rem) 1fr; gap: .5rem; align-items: center; font-size: .88rem; min-height: 1.6rem; }
.cn-shares > div > div { height: 12px; background: var(--cn-kernel); border: 1px solid var(--cn-kernel-ink); }
@container (max-width: 400px) { .cn-bench { font-size: .78rem; } .cn-bench td, .cn-bench th { padding-inline: .1rem; } }
@media (pointer: coarse) { .cn-bench button { min-height: 44px; } }`;

// Short enough for a column: 589,824 stays, 462,422,016 becomes 462.4 M.
export function short(value) {
  return value < 1e6 ? format(value) : `${format(value / 1e6, value < 1e8 ? 2 : 1)} M`;
}

function kernelName({ height, width, inputs, outputs, groups }) {
  return `${height}×${width}, ${inputs} → ${outputs}${groups > 1 ? `, ${groups} groups` : ""}`;
}

function render({ model, el }) {
  const designs = Object.fromEntries(model.get("designs").map((design) => [design.name, design])),
    names = Object.keys(designs);
  const first = model.get("first");
  const state = () => Object.fromEntries(Object.keys(first).map((key) => [key, model.get(key)]));
  const ui = frame({
    el,
    model,
    name: "budget-bench",
    label: "Weigh designs of one layer",
    prompt:
      "Choose a design in the table, then change the kernel size: whose parameters grow, and whose hardly?",
    code: () => torchCode(designs[model.get("highlight")], letters(state())),
    initial: first,
  });
  ui.root.prepend(h("style", {}, STYLE));
  ui.stage.style.gridTemplateColumns = "minmax(0, 1fr)";

  const lines = names.map(line),
    shares = h("div", { className: "cn-shares" });
  ui.stage.append(
    h(
      "table",
      { className: "cn-bench" },
      h("caption", {}, "Same channels in and out; a bar compares within its column"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td"),
          Object.values(COLUMNS).map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        lines.map((one) => one.el),
      ),
    ),
    shares,
  );

  const range = (name, label, min, max, step) =>
    slider({
      name,
      label,
      min,
      max,
      step,
      get: () => model.get(name),
      set: (value) => change(model, { [name]: value }),
    });
  const pick = (name, label, values) =>
    choice({
      name,
      label,
      options: Object.fromEntries(values.map((value) => [value, `${value}`])),
      get: () => model.get(name),
      set: (value) => change(model, { [name]: Number(value) }),
    });
  const controls = [
    range("in_channels", "In, C", 32, 512, 32),
    range("out_channels", "Out, O", 32, 512, 32),
    range("kernel_size", "Size, k", 1, 9, 2),
    pick("groups", "Groups, g", [1, 2, 4, 8, 16, 32]),
    pick("squeeze", "Squeeze, O/m", [1, 2, 4, 8, 16]),
    range("side", "Map side", 7, 56, 7),
  ];
  ui.panel.append(...controls.map((control) => control.el));
  const big = (shown) => h("span", { className: "cn-big", data: { shown } }),
    note = (shown) => h("span", { className: "cn-small", data: { shown } });
  const parameters = big("parameters"),
    times = note("times"),
    macs = big("macs"),
    places = note("places"),
    field = big("field");
  ui.answer.append(
    h("div", {}, parameters, times),
    h("div", {}, macs, places),
    h("div", {}, field, h("span", { className: "cn-small" }, "receptive field")),
  );

  function line(name) {
    const choose = h(
      "button",
      {
        type: "button",
        data: { control: `design-${name.replaceAll(" ", "-")}` },
        ...KEYS,
        on: { click: () => change(model, { highlight: name }) },
      },
      name,
    );
    const cells = Object.keys(COLUMNS).map((key) => ({
      key,
      text: h("span", { data: { shown: `${name} ${key}` } }),
      bar: h("div", { className: `cn-bench-${key}` }),
    }));
    return {
      name,
      choose,
      cells,
      el: h(
        "tr",
        {},
        h("th", { scope: "row" }, choose),
        cells.map(({ text, bar }) => h("td", {}, text, bar)),
      ),
    };
  }

  function draw() {
    const now = state(),
      known = letters(now),
      found = Object.fromEntries(
        names.map((name) => [name, measured(designs[name], known, now.side)]),
      );
    const length = (one, key) => (key === "field" ? Math.max(...one.field) : one[key]);
    lines.forEach(({ name, choose, cells, el: row }) => {
      row.classList.toggle("cn-chosen", name === now.highlight);
      choose.setAttribute("aria-pressed", name === now.highlight);
      cells.forEach(({ key, text, bar }) => {
        const most = Math.max(...names.map((other) => length(found[other], key)));
        text.textContent = key === "field" ? found[name].field.join("×") : short(found[name][key]);
        bar.style.width = `${Math.max(2, (100 * length(found[name], key)) / most)}%`;
      });
    });
    controls.forEach((control) => control.refresh());
    const design = designs[now.highlight],
      one = found[now.highlight],
      k = now.kernel_size;
    const kernels = [...one.row, ...one.branches.flat()].filter((kernel) => !kernel.pool);
    shares.replaceChildren(
      h("p", {}, `Where the parameters of ${now.highlight} are`),
      ...kernels.map((kernel) =>
        h(
          "div",
          {},
          h("span", {}, kernelName(kernel)),
          h("div", {
            style: { width: `${Math.max(1, (100 * kernel.parameters) / one.parameters)}%` },
          }),
        ),
      ),
    );
    parameters.textContent = format(one.parameters);
    times.textContent = `parameters (plain ${k}×${k}: ${format(measured(PLAIN, known, now.side).parameters / one.parameters)} times that)`;
    macs.textContent = format(one.macs);
    places.textContent = `multiply-adds on ${now.side}×${now.side} places`;
    field.textContent = one.field.join("×");
    ui.formula.textContent = formula(design, known, now.side);
    ui.say(
      `${now.highlight}: ${format(one.parameters)} parameters, ${format(one.macs)} multiply-adds, field ${one.field.join("×")}`,
    );
  }
  return follow(model, draw);
}

export default { render };
