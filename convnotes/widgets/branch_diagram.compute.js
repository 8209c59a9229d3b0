// An inception block as branches: the channels between its kernels, and what the kernels weigh.

import { among, format, listOf, sum, whole, yesOrNo } from "./kit/numbers.js";
import { tr } from "./kit/words.js";

export const NARROWED = ["3×3", "5×5", "pooling"]; // the branches with a 1×1 kernel that narrows

function kernel(size, inputs, outputs) {
  return { name: `${size}×${size}`, size, inputs, outputs, weights: size ** 2 * inputs * outputs };
}

// The four branches of a block, each with its steps from the input to the output; pooling is a step without weights.
export function branches({ in_channels: C, outputs, kept, narrowed, true_5x5 }) {
  const [[f1, f3, f5], [r3, r5, p]] = [outputs, kept];
  const behind = (r, size, f) =>
    narrowed ? [kernel(1, C, r), kernel(size, r, f)] : [kernel(size, C, f)];
  const pool = { name: "max", size: 3, inputs: C, outputs: C, weights: 0 };
  return [
    { name: "1×1", steps: [kernel(1, C, f1)] },
    { name: "3×3", steps: behind(r3, 3, f3) },
    { name: "5×5", steps: behind(r5, true_5x5 ? 5 : 3, f5) },
    { name: "pooling", steps: [pool, ...(narrowed ? [kernel(1, C, p)] : [])] },
  ].map((branch) => ({
    ...branch,
    weights: sum(branch.steps, (step) => step.weights),
    outputs: branch.steps.at(-1).outputs,
  }));
}

// What the branches have together; `values` are those that kernels and pooling write at each position.
export function totals(rows) {
  return {
    weights: sum(rows, (row) => row.weights),
    values: sum(rows, (row) => sum(row.steps, (step) => step.outputs)),
    outputs: sum(rows, (row) => row.outputs),
    field: Math.max(...rows.flatMap((row) => row.steps.map((step) => step.size))),
  };
}

// The weights of the largest kernel that the 1×1 kernels may leave: the scale of all areas.
export function largestKernel(state) {
  const wide = { ...state, narrowed: false, true_5x5: true };
  return Math.max(...branches(wide).map((row) => row.weights), state.in_channels ** 2);
}

// How the weights of a branch add up.
export function written(row) {
  const kernels = row.steps.filter((step) => step.weights);
  const factor = (step) => (step.size > 1 ? `${step.size}²·` : "");
  const terms = kernels.map((step) => `${factor(step)}${step.inputs}·${step.outputs}`);
  const numbers = kernels.map((step) => format(step.weights));
  if (kernels.length < 2) return `${terms[0] ?? tr`no kernel`} = ${format(row.weights)}`;
  return `${terms.join(" + ")} = ${numbers.join(" + ")} = ${format(row.weights)}`;
}

// `kept` with `count` channels behind the 1×1 kernel of a branch, between 1 and `most`.
export function keeping(kept, branch, count, most) {
  const next = [...kept];
  next[NARROWED.indexOf(branch)] = Math.min(Math.max(count, 1), most);
  return next;
}

export function torchCode({ in_channels: C, outputs, kept, narrowed, true_5x5 }) {
  const [[f1, f3, f5], [r3, r5, p]] = [outputs, kept];
  const large = true_5x5 ? 5 : 3;
  if (narrowed)
    return [
      "import torch",
      "from convnotes import Inception",
      "",
      `block = Inception(${[C, f1, r3, f3, r5, f5, p].join(", ")}${true_5x5 ? "" : ", true_5x5=False"})`,
      `y = block(torch.rand(1, ${C}, 28, 28))`,
    ].join("\n");
  const layer = (f, k) => `    ConvNormReLU(${C}, ${f}, ${k}, padding=${(k - 1) / 2}),`;
  return [
    "import torch",
    "from convnotes.compression.inception import ConvNormReLU",
    "",
    "class SideBySide(torch.nn.ModuleList):",
    "    def forward(self, x):",
    "        return torch.cat([branch(x) for branch in self], dim=1)",
    "",
    "block = SideBySide([",
    ...[layer(f1, 1), layer(f3, 3), layer(f5, large)],
    "    torch.nn.MaxPool2d(3, stride=1, padding=1),",
    "])",
    `y = block(torch.rand(1, ${C}, 28, 28))`,
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  kept: listOf(whole(1, get("in_channels")), NARROWED.length),
  narrowed: yesOrNo,
  branch: among(NARROWED),
  true_5x5: yesOrNo,
});
