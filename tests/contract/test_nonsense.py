"""Nonsense for any argument of a layer is refused by name, or works; it never fails deep inside, hangs or takes memory.

`device` and `dtype` go to torch as they are, and it is torch that refuses them.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from support.layer_arguments import LEGAL, layer_class

# name → a value that is legal nowhere, or only somewhere
NONSENSE = {
    "None": None,
    "negative": -1,
    "zero": 0,
    "fraction": 2.5,
    "digits": "3",
    "word": "nonsense",
    "bytes": b"3",
    "three": (1, 2, 3),
    "empty list": [],
    "words": ("a", "b"),
    "None in a pair": (None, 1),
    "negative in a pair": (-1, 2),
    "nan": math.nan,
    "infinity": math.inf,
    "large": 2**40,
    "past int64": 2**70,
    "large in a pair": (2**40, 1),
    "complex": 1j,
    "object": object(),
    "dict": {},
    "tensor": torch.tensor([1.5, 2.0]),
}
TO_TORCH = ("device", "dtype")
SPANS = "does not fit into the padded input"


def a_legal_one(name: str) -> dict[str, Any]:
    """Arguments that the layer takes."""
    found = []

    @settings(max_examples=3, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(LEGAL[name])
    def draw(arguments):
        found.append(arguments)

    draw()
    return found[-1]


def kinds() -> Iterator[tuple[str, str]]:
    """Each argument of each layer."""
    for name in LEGAL:
        for argument in inspect.signature(layer_class(name)).parameters:
            if argument not in TO_TORCH:
                yield name, argument


KINDS = list(kinds())


@pytest.mark.parametrize(("name", "argument"), KINDS)
def test_nonsense_is_refused_by_name_or_works(name, argument):
    legal = a_legal_one(name)
    x = torch.randn(1, legal.get("in_channels") or legal["channels"], 13, 11)
    for word, value in NONSENSE.items():
        module, problem = attempt(lambda value=value: layer_class(name)(**legal | {argument: value}))
        if module is not None and argument not in ("in_channels", "channels"):
            _, problem = attempt(lambda module=module: module(x))  # only the size of the map may tell that nothing fits
        said = str(problem).lower()
        assert problem is None or argument in said or argument.split("_")[0] in said or SPANS in said, f"{word}: {said}"


def attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call gives, and how it was refused; any other error than these two fails the test."""
    try:
        return call(), None
    except (TypeError, ValueError) as problem:
        return None, problem


def test_there_are_many_kinds():
    assert len(KINDS) * len(NONSENSE) > 2000
