// Designs of one layer compared side by side, in numbers. The designs come from Python.

import { among, format, sum, whole } from "./kit/numbers.js";

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

// A design in numbers: its kernels, branch by branch, and its totals on side×side positions.
export function measured(design, known, side) {
  const row = design.row.map((kernel) => weigh(kernel, known));
  const branches = design.side.map((branch) => branch.map((kernel) => weigh(kernel, known)));
  const all = [...row, ...branches.flat()];
  const reach = (list, along) => sum(list, (kernel) => kernel[along] - 1);
  const field = (along) =>
    1 + reach(row, along) + Math.max(0, ...branches.map((branch) => reach(branch, along)));
  const parameters = sum(all, (kernel) => kernel.parameters);
  return {
    row,
    branches,
    parameters,
    macs: parameters * side * side,
    written: sum(all, (kernel) => kernel.outputs) * side * side,
    field: [field("height"), field("width")],
  };
}

export function formula(design, known, side) {
  const found = measured(design, known, side);
  const heavy = [...found.row, ...found.branches.flat()].filter((kernel) => !kernel.pool);
  const [rows, columns] = found.field;
  const reach = found.branches.length ? "the largest branch" : "1 + Σ (size − 1)";
  return [
    `parameters = ${heavy.map((kernel) => kernel.term).join(" + ")}`,
    `           = ${heavy.map((kernel) => kernel.figures).join(" + ")} = ${format(found.parameters)}`,
    `multiply-adds = ${format(found.parameters)} · ${side}² positions = ${format(found.macs)}`,
    `receptive field = ${reach} = ${rows}×${columns}`,
  ].join("\n");
}

export function torchCode(design, known) {
  const line = (kernel) => {
    const { pool, height, width, inputs, outputs, groups } = weigh(kernel, known);
    const size = height === width ? `${height}` : `(${height}, ${width})`;
    const pad =
      height === width ? `${(height - 1) / 2}` : `(${(height - 1) / 2}, ${(width - 1) / 2})`;
    if (pool) return `nn.MaxPool2d(${size}, stride=1, padding=${pad})`;
    return (
      `nn.Conv2d(${inputs}, ${outputs}, ` +
      `${size}${pad === "0" ? "" : `, padding=${pad}`}${groups > 1 ? `, groups=${groups}` : ""}, ` +
      "bias=False)"
    );
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

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  in_channels: whole(32, 512, 32),
  out_channels: whole(32, 512, 32),
  kernel_size: whole(1, 9, 2),
  groups: among([1, 2, 4, 8, 16, 32]),
  squeeze: among([1, 2, 4, 8, 16]),
  side: whole(7, 56, 7),
  highlight: among(get("designs").map((design) => design.name)),
});
