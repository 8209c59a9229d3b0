"""The code that defines an operator, as a reader sees it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


class Definition:
    """What `definition` returns: Python source that a page highlights as it highlights its other code."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return self.source

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.source}\n```"


def definition(*functions: Callable[..., Any]) -> Definition:
    """The source of functions, one below the other. Of a docstring the first sentence and the equations are kept.

    Args:
        *functions: functions that were defined in files or in cells.

    Raises:
        TypeError: for something that has no source, such as a function of C.

    Example:
        >>> from convnotes import definitions, page
        >>> print(repr(page.definition(definitions.hat)).splitlines()[0])
        def hat(position: Tensor, size: int) -> Tensor:
    """
    return Definition("\n\n\n".join(_source(function) for function in functions))


def _source(function: Callable[..., Any]) -> str:
    source = textwrap.dedent(inspect.getsource(function)).rstrip()
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    first = tree.body[0]
    docstring = ast.get_docstring(tree)
    if docstring is None:
        return source
    assert first.end_lineno is not None
    indent = " " * first.col_offset
    headline = textwrap.wrap(f'"""{_headline(docstring)}', 80 - len(indent))
    short = [f"{indent}{line}" for line in (*headline, *_equations(docstring))]
    short = [f'{short[0]}"""'] if len(short) == 1 else [*short, f'{indent}"""']
    return "\n".join([*lines[: first.lineno - 1], *(line.rstrip() for line in short), *lines[first.end_lineno :]])


def _headline(docstring: str) -> str:
    """The first sentence, ended by a stop."""
    paragraph = " ".join(docstring.split("\n\n")[0].split()).removesuffix("::")
    sentence = paragraph.partition(". ")[0].partition(": ")[0].partition(" (")[0]
    return sentence.rstrip(".:") + "."


def _equations(docstring: str) -> list[str]:
    """The indented block that follows `::`, with an empty line before it."""
    _, mark, rest = docstring.partition("::\n")
    if not mark:
        return []
    block: list[str] = []
    for line in rest.splitlines():
        if line and not line.startswith("    "):
            break
        block.append(line)
    return ["", *"\n".join(block).strip("\n").splitlines()]
