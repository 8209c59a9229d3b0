// The map: operators in boxes that are links, and arrows to what they contain.

import { h, rect } from "./kit/dom.js";
import { inWords } from "./kit/words.js";
import { address, boxes, head, line, lines, reached } from "./operator_map.compute.js";

const SVG_NAMES = "http://www.w3.org/2000/svg";

function link(attributes, ...children) {
  const node = document.createElementNS(SVG_NAMES, "a");
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// What stands on a map of some width, and its height. `choose` is called with the name of a box that is clicked.
export function drawing(operators, inclusions, chosen, width, choose) {
  const { places, height } = boxes(operators, width);
  const inBook = "content_root" in document.documentElement.dataset;
  const above = reached(inclusions, chosen, "general");
  const below = reached(inclusions, chosen, "special");
  const parts = operators.find((one) => one.name === chosen).made_of;
  const within = (set, name) => name === chosen || set.has(name);
  const linked = ({ special, general }) =>
    (within(above, special) && above.has(general)) ||
    (below.has(special) && within(below, general));
  const drawn = inclusions.filter((one) => one.drawn);
  const edges = [false, true].flatMap((thick) =>
    drawn
      .filter((one) => linked(one) === thick)
      .flatMap((one) => {
        const ends = [operators, one.special, one.general, places];
        const classes = (name) => `${name}${thick ? " cn-map-linked" : ""}`;
        return [
          h("path", { d: line(...ends), class: classes("cn-map-line") }),
          h("path", { d: head(...ends), class: classes("cn-map-head") }),
        ];
      }),
  );
  const nodes = operators.map((one) => {
    const { name } = one;
    const box = places[name];
    const near = above.has(name) || below.has(name) || parts.includes(name);
    const classes = ["cn-map-box"];
    if (one.made_of.length) classes.push("cn-map-block");
    if (near) classes.push("cn-map-near");
    if (name === chosen) classes.push("cn-map-chosen");
    const words = lines(inWords(name), box.width / 8);
    const text = words.map((part, n) =>
      h(
        "text",
        { x: box.x + box.width / 2, y: box.y + box.height / 2 + (n - (words.length - 1) / 2) * 15 },
        part,
      ),
    );
    const node = link(
      { href: address(one.chapter, inBook), tabindex: -1, class: classes.join(" ") },
      rect(box.x, box.y, box.width, box.height, "", { rx: 5 }),
      ...text,
    );
    node.addEventListener("click", (event) => {
      if (name === chosen || event.ctrlKey || event.metaKey) return; // the link is followed
      event.preventDefault();
      choose(name);
    });
    return node;
  });
  return { height, marks: [...edges, ...nodes] };
}
