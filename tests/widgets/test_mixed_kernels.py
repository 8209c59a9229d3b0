"""The mixed kernels: resizing, responses and counts of the module are those of torch and of the package."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from support.javascript import call

from convnotes import MixedConv2d, data, definitions
from convnotes.measure import cost, receptive_field
from convnotes.widgets import MixedKernels
from convnotes.widgets.mixed_kernels import DEEPEST, LARGEST, MOST, SIDES, SIZES, STEP, WINDOW, centre_surround


def noise(side: int = 35) -> torch.Tensor:
    return torch.rand(side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def js(expression: str, **values):
    return torch.tensor(call("mixed_kernels", expression, **values), dtype=torch.float64)


def test_python_and_javascript_have_the_same_limits():
    found = call("mixed_kernels", "[SIZES, WINDOW, LARGEST, MOST, STEP, DEEPEST, SIDES]")
    assert found == [list(SIZES), WINDOW, LARGEST, MOST, STEP, DEEPEST, list(SIDES)]


@pytest.mark.parametrize("size", SIZES)
def test_a_centre_surround_kernel_takes_the_mean_of_the_ring_from_that_of_the_middle(size):
    kernel = centre_surround(size)
    assert_close(js("centreSurround(size)", size=size), kernel)
    assert kernel.sum().item() == pytest.approx(0)
    assert kernel[kernel > 0].sum().item() == pytest.approx(1)
    x = noise(size)
    inner = x[1:-1, 1:-1]
    ring = (x.sum() - inner.sum()) / (size**2 - inner.numel())
    assert_close((kernel * x).sum(), inner.mean() - ring)


@pytest.mark.parametrize(("before", "after"), [(35, 33), (97, 33), (35, 35), (35, 61), (97, 129), (5, 2), (7, 19)])
def test_resizing_is_torch_s_without_aliasing(before, after):
    x = noise(before)
    expected = F.interpolate(x[None, None], (after, after), mode="bilinear", antialias=True)[0, 0]
    found = js("resize(x, before, after)", x=x.flatten().tolist(), before=before, after=after)
    torch.testing.assert_close(found.view(after, after), expected, rtol=1e-6, atol=1e-6)  # torch's own shares: float32


@pytest.mark.parametrize("side", [33, 35, 61])
@pytest.mark.parametrize("size", SIZES)
def test_the_responses_are_the_definition_s_on_the_window(side, size):
    x, kernel = noise(side), torch.randn(size, size, dtype=torch.float64)
    expected = definitions.conv2d(x[None, None], kernel[None, None], padding=size // 2)[0, 0]
    assert_close(expected, F.conv2d(x[None, None], kernel[None, None], padding=size // 2)[0, 0])
    edge = (side - WINDOW) // 2
    values = {"x": x.flatten().tolist(), "side": side}
    found = js("respond(x, side, kernel)", kernel=kernel.tolist(), **values).view(WINDOW, WINDOW)
    assert_close(found, expected[edge : edge + WINDOW, edge : edge + WINDOW])
    shown = js("middle(x, side)", **values).view(WINDOW, WINDOW)
    assert_close(shown, x[edge : edge + WINDOW, edge : edge + WINDOW])


@pytest.mark.parametrize("place", [(16, 16), (0, 0), (32, 5)])
@pytest.mark.parametrize("size", SIZES)
def test_the_two_means_of_the_formula_make_the_response(place, size):
    x, (i, j) = noise(33), place
    inner = js("innerMean(x, 33, i, j, k)", x=x.flatten().tolist(), i=i, j=j, k=size).item()
    padded = F.pad(x, (3, 3, 3, 3))
    patch = padded[i + 3 - size // 2 : i + 4 + size // 2, j + 3 - size // 2 : j + 4 + size // 2]
    assert inner == pytest.approx(patch[1:-1, 1:-1].mean().item())
    ring = inner - (centre_surround(size) * patch).sum().item()
    assert ring == pytest.approx((patch.sum() - patch[1:-1, 1:-1].sum()).item() / (4 * (size - 1)))


@pytest.mark.parametrize("side", [33, 49, 81])
@pytest.mark.parametrize(("parts", "probe"), [([1, 1, 1], (16, 16)), ([0, 2, 1], (3, 30)), ([0, 0, 4], (16, 16))])
def test_python_and_javascript_name_the_same_size_as_the_strongest(side, parts, probe):
    state = MixedKernels(noise(), side=side, parts=parts, probe=list(probe))
    pixels = (np.frombuffer(state.image, np.uint8) / 255).tolist()
    expression = "SIZES.map((k) => respond(resize(x, 35, side), side, centreSurround(k)))"
    maps = js(expression, x=pixels, side=side).view(3, WINDOW, WINDOW)
    torch.testing.assert_close(state.responses(), maps, rtol=1e-6, atol=1e-6)
    values = maps[:, probe[0], probe[1]].tolist()
    best = call("mixed_kernels", "SIZES[strongest(values, parts)]", values=values, parts=parts)
    assert best == state.strongest()
    assert best in state.kernel_sizes()


@pytest.mark.parametrize("place", [(16, 16), (0, 0), (32, 5)])
def test_the_curves_are_the_responses_at_the_ring_for_each_side(place):
    shown = MixedKernels(noise(), probe=list(place))
    curves = shown.curves()
    for n, side in enumerate(SIDES):
        one = MixedKernels(noise(), side=side, probe=list(place))
        assert_close(curves[:, n], one.responses()[:, place[0], place[1]])
    pixels = (np.frombuffer(shown.image, np.uint8) / 255).tolist()
    expression = "SIZES.map((k) => SIDES.map((s) => respondAt(resize(x, 35, s), s, centreSurround(k), place)))"
    found = js(expression, x=pixels, place=place)
    torch.testing.assert_close(found, curves, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_counts_are_those_of_the_package(seed):
    draw = np.random.default_rng(seed)
    parts, channels, depthwise = draw.integers(0, 5, 3).tolist(), int(draw.integers(12, 40)), bool(draw.integers(2))
    parts[seed % 3] = max(parts[seed % 3], 1)
    found = call("mixed_kernels", "layerCost(parts, channels, deep)", parts=parts, channels=channels, deep=depthwise)
    layer = MixedConv2d(channels, channels, found["sizes"], depthwise=depthwise, bias=False, device="meta")
    counted = cost(layer, (1, channels, WINDOW, WINDOW))
    assert (found["params"], found["macs"]) == (counted.params, counted.macs)
    assert found["field"] == receptive_field(layer).size
    assert found["splits"] == layer.in_splits
    assert sum(found["shared"]) == channels


@pytest.mark.parametrize(("parts", "depthwise"), [([1, 1, 1], True), ([0, 1, 0], False), ([2, 1, 1], False)])
def test_the_copied_code_runs_and_is_the_layer_that_is_counted(parts, depthwise):
    scope = {}
    exec(call("mixed_kernels", "torchCode(parts, 24, deep)", parts=parts, deep=depthwise), scope)
    layer = scope["layer"]
    assert layer.kernel_sizes == MixedKernels(noise(), parts=parts).kernel_sizes()
    assert layer.depthwise is depthwise
    assert scope["y"].shape == (1, 24, WINDOW, WINDOW)
    found = call("mixed_kernels", "layerCost(parts, 24, deep).params", parts=parts, deep=depthwise)
    assert found == sum(p.numel() for p in layer.parameters())


def test_a_spot_that_grows_is_answered_by_one_size_after_the_other():
    """On the photograph of the chapter: 3×3, then 5×5, then 7×7, each once."""
    sky = data.photograph("hubble_deep_field").mean(0)[509:606, 476:573]
    sizes = [MixedKernels(sky, side=side).strongest() for side in range(33, 130, 4)]
    assert [size for size, _ in itertools.groupby(sizes)] == [3, 5, 7]
    assert MixedKernels(sky, probe=[29, 7]).strongest() == 7  # the large galaxy near the bottom left
    assert MixedKernels(sky, probe=[2, 28]).strongest() == 5  # that near the top right


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: MixedKernels(torch.rand(35, 33)), r"image must be a square \[S, S\], S odd, got shape \(35, 33\)"),
        (lambda: MixedKernels(torch.rand(34, 34)), "S odd"),
        (
            lambda: MixedKernels(torch.ones(35, 35, dtype=torch.int64)),
            r"image must hold finite floats of shape \[S, S\], got torch\.int64 \(35, 35\)",
        ),
        (lambda: MixedKernels(torch.full((35, 35), 1.5)), r"image must lie in \[0, 1\], got 1\.5 to 1\.5"),
        (lambda: MixedKernels(torch.rand(35, 35), channels=11), "channels must be at least 12, got 11"),
        (lambda: MixedKernels(torch.rand(35, 35), side=34), "side must be odd and from 33 to 129, got 34"),
        (lambda: MixedKernels(torch.rand(35, 35), side=131), "side must be odd and from 33 to 129, got 131"),
        (lambda: MixedKernels(torch.rand(35, 35), probe=[33, 0]), "probe must be a row and a column"),
        (lambda: MixedKernels(torch.rand(35, 35), probe=[1.5, 0]), "probe must be a row and a column"),
        (lambda: MixedKernels(torch.rand(35, 35), parts=[0, 0, 0]), r"parts must not all be 0, got \[0, 0, 0\]"),
        (lambda: MixedKernels(torch.rand(35, 35), parts=[1, 5, 0]), r"parts\[1\] must be from 0 to 4, got 5"),
        (lambda: MixedKernels(torch.rand(35, 35), parts=[1, 1]), r"parts must hold 3 ints, got \(1, 1\)"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
