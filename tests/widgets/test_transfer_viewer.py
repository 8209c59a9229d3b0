"""The transfer viewer: gain, path and choice of the run are those of torch on the same numbers."""

import pytest
import torch
from support.javascript import call

from convnotes.widgets import TransferViewer

MODULE = "transfer_viewer"
STARTS = ("scratch", "digits", "textures")


def starts():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, 3, 3, generator=generator).round(decimals=3) for name in STARTS}


def runs():
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "start": start,
            "freeze": freeze,
            "examples": examples,
            "accuracies": torch.rand(3, generator=generator, dtype=torch.float64).tolist(),
            "kernels": torch.randn(4, 3, 3, generator=generator).round(decimals=3),
        }
        for start in STARTS
        for freeze in (("none", "stem", "all") if start != "scratch" else ("none",))
        for examples in (3, 10)
    ]


def mean(run):
    return torch.tensor(run["accuracies"], dtype=torch.float64).mean()


@pytest.mark.parametrize("start", STARTS[1:])
@pytest.mark.parametrize("freeze", ["none", "stem", "all"])
@pytest.mark.parametrize("examples", [3, 10])
def test_gain_and_path_are_torch_s_in_the_page_and_in_python(start, freeze, examples):
    viewer = TransferViewer(starts(), runs(), start=start, freeze=freeze, examples=examples)
    run = next(r for r in runs() if (r["start"], r["freeze"], r["examples"]) == (start, freeze, examples))
    scratch = next(r for r in runs() if (r["start"], r["examples"]) == ("scratch", examples))
    gain = 100 * (mean(run) - mean(scratch))
    before = starts()[start].double()
    path = (run["kernels"].double() - before).norm() / before.norm()
    values = {"runs": viewer.runs, "starts": viewer.starts, "s": start, "f": freeze, "n": examples}
    found = call(
        MODULE,
        "[gain(find(runs, s, f, n), find(runs, 'scratch', f, n)), moved(starts[s], find(runs, s, f, n).kernels)]",
        **values,
    )
    assert found == pytest.approx([gain.item(), path.item()], abs=1e-6)
    assert [viewer.gain(), viewer.moved()] == pytest.approx(found, abs=1e-9)


def test_from_scratch_there_is_one_run_whatever_is_frozen():
    viewer = TransferViewer(starts(), runs(), freeze="all", examples=10)
    assert viewer.run("scratch")["freeze"] == "none"
    found = call(MODULE, "find(runs, 'scratch', 'all', 10)", runs=viewer.runs)
    assert found == viewer.run("scratch")


def test_a_kernel_that_did_not_move_moved_by_nothing_and_one_that_doubled_by_its_own_length():
    kernel = [[1.0, -2.0], [0.0, 3.0]]
    assert call(MODULE, "moved(k, k)", k=kernel) == 0
    assert call(MODULE, "moved(k, k.map((row) => row.map((v) => 2 * v)))", k=kernel) == pytest.approx(1)


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
    ("build", "says"),
    [
        (lambda: TransferViewer({"digits": torch.ones(1, 3, 3)}, runs()), 'must hold "scratch" and at least one other'),
        (lambda: TransferViewer(starts(), runs()[:-1]), "no run from 'textures' with freeze 'all' and 10 examples"),
        (lambda: TransferViewer(starts(), []), "no run from 'scratch'"),
        (lambda: TransferViewer(starts(), without("freeze")), "a run holds accuracies, examples, freeze"),
        (
            lambda: TransferViewer(starts(), without("kernels")),
            r"the kernels of a run must hold finite numbers of shape \[K, KH, KW\], got shape \(0,\)",
        ),
        (lambda: TransferViewer(starts() | {"digits": torch.ones(4, 5, 5)}, runs()), "one shape"),
        (lambda: TransferViewer(starts(), [runs()[0] | {"accuracies": [1.5]}, *runs()[1:]]), r"in \[0, 1\]"),
        (
            lambda: TransferViewer(starts(), runs(), start="letters"),
            'start must be "digits" or "textures", got \'letters\'',
        ),
        (lambda: TransferViewer(starts(), runs(), examples=4), "examples must be 3 or 10, got 4"),
        (lambda: TransferViewer(starts(), runs(), kernel=4), "kernel must be from 0 to 3, got 4"),
        (lambda: TransferViewer(starts(), runs(), freeze="some"), "some"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
