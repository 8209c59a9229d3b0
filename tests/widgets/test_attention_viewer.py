"""The attention viewer: its module weighs as the definition does, its state refuses what does not fit together."""

import pytest
import torch
from support.close import assert_close
from support.javascript import call

from convnotes import NonLocal2d, definitions
from convnotes.widgets import AttentionViewer

ROWS, COLUMNS = 5, 7


def viewer(**state) -> AttentionViewer:
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 3, ROWS, COLUMNS)
    return AttentionViewer(torch.rand(2, 1, 10, 14), q, k, ["first noise", "second noise"], **state)


@pytest.mark.parametrize("scale", [0, 0.25, 1, 2])
def test_the_module_weighs_as_the_definition_and_as_python(scale):
    shown = viewer(picture=1, probe=[3, 2], scale=0.5, factor=2 * scale)
    q, k = (
        torch.frombuffer(bytearray(data), dtype=torch.float32).view(2, 3, ROWS, COLUMNS)[1:].double()
        for data in (shown.query, shown.key)
    )
    values = {"q": q.flatten().tolist(), "k": k.flatten().tolist(), "scale": scale}
    found = torch.tensor(call("attention_viewer", "attend(q, k, 3, 35, 23, scale)", **values), dtype=torch.float64)
    assert_close(found.view(ROWS, COLUMNS), shown.weights())
    one_hot = torch.eye(35, dtype=torch.float64).view(1, 35, ROWS, COLUMNS)  # g_j names a position: y is the weights
    assert_close(found, definitions.non_local(q, k, one_hot, "embedded", scale)[0, :, 3, 2])


def test_large_products_do_not_overflow():
    found = call("attention_viewer", "attend([100, 0], [100, 99], 1, 2, 0, 4)")
    assert found == pytest.approx([1, 0])


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (4, 6)])
@pytest.mark.parametrize("window", [1, 5, 9])
def test_the_share_is_that_of_the_places_around_and_python_says_the_same(place, window):
    shown = viewer(probe=list(place), window=window)
    weights = shown.weights()
    near = torch.tensor(
        [[max(abs(i - place[0]), abs(j - place[1])) <= window // 2 for j in range(COLUMNS)] for i in range(ROWS)]
    )
    found = call(
        "attention_viewer", f"share(weights, {COLUMNS}, neighbourhood({ROWS}, {COLUMNS}, place, {window}))",
        weights=weights.flatten().tolist(), place=place,
    )  # fmt: skip
    assert found == pytest.approx(weights[near].sum().item())
    assert shown.share() == pytest.approx(found)


def test_half_of_the_weight_lies_within_the_distance_and_less_within_any_smaller():
    weights, (row, column) = viewer(probe=[1, 5]).weights(), (1, 5)
    found = call("attention_viewer", f"halfway(weights, {ROWS}, {COLUMNS}, [1, 5])", weights=weights.flatten().tolist())
    i, j = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    distance = ((i - row) ** 2 + (j - column) ** 2).double().sqrt()
    assert weights[distance <= found + 1e-9].sum() >= 0.5 > weights[distance < found - 1e-9].sum()


@pytest.mark.parametrize("state", [dict(probe=[1, 5]), dict(probe=[4, 0], factor=8.0), dict(factor=0.0)])
def test_the_strongest_positions_are_the_largest_weights_and_python_says_the_same(state):
    shown = viewer(**state)
    weights = shown.weights().flatten()
    found = call("attention_viewer", "strongest(weights)", weights=weights.tolist())
    assert [divmod(n, COLUMNS) for n in found] == shown.strongest()
    assert found == [n for n in weights.argsort(descending=True)[:5].tolist() if weights[n] * len(weights) > 1.000001]


def test_alike_positions_do_not_stand_out():
    assert viewer(factor=0.0).strongest() == []
    assert call("attention_viewer", "strongest(Array(35).fill(1 / 35))") == []


def test_the_scale_of_the_colours_is_fixed_and_0_at_equal_weights():
    values = [1, 16 / 35, 4 / 35, 1 / 35, 1 / 35 / 16, 0]
    assert call("attention_viewer", "values.map((v) => onScale(v, 35))", values=values) == pytest.approx(
        [1, 1, 0.5, 0, -1, -1]
    )


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (4, 6)])
def test_the_bands_from_near_to_far_hold_the_mean_weights_at_their_distance(place):
    weights = viewer(probe=list(place)).weights()
    found = call(
        "attention_viewer", f"bands(weights, {ROWS}, {COLUMNS}, place)",
        weights=weights.flatten().tolist(), place=place,
    )  # fmt: skip
    i, j = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    distance = torch.hypot((i - place[0]).double(), (j - place[1]).double())
    assert found["width"] == pytest.approx((4**2 + 6**2) ** 0.5 / 10)
    band = (distance / found["width"] + 1e-9).floor().clamp(max=9)
    for n, mean in enumerate(found["means"]):
        inside = weights[band == n]
        assert mean == (pytest.approx(inside.mean().item()) if len(inside) else None)


