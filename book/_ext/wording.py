"""What a reader sees of a notebook besides its prose: stored outputs, the titles of exercises, the texts of widgets.

Sphinx translates the prose by itself. The rest goes through the same catalogue, one for each page: `each_text` hands
every such text to a function and puts what that returns in its place. Numbers are not part of a message, so that a cell
which prints another number needs no new translation: "12.8 M at 56×56" is the message "{0} M at {1}×{2}".
"""

import html
import json
import re
from functools import partial

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

NUMBER = re.compile(
    r"(?<![A-Za-z_\d.{])\d+(?:,\d{3})*(?:\.\d+)?(?![A-Za-z_\d])"
)
PLACE = re.compile(r"\{(\d+)\}")
WORD = re.compile(r"[A-Za-z]{2}")
TAG = re.compile(r"(<[^>]*>)")
SPOKEN = re.compile(r"""\b(aria-label|alt|title)=(["'])(.*?)\2""", re.DOTALL)
SKIPPED = re.compile(
    r"<(?P<tag>code|style|script|defs|metadata)\b|<span class=['\"]math"
)
PROMPTS = {"code_prompt_show", "code_prompt_hide"}  # of a folded cell
EXERCISE = re.compile(r"^([:`]{3,}\{exercise\}[ ]+)(\S.*?)[ ]*$", re.MULTILINE)

# The traits of a widget that hold texts for a reader: the trait, or the keys inside it.
TRAITS = {
    "alt": None,
    "captions": None,
    "questions": ("question", "options", "why"),
    "operators": ("name", "words", "field"),
    "inclusions": ("set",),
    "rows": ("design",),
    "layers": ("name",),
}


def message(text):
    """A text as it stands in a catalogue, and its numbers: blanks folded, each number a place such as {0}."""
    numbers = []

    def place(number):
        numbers.append(number[0])
        return f"{{{len(numbers) - 1}}}"

    return NUMBER.sub(place, " ".join(text.split())), numbers


def put_in(translated, numbers):
    """A translation with its numbers put into their places."""
    return PLACE.sub(lambda place: numbers[int(place[1])], translated)


def translating(catalogue):
    """A function that gives the translation of a text, itself where there is none."""

    def say(text):
        english, numbers = message(text)
        found = catalogue.get(english)
        return put_in(found, numbers) if found else text

    return say


def each_text(notebook, say):
    """Change a notebook in place: each text that `say` is asked for is replaced by its answer."""
    ask = partial(_ask, say)
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = EXERCISE.sub(
                lambda found: found[1] + ask(found[2]), source
            )
        prompts = cell["metadata"].get("mystnb", {})
        for prompt in PROMPTS & prompts.keys():
            prompts[prompt] = ask(prompts[prompt])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in ("text/html", "image/svg+xml"):
                if kind in data:
                    data[kind] = _markup(_joined(data[kind]), ask)
            if (
                VIEW in data or "image/svg+xml" in data
            ):  # the words of a picture
                data["text/plain"] = ask(_joined(data["text/plain"]))
    for text in texts_of_widgets(notebook):
        ask(text)


def texts_of_widgets(notebook):
    """The texts in the stored states of widgets: these are looked up by the widget itself, so nothing is replaced."""
    states = (
        notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    )
    for record in states.values():
        for trait, keys in TRAITS.items():
            yield from _strings(record["state"].get(trait), keys)


def widgets_of(notebook):
    """The names of the modules of the widgets on a page, such as "quiz"."""
    states = (
        notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    )
    classes = {
        record["state"]["_anywidget_id"].rpartition(".")[2]
        for record in states.values()
        if "_anywidget_id" in record["state"]
    }
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in classes}


def _strings(value, keys):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, keys)
    elif isinstance(value, dict):
        for key in keys or value:
            yield from _strings(value.get(key), None)


def _ask(say, text):
    """What `say` answers to a text, its blanks at both ends kept; a text without words is not asked for."""
    inner = text.strip()
    if not WORD.search(inner):
        return text
    return text.replace(inner, say(inner), 1)


def _markup(text, ask):
    """HTML or SVG with its texts and spoken labels asked for, code and formulas left alone."""
    parts, inside = [], None
    for part in TAG.split(text):
        if part.startswith("<"):
            if inside is None and (found := SKIPPED.match(part)):
                inside = found["tag"] or "span"
            elif inside and part == f"</{inside}>":
                inside = None
            parts.append(SPOKEN.sub(partial(_label, ask), part))
        elif inside is None:
            parts.append(html.escape(ask(html.unescape(part)), quote=False))
        else:
            parts.append(part)
    return "".join(parts)


def _label(ask, found):
    return f"{found[1]}={found[2]}{html.escape(ask(html.unescape(found[3])))}{found[2]}"


def _joined(text):
    return text if isinstance(text, str) else "".join(text)


def read(source):
    """A notebook from its text; None for a text that is none."""
    return json.loads(source) if source.lstrip().startswith("{") else None
