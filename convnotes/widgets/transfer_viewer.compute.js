// Runs of a second task, and what they gained over training from scratch.

import { among, mean, whole } from "./kit/numbers.js";

// The run from `start` with these settings; from scratch there is nothing to freeze.
export function find(runs, start, freeze, examples) {
  return runs.find(
    (run) =>
      run.start === start &&
      run.examples === examples &&
      (start === "scratch" || run.freeze === freeze),
  );
}

// Percentage points that a run's mean accuracy lies above another's.
export function gain(run, other) {
  return 100 * (mean(run.accuracies) - mean(other.accuracies));
}

// ‖after − before‖ / ‖before‖ over whatever numbers the two hold.
export function moved(before, after) {
  const a = before.flat(Infinity);
  const b = after.flat(Infinity);
  const length = (values) => Math.hypot(...values);
  return length(a.map((v, n) => b[n] - v)) / length(a);
}

export function torchCode(freeze) {
  return [
    "import torch",
    "from convnotes import squeezenet1_1, transfer",
    "",
    'backbone = squeezenet1_1()  # with a network: convnotes.pretrained.load_pretrained("squeezenet1_1")',
    `net = transfer(backbone, 5, freeze="${freeze}")`,
    "optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-3)",
  ].join("\n");
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  start: among(Object.keys(get("starts")).filter((name) => name !== "scratch")),
  freeze: among(["none", "stem", "all"]),
  examples: among(get("runs").map((run) => run.examples)),
  kernel: whole(0, get("starts").scratch.length - 1),
});
