// What is said of an answer to a question, and of all answers.

import { listOf, whole } from "./kit/numbers.js";

export function verdict(question, chosen) {
  if (chosen < 0) return { right: false, text: "" };
  const right = chosen === question.answer;
  const { options, answer, why } = question;
  const text = right
    ? `✓ Right. ${why[chosen]}`
    : `✗ Not so. ${why[chosen]} The answer is “${options[answer]}”. ${why[answer]}`;
  return { right, text };
}

export function score(questions, chosen) {
  const answered = chosen.filter((c) => c >= 0).length;
  const right = questions.filter((q, n) => chosen[n] === q.answer).length;
  return answered
    ? `${right} of ${questions.length} right, ${answered} answered`
    : `${questions.length} questions`;
}

// The test of each trait that a reader sets; `get` gives the value of a trait.
export const accepts = (get) => ({
  chosen: (all) =>
    listOf(Number.isInteger, get("questions").length)(all) &&
    all.every((k, n) => whole(-1, get("questions")[n].options.length - 1)(k)),
});