def test_the_slider_goes_from_everyone_alike_to_4096_times_the_scale_and_knows_its_steps():
    factors = call("attention_viewer", "Array.from({ length: SHARPNESS[1] + 1 }, (_, n) => factorOf(n))")
    assert factors[0] == 0
    assert 1 in factors
    assert factors[-1] == 4096
    back = call("attention_viewer", "factors.map(stepOf)", factors=factors)
    assert back == list(range(len(factors)))


def test_the_copied_code_gives_the_weights_that_are_shown():
    block, x = NonLocal2d(6, 3), torch.randn(2, 6, ROWS, COLUMNS)
    scope = {"q": block.theta(x), "k": block.phi(x)}
    exec(call("attention_viewer", "torchCode(3, 2, 0.25)"), scope)
    with torch.no_grad():
        images = torch.rand(2, 1, ROWS, COLUMNS)
        shown = AttentionViewer(images, block.theta(x), block.phi(x), ["a", "b"], picture=1, probe=[3, 2], scale=0.25)
    torch.testing.assert_close(scope["weights"][1].double(), shown.weights(), rtol=1e-5, atol=1e-6)


images, maps = torch.rand(2, 1, 10, 14), torch.zeros(2, 3, ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: AttentionViewer(images[0], maps, maps, "ab"),
            r"images must hold finite floats of shape \[P, 1 or 3, H, W\], got shape \(1, 10, 14\)",
        ),
        (
            lambda: AttentionViewer(images, maps.int(), maps, "ab"),
            r"query must hold finite floats of shape \[P, D, H, W\], got torch\.int32 \(2, 3, 5, 7\)",
        ),
        (
            lambda: AttentionViewer(images, maps, maps / 0, "ab"),
            r"key must hold finite floats of shape \[P, D, H, W\], got torch\.float32 \(2, 3, 5, 7\)",
        ),
        (lambda: AttentionViewer(images + 1, maps, maps, "ab"), r"images must lie in \[0, 1\], got 1"),
        (lambda: AttentionViewer(images, maps, maps[:, :2], "ab"), "must have one shape"),
        (lambda: AttentionViewer(images, maps, maps, "a"), "and 1 captions"),
        (lambda: AttentionViewer(images[..., 1:], maps, maps, "ab"), "10×13 pixels must be whole multiples of 5×7"),
        (lambda: viewer(picture=2), "picture must be from 0 to 1, got 2"),
        (lambda: viewer(factor=5e3), r"factor must lie in \[0, 4096\], got 5000\.0"),
        (lambda: viewer(window=4), "window must be odd"),
        (lambda: viewer(probe=[5, 0]), "inside 5×7"),
    ],
)
def test_bad_state_is_refused(build, says):
    with pytest.raises(Exception, match=says):
        build()
