// The frame of every widget, and its bond to the model that holds the state.

import { h, KEYS } from "./dom.js";
import { tr } from "./words.js";

// What to try, the stage with the pictures, the panel with the controls, the answer, the formula, the buttons.
// `initial` is what Reset brings back.
export function frame(model, el, name, { label, prompt, code, initial }) {
  const stage = h("div", { className: "cn-stage" });
  const panel = h("div", { className: "cn-panel" });
  const body = h("div", { className: "cn-body" }, stage, panel);
  const answer = h("div", { className: "cn-answer" });
  const formula = h("div", { className: "cn-formula", data: { shown: "formula" } });
  const actions = h("div", { className: "cn-actions" });
  const live = h("p", { className: "cn-live", "aria-live": "polite" });
  const root = h(
    "section",
    { className: "cn-widget", data: { widget: name }, "aria-label": label },
    h("p", { className: "cn-prompt" }, prompt),
    ...[body, answer, formula, actions, live],
  );
  if (initial)
    actions.append(button("reset", tr`Reset`, () => change(model, structuredClone(initial))));
  if (code) actions.append(copyButton(code));
  if (!model.inPage) linkRow(model, root);
  el.replaceChildren(root);

  // A large number of the answer and a note below it: a function that takes both texts.
  function fact(shown, noteShown) {
    const number = h("span", { className: "cn-big", data: { shown } });
    const note = h("span", {
      className: "cn-small",
      data: noteShown ? { shown: noteShown } : {},
    });
    answer.append(h("div", {}, number, note));
    return (text, words) => {
      number.textContent = text;
      note.textContent = words;
    };
  }

  // The controls that matter most, and the answer, directly under the pictures that they move.
  function lead(pictures, ...controls) {
    const row = h(
      "div",
      { className: "cn-lead cn-wide" },
      controls.map((control) => control.el),
    );
    answer.classList.add("cn-wide");
    pictures.after(row, answer);
  }

  // Controls that fewer readers need: folded on a phone.
  function more(...nodes) {
    const wide = !window.matchMedia("(max-width: 640px)").matches;
    panel.append(fold(tr`More settings`, wide, ...nodes));
  }

  // Tell a screen reader what has changed, once the changes pause.
  let timer;
  function say(text) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      live.textContent = text;
    }, 600);
  }
  return { root, body, stage, panel, answer, formula, actions, fact, lead, more, say };
}

// In a page words of the text set the widget. Elsewhere these buttons do the same.
function linkRow(model, root) {
  const links = Object.entries(model.get("links") ?? {});
  if (!links.length) return;
  const buttons = links.map(([words, state], n) =>
    button(`link-${n}`, words, () => change(model, structuredClone(state))),
  );
  root.append(
    h("p", { className: "cn-actions cn-links" }, h("span", {}, tr`From the text:`), ...buttons),
  );
}

// Something that can be folded.
export function fold(words, open, ...nodes) {
  return h(
    "details",
    { className: "cn-more", open },
    h("summary", { ...KEYS }, words),
    nodes.map((node) => node.el ?? node),
  );
}

// Draw now and after each change of the model, whatever made it; returns a function that ends this. A link of the page
// may set any value: one that fails the test of its trait is put back, and what is drawn stays. `accepts` gives the
// tests by trait, from a function that reads a trait.
export function follow(model, draw, accepts = () => ({})) {
  const tests = accepts((name) => model.get(name));
  const kept = traits(model, Object.keys(tests));
  function changed() {
    const wrong = Object.keys(tests).filter((name) => !tests[name](model.get(name)));
    if (wrong.length) return change(model, picked(kept, wrong));
    Object.assign(kept, traits(model, Object.keys(tests)));
    draw();
  }
  model.on("change", changed);
  draw();
  return () => model.off("change", changed);
}

// Some entries of an object.
function picked(all, names) {
  return Object.fromEntries(names.map((name) => [name, all[name]]));
}

export function change(model, values) {
  for (const [key, value] of Object.entries(values)) model.set(key, value);
  model.save_changes();
}

// The present values of some traits.
export function traits(model, names) {
  return Object.fromEntries(names.map((name) => [name, model.get(name)]));
}

// What ties a control to one trait; `read` makes a trait's value of what the control gives.
export function trait(model, name, read = (value) => value) {
  const set = (value) => change(model, { [name]: read(value) });
  return { name, get: () => model.get(name), set };
}

export function button(name, text, action) {
  const data = { control: name };
  return h(
    "button",
    { type: "button", className: "cn-button", data, on: { click: action }, ...KEYS },
    text,
  );
}

function copyButton(code) {
  const node = button("copy", tr`Copy as torch`, async () => {
    const text = code();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // no permission, or a page opened from a file
      const area = h("textarea", { value: text, className: "cn-live" });
      node.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      node.focus();
    }
    node.textContent = tr`Copied`;
    node.dataset.copied = text;
    setTimeout(() => {
      node.textContent = tr`Copy as torch`;
    }, 1500);
  });
  return node;
}
