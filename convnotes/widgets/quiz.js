// Questions with options: choosing one shows at once whether it is right, and why.

import { h, KEYS, prose } from "./kit/dom.js";
import { change, follow, frame } from "./kit/frame.js";
import { inWords, tr } from "./kit/words.js";
import { accepts, score, verdict } from "./quiz.compute.js";

let quizzes = 0; // names of radio groups must differ between two quizzes, and two views of one

function render({ model, el }) {
  const questions = model.get("questions");
  const group = `cn-quiz-${quizzes++}`;
  const ui = frame(model, el, "quiz", {
    label: tr`Quiz`,
    prompt: tr`Choose an answer; the reason appears below it.`,
    initial: { chosen: questions.map(() => -1) },
  });
  const blocks = questions.map((question, n) => {
    const inputs = question.options.map((_, k) =>
      h("input", {
        type: "radio",
        name: `${group}-${n}`,
        value: k,
        data: { control: `question-${n}` },
        ...KEYS,
        on: { change: () => change(model, { chosen: model.get("chosen").with(n, k) }) },
      }),
    );
    const why = h("p", { className: "cn-why", data: { shown: `why-${n}` }, "aria-live": "polite" });
    const el = h(
      "fieldset",
      { className: "cn-question" },
      h("legend", {}, `${n + 1}. `, ...prose(inWords(question.question))),
      question.options.map((text, k) =>
        h("label", { className: "cn-option" }, inputs[k], h("span", {}, prose(inWords(text)))),
      ),
      why,
    );
    return { el, inputs, why };
  });
  const total = h("span", { className: "cn-small", data: { shown: "score" } });
  ui.body.replaceChildren(
    h(
      "div",
      { className: "cn-wide" },
      blocks.map((block) => block.el),
    ),
  );
  ui.answer.append(total);
  ui.formula.remove();
  function draw() {
    const chosen = model.get("chosen");
    blocks.forEach(({ inputs, why }, n) => {
      inputs.forEach((input, k) => {
        input.checked = chosen[n] === k;
      });
      const { right, text } = verdict(questions[n], chosen[n]);
      why.replaceChildren(...prose(text).filter((part) => part !== ""));
      why.classList.toggle("cn-right", right);
    });
    const { right, answered, text } = score(questions, chosen);
    total.textContent = text;
    Object.assign(total.dataset, { right, answered, of: questions.length });
  }
  return follow(model, draw, accepts);
}

export default { render };
