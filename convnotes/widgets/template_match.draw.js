// The template that was cut out, as a grid without numbers.

import { rect, svg } from "./kit/dom.js";
import { format } from "./kit/numbers.js";
import { tile } from "./kit/pictures.js";

export function templateGrid(template, size) {
  const unit = 12;
  const most = Math.max(1e-12, ...template);
  const centre = ((size - 1) / 2) * unit;
  const drawing = svg(size * unit, size * unit, {
    margin: 1,
    class: "cn-kernelgrid cn-template",
    label: `The template of ${size} by ${size} values, ${format(Math.min(...template))} to ${format(most)}`,
  });
  template.forEach((value, n) =>
    drawing.append(tile((n % size) * unit, Math.floor(n / size) * unit, unit, value, most)),
  );
  drawing.append(rect(centre, centre, unit, unit, "cn-centre"));
  return drawing;
}
