"""What eight bits cost: the adder network of the chapter, trained on the embedded digits, and its quantised copy."""

import pytest
import torch
from torch import nn

from convnotes import Adder2d, data, scale_adder_steps, train
from convnotes.operations.quantized_adder import QuantizedAdder2d, quantize_adders


@pytest.fixture(scope="module")
def trained():
    digits = data.digits().to(dtype=torch.float32)

    def stage(kind, before, after, stride=1):
        return [kind(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    torch.manual_seed(0)
    net = nn.Sequential(
        *(*stage(nn.Conv2d, 1, 8), *stage(Adder2d, 8, 8, 2), *stage(Adder2d, 8, 16)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )

    def stepper(parameters, **options):
        own = torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **options)
        scale_adder_steps(net, own)
        return own

    train.fit(net, digits, epochs=5, lr=0.3, batch_size=48, optimizer=stepper, schedule="cosine", seed=0)
    return net.eval(), quantize_adders(net, digits.train_x), digits


def test_the_scores_of_each_layer_are_off_by_less_than_0_2_per_cent_of_their_spread(trained):
    net, quantised, digits = trained
    exact = rounded = digits.test_x  # either copy goes its own way: what the first adder errs reaches the second
    found = []
    with torch.no_grad():
        for layer, copied in zip(net, quantised, strict=True):
            exact, rounded = layer(exact), copied(rounded)
            if isinstance(copied, QuantizedAdder2d):
                found.append(((rounded - exact).std() / exact.std()).item())
    assert len(found) == 2
    assert 0 < max(found) < 0.002


def test_99_of_100_answers_stay(trained):
    net, quantised, digits = trained
    with torch.no_grad():
        before, after = net(digits.test_x).argmax(1), quantised(digits.test_x).argmax(1)
    assert (before == digits.test_y).double().mean() > 0.9
    assert (before == after).double().mean() >= 0.99


def test_one_scale_for_images_and_all_of_the_templates_would_err_more(trained):
    net, quantised, digits = trained
    layer, x = net[3], net[:3](digits.test_x).detach()
    ends = [min(0.0, layer.weight.min().item()), max(x.max().item(), layer.weight.max().item())]
    scale = (ends[1] - ends[0]) / 255
    wider = QuantizedAdder2d.from_float(layer, scale, round(-ends[0] / scale))
    with torch.no_grad():
        y = layer(x)
        assert (wider(x) - y).std() > 4 * (quantised[3](x) - y).std()
