// Enlarge a picture and see which kernel size answers.

import { ranged, slider, toggle } from "./kit/controls.js";
import { figure, h, rect } from "./kit/dom.js";
import { change, follow, frame, trait, traits } from "./kit/frame.js";
import { format, largest, several } from "./kit/numbers.js";
import { grey, kernelGrid, outline, photograph, picture, probe } from "./kit/pictures.js";
import {
  accepts,
  centreSurround,
  innerMean,
  LARGEST,
  layerCost,
  MOST,
  middle,
  resize,
  respond,
  SIZES,
  strongest,
  torchCode,
  WINDOW,
} from "./mixed_kernels.compute.js";

function render({ model, el }) {
  const { size, channels } = traits(model, ["size", "channels"]);
  const photo = photograph(model.get("image"));
  const kernels = SIZES.map(centreSurround);
  const ui = frame(model, el, "mixed-kernels", {
    label: "Enlarge an image and see which kernel size answers",
    prompt:
      "Enlarge the image. Which kernel answers most strongly at the ring, and when does the next one take over?",
    code: () => torchCode(model.get("parts"), channels, model.get("depthwise")),
    initial: model.get("first"),
  });

  const input = picture(WINDOW, WINDOW, "cn-input cn-wide");
  const maps = SIZES.map(() => picture(WINDOW, WINDOW));
  const seen = outline(input);
  ui.stage.append(input.el);
  const drawings = kernels.map((kernel, s) => {
    const k = SIZES[s];
    const unit = 44;
    const inner = (k - 2) * unit;
    const drawing = kernelGrid(
      kernel,
      `The ${k}×${k} kernel: 1/${(k - 2) ** 2} inside, −1/${4 * (k - 1)} on the ring`,
    );
    drawing.append(rect(unit, unit, inner, inner, "cn-mixed-inner"));
    const one = figure("", { "--size": k });
    one.show(
      drawing,
      `Kernel ${k}×${k}`,
      k > 3 ? `: 1/${(k - 2) ** 2} inside the outline, −1/${4 * (k - 1)} on the ring` : ": 1, −1/8",
    );
    return one.el;
  });
  ui.body.after(
    h("div", { className: "cn-mixed-kernels" }, drawings),
    h(
      "div",
      { className: "cn-thirds" },
      maps.map((map) => map.el),
    ),
  );

  const share = (k, s) =>
    slider({
      name: `parts-${k}`,
      label: `Parts of ${k}×${k}`,
      min: 0,
      max: MOST,
      get: () => model.get("parts")[s],
      set(count) {
        const parts = model.get("parts").with(s, count);
        if (parts.some((n) => n)) change(model, { parts });
        else draw(); // a layer has at least one part
      },
    });
  const controls = [
    ranged(model, "side", "Image side", [WINDOW, LARGEST], { unit: "px", step: 4 }),
    ...SIZES.map(share),
    toggle({ ...trait(model, "depthwise"), label: "Depthwise: one kernel per channel" }),
  ];
  const layer = h("p", { className: "cn-small", data: { shown: "layer" } });
  const [enlarged, ...rest] = controls;
  ui.lead(input.el, enlarged);
  ui.panel.append(layer);
  ui.more(...rest);
  const point = probe({
    ...trait(model, "probe"),
    label: "Marked position",
    on: input,
    more: maps,
    echo: maps,
  });
  const who = ui.fact("who", "responses");
  const weights = ui.fact("weights", "others");

  function drawMaps(responses, at, best) {
    const parts = model.get("parts");
    const most = Math.max(...responses.map((y) => largest(y)));
    maps.forEach((map, s) => {
      const name = `${SIZES[s]}×${SIZES[s]}`;
      const here = format(at[s], 3);
      map.paint(
        responses[s].map((v) => grey(v, most)),
        1,
      );
      map.el.classList.toggle("cn-output", s === best);
      map.describe(
        `What the ${name} kernel gives, 0 in the middle of the greys; ${here} at the ring`,
        `${name}: ${here}`,
        s === best ? " ◆ strongest" : parts[s] ? "" : " not in the layer",
      );
      map.surface.style.setProperty("opacity", parts[s] ? 1 : 0.45);
    });
  }

  function draw() {
    const side = model.get("side");
    const [i, j] = model.get("probe");
    const parts = model.get("parts");
    const depthwise = model.get("depthwise");
    const x = resize(photo, size, side);
    const responses = kernels.map((kernel) => respond(x, side, kernel));
    const at = responses.map((y) => y[i * WINDOW + j]);
    const best = strongest(at, parts);
    const k = SIZES[best];
    const { sizes, splits, shared, params, macs, field } = layerCost(parts, channels, depthwise);

    input.paint(middle(x, side), 1);
    input.describe(
      `${model.get("alt")}, resized to ${side} by ${side} pixels`,
      "Image",
      side > WINDOW
        ? `, ${side}×${side} pixels: its middle ${WINDOW}×${WINDOW}. `
        : `, ${side}×${side} pixels. `,
      `Outline: the ${k}×${k} taps that answer most strongly at the ring. Click, or use the arrow keys.`,
    );
    seen((i + 0.5 - k / 2) / WINDOW, (j + 0.5 - k / 2) / WINDOW, k / WINDOW, k / WINDOW);
    drawMaps(responses, at, best);
    for (const control of [...controls, point]) control.refresh();
    layer.replaceChildren(
      "The layer: ",
      h("code", {}, `kernel_sizes=(${sizes.join(", ")}${sizes.length > 1 ? "" : ","})`),
      `, ${channels} channels in ${several(sizes.length, "part")}`,
    );
    who(
      `${k}×${k}`,
      `answers most strongly at the ring: ${SIZES.map((n, s) => `${format(at[s], 3)} for ${n}×${n}`).join(", ")}`,
    );
    const alone = (n) =>
      format(
        layerCost(
          SIZES.map((m) => (m === n ? sizes.length : 0)),
          channels,
          depthwise,
        ).params,
      );
    weights(
      format(params),
      `weights, ${format(macs)} multiply-adds, receptive field ${field}×${field}. All 3×3: ` +
        `${alone(3)} weights, all 5×5: ${alone(5)}, all 7×7: ${alone(7)}`,
    );
    const inner = innerMean(x, side, i, j, k);
    const ring = inner - at[best];
    ui.formula.textContent = [
      `${k}×${k} at the ring: mean of ${several((k - 2) ** 2, "inner pixel")} − mean of ` +
        `${4 * (k - 1)} around = ${format(inner, 3)} − ${format(ring, 3)} = ` +
        `${format(at[best], 3)}`,
      `channels: ${SIZES.map((n, s) => `${shared[s]} of ${n}×${n}`).join(", ")}`,
      `weights = ${sizes.map((n, p) => `${splits[p]}${depthwise ? "" : `·${splits[p]}`}·${n}²`).join(" + ")} ` +
        `= ${format(params)}; × ${WINDOW}² positions = ${format(macs)}`,
    ].join("\n");
    ui.say(`${k} by ${k} answers most strongly, ${format(at[best], 3)}; ${format(params)} weights`);
  }
  return follow(model, draw, accepts);
}

export default { render };
