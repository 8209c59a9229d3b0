"""The live filter: its kernels, answers and gains are torch's, its state refuses all but photographs and kernels."""

import itertools

import numpy as np
import pytest
import torch
from support.close import assert_close
from support.javascript import call, refused_by_both
from support.photographs import no_photographs

from convnotes import definitions
from convnotes.widgets import LiveFilter

SHAPES = [(1, 1), (3, 3), (5, 5), (7, 7), (1, 7), (5, 3), (15, 15), (1, 15), (15, 1)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
MADE = list(itertools.product(("blur", "derivative", "centre-surround"), (3, 7, 15), ("square", "row", "column")))
every_kernel = pytest.mark.parametrize(("kind", "size", "shape"), MADE)


def filtering(**state) -> LiveFilter:
    return LiveFilter(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


def made(kind: str, size: int, shape: str = "square") -> str:
    return f"made('{kind}', {size}, '{shape}')"


@every_shape
def test_the_module_computes_torch_s_convolution_and_repeats_the_border(shape):
    x, kernel = torch.rand(11, 9, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    down, across = (side // 2 for side in shape)
    padded = torch.nn.functional.pad(x[None, None], (across, across, down, down), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]
    assert_close(definitions.conv2d(padded, kernel[None, None])[0, 0], expected)
    found = call("live_filter", "convolve(x, 11, 9, kernel)", x=x.flatten().tolist(), kernel=kernel.tolist())
    assert_close(torch.tensor(found, dtype=torch.float64).view(11, 9), expected)


@every_kernel
def test_the_kernels_of_the_module_are_python_s(kind, size, shape):
    expected = filtering(kind=kind, size=size, shape=shape).taps()
    assert expected.shape == {"square": (size, size), "row": (1, size), "column": (size, 1)}[shape]
    assert_close(torch.tensor(call("live_filter", made(kind, size, shape)), dtype=torch.float64), expected)
    assert expected.sum().item() == pytest.approx(1 if kind == "blur" else 0, abs=1e-12)


@pytest.mark.parametrize("size", [3, 7, 15])
@pytest.mark.parametrize("shape", ["square", "row", "column"])
def test_a_derivative_answers_along_its_own_axis_alone(size, shape):
    ramp = torch.arange(21, dtype=torch.float64).expand(1, 1, 21, 21)
    kernel = filtering(kind="derivative", size=size, shape=shape).taps()[None, None]
    assert kernel.abs().sum().item() == pytest.approx(1)
    along, other = (ramp.mT, ramp) if shape == "column" else (ramp, ramp.mT)
    answers = torch.nn.functional.conv2d(along, kernel)
    assert answers.min() > 0.99
    assert answers.max() - answers.min() < 1e-12
    assert torch.nn.functional.conv2d(other, kernel).abs().max() < 1e-12


@every_kernel
def test_the_gain_is_the_discrete_fourier_transform_of_the_kernel(kind, size, shape):
    widget = filtering(kind=kind, size=size, shape=shape)
    transform = torch.fft.fft2(widget.taps(), s=(32, 32)).abs()
    asked = list(itertools.product((1, 3, 16), (False, True)))
    found = call("live_filter", f"asked.map(([n, down]) => gain({made(kind, size, shape)}, 32 / n, down))", asked=asked)
    for (n, down), value in zip(asked, found, strict=True):
        expected = transform[(n, 0) if down else (0, n)].item()
        assert value == pytest.approx(expected, abs=1e-12)
        assert widget.gain(32 / n, down) == pytest.approx(expected, abs=1e-12)


@every_kernel
def test_the_band_holds_the_waves_that_pass_at_half_or_more(kind, size, shape):
    widget = filtering(kind=kind, size=size, shape=shape)
    found = call("live_filter", f"band({made(kind, size, shape)})")
    waves = np.geomspace(2, 64, 241)
    down = shape == "column"
    gains = [widget.gain(wave, down) for wave in waves]
    even = widget.gain(float("inf"), down)
    top = max(even, *gains)
    assert found["top"] == pytest.approx(top)
    half = waves[np.array(gains) >= top / 2]
    assert found["from"] == pytest.approx(half[0])
    assert found["to"] is None if kind == "blur" else found["to"] == pytest.approx(half[-1])  # JSON has no infinity
    assert found["wave"] is None if kind == "blur" else found["wave"] == pytest.approx(waves[np.argmax(gains)])


@pytest.mark.parametrize("kind", ["blur", "derivative", "centre-surround"])
def test_the_band_moves_to_longer_waves_as_the_kernel_grows(kind):
    bands = call("live_filter", f"[3, 5, 7, 9, 11, 13, 15].map((k) => band(made('{kind}', k, 'square')))")
    starts = [one["from"] for one in bands]
    assert starts == sorted(starts)
    assert starts[-1] > 2.5 * starts[0]


def test_the_band_is_said_in_pixels():
    assert call("live_filter", "bandInWords(band([[1]]))") == "≥ 2 px"
    assert call("live_filter", "bandInWords(band([[0]]))") == "nothing"
    assert call("live_filter", "bandInWords(band([[-1, 0, 1]]))") == "2.4 to 12 px"


STATES = [
    *(dict(kind=kind, size=size, shape=shape) for kind, size, shape in MADE if size < 15),
    dict(kind="hand", kernel=[[1, -2.5, 1]] * 5),
]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_the_copied_code_is_the_filter_that_is_shown(state):
    shown = filtering(**state)
    now = {name: getattr(shown, name) for name in ("kind", "size", "shape", "kernel")}
    scope = {"torch": torch}
    exec(call("live_filter", "torchCode(now, 8, 9)", now=now), scope)
    assert scope["y"].shape == (1, 1, 8, 9)
    torch.testing.assert_close(scope["kernel"].double(), shown.taps(), atol=1e-6, rtol=1e-5)
    y = LiveFilter(scope["image"][0].expand(3, -1, -1), **state)
    torch.testing.assert_close(scope["y"][0, 0].double(), y.output(), atol=0.05, rtol=0)  # pixels are bytes


def test_the_sum_is_written_out_and_is_the_answer():
    x, kernel = torch.rand(4, 5, dtype=torch.float64), [[1, -2, 0.5]]
    (line,) = call("live_filter", "written(x, 4, 5, kernel, [2, 4])", x=x.flatten().tolist(), kernel=kernel)
    total = eval(line.replace("·", "*").replace("−", "-"))
    assert total == pytest.approx((x[2, 3] - 2 * x[2, 4] + 0.5 * x[2, 4]).item(), abs=0.02)


def test_python_s_picture_is_the_lightness():
    white = LiveFilter(torch.ones(3, 5, 7), kind="hand", kernel=[[1]])
    assert torch.equal(white.output(), torch.ones(5, 7, dtype=torch.float64))
    assert white.gain(4) == pytest.approx(1)


BAD = [
    ({"kind": "mean"}, 'kind must be "blur", "derivative", "centre-surround" or "hand", got \'mean\''),
    ({"shape": "round"}, 'shape must be "square", "row" or "column", got \'round\''),
    ({"size": 4}, "size must be .*odd.*, got 4"),
    ({"size": 17}, "size must be .*, got 17"),
    ({"size": "7"}, "size"),
    ({"kernel": [[1, 2], [3, 4]]}, r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got"),
    ({"kernel": [[1, 2, 3], [4]]}, r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got"),
    ({"kernel": []}, r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got"),
    ({"kernel": [[100]]}, r"the taps of kernel must lie in \[−99, 99\], got \[\[100\]\]"),
    ({"probe": [5, 0]}, "inside 5×7"),
]


@pytest.mark.parametrize(("state", "says"), BAD, ids=str)
def test_bad_state_is_refused_by_python_and_by_the_page(state, says):
    refused_by_both(filtering, state, says, height=5, width=7)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(LiveFilter),
        (lambda: filtering(kernel=[[float("nan")]]), r"kernel must hold finite numbers .*, got \[\[nan\]\]"),
        (lambda: filtering().gain(1), r"wavelength must lie in \[2, inf\], got 1"),
    ],
)
def test_what_is_no_photograph_and_no_wave_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
