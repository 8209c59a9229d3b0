// Enlarge an image and see which kernel size answers.

import { ranged, slider, toggle } from "./kit/controls.js";
import { figure, h, rect } from "./kit/dom.js";
import { change, fold, follow, frame, trait, traits } from "./kit/frame.js";
import { format, several } from "./kit/numbers.js";
import { kernelGrid, outline, photograph, picture, probe } from "./kit/pictures.js";
import { inWords, tr } from "./kit/words.js";
import {
  accepts,
  bySize,
  centreSurround,
  DEEPEST,
  innerMean,
  LARGEST,
  layerCost,
  MOST,
  middle,
  resize,
  respond,
  respondAt,
  SIDES,
  SIZES,
  STEP,
  strongest,
  torchCode,
  WINDOW,
} from "./mixed_kernels.compute.js";
import { crossing } from "./mixed_kernels.draw.js";

function render({ model, el }) {
  const { size, channels } = traits(model, ["size", "channels"]);
  const photo = photograph(model.get("image"));
  const kernels = SIZES.map(centreSurround);
  const enlarged = new Map(); // by side
  const resized = (side) => {
    if (!enlarged.has(side)) enlarged.set(side, resize(photo, size, side));
    return enlarged.get(side);
  };
  const ui = frame(model, el, "mixed-kernels", {
    label: tr`Enlarge an image and see which kernel size answers`,
    prompt:
      tr`Enlarge the image. Which kernel answers most strongly at the marked pixel, ` +
      tr`and when does the next take over?`,
    code: () => torchCode(model.get("parts"), channels, model.get("depthwise")),
    initial: structuredClone(model.get("first")),
  });

  const input = picture(WINDOW, WINDOW, "cn-input");
  const maps = SIZES.map(() => picture(WINDOW, WINDOW));
  for (const map of maps) map.surface.classList.add("cn-mixed-map");
  const seen = outline(input);
  const curves = figure();
  const pair = h("div", { className: "cn-pair" }, input.el, curves.el);
  ui.body.before(pair);
  const side = ranged(model, "side", tr`Image side`, [WINDOW, LARGEST], { unit: "px", step: STEP });
  ui.lead(pair, side);
  ui.stage.append(
    h(
      "div",
      { className: "cn-thirds" },
      maps.map((map) => map.el),
    ),
    fold(
      tr`The three kernels`,
      false,
      h("div", { className: "cn-mixed-kernels" }, drawings(kernels)),
    ),
  );

  const share = (k, s) =>
    slider({
      name: `parts-${k}`,
      label: tr`Parts of ${k}×${k}`,
      min: 0,
      max: MOST,
      get: () => model.get("parts")[s],
      set(count) {
        const parts = model.get("parts").with(s, count);
        if (parts.some((n) => n)) change(model, { parts });
        else draw(); // a layer has at least one part
      },
    });
  const rest = [
    ...SIZES.map(share),
    toggle({ ...trait(model, "depthwise"), label: tr`Depthwise: one kernel per channel` }),
  ];
  const layer = h("p", { className: "cn-small", data: { shown: "layer" } });
  ui.more(...rest, layer);
  const point = probe({
    ...trait(model, "probe"),
    label: tr`Marked pixel`,
    on: input,
    more: maps,
    echo: maps,
  });
  const who = ui.fact("who", "responses");
  const weights = ui.fact("weights", "others");

  function drawMaps(x, at, best) {
    const parts = model.get("parts");
    maps.forEach((map, s) => {
      const name = `${SIZES[s]}×${SIZES[s]}`;
      const here = format(at[s], 3);
      map.paintSigned(respond(x, model.get("side"), kernels[s]), DEEPEST);
      map.el.classList.toggle("cn-output", s === best);
      map.describe(
        tr`Responses of the ${name} kernel, orange above 0, blue below, full at ±${DEEPEST}; ` +
          tr`${here} at the marked pixel`,
        tr`${name}: ${here}`,
        s === best ? tr` ◆ strongest` : parts[s] ? "" : tr` not in the layer`,
      );
      map.surface.style.setProperty("opacity", parts[s] ? 1 : 0.45);
    });
  }

  function draw() {
    const position = model.get("probe");
    const [i, j] = position;
    const parts = model.get("parts");
    const depthwise = model.get("depthwise");
    const now = model.get("side");
    const x = resized(now);
    const at = kernels.map((kernel) => respondAt(x, now, kernel, position));
    const best = strongest(at, parts);
    const k = SIZES[best];
    const { sizes, splits, shared, params, macs, field } = layerCost(parts, channels, depthwise);

    input.paint(middle(x, now), 1);
    input.describe(
      tr`${inWords(model.get("alt"))}, resized to ${now} by ${now} pixels`,
      tr`Image`,
      now > WINDOW
        ? tr`, ${now}×${now} pixels: its middle ${WINDOW}×${WINDOW}. `
        : tr`, ${now}×${now} pixels. `,
      tr`Frame: the ${k}×${k} taps of the strongest kernel`,
    );
    seen((i + 0.5 - k / 2) / WINDOW, (j + 0.5 - k / 2) / WINDOW, k / WINDOW, k / WINDOW);
    curves.show(
      crossing(
        kernels.map((kernel) => SIDES.map((s) => respondAt(resized(s), s, kernel, position))),
        at,
        now,
        best,
        parts,
      ),
      tr`Response at the marked pixel`,
      tr` of each kernel as the image is enlarged; ◆ the strongest`,
      position.every((v) => v === (WINDOW - 1) / 2)
        ? ""
        : tr`. The mark stays where it is; what lies under it changes as the image grows`,
    );
    drawMaps(x, at, best);
    for (const control of [side, ...rest, point]) control.refresh();
    const values = bySize((n, s) => tr`${at[s].toFixed(3).replace("-", "−")} for ${n}×${n}`);
    who(
      `${k}×${k}`,
      parts.every((n) => n)
        ? tr`answers most strongly: ${values}`
        : tr`answers most strongly of the sizes in the layer: ${values}`,
    );
    const alone = (n) => {
      const whole = SIZES.map((m) => (m === n ? sizes.length : 0));
      return format(layerCost(whole, channels, depthwise).params);
    };
    const named = `kernel_sizes=(${sizes.join(", ")}${sizes.length > 1 ? "" : ","})`;
    weights(
      tr`${format(params)} weights`,
      tr`in a layer of ${channels} channels with ${named}. ` +
        tr`All 3×3: ${alone(3)}, all 5×5: ${alone(5)}, all 7×7: ${alone(7)}`,
    );
    const counts = bySize((n, s) => tr`${shared[s]} of ${n}×${n}`);
    const each = (n, p) => `${splits[p]}${depthwise ? "" : `·${splits[p]}`}·${n}²`;
    layer.replaceChildren(
      tr`Channels: ${counts}. ` +
        tr`Weights: ${sizes.map(each).join(" + ")} = ${format(params)}. ` +
        tr`Multiply-adds: × ${WINDOW}² positions = ${format(macs)}. ` +
        tr`Receptive field: ${field}×${field}. ` +
        tr`${several(sizes.length, tr`part`, tr`parts`)}.`,
    );
    const inner = innerMean(x, now, i, j, k);
    const ring = inner - at[best];
    const pixels = several((k - 2) ** 2, tr`inner pixel`, tr`inner pixels`);
    ui.formula.textContent =
      tr`${k}×${k} at the marked pixel: mean of ${pixels} − mean of ${4 * (k - 1)} around` +
      ` = ${format(inner, 3)} − ${format(ring, 3)} ≈ ${format(at[best], 3)}`;
    ui.say(
      tr`${k} by ${k} answers most strongly, ${format(at[best], 3)}; ${format(params)} weights`,
    );
  }
  return follow(model, draw, accepts);
}

// The kernels with their numbers, their inner taps outlined.
function drawings(kernels) {
  return kernels.map((kernel, s) => {
    const k = SIZES[s];
    const unit = 44;
    const inner = (k - 2) * unit;
    const drawing = kernelGrid(
      kernel.map((row) => row.map((v) => Math.round(1000 * v))),
      tr`The ${k}×${k} kernel in thousandths: 1/${(k - 2) ** 2} inside, −1/${4 * (k - 1)} on the ring`,
    );
    drawing.append(rect(unit, unit, inner, inner, "cn-mixed-inner"));
    const one = figure("", { "--size": k });
    one.show(
      drawing,
      tr`Kernel ${k}×${k}`,
      k > 3
        ? tr`, in thousandths: 1/${(k - 2) ** 2} inside the outline, −1/${4 * (k - 1)} around`
        : tr`, in thousandths: 1, −1/8`,
    );
    return one.el;
  });
}

export default { render };
