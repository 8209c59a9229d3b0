// A map of operators, what each one contains, and what it costs.

import { arrowStep, h, movable } from "./kit/dom.js";
import { change, follow, frame, traits } from "./kit/frame.js";
import { format, short } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";
import {
  address,
  beside,
  neighbour,
  operatorCalled,
  setting,
  torchCode,
} from "./operator_map.compute.js";
import { drawing } from "./operator_map.draw.js";

function render({ model, el }) {
  const { operators, inclusions, first } = traits(model, ["operators", "inclusions", "first"]);
  const plain = operatorCalled(operators, "convolution") ?? operators[0];
  const chosen = () => operatorCalled(operators, model.get("chosen"));
  const choose = (name) => change(model, { chosen: name });
  const inBook = Boolean(model.inPage);
  const ui = frame(model, el, "operator-map", {
    label: tr`The map of operators`,
    prompt: tr`Choose an operator. What does it cost, and which others does it contain?`,
    code: () => torchCode(chosen()),
    initial: structuredClone(first),
  });

  const map = h("svg", { class: "cn-map", ...movable("operators") });
  map.addEventListener("keydown", (event) => {
    if (event.key === "Enter")
      map.querySelector(".cn-map-chosen").dispatchEvent(new MouseEvent("click"));
    const step = arrowStep(event);
    if (step) choose(neighbour(operators, model.get("chosen"), step));
  });
  const words =
    tr`An arrow leads from an operator to one that it contains. ` +
    tr`Thick arrows join the chosen operator with all that it contains and all that contain it. ` +
    tr`A dotted frame marks a block, which is made of several operators.`;
  ui.stage.append(map, h("p", { className: "cn-small" }, words));

  const title = h("h3", { className: "cn-map-title", data: { shown: "title" } });
  const sentence = h("p", { data: { shown: "words" } });
  const counts = h("dl", { className: "cn-map-counts", data: { shown: "counts" } });
  const relations = h("div", { className: "cn-map-relations", data: { shown: "relations" } });
  const more = h("p");
  ui.panel.append(title, sentence, counts, more, relations);
  ui.answer.remove();

  function count(name, value, note) {
    return [
      h("dt", {}, name),
      h(
        "dd",
        {},
        h("strong", {}, value),
        note ? h("span", { className: "cn-small" }, ` ${note}`) : null,
      ),
    ];
  }

  const note = (one, key) => (one === plain ? "" : beside(one[key], plain[key]));

  function list(head, items) {
    if (!items.length) return [];
    const rows = items.map(([name, text]) => {
      const to = h(
        "button",
        { type: "button", className: "cn-map-to", on: { click: () => choose(name) } },
        inWords(name),
      );
      return h("li", {}, to, text ? tr`: ${text}` : null);
    });
    return [h("h4", {}, head), h("ul", {}, rows)];
  }

  function draw() {
    const one = chosen();
    const name = inWords(one.name);
    const contains = inclusions.filter(({ general }) => general === one.name);
    const within = inclusions.filter(({ special }) => special === one.name);
    const width = Math.max(300, map.clientWidth || 340);
    const { height, marks } = drawing(operators, inclusions, one.name, width, choose);
    map.setAttribute("viewBox", `0 0 ${width} ${height}`);
    map.setAttribute(
      "aria-label",
      tr`${name}: ${inWords(one.words)} ` +
        tr`The arrow keys go to the next operator, Enter opens its chapter.`,
    );
    map.replaceChildren(...marks);
    title.textContent = name;
    sentence.textContent = inWords(one.words);
    const field = /\d/.test(one.field) ? tr`${one.field} pixels` : inWords(one.field);
    counts.replaceChildren(
      ...count(tr`Parameters`, format(one.params), note(one, "params")),
      ...count(tr`Multiply-adds`, short(one.macs), note(one, "macs")),
      ...(one.adds ? count(tr`Additions`, short(one.adds)) : []),
      ...(one.moved_bytes ? count(tr`Bytes moved`, short(one.moved_bytes)) : []),
      ...count(tr`Receptive field`, field),
    );
    more.replaceChildren(h("a", { href: address(one.chapter, inBook) }, tr`Read about ${name} →`));
    relations.replaceChildren(
      ...list(
        tr`It contains`,
        contains.map((inclusion) => [inclusion.special, setting(inclusion)]),
      ),
      ...list(
        tr`It is contained in`,
        within.map((inclusion) => [inclusion.general, setting(inclusion)]),
      ),
      ...list(
        tr`It is made of`,
        one.made_of.map((part) => [part, ""]),
      ),
    );
    ui.formula.textContent = tr`64 → 64 channels, 56×56 pixels: ${one.layer}`;
    const names = (found, key) =>
      found.map((inclusion) => inWords(inclusion[key])).join(tr`, `) || tr`none`;
    ui.say(
      tr`${name}: ${format(one.params)} parameters, ${short(one.macs)} multiply-adds. ` +
        tr`Contains ${names(contains, "special")}. Contained in ${names(within, "general")}.`,
    );
  }

  const resized = new ResizeObserver(() => {
    if (Math.abs(map.viewBox.baseVal.width - Math.max(300, map.clientWidth)) > 1) draw();
  });
  resized.observe(map);
  const end = follow(model, draw);
  return () => {
    resized.disconnect();
    end();
  };
}

export default { render };
