"""The transfer viewer: gain, seeds ahead, the epoch that catches up and the choice of the run are torch's."""

import pytest
import torch
from support.javascript import call, refused_by_both

from convnotes.widgets import TransferViewer

MODULE = "transfer_viewer"
STARTS = ("scratch", "digits", "textures")
NOW = "curvesOf(runs, s, f, n)"
SCRATCH = "curvesOf(runs, 'scratch', f, n)"


def runs():
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "start": start,
            "freeze": freeze,
            "examples": examples,
            "curves": torch.rand(3, 5, generator=generator, dtype=torch.float64).round(decimals=4).tolist(),
        }
        for start in STARTS
        for freeze in (("none", "stem", "all") if start != "scratch" else ("none",))
        for examples in (10, 3)
    ]


def curves(start, freeze, examples):
    key = (start, "none" if start == "scratch" else freeze, examples)
    (run,) = [r for r in runs() if (r["start"], r["freeze"], r["examples"]) == key]
    return torch.tensor(run["curves"], dtype=torch.float64)


@pytest.mark.parametrize("start", STARTS[1:])
@pytest.mark.parametrize("freeze", ["none", "stem", "all"])
@pytest.mark.parametrize("examples", [3, 10])
def test_what_is_said_of_a_run_is_torch_s_in_the_page_and_in_python(start, freeze, examples):
    viewer = TransferViewer(runs(), start=start, freeze=freeze, examples=examples)
    own, scratch = curves(start, freeze, examples), curves("scratch", freeze, examples)
    gain = 100 * (own[:, -1].mean() - scratch[:, -1].mean())
    ahead = (own[:, -1] > scratch[:, -1]).sum()
    reached = [n for n, value in enumerate(own.mean(0), 1) if value >= scratch[:, -1].mean()]
    expected = [gain.item(), ahead.item(), reached[0] if reached else None]
    values = {"runs": viewer.runs, "s": start, "f": freeze, "n": examples}
    both = f"({NOW}, {SCRATCH})"
    found = call(MODULE, f"[gain{both}, ahead{both}, caught{both}, meanCurve({NOW})]", **values)
    assert found[:3] == pytest.approx(expected, abs=1e-6)
    assert found[3] == pytest.approx(own.mean(0).tolist(), abs=1e-9)
    assert [viewer.gain(), viewer.ahead(), viewer.caught()] == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(torch.from_numpy(viewer.curves()), own)


def test_from_scratch_there_is_one_run_whatever_is_frozen():
    viewer = TransferViewer(runs(), freeze="all", examples=10)
    expected = curves("scratch", "none", 10).tolist()
    assert viewer.curves("scratch").tolist() == expected
    assert call(MODULE, "curvesOf(runs, 'scratch', 'all', 10)", runs=viewer.runs) == expected


def test_the_choices_are_those_of_the_runs_and_sizes_rise():
    viewer = TransferViewer(runs())
    assert call(MODULE, "[startsOf(runs), sizesOf(runs)]", runs=viewer.runs) == [["digits", "textures"], [3, 10]]
    assert (viewer.start, viewer.freeze, viewer.examples) == ("digits", "none", 3)


@pytest.mark.parametrize(
    ("own", "scratch", "epoch"),
    [
        ([[0.1, 0.6, 0.7]], [[0.1, 0.2, 0.6]], 2),  # equal counts as reached
        ([[0.1, 0.2, 0.3]], [[0.1, 0.2, 0.6]], None),
        ([[0.9, 0.1], [0.1, 0.1]], [[0.2, 0.5], [0.0, 0.5]], 1),  # means, not seeds
        ([[0.1, 0.7, 0.2]], [[0.1, 0.2, 0.6]], 2),  # the first time counts
    ],
)
def test_the_epoch_that_catches_up(own, scratch, epoch):
    assert call(MODULE, "caught(own, scratch)", own=own, scratch=scratch) == epoch
    tuned = [{"start": "d", "freeze": freeze, "examples": 1, "curves": own} for freeze in ("none", "stem", "all")]
    viewer = TransferViewer([*tuned, {"start": "scratch", "freeze": "none", "examples": 1, "curves": scratch}])
    assert viewer.caught() == epoch


def test_seeds_that_end_alike_are_not_ahead():
    assert call(MODULE, "ahead([[0.5], [0.7], [0.6]], [[0.5], [0.6], [0.7]])") == 1


@pytest.mark.parametrize(("value", "text"), [(12.34, "+12.3"), (-0.04, "0"), (-3.21, "−3.2"), (0, "0")])
def test_a_gain_shows_its_sign(value, text):
    assert call(MODULE, "signed(v)", v=value) == text


def test_the_copied_code_runs_and_freezes_what_it_says():
    scope = {}
    exec(call(MODULE, "torchCode('stem')"), scope)
    assert scope["net"](torch.rand(1, 3, 32, 32)).shape == (1, 5)
    assert not scope["net"].features[0].weight.requires_grad
    assert len(scope["optimizer"].param_groups[0]["params"]) == len(list(scope["net"].parameters())) - 2


def without(key):
    return [{k: v for k, v in run.items() if k != key} for run in runs()]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda: [r for r in runs() if r["start"] == "scratch"], 'a start other than "scratch"'),
        (lambda: [r for r in runs() if r["start"] != "scratch"], "no run from 'scratch'"),
        (lambda: runs()[:-1], "no run from 'textures' with freeze 'all' and 3 examples"),
        (list, 'a start other than "scratch"'),
        (lambda: without("freeze"), "a run holds curves, examples, freeze, start, got curves, examples, start"),
        (
            lambda: [runs()[0] | {"curves": []}, *runs()[1:]],
            r"the curves of a run must hold finite numbers of shape \[seeds, epochs\], got shape \(0,\)",
        ),
        (lambda: [runs()[0] | {"curves": [[0.5] * 5] * 2}, *runs()[1:]], r"got shapes \(2, 5\) and \(3, 5\)"),
        (lambda: [runs()[0] | {"curves": [[1.5] * 5] * 3}, *runs()[1:]], r"in \[0, 1\], got 1.5 to 1.5"),
    ],
)
def test_runs_that_do_not_fit_together_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        TransferViewer(given())


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"start": "letters"}, 'start must be "digits" or "textures", got \'letters\''),
        ({"examples": 4}, "examples must be 3 or 10, got 4"),
        ({"freeze": "some"}, "some"),
    ],
)
def test_python_and_the_page_refuse_the_same(state, says):
    refused_by_both(lambda **more: TransferViewer(runs(), **more), state, says, runs=TransferViewer(runs()).runs)


def test_it_says_what_it_shows():
    viewer = TransferViewer(runs(), start="textures", freeze="stem", examples=10)
    assert repr(viewer) == "TransferViewer(start textures, freeze stem, 10 examples per class)"
    assert f"a gain of {viewer.gain() / 100:.2f}." in viewer._alt()
