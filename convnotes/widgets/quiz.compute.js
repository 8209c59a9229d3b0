// What is said of an answer to a question, and of all answers.

export function verdict(question, chosen) {
  if (chosen < 0) return { right: false, text: "" };
  const right = chosen === question.answer;
  const first = right
    ? "✓ Right."
    : `✗ Not so: the answer is “${question.options[question.answer]}”.`;
  return { right, text: `${first} ${question.why}` };
}

export function score(questions, chosen) {
  const answered = chosen.filter((c) => c >= 0).length;
  const right = questions.filter((q, n) => chosen[n] === q.answer).length;
  return answered
    ? `${right} of ${questions.length} right, ${answered} answered`
    : `${questions.length} questions`;
}
