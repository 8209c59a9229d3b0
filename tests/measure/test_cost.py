import pytest
import torch
from torch import nn

import convnotes
from convnotes.measure import cost


@pytest.mark.parametrize(
    ("layer", "shape", "params", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 11, 7), 3 * 8 * 9 + 8, 2 * 77 * 3 * 8 * 9),
        (nn.Conv2d(4, 8, (3, 5), stride=2, groups=2), (1, 4, 11, 9), 2 * 8 * 15 + 8, 5 * 3 * 8 * 2 * 15),
        (nn.Conv2d(6, 6, 3, groups=6, bias=False), (1, 6, 8, 8), 54, 36 * 54),
        (nn.ConvTranspose2d(3, 4, 2, stride=2), (1, 3, 5, 6), 3 * 4 * 4 + 4, 30 * 3 * 4 * 4),
        (nn.Linear(10, 7), (5, 10), 77, 5 * 70),
    ],
    ids=["plain", "strided-grouped", "depthwise", "transposed", "linear"],
)
def test_a_layer_costs_what_the_pencil_says(layer, shape, params, macs):
    found = cost(layer, shape)
    assert (found.params, found.macs) == (params, macs)


def test_attention_is_counted_in_eval_mode_too():
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, batch_first=True)
    projections, scores, feed = 4 * 16 * 16 * 9, 2 * 9 * 9 * 16, 2 * 16 * 32 * 9
    assert cost(layer, (1, 9, 16)).macs == projections + scores + feed


def test_the_figure_is_for_the_whole_batch():
    layer = nn.Conv2d(3, 8, 3)
    assert cost(layer, (4, 3, 9, 9)).macs == 4 * cost(layer, (1, 3, 9, 9)).macs


def test_a_tensor_and_its_shape_count_alike_and_several_inputs_are_taken():
    layer = nn.Conv2d(3, 8, 3)
    assert cost(layer, torch.rand(2, 3, 9, 9)) == cost(layer, (2, 3, 9, 9))
    both = nn.Bilinear(4, 5, 2)
    assert cost(both, (torch.rand(3, 4), torch.rand(3, 5))).params == 42


def test_the_model_is_not_touched():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    cost(model, (2, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training
    assert model[1].training
    assert not seen
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())


def test_a_module_used_twice_counts_its_arithmetic_twice_and_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    found = cost(Twice(), (1, 4, 5, 5))
    assert (found.params, found.macs) == (144, 2 * 25 * 144)
    assert len(found.layers) == 1


def test_a_shared_parameter_counts_once():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert cost(nn.Sequential(first, second), (1, 4)).params == 16 + 8


def test_arithmetic_in_the_forward_of_a_container_is_its_own_row():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Conv2d(4, 2, 1, bias=False)

        def forward(self, x):
            q = self.query(x).flatten(2)
            return q.transpose(1, 2) @ q

    found = cost(Attention(), (1, 4, 3, 5))
    rows = {layer.name: layer.macs for layer in found.layers}
    assert rows == {"(itself)": 15 * 15 * 2, "query": 15 * 8}
    assert found.macs == sum(rows.values())


def test_activation_bytes_are_what_the_layers_write():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Identity(), nn.ReLU(), nn.Flatten())
    assert cost(model, (1, 3, 10, 10)).activation_bytes == 2 * 4 * 800  # the convolution and the second ReLU
    assert cost(model.half(), (1, 3, 10, 10)).activation_bytes == 2 * 2 * 800


def test_a_layer_tells_of_additions_and_moved_bytes_by_extra_cost():
    class Shift(nn.Module):
        def forward(self, x):
            return x.roll(1, -1)

        def extra_cost(self, input, output):
            return {"moved_bytes": 2 * output.numel() * 4, "adds": 5}

    found = cost(nn.Sequential(Shift(), Shift()), (1, 3, 4, 4))
    assert (found.macs, found.adds, found.moved_bytes) == (0, 10, 2 * 2 * 48 * 4)


def test_a_module_that_is_not_called_is_listed_with_its_parameters():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 3), nn.Linear(3, 5)

        def forward(self, x):
            return self.used(x)

    found = cost(Idle(), (1, 3))
    assert found.params == 12 + 20
    assert next(layer.output for layer in found.layers if layer.name == "idle") is None
    assert "not called" in str(found)


def test_the_table_ends_in_the_total_and_leaves_empty_columns_out():
    found = cost(nn.Sequential(nn.Conv2d(3, 1000, 3), nn.Conv2d(1000, 2, 1)), (1, 3, 9, 9))
    lines = str(found).splitlines()
    assert lines[0].split() == ["layer", "type", "output", "parameters", "multiply-adds", "activation", "bytes"]
    assert lines[-1].split()[:3] == ["total", f"{found.params:,}", f"{found.macs:,}"]
    page = found._repr_html_()
    assert f"<td class='n'>{found.params:,}</td>" in page
    assert page.count("scope='row'") == 3


@pytest.mark.parametrize(
    ("model", "given", "problem", "says"),
    [
        (lambda x: x, (1, 3), TypeError, "model must be a torch.nn.Module, got function"),
        (nn.Linear(3, 3), 5, TypeError, r"shape such as \(1, 3, 224, 224\) or tensors, got 5"),
        (nn.Linear(3, 3), (), TypeError, "got ()"),
        (nn.Linear(3, 3), (1, -3), ValueError, r"shape\[1\] must be at least 1, got -3"),
        (nn.Linear(3, 3), (1, 3.0), TypeError, r"shape\[1\] must be an int, got 3\.0"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(5, 4, 1)),
            (1, 3, 8, 8),
            ValueError,
            r"layer 1, Conv2d\(5, 4.* cannot take \(1, 4, 8, 8\)",
        ),
        (nn.LazyConv2d(4, 3), (1, 3, 8, 8), ValueError, "run the lazy module once first"),
    ],
)
def test_bad_input_is_refused_in_words(model, given, problem, says):
    with pytest.raises(problem, match=says):
        cost(model, given)


def test_networks_of_the_book_are_counted_through_their_own_checks():
    found = cost(convnotes.NIN(), (1, 3, 32, 32))
    assert (found.params, found.macs) == (966_986, 222_486_528)
    with pytest.raises(ValueError, match=r"input of NIN must be \[B, 3, H, W\], got shape \(1, 4, 32, 32\)"):
        cost(convnotes.NIN(), (1, 4, 32, 32))
