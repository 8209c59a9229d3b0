"""Calls every public name of the package once, and asks once for every extra.

`test_wheel.py` runs this file where only torch, numpy and the wheel are installed. It imports nothing else but the
cases of `tests/contract`. A new public name that is not called here, or is no case there, stops it.
"""

import sys
from pathlib import Path

import torch
from support.layer_cases import ALL

import convnotes
from convnotes import adder2d, checks, data, plots, pretrained, train, widgets
from convnotes.kernels import backend


def noise(*shape, **kw):
    return torch.randn(shape, requires_grad=True, **kw)


X = (2, 3, 9, 7)

FUNCTIONS = {
    "active_conv2d": lambda: convnotes.active_conv2d(noise(*X), noise(4, 3, 5), noise(5, 2)),
    "non_local2d": lambda: convnotes.non_local2d(noise(*X), noise(*X), noise(*X)),
    "deform_conv2d": lambda: convnotes.deform_conv2d(noise(*X), noise(2, 18, 7, 5), noise(4, 3, 3, 3)),
    "deform_aggregate2d": lambda: convnotes.deform_aggregate2d(noise(*X), noise(2, 18, 7, 5), noise(2, 9, 7, 5), 3),
    "shift2d": lambda: convnotes.shift2d(noise(*X), [(0, 0), (1, -1), (0, 2)]),
    "active_shift2d": lambda: convnotes.active_shift2d(noise(*X), noise(3, 2)),
    "adder2d": lambda: adder2d(noise(*X), noise(4, 3, 3, 3)),
    "involution2d": lambda: convnotes.involution2d(noise(*X), noise(2, 1, 3, 3, 7, 5)),
}
# The networks as published. The large ones are made of sizes alone: their classes are called with numbers among `ALL`.
SMALL = ("googlenet", "mobilenet_v1", "squeezenet1_0", "squeezenet1_1", "shiftresnet20", "adder_resnet20")
LARGE = ("vgg16", "xception", "resnet50", "resnext50_32x4d", "deeplabv3_resnet50")
LARGE += ("repvgg_a0", "convnext_tiny", "replknet31_b", "rednet50", "ghostnet_100", "fasternet_t0")
NETWORKS = dict.fromkeys(SMALL, "cpu") | dict.fromkeys(LARGE, "meta")


def step(model, hook=None, groups=None):
    """One step of training, with `hook(model, optimizer)`; `groups(model, lr=…)` are those of the optimiser."""
    optimizer = torch.optim.SGD(groups(model, lr=0.1) if groups else model.parameters(), lr=0.1)
    if hook:
        hook(model, optimizer)
    model(noise(*X)).square().sum().backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in model.parameters())


def transferred():
    model = convnotes.transfer(convnotes.SqueezeNet("1_1", 7), 5)
    assert model(torch.randn(1, 3, 33, 33)).shape == (1, 5)


OTHERS = {
    "initialise": lambda: convnotes.initialise(torch.nn.Conv2d(3, 4, 3)),
    "transfer": transferred,
    "scale_adder_steps": lambda: step(convnotes.Adder2d(3, 4, 3), convnotes.scale_adder_steps),
    "scale_active_steps": lambda: step(convnotes.ActiveConv2d(3, 4), convnotes.scale_active_steps),
    "active_groups": lambda: step(convnotes.ActiveConv2d(3, 4), groups=convnotes.active_groups),
    "scale_active_shift_steps": lambda: step(convnotes.ActiveShift2d(3), convnotes.scale_active_shift_steps),
    "normalise_active_shift_steps": lambda: step(convnotes.ActiveShift2d(3), convnotes.normalise_active_shift_steps),
    "active_shift_groups": lambda: step(convnotes.ActiveShift2d(3), groups=convnotes.active_shift_groups),
    "fuse": lambda: convnotes.fuse(torch.nn.BatchNorm2d(3).eval())(noise(*X)),
    "fuse_branches": lambda: convnotes.fuse_branches(convnotes.RepConv2d(3, 4).eval())(noise(*X)),
    "from_dcnv3": lambda: convnotes.from_dcnv3(torch.zeros(1, 5, 7, 36), torch.zeros(1, 5, 7, 18), 3, 2),
    "from_dcnv4": lambda: convnotes.from_dcnv4(torch.zeros(1, 5, 7, 56), 3, 2),
    "from_dcn_state": lambda: convnotes.from_dcn_state({"output_proj.bias": torch.zeros(8)}, 3, 2),
    "__version__": lambda: convnotes.__version__.split("."),
}


def backwards(y, leaves=()):
    assert y.isfinite().all()
    y.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in leaves)


def every_name() -> set[str]:
    """Call everything; the names that were called."""
    for layer in ALL.values():
        if layer.backend in ("auto", *backend.available()):
            with backend.use(layer.backend):
                model = layer.make().eval()
                y = model(noise(*layer.input))
                assert y.shape == layer.output
                backwards(y, model.parameters())
    for call in FUNCTIONS.values():
        backwards(call())
    for name, device in NETWORKS.items():
        model = getattr(convnotes, name)(num_classes=7, device=device)
        y = model.eval()(torch.randn(1, 3, 33, 33, device=device))
        assert y.shape[:2] == (1, 7)
    for call in OTHERS.values():
        call()
    return {name.split(",")[0] for name in ALL} | {*FUNCTIONS, *NETWORKS, *OTHERS}


def picture_folder() -> str:
    """A folder with one image a class; the images are not read before Pillow is imported."""
    folder = Path("pictures")
    for split in ("train", "test"):
        (folder / split / "cat").mkdir(parents=True, exist_ok=True)
        (folder / split / "cat" / "1.png").write_bytes(b"")
    return "pictures"


def training():
    x, y = torch.randn(4, 1, 2, 2), torch.zeros(4).long()
    train.fit(torch.nn.Flatten(), data.Split(x, y, x, y, ("a", "b", "c", "d")), epochs=1)


# (extra, package, a call that needs it first)
EXTRAS = (
    ("data", "skimage", lambda: data.texture("grass")),
    ("data", "sklearn", lambda: data.digits()),
    ("data", "PIL", lambda: data.load(picture_folder(), root=".")[0]),
    ("data", "pooch", lambda: data.load("MNIST")),
    ("data", "pooch", lambda: pretrained.load_pretrained("vgg16")),
    ("train", "accelerate", training),
    ("viz", "matplotlib", lambda: plots.kernel(torch.ones(3, 3))),
    ("viz", "IPython", lambda: plots.show(None)),
    ("viz", "traitlets", lambda: widgets.Quiz),
    ("fast", "numba", lambda: backend.use("numba")),
    ("gpu", "triton", lambda: backend.use("triton")),
    ("engines", "onnxruntime", lambda: checks.optional("onnxruntime")),
    ("engines", "openvino", lambda: checks.optional("openvino")),
)


def every_extra(there: set[str]) -> set[str]:
    """Ask for every extra, but for the packages that are `there`; the packages that were asked for."""
    for extra, package, call in EXTRAS:
        if package in there:
            continue
        told, kind = None, RuntimeError if extra in ("fast", "gpu") else ModuleNotFoundError
        try:
            call()
        except kind as problem:
            told = str(problem)
        assert f'{package} is not installed: pip install "convnotes[{extra}]"' in str(told), f"{package}: {told}"
    return {package for _, package, _ in EXTRAS} - there


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["names"]:
            print(*sorted(every_name()))
        case ["extras", *there]:
            print(*sorted(every_extra(set(there))))
