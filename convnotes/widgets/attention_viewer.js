// See what a position of an image attends to.

import {
  accepts,
  attend,
  bands,
  DEEPEST,
  factorOf,
  halfway,
  neighbourhood,
  onScale,
  SHARPNESS,
  share,
  stepOf,
  strongest,
  torchCode,
} from "./attention_viewer.compute.js";
import { arcs, strip } from "./attention_viewer.draw.js";
import { choice, options, ranged, slider } from "./kit/controls.js";
import { figure, h } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { bracketed, format, percent, several, sum } from "./kit/numbers.js";
import { outline, ownBuffer, photograph, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";

function render({ model, el }) {
  const sizes = ["height", "width", "channels", "depth", "rows", "columns"];
  const { height, width, channels, depth, rows, columns } = traits(model, sizes);
  const captions = model.get("captions").map(inWords);
  const N = rows * columns;
  const pixels = height * width;
  const pictures = photograph(model.get("image"));
  const [queries, keys] = ["query", "key"].map(
    (name) => new Float32Array(ownBuffer(model.get(name))),
  );
  const ui = frame(model, el, "attention-viewer", {
    label: tr`See what a position of an image attends to`,
    prompt:
      tr`Point at a position, or go there with the arrow keys: which positions does it read most from? ` +
      tr`Then make the weights flatter or sharper.`,
    code: () => torchCode(...model.get("probe"), model.get("factor") * model.get("scale")),
    initial: structuredClone(model.get("first")),
  });

  const input = picture(height, width);
  const map = picture(rows, columns);
  map.surface.classList.add("cn-attention-map");
  const frames = [input, map].map((one) => outline(one));
  const drawn = h("svg", {
    class: "cn-attention-arcs",
    viewBox: `0 0 ${columns} ${rows}`,
    "aria-hidden": "true",
  });
  input.holder.append(drawn);
  const pair = h(
    "div",
    { className: columns > 2 * rows ? "cn-attention-wide" : "cn-pair" },
    input.el,
    map.el,
  );
  ui.body.before(pair);
  const distances = figure("cn-wide");
  ui.stage.append(distances.el);

  const sharpness = slider({
    name: "factor",
    label: tr`Scale of q·k`,
    min: SHARPNESS[0],
    max: SHARPNESS[1],
    get: () => stepOf(model.get("factor")),
    set: (step) => change(model, { factor: factorOf(step) }),
  });
  sharpness.el.append(
    h(
      "span",
      { className: "cn-attention-ends", "aria-hidden": "true" },
      h("span", {}, tr`everyone alike`),
      h("span", {}, tr`one position`),
    ),
  );
  const which = choice({
    ...trait(model, "picture", Number),
    label: tr`Image`,
    options: options(
      captions.map((_, n) => n),
      (n) => captions[n],
    ),
  });
  const near = ranged(model, "window", tr`Neighbourhood`, [1, 15], {
    unit: tr`positions`,
    step: 2,
  });
  const controls = [sharpness, near];
  if (captions.length > 1) controls.push(which);
  ui.lead(pair, ...controls.filter((control) => control !== near));
  ui.more(near.el);
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Marked position`,
    on: input,
    more: [map],
    echo: [map],
    hover: true,
    height: rows,
    width: columns,
  });
  const few = ui.fact("strongest");
  const outside = ui.fact("outside");
  const half = ui.fact("half");

  function draw() {
    const n = model.get("picture");
    const position = model.get("probe");
    const [row, column] = position;
    const scale = model.get("factor") * model.get("scale");
    const window = model.get("window");
    const place = row * columns + column;
    const x = pictures.subarray(n * channels * pixels, (n + 1) * channels * pixels);
    const [q, k] = [queries, keys].map((all) => all.subarray(n * depth * N, (n + 1) * depth * N));
    const weights = attend(q, k, depth, N, place, scale);
    const chosen = strongest(weights);
    const most = weights.indexOf(Math.max(...weights));
    const where = (m) => tr`row ${Math.floor(m / columns)}, column ${m % columns}`;
    const box = neighbourhood(rows, columns, position, window);
    const [above, left, tall, wide] = [box[0], box[1], box[2] - box[0], box[3] - box[1]];

    input.paint(x, channels);
    input.describe(
      captions[n],
      tr`Input`,
      tr`: ${captions[n]}. Arcs lead to the strongest positions; the blue frame is the neighbourhood`,
    );
    drawn.replaceChildren(...arcs(weights, rows, columns, position, chosen));
    map.paintSigned(
      weights.map((w) => onScale(w, N)),
      1,
    );
    map.describe(
      tr`The weight of each of ${rows}×${columns} positions; ` +
        tr`the largest, ${percent(weights[most])}, in ${where(most)}`,
      tr`Weights`,
      tr` of all ${rows}×${columns} positions: orange above the equal weight 1/${N}, blue below; ` +
        tr`deepest at ${DEEPEST} times and 1/${DEEPEST} of it`,
    );
    for (const put of frames) put(above / rows, left / columns, tall / rows, wide / columns);
    distances.show(
      strip(bands(weights, rows, columns, position), N),
      tr`Near to far`,
      tr`: mean weight of a position at each distance, in multiples of the equal weight 1/${N}`,
    );
    for (const control of [...controls, point]) control.refresh();
    const factor = model.get("factor");
    const times = factor === 0 ? "0" : `× ${format(factor, 4)}`;
    sharpness.el.querySelector("output").textContent = times;
    sharpness.input.setAttribute("aria-valuetext", times);

    const together = sum(chosen, (m) => weights[m]);
    const names = several(chosen.length, tr`strongest position`, tr`strongest positions`);
    if (chosen.length)
      few(
        percent(together),
        tr`of the weight on the ${names} (equal weights: ${percent(chosen.length / N)})`,
      );
    else few(tr`none`, tr`stands out: all weigh 1/${N}`);
    const within = share(weights, columns, box);
    const alike = percent(1 - (tall * wide) / N);
    outside(
      percent(1 - within),
      tr`of the weight outside ${window}×${window} positions (equal weights: ${alike})`,
    );
    const distance = halfway(weights, rows, columns, position);
    half(
      tr`${format(distance, 1)} positions`,
      tr`(${format((distance * height) / rows, 1)} pixels): half of the weight lies within this distance`,
    );
    let product = 0;
    for (let d = 0; d < depth; d++) product += q[d * N + place] * k[d * N + most];
    ui.formula.textContent =
      "f(i, j) = exp(s·qᵢ·kⱼ) / Σ exp(s·qᵢ·kⱼ)\n" +
      tr`largest: ${where(most)}: ` +
      `s·q·k = ${format(scale, 3)}·${bracketed(product)}, f = ${format(weights[most], 3)}`;
    ui.say(
      tr`Row ${row}, column ${column}: ${percent(together)} of the weight on the strongest positions, ` +
        tr`${percent(1 - within)} outside the neighbourhood`,
    );
  }
  return follow(model, draw, accepts);
}

export default { render };
