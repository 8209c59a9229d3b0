"""The published networks: sizes to the digit, torchvision's names, and the same output from the same weights."""

import json
from pathlib import Path

import pytest
import torch

import convnotes

NAMES = json.loads((Path(__file__).parent / "torchvision_names.json").read_text())

PARAMETERS = {
    "vgg16": 138_357_544,
    "googlenet": 6_624_904,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "resnet50": 25_557_032,
    "resnext50_32x4d": 25_028_904,
    "mobilenet_v1": 4_231_976,
    "xception": 22_855_952,
}


def build(name: str, **options) -> torch.nn.Module:
    return getattr(convnotes, name)(**options)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_network_has_its_published_number_of_parameters(name):
    assert sum(p.numel() for p in build(name, device="meta").parameters()) == PARAMETERS[name]


def test_googlenet_with_the_paper_s_5x5_kernels_has_the_parameters_of_that():
    net = convnotes.googlenet(true_5x5=True, device="meta")
    assert sum(p.numel() for p in net.parameters()) == 7_005_832


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_torchvision_s_in_its_order(name):
    options = {"aux_logits": True} if name == "googlenet" else {}  # its checkpoint holds the side classifiers
    ours = build(name, device="meta", **options).state_dict()
    assert {key: list(value.shape) for key, value in ours.items()} == NAMES[name]
    assert list(ours) == list(NAMES[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_torchvision_s_names_and_shapes_loads_strictly(name):
    options = {"aux_logits": True} if name == "googlenet" else {}
    state = {key: torch.ones(shape) if shape else torch.tensor(1) for key, shape in NAMES[name].items()}
    net = build(name, device="meta", **options)
    net.load_state_dict(state, strict=True, assign=True)
    assert all(p.device.type == "cpu" and bool((p == 1).all()) for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_give_torchvision_s_output(name):
    try:
        import torchvision.models as reference
    except Exception as problem:  # no build of torchvision for this torch, or none at all
        pytest.skip(f"torchvision cannot be imported here: {problem}")
    options = {"init_weights": False} if name == "googlenet" else {}
    theirs = getattr(reference, name)(weights=None, **options).eval()
    ours = build(name, **({"aux_logits": True} if name == "googlenet" else {})).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 127, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("name", "theirs_name"), [("mobilenet_v1", "mobilenetv1_100"), ("xception", "legacy_xception")]
)
def test_the_same_weights_give_timm_s_output(name, theirs_name):
    try:
        import timm
    except Exception as problem:
        pytest.skip(f"timm cannot be imported here: {problem}")
    theirs, ours = timm.create_model(theirs_name).eval(), build(name).eval()
    rename = dict(zip(order_of_use(theirs), order_of_use(ours), strict=True))
    state = {rename[key.rpartition(".")[0]] + key[key.rindex(".") :]: v for key, v in theirs.state_dict().items()}
    ours.load_state_dict(state, strict=True)
    x = torch.randn(2, 3, 127, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


def order_of_use(net: torch.nn.Module) -> list[str]:
    """Names of the modules that hold parameters, in the order in which a forward pass calls them.

    Where a shortcut and a body come in another order the shapes still tell them apart, so the shortcut goes last.
    """
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in net.named_modules()
        if list(module.parameters(recurse=False))
    ]
    with torch.inference_mode():
        net(torch.randn(1, 3, 96, 96))
    for hook in hooks:
        hook.remove()
    return called


@pytest.mark.parametrize(
    ("name", "gmac", "size"),
    [
        ("vgg16", 15.470, 224),
        ("googlenet", 1.498, 224),
        ("squeezenet1_0", 0.819, 224),
        ("squeezenet1_1", 0.349, 224),
        ("resnet50", 4.089, 224),
        ("resnext50_32x4d", 4.230, 224),
        ("mobilenet_v1", 0.57, 224),
        ("xception", 8.4, 299),
    ],
)
def test_multiply_adds_are_the_published_ones(name, gmac, size):
    from convnotes.measure import cost

    digits = len(str(gmac).split(".")[1])
    assert round(cost(build(name, device="meta"), (1, 3, size, size)).macs / 1e9, digits) == gmac
