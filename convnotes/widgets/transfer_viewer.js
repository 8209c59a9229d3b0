// Kernels of a first task, what a second one makes of them, and what was gained. Pure functions first.

const FREEZES = { none: "nothing", stem: "the first kernels", all: "all but the head" };

// The run from `start` with these settings; from scratch there is nothing to freeze.
export function find(runs, start, freeze, examples) {
  return runs.find(
    (run) =>
      run.start === start &&
      run.examples === examples &&
      (start === "scratch" || run.freeze === freeze),
  );
}

export function mean(values) {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

// Percentage points that a run's mean accuracy lies above another's.
export function gain(run, other) {
  return 100 * (mean(run.accuracies) - mean(other.accuracies));
}

// ‖after − before‖ / ‖before‖ over whatever numbers the two hold.
export function moved(before, after) {
  const a = before.flat(Infinity),
    b = after.flat(Infinity),
    length = (values) => Math.hypot(...values);
  return length(a.map((v, n) => b[n] - v)) / length(a);
}

export function signed(value, digits = 1) {
  return `${Number(value.toFixed(digits)) > 0 ? "+" : ""}${format(value, digits)}`;
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

const STYLE = `
[data-widget="transfer-viewer"] .cn-stage { grid-template-columns: minmax(0, 1fr); }
@container (min-width: 640px) { [data-widget="transfer-viewer"] .cn-panel { width: 17rem; } }
[data-widget="transfer-viewer"] .cn-control { grid-template-columns: 5.5rem minmax(0, 1fr) auto; }
[data-widget="transfer-viewer"] .cn-thirds svg { max-width: 11rem; }
.cn-transfer { width: 100%; height: auto; display: block; max-width: 28rem; }
.cn-transfer line { stroke: var(--cn-line); stroke-width: 1; }
.cn-transfer path { fill: none; stroke-width: 2.5; }
.cn-transfer text { fill: var(--cn-text); font-size: 16px; }
.cn-transfer .cn-transfer-shown { stroke: var(--cn-kernel-ink); }
.cn-transfer .cn-transfer-scratch { stroke: var(--cn-input-ink); stroke-dasharray: 6 4; }
.cn-transfer circle { fill: var(--cn-kernel); stroke: var(--cn-kernel-ink); stroke-width: 1.5; }
.cn-transfer rect { fill: var(--cn-ground); stroke: var(--cn-input-ink); stroke-width: 2; }
.cn-transfer .cn-transfer-here { fill: var(--cn-raised); stroke: var(--cn-muted); stroke-width: 1; }`;

function render({ model, el }) {
  const starts = model.get("starts"),
    runs = model.get("runs");
  const names = Object.keys(starts).filter((name) => name !== "scratch");
  const sizes = [...new Set(runs.map((run) => run.examples))].sort((a, b) => a - b);
  const keys = ["start", "freeze", "examples", "kernel"];
  const initial = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
  const ui = frame({
    el,
    model,
    name: "transfer-viewer",
    label: "Kernels before and after fine-tuning, and what was gained",
    prompt:
      "Change the number of examples, then the first task: where is the gain large, and where is it below zero?",
    code: () => torchCode(model.get("freeze")),
    initial,
  });
  ui.root.prepend(h("style", {}, STYLE));

  const thirds = h("div", { className: "cn-thirds" });
  const grids = ["Pre-trained", "Fine-tuned", "From scratch"].map((title) => {
    const place = h("div", {}),
      text = h("figcaption", {}, h("strong", {}, title));
    thirds.append(h("figure", { className: "cn-picture" }, place, text));
    return {
      show(values, words) {
        place.replaceChildren(kernelGrid(values, `${title}, ${words}`));
        text.replaceChildren(h("strong", {}, title), `: ${words}`);
      },
    };
  });
  const chart = h("div", {}),
    legend = h("figcaption", {});
  ui.stage.parentElement.before(thirds);
  ui.stage.append(h("figure", { className: "cn-picture" }, chart, legend));

  const pick = (name, label, options, set) =>
    choice({
      name,
      label,
      options,
      get: () => model.get(name),
      set: (value) => change(model, { [name]: set(value) }),
    });
  const controls = [
    pick("start", "First task", Object.fromEntries(names.map((name) => [name, name])), String),
    pick("freeze", "Frozen", FREEZES, String),
    pick("examples", "Examples", Object.fromEntries(sizes.map((n) => [n, `${n} a class`])), Number),
    slider({
      name: "kernel",
      label: "Kernel",
      min: 1,
      max: starts.scratch.length,
      get: () => model.get("kernel") + 1,
      set: (n) => change(model, { kernel: n - 1 }),
    }),
  ];
  ui.panel.append(...controls.map((control) => control.el));
  const big = (shown) => h("span", { className: "cn-big", data: { shown } }),
    note = (shown) => h("span", { className: "cn-small", data: { shown } });
  const points = big("gain"),
    pointsNote = note("seeds"),
    path = big("moved"),
    pathNote = note("scratch-moved");
  ui.answer.append(h("div", {}, points, pointsNote), h("div", {}, path, pathNote));

  function draw() {
    const start = model.get("start"),
      freeze = model.get("freeze"),
      examples = model.get("examples"),
      k = model.get("kernel");
    const shown = find(runs, start, freeze, examples),
      scratch = find(runs, "scratch", freeze, examples);
    const far = moved(starts[start], shown.kernels),
      wide = moved(starts.scratch, scratch.kernels),
      percent = (v) => `${format(100 * v, 0)} %`;
    grids[0].show(starts[start][k], `kernel ${k + 1}, from ${start}`);
    grids[1].show(
      shown.kernels[k],
      `moved by ${percent(moved(starts[start][k], shown.kernels[k]))}`,
    );
    grids[2].show(
      scratch.kernels[k],
      `moved by ${percent(moved(starts.scratch[k], scratch.kernels[k]))}`,
    );
    chart.replaceChildren(plot(runs, sizes, start, freeze, examples));
    legend.replaceChildren(
      h("strong", {}, "Accuracy of each seed"),
      `: circles from ${start}, squares from scratch; the lines join the means`,
    );
    controls.forEach((control) => control.refresh());
    const range = (run) =>
      `${format(mean(run.accuracies), 3)} (${format(Math.min(...run.accuracies), 3)} to ${format(Math.max(...run.accuracies), 3)})`;
    points.textContent = `${signed(gain(shown, scratch))} points`;
    pointsNote.textContent = `over from scratch: ${range(shown)} against ${range(scratch)}, ${shown.accuracies.length} seeds`;
    path.textContent = percent(far);
    pathNote.textContent = `is how far the first layer's kernels moved (from scratch ${percent(wide)})`;
    ui.formula.textContent = `gain = 100 · (${format(mean(shown.accuracies), 3)} − ${format(mean(scratch.accuracies), 3)}) = ${signed(gain(shown, scratch))} points\nmoved = ‖θ − θ₀‖ / ‖θ₀‖ = ${format(far, 2)}`;
    ui.say(
      `${signed(gain(shown, scratch))} points over from scratch with ${examples} examples a class`,
    );
  }
  return follow(model, draw);
}

// Accuracy over the number of examples, every seed a mark.
function plot(runs, sizes, start, freeze, examples) {
  const width = 340,
    height = 230,
    left = 44,
    right = 8,
    top = 12,
    bottom = 32;
  const x = (n) => left + ((width - left - right) * (sizes.indexOf(n) + 0.5)) / sizes.length,
    y = (a) => top + (height - top - bottom) * (1 - a);
  const of = (name) => sizes.map((n) => find(runs, name, freeze, n));
  const drawing = h(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: "cn-transfer",
      role: "img",
      "aria-label": `Mean accuracy with ${sizes.join(", ")} examples a class: ${of(start)
        .map((r) => format(mean(r.accuracies), 3))
        .join(", ")} from ${start}, ${of("scratch")
        .map((r) => format(mean(r.accuracies), 3))
        .join(", ")} from scratch`,
    },
    h("rect", {
      class: "cn-transfer-here",
      x: x(examples) - 44,
      y: top,
      width: 88,
      height: height - top - bottom,
    }),
    [0, 0.25, 0.5, 0.75, 1]
      .map((a) => [
        h("line", { x1: left, x2: width - right, y1: y(a), y2: y(a) }),
        h("text", { x: left - 8, y: y(a) + 5, "text-anchor": "end" }, format(a)),
      ])
      .flat(),
    sizes.map((n) =>
      h("text", { x: x(n), y: height - bottom + 20, "text-anchor": "middle" }, `${n} a class`),
    ),
  );
  for (const [name, line, shift] of [
    ["scratch", "cn-transfer-scratch", 12],
    [start, "cn-transfer-shown", -12],
  ]) {
    const group = of(name);
    drawing.append(
      h("path", {
        class: line,
        d: `M${group.map((run) => `${x(run.examples) + shift} ${y(mean(run.accuracies)).toFixed(1)}`).join("L")}`,
      }),
    );
    group.forEach((run) =>
      run.accuracies.forEach((a) =>
        drawing.append(
          name === "scratch"
            ? h("rect", { x: x(run.examples) + shift - 4, y: y(a) - 4, width: 8, height: 8 })
            : h("circle", { cx: x(run.examples) + shift, cy: y(a), r: 4.5 }),
        ),
      ),
    );
  }
  return drawing;
}

export default { render };
