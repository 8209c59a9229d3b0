"""What all widgets share: numbers as text, one source for each module, and a picture and words for where none runs."""

import re
from pathlib import Path

import pytest
from support.example_widgets import EXAMPLES, QUESTION
from support.javascript import call

from convnotes import widgets
from convnotes.widgets.base import source, style


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (-0.5, "−0.5"), (0.30000000000000004, "0.3"), (-0.0001, "0"), (2 / 3, "0.67")],
)
def test_numbers_are_shown_as_a_page_prints_them(value, text):
    assert call("quiz", "format(value)", value=value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999_999, "999,999"), (5_033_280, "5.03 M"), (462_422_016, "462.4 M"), (1_849_688_064, "1.85 G")],
)
def test_large_counts_are_shown_in_millions_and_billions(value, text):
    assert call("quiz", "short(value)", value=value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([-1, 0, 2], ["−1", "0", "2"]),
        ([0.5, -0.25, 0, 1], ["0.50", "−0.25", "0", "1.00"]),
        ([0.1, 0.3000001, -0.0001], ["0.1", "0.3", "0"]),
    ],
)
def test_numbers_that_stand_together_have_as_many_decimals(values, texts):
    assert call("quiz", "together(values)", values=values) == texts


@pytest.mark.parametrize(("typed", "value"), [("−0,5", -0.5), (" 2 ", 2), ("-1e-2", -0.01)])
def test_what_a_person_types_is_understood(typed, value):
    assert call("quiz", "parse(typed)", typed=typed) == value


@pytest.mark.parametrize("typed", ["", "one", "1.2.3"])
def test_what_is_no_number_is_none(typed):
    assert call("quiz", "Number.isNaN(parse(typed))", typed=typed)


@pytest.mark.parametrize("name", widgets.__all__)
def test_every_widget_has_an_example_a_module_and_words(name):
    widget = EXAMPLES[name]()
    assert widget._esm == source(widget.module)
    assert widget._css == style(widget.module)
    assert "export default { render }" in widget._esm
    assert not re.search(r"^import\b", widget._esm, flags=re.M), "a page cannot load a second file"
    assert repr(widget) == repr(EXAMPLES[name]()), "a repr that changes trips nbval"
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"].startswith(f"{name}(")
    assert len(data["text/plain"]) > 40 or name == "Quiz"
    assert call(widget.module, "typeof render") == "function"


def test_a_widget_that_is_not_there_is_refused_by_name():
    with pytest.raises(AttributeError, match=r"no attribute 'Mixer'; its names are A.*, Quiz"):
        _ = widgets.Mixer


def test_the_quiz_judges_and_counts():
    first = call("quiz", "verdict(q, 0)", q=QUESTION)
    assert first == {"right": True, "text": "✓ Right. It leaves 1."}
    second = call("quiz", "verdict(q, 1)", q=QUESTION)
    assert second["right"] is False
    assert "The answer is “yes”" in second["text"]
    assert call("quiz", "verdict(q, -1)", q=QUESTION)["text"] == ""
    assert call("quiz", "score([q, q], [0, -1]).text", q=QUESTION) == "1 of 2 right, 1 answered"


def test_the_quiz_says_why_a_wrong_option_is_wrong_and_then_why_the_right_one_is_right():
    assert call("quiz", "verdict(q, 0)", q=QUESTION)["text"] == "✓ Right. It leaves 1."
    text = "✗ Not so. 0 and 2 are even, 1 lies between. The answer is “yes”. It leaves 1."
    assert call("quiz", "verdict(q, 1)", q=QUESTION) == {"right": False, "text": text}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answer": 2}, "has 2 options: its answer must be from 0 to 1, got 2"),
        ({"options": ["yes"]}, "two different options"),
        ({"options": ["yes", "yes"]}, "two different options"),
        ({"why": "It leaves 1."}, "needs one text per option .2. as its 'why'"),
        ({"why": ["only one"]}, "needs one text per option .2. as its 'why'"),
        ({"why": ["one", " "]}, "needs one text per option .2. as its 'why'"),
        ({"more": 1}, "needs answer, options, question, why"),
    ],
)
def test_a_bad_question_is_refused_by_its_number(change, says):
    with pytest.raises(ValueError, match=f"question 2 .*{says}"):
        widgets.Quiz([QUESTION, QUESTION | change])


def test_a_quiz_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one question"):
        widgets.Quiz([])


def test_the_files_of_the_widgets_are_short_and_each_says_what_it_is():
    folder = Path(widgets.__file__).parent
    files = [path for path in folder.rglob("*") if path.suffix in (".js", ".css")]
    assert len(files) > 50
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, path.name
        assert max(map(len, lines)) <= 120, path.name
        assert path.suffix == ".css" or lines[0].startswith("// "), path.name
        assert path.parent.name == "kit" or hasattr(widgets, named(path)), f"{path.name} belongs to no widget"


def named(path: Path) -> str:
    return "".join(word.capitalize() for word in path.name.split(".")[0].split("_"))


def test_only_the_kit_places_the_parts_of_a_widget_which_says_what_differs_by_variables():
    folder = Path(widgets.__file__).parent
    for path in folder.glob("*.css"):
        assert ".cn-body" not in path.read_text(encoding="utf-8"), f"{path.name}: set --cn-body"
    kit = [(folder / "kit" / name).read_text(encoding="utf-8") for name in ("frame.css", "controls.css")]
    variables = set(re.findall(r"var\((--cn-(?:body|stage|panel|label|fact))", "".join(kit)))
    assert len(variables) == 5
    assert all(name in kit[0].partition("*/")[0] for name in variables)
