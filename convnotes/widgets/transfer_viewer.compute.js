// Learning curves of a second task, and what they gain over training from scratch.

import { among, mean } from "./kit/numbers.js";

// The curves [seeds][epochs] from `start` with these settings; from scratch there is nothing to freeze.
export function curvesOf(runs, start, freeze, examples) {
  return runs.find(
    (run) =>
      run.start === start &&
      run.examples === examples &&
      (start === "scratch" || run.freeze === freeze),
  ).curves;
}

// The names of the starts other than "scratch", and the numbers of examples in rising order.
export function startsOf(runs) {
  return [...new Set(runs.map((run) => run.start))].filter((name) => name !== "scratch");
}

export function sizesOf(runs) {
  return [...new Set(runs.map((run) => run.examples))].sort((a, b) => a - b);
}

// The mean over the seeds after each epoch, and the last accuracy of each seed.
export function meanCurve(curves) {
  return curves[0].map((_, epoch) => mean(curves.map((curve) => curve[epoch])));
}

export function ends(curves) {
  return curves.map((curve) => curve.at(-1));
}

// Percentage points that the last mean of `curves` lies above that of `others`.
export function gain(curves, others) {
  return 100 * (mean(ends(curves)) - mean(ends(others)));
}

// In how many seeds `curves` end above `others`.
export function ahead(curves, others) {
  return ends(curves).filter((value, seed) => value > ends(others)[seed]).length;
}

// The first epoch whose mean is at least the last mean of `others`; null if there is none.
export function caught(curves, others) {
  const epoch = meanCurve(curves).findIndex((value) => value >= mean(ends(others)) - 1e-9);
  return epoch < 0 ? null : epoch + 1;
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
  start: among(startsOf(get("runs"))),
  freeze: among(["none", "stem", "all"]),
  examples: among(sizesOf(get("runs"))),
});
