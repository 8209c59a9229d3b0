"""Every docstring on the pages of the layers and of the tools names all arguments, and its example runs."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import convnotes

REFERENCE = Path(__file__).parents[1] / "book/reference"
PAGE = "\n".join((REFERENCE / f"{page}.md").read_text(encoding="utf-8") for page in ("api", "tools"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
ARGUMENTS = re.compile(r"^ {4}([\w, *]+):", re.MULTILINE)


def documented():
    """The objects of the page by their full names: members of modules, and classes with members."""
    found = {}
    directives = re.findall(r"^\.\. auto(\w+):: ([\w.]+)(\n   :members:)?(.*)$", PAGE, re.MULTILINE)
    for kind, name, listed, members in directives:
        if kind == "module":
            module = importlib.import_module(name)
            names = [n.strip() for n in members.split(",") if n.strip()] or getattr(module, "__all__", [])
            names = names if listed else []
            found |= {f"{name}.{n}": getattr(module, n) for n in names}
        else:
            owner, _, own = name.rpartition(".")
            found[name] = getattr(importlib.import_module(owner), own)
    # The book prints the definitions: their arguments are those of the layers' functions, and stand there.
    return {n: thing for n, thing in found.items() if callable(thing) and not n.startswith("convnotes.definitions")}


DOCUMENTED = documented()


def parameters(thing):
    """Those that a caller gives, with the stars of the rest."""
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return []
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + name for name, p in inspect.signature(thing).parameters.items()]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_all_arguments_are_explained_in_their_order(name):
    thing = DOCUMENTED[name]
    given = parameters(thing)
    if not given:
        return
    doc = inspect.getdoc(thing)
    assert "\nArgs:\n" in doc, "an Args section is missing"
    section = re.split(r"\n(?=\S)", doc.split("\nArgs:\n")[1])[0]
    explained = [n.strip() for names in ARGUMENTS.findall(section) for n in names.split(",")]
    assert explained == given


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_runs(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    thing = DOCUMENTED[name]
    names = {n: getattr(convnotes, n) for n in convnotes.__all__}
    names |= {"torch": torch, "nn": nn, "np": np, "convnotes": convnotes}
    tests = doctest.DocTestFinder(recurse=False).find(thing, name, globs=names)
    assert tests[0].examples, "an example is missing"
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    torch.manual_seed(0)
    for test in tests:
        said = []
        runner.run(test, out=said.append)
        assert runner.failures == 0, "".join(said)


def test_no_property_says_a_type_where_it_means_a_sentence():
    """The page takes what stands before a colon in the first line of a property for its type."""
    classes = {base for thing in DOCUMENTED.values() if inspect.isclass(thing) for base in thing.__mro__}
    properties = {
        f"{owner.__name__}.{name}": inspect.getdoc(member) or ""
        for owner in classes
        if owner.__module__.startswith("convnotes")
        for name, member in vars(owner).items()
        if isinstance(member, property)
    }
    assert len(properties) > 10
    assert [name for name, doc in properties.items() if ": " in doc.split("\n")[0]] == []
