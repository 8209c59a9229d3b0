"""Figures: what they show as text, inks that can be read on both pages, and no state left behind."""

import math
import sys
from types import SimpleNamespace

import matplotlib._pylab_helpers
import pytest
import torch
from matplotlib.figure import Figure

from convnotes import plots

HISTORY = SimpleNamespace(loss=[1.0, 0.5], train_accuracy=[0.5, 0.75], test_accuracy=[0.4, 0.7])
RUNS = SimpleNamespace(histories=[HISTORY, HISTORY], accuracies=[0.7, 0.72])
TRADE = {"small": (100, [0.5, 0.6]), "wide": (1000, [0.8, 0.9]), "beaten": (900, [0.4])}
MAKE = {
    "image": lambda ax=None: plots.image(torch.rand(3, 7, 11), ax=ax, title="a"),
    "kernel": lambda ax=None: plots.kernel(torch.randn(3, 5), ax=ax, title="a"),
    "heat": lambda ax=None: plots.heat(torch.randn(7, 11), ax=ax, title="a", label="size"),
    "signed": lambda ax=None: plots.signed(torch.randn(7, 11), ax=ax, title="a"),
    "history": lambda ax=None: plots.history({"one": RUNS, "two": HISTORY}, ax=ax, title="a"),
    "spread": lambda ax=None: plots.spread({"one": [0.5, 0.6, 0.7], "two": RUNS}, ax=ax, title="a"),
    "bars": lambda ax=None: plots.bars({"plain": 1234567, "small": 0.5}, ax=ax, title="a"),
    "trade": lambda ax=None: plots.trade(TRADE, best=["small", "wide"], ax=ax, title="a", label="parameters"),
}


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def luminance(colour: str) -> float:
    """WCAG's relative luminance of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(ink: str, ground: str) -> float:
    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def blend(colour: str, alpha: float, ground: str) -> str:
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(alpha * c + (1 - alpha) * g):02x}" for c, g in pairs)


GROUNDS = {
    "light": ("#ffffff", "#ced6dd"),
    "dark": ("#121212", "#14181e", "#1c1c1c"),
}  # #ced6dd: under dark-mode figures


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_ink_holds_4_5_to_1_on_its_grounds(theme):
    assert plots.INK[theme].keys() == {"text", *plots.PALETTE}
    for ground in GROUNDS[theme]:
        for name, ink in plots.INK[theme].items():
            assert contrast(ink, ground) >= 4.5, f"{name} on {ground}: {contrast(ink, ground):.2f}"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_tap_values_can_be_read_on_the_deepest_orange(theme):
    for ground in GROUNDS[theme]:
        assert contrast(plots.INK[theme]["text"], blend(plots.PALETTE["kernel"], 0.45, ground)) >= 4.5


def test_no_text_is_smaller_than_11_points():
    for name, make in MAKE.items():
        ax = make()
        labels = [ax.title, ax.xaxis.label, *ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels()]
        if ax.get_legend():
            labels += ax.get_legend().get_texts()
        assert min(text.get_fontsize() for text in labels) >= 11, name


def test_a_kernel_shows_every_tap_and_frames_its_centre():
    ax = plots.kernel(torch.tensor([[-1.0, 0.25, 3.0], [0.125, 7.5, -0.5]]))
    assert texts(ax) == ["−1", "0.25", "3", "0.125", "7.5", "−0.5"]
    (frame,) = (patch for patch in ax.patches if patch.get_label() == "centre")
    centre = frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2
    assert centre == pytest.approx((1, 0)), "of 2×3 taps the centre is tap (0, 1)"
    assert not [
        patch for patch in plots.kernel(torch.ones(1, 1), centre=False).patches if patch.get_label() == "centre"
    ]


def test_a_kernel_of_zeros_can_be_drawn():
    assert texts(plots.kernel(torch.zeros(3, 3))) == ["0"] * 9
    assert plots.signed(torch.zeros(3, 3)).images[0].get_clim() == (-1, 1)


def test_signed_maps_have_zero_in_the_middle_and_heat_maps_their_range():
    values = torch.tensor([[-1.0, 4.0], [0.0, 2.0]])
    assert plots.signed(values).images[0].get_clim() == (-4, 4)
    assert plots.heat(values).images[0].get_clim() == (-1, 4)
    assert plots.heat(values, label="size").figure.axes[1].get_ylabel() == "size"


def test_an_image_is_shown_as_it_is():
    colour, grey = torch.rand(3, 4, 6), torch.rand(1, 4, 6)
    assert plots.image(colour).images[0].get_array().shape == (4, 6, 3)
    shown = plots.image(grey).images[0]
    assert shown.get_clim() == (0, 1)
    assert torch.equal(torch.tensor(shown.get_array().data), grey[0].double())


def test_feature_maps_share_one_scale_and_name_their_channels():
    maps = torch.randn(5, 7, 11, requires_grad=True)
    drawn = plots.feature_maps(maps, columns=3)
    assert len(drawn) == 5
    assert {ax.images[0].get_clim() for ax in drawn} == {(maps.min().item(), maps.max().item())}
    assert [ax.get_title(loc="left") for ax in drawn] == [f"channel {k}" for k in range(5)]
    assert len(drawn[0].figure.axes) == 6, "five maps and one scale"


def test_a_panel_is_empty_and_has_the_size_the_title_and_the_frame_asked_for():
    bare, framed = plots.panel(2, 1.5), plots.panel(title="weights", frame=True)
    assert bare.figure.get_size_inches().tolist() == [2, 1.5]
    assert not bare.has_data()
    assert [bare.get_title(loc="left"), framed.get_title(loc="left")] == ["", "weights"]
    for side in ("top", "right"):
        assert framed.spines[side].get_visible()
        assert not bare.spines[side].get_visible()


def test_history_draws_every_seed_and_their_mean():
    ax = plots.history(RUNS)
    assert [line.get_label() for line in ax.lines[2:]] == ["train", "test"]
    assert list(ax.lines[-1].get_ydata()) == [0.4, 0.7]
    assert len(ax.lines) == 4


def test_spread_shows_a_dot_for_every_seed_and_the_mean_as_a_number():
    ax = plots.spread({"plain": [0.5, 0.75], "small": [0.8]}, label="accuracy")
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.75]
    assert texts(ax) == ["0.62", "0.80"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["plain", "small"]


def test_bars_carry_their_numbers():
    assert texts(plots.bars({"plain": 1234567, "small": -0.5})) == ["1,234,567", "−0.5"]


def test_trade_marks_the_best_by_shape_and_by_name_and_joins_them_in_order_of_cost():
    ax = plots.trade(TRADE, best=["wide", "small"], label="parameters")
    assert texts(ax) == ["small", "wide"], "the others are grey and have no name"
    points = [line for line in ax.lines if line.get_marker() != "None"]
    assert [line.get_marker() for line in points] == ["D", "D", "o"]
    assert [float(line.get_ydata()[0]) for line in points] == pytest.approx([0.55, 0.85, 0.4])
    chain = ax.lines[-1]
    assert list(chain.get_xdata()) == [100, 1000]
    assert ax.get_xscale() == "log"
    assert plots.trade(TRADE, log=False).get_xscale() == "linear"


def test_trade_writes_each_name_beside_its_own_mark_and_over_no_other_name():
    crowd = {f"design {n}": (100 + n, [0.5 + 0.01 * n]) for n in range(5)}
    ax = plots.trade(crowd, best=list(crowd), label="parameters")
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    marks = {name: ax.transData.transform((cost, mean)) for name, (cost, (mean,)) in crowd.items()}
    for text, box in zip(ax.texts, boxes, strict=True):
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        away = {name: math.dist(middle, mark) for name, mark in marks.items()}
        assert min(away, key=away.__getitem__) == text.get_text()


def test_names_that_have_no_point_and_inks_that_are_not_there_are_refused():
    ax = plots.trade(TRADE, label="parameters")
    with pytest.raises(ValueError, match="named must name what is drawn, got other"):
        plots.name_points(ax, {"small": (100, 0.55)}, {"other": "grey"})
    with pytest.raises(ValueError, match="named must be"):
        plots.name_points(ax, {"small": (100, 0.55)}, {"small": "pink"})


@pytest.mark.parametrize("name", MAKE)
def test_a_figure_is_transparent_repeats_byte_for_byte_and_leaves_nothing_in_pyplot(name):
    torch.manual_seed(0)
    first = plots.save(MAKE[name](), format="svg")
    torch.manual_seed(0)
    second = MAKE[name]()
    assert plots.save(second, format="svg") == first
    assert b"dc:date" not in first
    assert second.figure.get_facecolor()[3] == 0
    assert second.get_facecolor()[3] == 0
    assert not matplotlib._pylab_helpers.Gcf.figs


@pytest.mark.parametrize("name", MAKE)
def test_a_figure_draws_on_the_axes_it_is_given(name):
    ax = MAKE["bars"]()
    ax.clear()
    assert MAKE[name](ax) is ax


def test_style_changes_inks_inside_and_nothing_outside():
    before = dict(matplotlib.rcParams)
    with plots.style("dark"):
        assert plots.kernel(torch.ones(1, 1)).texts[0].get_color() == plots.INK["dark"]["text"]
    assert plots.kernel(torch.ones(1, 1)).texts[0].get_color() == plots.INK["light"]["text"]
    assert dict(matplotlib.rcParams) == before


def test_save_writes_what_it_returns_and_show_gives_a_png(tmp_path):
    ax = plots.kernel(torch.ones(3, 3))
    assert (tmp_path / "kernel.png").write_bytes(b"") == 0
    assert plots.save(ax, tmp_path / "kernel.png") == (tmp_path / "kernel.png").read_bytes()
    shown = plots.show(ax)
    assert shown.data[:8] == b"\x89PNG\r\n\x1a\n"
    assert shown.metadata["needs_background"] == "light"


def test_save_takes_the_whole_figure_of_axes_that_lie_in_a_part_of_it():
    parts = Figure(figsize=(2, 1)).subfigures(1, 2)
    left, right = (part.subplots() for part in parts)
    assert plots.save(left) == plots.save(right) == plots.save(left)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image(torch.rand(2, 4, 4)), r"1 or 3 channels in dimension 0, got shape \(2, 4, 4\)"),
        (
            lambda: plots.image(torch.rand(4)),
            r"tensor must be an image \[3, H, W\], \[1, H, W\] or \[H, W\], got shape \(4,\)",
        ),
        (lambda: plots.image(torch.full((3, 2, 2), 255.0)), r"lies in \[0, 1\], got 255 to 255"),
        (lambda: plots.image(torch.full((2, 2), float("nan"))), r"lies in \[0, 1\], got nan to nan"),
        (
            lambda: plots.kernel(torch.rand(4, 3, 3, 3)),
            r"tensor must be a kernel \[KH, KW\]: choose one output and one input channel first, got ",
        ),
        (lambda: plots.kernel(torch.rand(0, 3)), r"got shape \(0, 3\)"),
        (lambda: plots.heat(torch.rand(3, 3, 3)), r"tensor must be a map \[H, W\], got shape \(3, 3, 3\)"),
        (lambda: plots.signed(torch.rand(3)), r"tensor must be a map \[H, W\], got shape \(3,\)"),
        (lambda: plots.feature_maps(torch.rand(3, 3)), r"tensor must be feature maps \[C, H, W\], got shape \(3, 3\)"),
        (lambda: plots.feature_maps(torch.rand(3, 3, 3), titles=["a"]), "each of the 3 channels, got 1"),
        (lambda: plots.spread({}), "needs a sequence of numbers for each name"),
        (lambda: plots.spread({"a": []}), "needs a sequence of numbers for each name"),
        (lambda: plots.bars({"a": float("inf")}), "one finite number for each name"),
        (lambda: plots.trade({}), r"needs \(cost, a sequence of numbers\) for each name"),
        (lambda: plots.trade({"a": (1.0, [])}), r"needs \(cost, a sequence of numbers\) for each name"),
        (lambda: plots.trade({"a": (1.0, [1.0])}, best=["b"]), "best must name what is drawn, got b"),
        (lambda: plots.bars({"a": 1.0}, highlight=["b"]), "highlight must name what is drawn, got b"),
        (lambda: plots.spread({"a": [1.0]}, highlight=["b"]), "highlight must name what is drawn, got b"),
        (lambda: plots.history({}), "at least one training, got none"),
        (lambda: plots.style("sepia").__enter__(), "theme must be"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_history_refuses_a_training_that_was_evaluated_at_its_end_only():
    with pytest.raises(ValueError, match="accuracy of each epoch: train with evaluate_each_epoch=True"):
        plots.history(SimpleNamespace(loss=[1.0, 0.5], train_accuracy=[0.5], test_accuracy=[0.4]))


def test_history_refuses_what_is_no_training():
    with pytest.raises(TypeError, match="needs a History, Runs or a dict of them, got int"):
        plots.history(3)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "convnotes\[viz\]"'):
        plots.kernel(torch.ones(3, 3))
