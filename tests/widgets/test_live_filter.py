"""The live filter: its module's answers and spectra are torch's, its state refuses what is no photograph or kernel."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call
from support.photographs import no_photographs

from convnotes import definitions
from convnotes.widgets import LiveFilter

SHAPES = [(1, 1), (3, 3), (5, 5), (7, 7), (1, 7), (5, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def filtering(**state) -> LiveFilter:
    return LiveFilter(torch.rand(3, 5, 7), alt="Seven by five pixels of noise", **state)


@every_shape
def test_the_module_computes_torch_s_convolution_with_zero_padding(shape):
    x, kernel = torch.rand(11, 9, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    padding = tuple(side // 2 for side in shape)
    expected = torch.nn.functional.conv2d(x[None, None], kernel[None, None], padding=padding)[0, 0]
    assert_close(definitions.conv2d(x[None, None], kernel[None, None], padding=padding)[0, 0], expected)
    found = call("live_filter", "convolve(x, 11, 9, kernel)", x=x.flatten().tolist(), kernel=kernel.tolist())
    assert_close(torch.tensor(found, dtype=torch.float64).view(11, 9), expected)


@every_shape
def test_its_spectrum_is_the_discrete_fourier_transform_with_zero_in_the_middle(shape):
    kernel = torch.randn(shape, dtype=torch.float64)
    expected = torch.fft.fftshift(torch.fft.fft2(kernel, s=(16, 16)).abs())
    found = call("live_filter", "spectrum(kernel, 16)", kernel=kernel.tolist())
    assert_close(torch.tensor(found, dtype=torch.float64).view(16, 16), expected)


@pytest.mark.parametrize(
    ("preset", "down", "across"),
    [("mean", 0, 0), ("identity", 0, 0), ("sobel-x", 0, 0.25), ("sobel-y", 0.25, 0), ("laplacian", 0.5, 0.5)],
)
def test_the_strongest_wave_is_that_of_the_largest_gain_and_of_equal_ones_the_coarsest(preset, down, across):
    found = call("live_filter", f"strongest(spectrum(taps(PRESETS['{preset}'], true), 16), 16)")
    assert found == {"gain": pytest.approx(1), "down": down, "across": across}


def test_normalised_taps_add_to_one_in_size_and_zeros_stay():
    found = call("live_filter", "taps(PRESETS.sharpen, true)")
    assert sum(abs(w) for row in found for w in row) == pytest.approx(1)
    assert call("live_filter", "taps([[0]], true)") == [[0]]
    assert call("live_filter", "taps(PRESETS.sharpen, false)") == call("live_filter", "PRESETS.sharpen")


@every_shape
def test_the_scale_of_the_picture_is_set_by_answers_that_see_no_padding(shape):
    x, kernel = torch.rand(11, 9, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(x[None, None], kernel[None, None]).abs().max().item()
    found = call(
        "live_filter", "reachInside(convolve(x, 11, 9, kernel), 11, 9, kernel)",
        x=x.flatten().tolist(), kernel=kernel.tolist(),
    )  # fmt: skip
    assert found == pytest.approx(expected)


def test_growing_a_kernel_leaves_its_answers_and_shrinking_takes_it_back():
    kernel = torch.randn(3, 5).tolist()
    grown = call("live_filter", "resized(kernel, 7, 7)", kernel=kernel)
    assert torch.equal(torch.tensor(grown), torch.nn.functional.pad(torch.tensor(kernel), (1, 1, 2, 2)))
    assert call("live_filter", "resized(kernel, 3, 5)", kernel=grown) == kernel


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("absolute", [True, False])
def test_the_copied_code_is_the_filter_that_is_shown(normalise, absolute):
    shown = filtering(kernel=[[1, -2.5, 1]] * 5, normalise=normalise, absolute=absolute)
    scope = {"torch": torch}
    code = call(
        "live_filter",
        f"torchCode(kernel, 5, 7, {str(normalise).lower()}, {str(absolute).lower()})",
        kernel=shown.kernel,
    )
    exec(code, scope)
    y = definitions.conv2d(scope["picture"].double(), shown.taps()[None, None], padding=(2, 1))
    torch.testing.assert_close(scope["y"].double(), y.abs() if absolute else y, atol=1e-5, rtol=1e-5)


def test_every_preset_is_a_kernel_and_the_first_is_the_state_that_the_widget_starts_in():
    presets = call("live_filter", "PRESETS")
    for kernel in presets.values():
        assert filtering(kernel=kernel).kernel == kernel
    assert presets["sobel-x"] == filtering().kernel


def test_python_s_picture_is_the_lightness_and_its_spectrum_is_even():
    white = LiveFilter(torch.ones(3, 5, 7), kernel=[[1]])
    assert torch.equal(white.output(), torch.ones(5, 7, dtype=torch.float64))
    assert torch.allclose(white.spectrum(8), torch.ones(8, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        *no_photographs(LiveFilter),
        (
            lambda: filtering(kernel=[[1, 2], [3, 4]]),
            r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got",
        ),
        (
            lambda: filtering(kernel=[[1, 2, 3], [4]]),
            r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got",
        ),
        (lambda: filtering(kernel=[]), r"kernel must hold .* of shape \[1 or 3 or 5 or 7, 1 or 3 or 5 or 7\], got"),
        (lambda: filtering(kernel=[[float("nan")]]), r"kernel must hold finite numbers .*, got \[\[nan\]\]"),
        (lambda: filtering(kernel=[[100]]), r"the taps of kernel must lie in \[−99, 99\], got \[\[100\]\]"),
        (lambda: filtering(probe=[5, 0]), "inside 5×7"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
