"""What a page is made of: texts that nbval compares, drawings that a page can take apart, refusals."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from torch import nn

from convnotes import definitions, page, plots

BOOK = Path(__file__).parents[2] / "book"
CAPTION = "The kernel reads nine positions of the input."
ALT = "Nine discs on a grid of five by five."


def taps(**options):
    return plots.reads((5, 5), (3, 3), (1, 1), [[1 + u, 1 + v] for u in range(3) for v in range(3)], **options)


def shown(figure, monkeypatch) -> list[dict]:
    """What a figure displays, one bundle per output."""
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **rest: outputs.append(data))
    figure._ipython_display_()
    return outputs


def test_a_figure_shows_a_drawing_then_its_caption(monkeypatch):
    drawing, caption = shown(page.figure([taps(), taps(title="again")], CAPTION, ALT), monkeypatch)
    assert drawing.keys() == {"image/svg+xml", "image/png", "text/plain"}
    assert drawing["text/plain"] == ALT
    assert caption == {"text/html": f"<p class='cn-caption'>{CAPTION}</p>", "text/plain": CAPTION}


def test_each_panel_of_a_figure_is_a_drawing_of_its_own_with_text_as_text():
    svg = page.figure([taps(), taps(title="again")], CAPTION, ALT).svg()
    assert svg.count('class="cn-part"') == 2
    assert f'aria-label="{ALT}"' in svg
    assert ">input</text>" in svg
    assert ">again</text>" in svg
    assert "<style" not in svg
    widths = [float(width) for width in re.findall(r'<svg [^>]*class="cn-part"[^>]* width="([\d.]+)"', svg)]
    assert all(0 < width <= 360 for width in widths)


def test_the_inks_of_a_figure_are_variables_of_the_page_with_the_light_ink_to_fall_back_on():
    svg = page.figure(taps(), CAPTION, ALT).svg()
    assert f"var(--cn-input-ink, {plots.INK['light']['input'].lower()})" in svg
    assert not re.search(rf"(?<!, ){plots.INK['light']['input']}", svg, flags=re.IGNORECASE)


def test_the_style_sheet_of_the_book_has_the_inks_of_the_figures():
    css = (BOOK / "assets" / "book.css").read_text()
    for name, light in plots.INK["light"].items():
        assert f"--cn-{name}-ink: light-dark({light.lower()}, {plots.INK['dark'][name].lower()});" in css


def test_axes_of_one_figure_are_one_panel():
    from matplotlib.figure import Figure

    left, right = Figure(figsize=(3, 1)).subplots(1, 2)
    assert page.figure([left, right], CAPTION, ALT).svg().count('class="cn-part"') == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: page.figure([], CAPTION, ALT), "panels must hold at least one Axes, got none"),
        (lambda: page.figure(taps(), "Taps", ALT), "caption must say what the figure shows, got 'Taps'"),
        (lambda: page.figure(taps(), CAPTION, ""), "alt must say what the figure shows, got ''"),
        (lambda: page.figure(Figure(figsize=(9.2, 3)).subplots(), CAPTION, ALT), "at most 3.6 inches wide, .* got 9.2"),
        (lambda: card("3"), "code must make a layer, got '3', which makes a int"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def card(code: str, **more):
    words = {"what": "A layer.", "formula": "y < x", "use": "often", "avoid": "never", "paper": "Anon. 2020"}
    return page.card(code, **words, drawing=taps(), alt=ALT, **more)


def test_a_card_counts_the_layer_that_its_line_of_code_makes():
    text = repr(card("nn.Conv2d(64, 32, 5, padding=2, bias=False)", beside={"a": nn.Conv2d(64, 64, 5, bias=False)}))
    assert "Parameters       51,200 (0.50 times a)\n" in text
    assert f"Multiply-adds    {51_200 * 56 * 56 / 1e6:.1f} M at 56×56 (" in text
    assert "Receptive field  5×5\n" in text
    assert "In code          nn.Conv2d(64, 32, 5, padding=2, bias=False)\n" in text
    assert "Receptive field  as the adder says" in repr(card("Adder2d(64, 4, 3)", field="as the adder says"))
    assert f"Multiply-adds    0.0 M at 56×56, and {2 * 4 * 576 * 54 * 54 / 1e6:.1f} M additions\n" in repr(
        card("Adder2d(64, 4, 3)")
    )


def test_a_card_adds_what_a_layer_multiplies_beside_its_convolutions():
    text = repr(
        card("nn.Conv2d(64, 64, 1)", beside={"a": nn.Conv2d(64, 64, 1)}, uncounted={"masks": 2, "reading": 10**8})
    )
    counted = 64 * 64 * 56 * 56
    total = counted + 2 + 10**8
    assert (
        f" M at 56×56 (1.00 times a); with masks and reading {total / 1e6:.1f} M ({total / counted:.2f} times a)\n"
        in text
    )


def test_a_card_escapes_what_it_shows():
    shown = card("nn.Conv2d(64, 64, 1)")._repr_html_()
    assert r"\(y &lt; x\)" in shown
    assert shown.count("<tr>") == 9


def test_a_definition_keeps_the_code_and_the_equation_and_cuts_the_rest():
    source = repr(page.definition(definitions.conv2d))
    assert source.startswith("def conv2d(\n")
    assert "y[b,o,i,j] = " in source
    assert "not flipped" not in source
    assert "Dumoulin" not in source
    compile(source, "conv2d", "exec")
    assert page.definition(definitions.conv2d)._repr_markdown_() == f"```python\n{source}\n```"
    with pytest.raises(TypeError):
        page.definition(len)


def test_a_verdict_names_its_claim_and_is_one_of_three():
    assert list(page.SOURCE) == list(range(1, 17))
    assert list(page.CLAIMS) == list(range(1, 22))
    assert {verdict.verdict for verdict in page.CLAIMS.values()} <= {"Holds", "Holds with a condition", "Misleading"}
    assert page.verdict(1)._repr_html_() == (
        "<p class='cn-verdict'>C1 · Size sets the receptive field. <strong>Holds with a condition.</strong></p>"
    )
    with pytest.raises(ValueError, match="number must be"):
        page.verdict(22)


def test_a_checked_line_is_escaped():
    assert page.checked("a < b")._repr_html_() == "<p class='cn-checked'>checked: a &lt; b</p>"
