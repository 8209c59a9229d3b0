// Controls: each is an element, and `refresh` shows the state that the model is in.

import { h, KEYS, table, tableRow, tint } from "./dom.js";
import { trait } from "./frame.js";
import { clamp, format, largest, parse } from "./numbers.js";
import { tr } from "./words.js";

function labelled(label, ...parts) {
  const name = h("span", { className: "cn-label" }, label);
  return h("label", { className: "cn-control" }, name, ...parts);
}

export function slider({ name, label, unit = "", min, max, step = 1, digits = 0, get, set }) {
  const shown = h("output", { data: { shown: name } });
  const on = { input: () => set(Number(input.value)) };
  const names = { data: { control: name }, "aria-label": label };
  const input = h("input", { type: "range", min, max, step, ...names, ...KEYS, on });
  function refresh() {
    input.value = get();
    shown.textContent = `${format(get(), digits)}${unit && ` ${unit}`}`;
    input.setAttribute("aria-valuetext", shown.textContent);
  }
  return { el: labelled(label, input, shown), input, refresh };
}

// A slider of one trait from `min` to `max`.
export function ranged(model, name, label, [min, max], more = {}) {
  return slider({ ...trait(model, name), label, min, max, ...more });
}

// A slider of a displacement in pixels, as far as `reach` on either side.
export function pixelSlider({ reach, ...rest }) {
  return slider({ unit: "px", min: -reach, max: reach, digits: 2, ...rest });
}

export function choice({ name, label, options, get, set }) {
  const on = { change: () => set(input.value) };
  const input = h("select", { data: { control: name }, ...KEYS, on });
  const offer = (list) =>
    input.replaceChildren(
      ...Object.entries(list).map(([value, text]) => h("option", { value }, text)),
    );
  function refresh() {
    input.value = get();
  }
  offer(options);
  return { el: labelled(label, input), input, offer, refresh };
}

// The options of a choice, from a list of their values.
export function options(values, text = (value) => value) {
  return Object.fromEntries(values.map((value, n) => [value, text(value, n)]));
}

// A choice between named states. It shows "own" when `now` is none of them; `apply` gets a copy of the chosen one.
export function presetChoice({ presets, now, apply, ...rest }) {
  const same = (state) => JSON.stringify(state) === JSON.stringify(now());
  return choice({
    name: "preset",
    label: tr`Preset`,
    ...rest,
    options: { ...rest.options, own: rest.options.own ?? tr`your own` },
    get: () => Object.keys(presets).find((name) => same(presets[name])) ?? "own",
    set: (name) => name !== "own" && apply(structuredClone(presets[name])),
  });
}

export function toggle({ name, label, get, set }) {
  const on = { change: () => set(input.checked) };
  const input = h("input", { type: "checkbox", data: { control: name }, ...KEYS, on });
  const el = labelled(label);
  el.classList.add("cn-toggle");
  el.prepend(input);
  function refresh() {
    input.checked = get();
  }
  return { el, refresh };
}

// One number that can be typed, stepped with the arrow keys, or dragged up and down.
export function cell({ name, label, min, max, step, digits = 2, get, set }) {
  const put = (value) => {
    if (!Number.isNaN(value)) set(clamp(Math.round(value / step) * step, min, max));
  };
  const typed = () => {
    if (input.value !== format(get(), digits)) put(parse(input.value)); // what is shown may be rounded
  };
  const moves = { ArrowUp: step, ArrowDown: -step, PageUp: 10 * step, PageDown: -10 * step };
  let from = null;
  const on = {
    keydown(event) {
      if (event.key in moves) put(get() + moves[event.key]);
      else if (event.key === "Home") put(min);
      else if (event.key === "End") put(max);
      else if (event.key === "Enter") typed();
      else if (event.key !== "Escape") return;
      event.preventDefault();
      refresh(true);
    },
    focus() {
      input.select();
    },
    blur() {
      typed();
      refresh(true);
    },
    pointerdown(event) {
      from = { y: event.clientY, value: get(), moved: false };
    },
    pointermove(event) {
      if (!from || !event.buttons) return;
      const up = from.y - event.clientY;
      if (!from.moved && Math.abs(up) > 6) {
        from.moved = true;
        input.setPointerCapture(event.pointerId);
      }
      if (from.moved) {
        put(from.value + Math.round(up / 8) * step);
        refresh(true);
      }
    },
    pointerup() {
      from = null;
    },
    pointercancel() {
      from = null;
    },
  };
  const input = h("input", {
    type: "text",
    inputMode: "decimal",
    autocomplete: "off",
    className: "cn-cell",
    role: "spinbutton",
    data: { control: name },
    "aria-label": label,
    "aria-valuemin": min,
    "aria-valuemax": max,
    ...KEYS,
    on,
  });
  function refresh(force = false) {
    const value = get();
    const text = format(value, digits);
    if (force || document.activeElement !== input) input.value = text;
    input.setAttribute("aria-valuenow", value);
    input.setAttribute("aria-valuetext", text);
  }
  return { el: input, refresh };
}

// A grid of signed numbers on the one scale of them; with `centre` the cell in the middle has its frame.
export function matrix({ name, rows, columns, get, set, min = -2, max = 2, step = 0.05, ...rest }) {
  const cells = [];
  const lines = rows.map((row, i) => {
    const line = columns.map((column, j) =>
      cell({
        name: `${name}-${i}-${j}`,
        label: `${row}, ${column}`,
        ...{ min, max, step },
        get: () => get(i, j),
        set: (value) => set(i, j, value),
      }),
    );
    cells.push(...line);
    return tableRow(
      row,
      line.map((one) => one.el),
    );
  });
  const el = table("cn-matrix", rest.caption, ["", ...columns], lines);
  if (rest.centre) cells[(cells.length - 1) / 2].el.classList.add("cn-middle");
  function refresh() {
    const values = cells.map((_, n) => get(Math.floor(n / columns.length), n % columns.length));
    cells.forEach((one, n) => {
      one.refresh();
      tint(one.el, values[n], largest(values));
    });
  }
  return { el, cells, refresh };
}
