"""Questions that answer without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from convnotes import checks
from convnotes.widgets.base import Widget, checking


class Quiz(Widget):
    """Questions with options, which answer without a kernel.

    Args:
        questions: dicts of `question`, `options` (two at least), `answer` (the index of the right one) and `why`: one
            text per option, which says why it is right or wrong and is shown when it is chosen (the right one's after
            any choice). Text may hold `code` between backticks.
        **state: `chosen`, the index that was chosen for each question, −1 for none.

    Raises:
        ValueError, TypeError: for questions that are not of that form, saying which.

    Example:
        >>> from convnotes.widgets import Quiz
        >>> Quiz([{"question": "2 + 2?", "options": ["3", "4"], "answer": 1, "why": ["That is 2 + 1.", "Count."]}])
        Quiz(1 questions)
    """

    module = "quiz"

    questions: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    chosen: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, questions: Sequence[Mapping[str, Any]], **state: Any) -> None:
        checks.some("questions", questions, "question")
        checked = [_checked(number, question) for number, question in enumerate(questions, 1)]
        super().__init__(questions=checked, **({"chosen": [-1] * len(checked)} | state))

    @checking("chosen")
    def _check_chosen(self, name: str, value: Any) -> list[int]:
        chosen = list(value)
        if len(chosen) != len(self.questions) or any(
            not -1 <= c < len(q["options"]) for c, q in zip(chosen, self.questions, strict=True)
        ):
            raise ValueError(f"chosen must hold an option's index, or −1, for each of the questions, got {chosen!r}")
        return chosen

    def _describe(self) -> str:
        return f"{len(self.questions)} questions"

    def _alt(self) -> str:
        return " ".join(f"{n}. {q['question']}" for n, q in enumerate(self.questions, 1))


def _checked(number: int, question: Mapping[str, Any]) -> dict[str, Any]:
    needed = {"question", "options", "answer", "why"}
    if not isinstance(question, Mapping) or set(question) != needed:
        got = sorted(question) if isinstance(question, Mapping) else type(question).__name__
        raise ValueError(f"question {number} needs {', '.join(sorted(needed))}, got {got}")
    if not _text(question["question"]):
        raise ValueError(f"question {number} needs a text as its 'question', got {question['question']!r}")
    options, answer, why = list(question["options"]), question["answer"], question["why"]
    if len(options) < 2 or len(set(options)) != len(options):
        raise ValueError(f"question {number} needs two different options at least, got {options!r}")
    if not (isinstance(why, (list, tuple)) and len(why) == len(options) and all(map(_text, why))):
        raise ValueError(f"question {number} needs one text per option ({len(options)}) as its 'why', got {why!r}")
    checks.whole(f"question {number} has {len(options)} options: its answer", answer, 0, len(options) - 1)
    return {"question": question["question"], "options": options, "answer": answer, "why": why}


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
