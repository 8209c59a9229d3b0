// See what a position of an image attends to.

import {
  accepts,
  attend,
  halfway,
  neighbourhood,
  share,
  torchCode,
} from "./attention_viewer.compute.js";
import { choice, options, ranged } from "./kit/controls.js";
import { follow, frame, trait, traits } from "./kit/frame.js";
import { bracketed, format, percent } from "./kit/numbers.js";
import {
  outline,
  ownBuffer,
  photograph,
  picture,
  probe,
  scaleBar,
  viridis,
} from "./kit/pictures.js";

function render({ model, el }) {
  const sizes = ["height", "width", "channels", "depth", "rows", "columns"];
  const { height, width, channels, depth, rows, columns } = traits(model, sizes);
  const captions = model.get("captions");
  const places = rows * columns;
  const pixels = height * width;
  const pictures = photograph(model.get("image"));
  const [queries, keys] = ["query", "key"].map(
    (name) => new Float32Array(ownBuffer(model.get(name))),
  );
  const ui = frame(model, el, "attention-viewer", {
    label: "See what a position of an image attends to",
    prompt:
      "Point at a position, or go there with the arrow keys: what does it attend to? Then set the scale to 0.",
    code: () => torchCode(...model.get("probe"), model.get("factor") * model.get("scale")),
    initial: model.get("first"),
  });

  const input = picture(height, width, "cn-wide");
  const heat = picture(height, width, "cn-wide");
  const bar = scaleBar("cn-wide");
  const frames = [input, heat].map((one) => outline(one));
  bar.surface.setAttribute("aria-hidden", "true");
  outline(bar, "cn-window cn-equal")(0, Math.sqrt(1 / places) - 0.01, 1, 0.02);
  ui.stage.append(input.el, heat.el, bar.el);
  const which = choice({
    ...trait(model, "picture", Number),
    label: "Image",
    options: options(
      captions.map((_, n) => n),
      (n) => captions[n],
    ),
  });
  const temperature = ranged(model, "factor", "Scale of q·k", [0, 4], {
    unit: "× trained",
    step: 0.25,
    digits: 2,
  });
  const near = ranged(model, "window", "Neighbourhood", [1, 9], { unit: "positions", step: 2 });
  const controls = [which, temperature, near];
  ui.lead(bar.el, temperature);
  ui.panel.append(which.el, near.el);
  const point = probe({
    ...trait(model, "probe"),
    label: "Marked position",
    on: heat,
    more: [input],
    echo: [input],
    hover: true,
    height: rows,
    width: columns,
  });
  const outside = ui.fact("outside");
  const half = ui.fact("half");

  // The weights in colours, laid over the image. The scale is the same for all: the root of the weight, from 0 to 1.
  function laidOver(x, weights) {
    const mixed = new Float32Array(3 * pixels);
    for (let p = 0; p < pixels; p++) {
      const i = Math.floor((Math.floor(p / width) * rows) / height);
      const j = Math.floor(((p % width) * columns) / width);
      viridis(Math.sqrt(weights[i * columns + j])).forEach((v, c) => {
        mixed[c * pixels + p] = 0.75 * v + 0.25 * x[(channels === 3 ? c : 0) * pixels + p];
      });
    }
    return mixed;
  }

  function draw() {
    const n = model.get("picture");
    const [row, column] = model.get("probe");
    const scale = model.get("factor") * model.get("scale");
    const window = model.get("window");
    const place = row * columns + column;
    const x = pictures.subarray(n * channels * pixels, (n + 1) * channels * pixels);
    const [q, k] = [queries, keys].map((all) =>
      all.subarray(n * depth * places, (n + 1) * depth * places),
    );
    const weights = attend(q, k, depth, places, place, scale);
    const top = Math.max(...weights);
    const strongest = weights.indexOf(top);
    const where = `row ${Math.floor(strongest / columns)}, column ${strongest % columns}`;
    const box = neighbourhood(rows, columns, [row, column], window);
    const inside = share(weights, columns, box);
    const [above, left, tall, wide] = [box[0], box[1], box[2] - box[0], box[3] - box[1]];

    input.paint(x, channels);
    input.describe(captions[n], "Input", `: ${captions[n]}; the blue outline is the neighbourhood`);
    heat.paint(laidOver(x, weights), 3);
    heat.describe(
      `The weights of the marked position over the image; the largest, ${percent(top)}, in ${where}`,
      "Attention",
      ` of the marked position, laid over the image (${rows}×${columns} positions)`,
    );
    bar.text.textContent =
      `weight: ${percent(0)} (dark) to ${percent(1)} (bright), on a square-root scale; mark: all ` +
      `equal, ${percent(1 / places)}; largest here: ${percent(top)}`;
    for (const put of frames) put(above / rows, left / columns, tall / rows, wide / columns);
    for (const control of [...controls, point]) control.refresh();
    outside(
      percent(1 - inside),
      `of the attention outside ${window}×${window} positions (equal weights: ${percent(1 - (tall * wide) / places)})`,
    );
    const distance = halfway(weights, columns, [row, column]);
    half(
      `${format(distance, 1)} positions`,
      `away, or nearer, lies half of it (${format((distance * height) / rows, 1)} pixels)`,
    );
    let product = 0;
    for (let d = 0; d < depth; d++) product += q[d * places + place] * k[d * places + strongest];
    ui.formula.textContent =
      "f(i, j) = exp(scale·qᵢ·kⱼ) / Σ exp(scale·qᵢ·kⱼ)\n" +
      `largest: ${where}: scale·q·k = ${format(scale, 3)}·${bracketed(product)}, f = ` +
      `${format(top, 3)}`;
    ui.say(`Row ${row}, column ${column}: ${percent(1 - inside)} outside`);
  }
  return follow(model, draw, accepts);
}

export default { render };
