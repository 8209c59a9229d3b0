// What is said of an answer to a question, and of all answers.

import { listOf, whole } from "./kit/numbers.js";
import { inWords, tr } from "./kit/words.js";

export function verdict(question, chosen) {
  if (chosen < 0) return { right: false, text: "" };
  const right = chosen === question.answer;
  const { options, answer } = question;
  const why = question.why.map(inWords);
  const text = right
    ? tr`✓ Right. ${why[chosen]}`
    : tr`✗ Not so. ${why[chosen]} The answer is “${inWords(options[answer])}”. ${why[answer]}`;
  return { right, text };
}

export function score(questions, chosen) {
  const answered = chosen.filter((c) => c >= 0).length;
  const right = questions.filter((q, n) => chosen[n] === q.answer).length;
  const text = answered
    ? tr`${right} of ${questions.length} right, ${answered} answered`
    : tr`${questions.length} questions`;
  return { right, answered, text };
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  chosen: (all) =>
    listOf(Number.isInteger, get("questions").length)(all) &&
    all.every((k, n) => whole(-1, get("questions")[n].options.length - 1)(k)),
});
