"""What every widget is: state in Python, one ES module that computes and draws, a picture for where neither runs."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.checks import naming_extras

_HERE = Path(__file__).parent
_SCRIPTS = ("kit/words", "kit/numbers", "kit/dom", "kit/frame", "kit/controls", "kit/pictures")
_STYLES = ("kit/frame", "kit/controls", "kit/pictures")
_IMPORT = re.compile(r'^import [^;]+ from "\.[^"]*";\n', re.MULTILINE)


def checking(*names: str) -> Callable[[Callable[[Any, str, Any], Any]], Any]:
    """Make a method of (widget, name, value) what checks the traits `names`; what it returns is stored."""

    def checked(check: Callable[[Any, str, Any], Any]) -> Any:
        return traitlets.validate(*names)(
            lambda widget, proposal: check(widget, proposal["trait"].name, proposal["value"])
        )

    return checked


class Widget(anywidget.AnyWidget):
    """An anywidget whose ES module and style sheet are the kit's files followed by its own.

    A subclass names its files by `module`: `<module>.compute.js` computes, `<module>.draw.js` draws what is large,
    `<module>.js` puts them together, `<module>.css` styles; only `<module>.js` must exist. It gives a short text by
    `_describe` (its `repr`), a text for readers who do not see it by `_alt`, what they can change by `by_hand`, and a
    picture of its present state by `_picture`.

    `links` holds the states that words of the text put the widget into, such as {"a wider kernel": {"size": 9}}. In a
    built page the words do it, written `[a wider kernel](set:size=9)`; elsewhere the widget has a button for each. A
    trait that the widget lacks and a value that it does not accept are refused.
    """

    module: str = ""
    by_hand: str = ""

    links = traitlets.Dict().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        links = state.pop("links", {})
        super().__init__(**state)
        self.links = links  # they are tried on the widget as it then is

    @checking("links")
    def _check_links(self, name: str, value: Any) -> dict[str, dict[str, Any]]:
        for words, state in value.items():
            unknown = sorted(set(state) - set(self.traits(sync=True)))
            if unknown:
                raise ValueError(
                    f"{name}[{words!r}] must name traits of {type(self).__name__}, got {', '.join(unknown)}"
                )
            before = {trait: getattr(self, trait) for trait in state}
            try:
                self._put(state)
            finally:
                self._put(before)
        return {words: dict(state) for words, state in value.items()}

    def _put(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __init_subclass__(cls, **kw: Any) -> None:
        if cls.__dict__.get("module"):  # traitlets makes subclasses of its own at run time
            cls._esm = source(cls.module)
            cls._css = style(cls.module)
        super().__init_subclass__(**kw)

    def _describe(self) -> str:
        raise NotImplementedError

    def _alt(self) -> str:
        raise NotImplementedError

    def _picture(self) -> bytes | None:
        """A PNG of the present state, None where words say it better."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"

    def _repr_mimebundle_(self, **kw: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kw)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        with naming_extras():
            picture = self._picture()
        more = f" In the page and in Jupyter {self.by_hand}." if self.by_hand else ""
        data["text/plain"] = f"{self!r}: {self._alt()}{more}"
        if picture is not None:
            data["image/png"] = base64.b64encode(picture).decode()
        return data, metadata


class PhotoWidget(Widget):
    """A widget with one image, whose pixels travel as bytes: `[3, H, W]` of 0 to 255, or `[H, W]` in grey.

    `precision` is what Python computes with. A `probe`, `place` or `start` is the row and column of a pixel.
    """

    precision: torch.dtype = torch.float32

    image = traitlets.Bytes().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def __init__(self, pixels: np.ndarray, alt: str, **state: Any) -> None:
        height, width = pixels.shape[-2:]
        super().__init__(image=pixels.tobytes(), height=height, width=width, alt=alt, **state)

    @checking("probe", "place", "start")
    def _check_place(self, name: str, value: Any) -> list[int]:
        return checks.position(name, value, self.height, self.width)

    def _pixels(self) -> torch.Tensor:
        """The pixels in [0, 1], `[3, H, W]` or `[H, W]`."""
        data = torch.frombuffer(bytearray(self.image), dtype=torch.uint8)
        return data.view(-1, self.height, self.width).squeeze(0).to(self.precision) / 255


def panels(rows: int, columns: int, size: tuple[float, float], **options: Any) -> Any:
    """Axes of a new figure in the look of the book."""
    with naming_extras():
        from matplotlib.figure import Figure
    with plots.style():
        return Figure(figsize=size, layout="constrained").subplots(rows, columns, **options)


def source(module: str) -> str:
    """The ES module of a widget as one text, as a notebook stores it; the imports between its files are left out."""
    return _IMPORT.sub("", _joined([*_SCRIPTS, f"{module}.compute", f"{module}.draw", module], "js"))


def style(module: str) -> str:
    """The style sheet of a widget: the kit's, then its own."""
    return _joined([*_STYLES, module], "css")


def _joined(names: list[str], suffix: str) -> str:
    paths = [_HERE / f"{name}.{suffix}" for name in names]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.exists())
