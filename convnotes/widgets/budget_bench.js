// Compare designs of one layer with the same input and output.

import { accepts, formula, letters, measured, torchCode } from "./budget_bench.compute.js";
import { choice, options, ranged } from "./kit/controls.js";
import { h, KEYS, placeAt, table, tableRow } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, short } from "./kit/numbers.js";

const COLUMNS = {
  parameters: "parameters",
  macs: "multiply-adds",
  written: "values written",
  field: "receptive field",
};
const PLAIN = { row: [["k", "k", "C", "O", "1"]], side: [] };

function kernelName({ height, width, inputs, outputs, groups }) {
  return `${height}×${width}, ${inputs} → ${outputs}${groups > 1 ? `, ${groups} groups` : ""}`;
}

function render({ model, el }) {
  const designs = Object.fromEntries(model.get("designs").map((design) => [design.name, design]));
  const names = Object.keys(designs);
  const first = model.get("first");
  const now = () => traits(model, Object.keys(first));
  const ui = frame(model, el, "budget-bench", {
    label: "Weigh designs of one layer",
    prompt:
      "Choose a design in the table, then change the kernel size: whose parameters grow most, and whose hardly at all?",
    code: () => torchCode(designs[model.get("highlight")], letters(now())),
    initial: first,
  });

  const lines = names.map(line);
  const shares = h("div", { className: "cn-shares" });
  const bench = table(
    "cn-bench",
    "Same channels in and out; a bar compares within its column",
    ["", ...Object.values(COLUMNS)],
    lines.map((one) => one.el),
  );
  ui.stage.append(bench, shares);
  const pick = (name, label, values) =>
    choice({ ...trait(model, name, Number), label, options: options(values) });
  const controls = [
    ranged(model, "in_channels", "In, C", [32, 512], { step: 32 }),
    ranged(model, "out_channels", "Out, O", [32, 512], { step: 32 }),
    ranged(model, "kernel_size", "Size, k", [1, 9], { step: 2 }),
    pick("groups", "Groups, g", [1, 2, 4, 8, 16, 32]),
    pick("squeeze", "Squeeze, O/m", [1, 2, 4, 8, 16]),
    ranged(model, "side", "Map side", [7, 56], { step: 7 }),
  ];
  const [inputs, outputs, size, ...rest] = controls;
  ui.lead(bench, size);
  ui.panel.append(inputs.el, outputs.el);
  ui.more(...rest);
  const parameters = ui.fact("parameters", "times");
  const macs = ui.fact("macs", "places");
  const field = ui.fact("field");

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
      el: tableRow(
        choose,
        cells.map(({ text, bar }) => [text, bar]),
      ),
    };
  }

  function draw() {
    const known = letters(now());
    const { highlight, side, kernel_size: k } = now();
    const found = Object.fromEntries(
      names.map((name) => [name, measured(designs[name], known, side)]),
    );
    const one = found[highlight];
    const length = (design, key) => (key === "field" ? Math.max(...design.field) : design[key]);
    for (const { name, choose, cells, el: row } of lines) {
      row.classList.toggle("cn-chosen", name === highlight);
      choose.setAttribute("aria-pressed", name === highlight);
      for (const { key, text, bar } of cells) {
        const most = Math.max(...names.map((other) => length(found[other], key)));
        text.textContent = key === "field" ? found[name].field.join("×") : short(found[name][key]);
        placeAt(bar, { width: Math.max(0.02, length(found[name], key) / most) });
      }
    }
    for (const control of controls) control.refresh();
    const kernels = [...one.row, ...one.branches.flat()].filter((kernel) => !kernel.pool);
    shares.replaceChildren(
      h("p", {}, `Where the parameters of ${highlight} are`),
      ...kernels.map((kernel) => {
        const bar = h("div");
        placeAt(bar, { width: Math.max(0.01, kernel.parameters / one.parameters) });
        return h("div", {}, h("span", {}, kernelName(kernel)), bar);
      }),
    );
    parameters(
      format(one.parameters),
      `parameters (plain ${k}×${k}: ${format(measured(PLAIN, known, side).parameters / one.parameters)} times that)`,
    );
    macs(short(one.macs), `multiply-adds on ${side}×${side} positions`);
    field(one.field.join("×"), "receptive field");
    ui.formula.textContent = formula(designs[highlight], known, side);
    ui.say(
      `${highlight}: ${format(one.parameters)} parameters, ${short(one.macs)} ` +
        `multiply-adds, receptive field ${one.field.join("×")}`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
