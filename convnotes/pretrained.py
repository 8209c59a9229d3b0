"""Published weights for the networks whose parameters have torchvision's names::

    net = load_pretrained("resnet50")        # downloads once, checks SHA-256, loads without running any pickled code

Needs pip install "convnotes[data]" and, the first time, an internet connection.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from convnotes import checks
from convnotes.data import download
from convnotes.data.files import place

_AT = "https://download.pytorch.org/models/"

# network → file of torchvision's release, SHA-256. A file's name ends in the first eight digits of its SHA-256. Where
# two independent sources confirm the whole digest it is here, else those eight, which is all that torch.hub checks.
PUBLISHED = {
    "vgg16": ("vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    "googlenet": ("googlenet-1378be20.pth", "1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef"),
    "resnet50": ("resnet50-11ad3fa6.pth", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca"),
    "resnext50_32x4d": ("resnext50_32x4d-1a0047aa.pth", "1a0047aa"),
    "squeezenet1_0": ("squeezenet1_0-b66bff10.pth", "b66bff10"),
    "squeezenet1_1": ("squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
    "deeplabv3_resnet50": ("deeplabv3_resnet50_coco-cd0a2569.pth", "cd0a2569"),
}

_OPTIONS = {
    "googlenet": {"aux_logits": True, "transform_input": True},
    "deeplabv3_resnet50": {"aux_loss": True},
}
# Parts of the published files that are used in training only.
_SIDE_CLASSIFIERS = {"googlenet": ("aux1", "aux2"), "deeplabv3_resnet50": ("aux_classifier",)}


def load_pretrained(name: str, root: str | os.PathLike[str] | None = None) -> nn.Module:
    """The network `name` with its published weights, in eval mode, on the CPU.

    Classifiers have ImageNet's 1000 classes; "deeplabv3_resnet50" has the 21 of Pascal VOC and was trained on COCO's
    images. The file is checked by SHA-256 before every use, read with `weights_only=True`, and its parameter names must
    be exactly the network's. Normalise the input by ImageNet's mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224,
    0.225); classifiers expect `[B, 3, 224, 224]`.

    Args:
        name: one of the names in `PUBLISHED`.
        root: folder where the file is looked for, and to which it is downloaded once. None is
            `$CONVNOTES_DATA/pretrained` or, without that variable, the user's cache folder. `~` is the home folder.

    Raises:
        ValueError: for an unknown name, and for a file that is not the published one.
        ConnectionError: where the download fails; no partly written file stays.
        OSError: where the file cannot be written.
        ModuleNotFoundError: where the packages of `convnotes[data]` are needed and missing.

    Example:
        >>> from convnotes.pretrained import PUBLISHED, load_pretrained
        >>> "resnet50" in PUBLISHED
        True
        >>> net = load_pretrained("resnet50")  # doctest: +SKIP
    """
    import convnotes

    checks.one_of("name", name, PUBLISHED)
    file_name, sha256 = PUBLISHED[name]
    file = _folder(root) / name / file_name
    by_hand = f"put {file_name} into {file.parent}"
    if not file.exists():
        download.fetch({_AT + file_name: sha256}, file.parent, by_hand)
    try:
        download.check(file, sha256)
    except (OSError, ValueError) as problem:
        raise ValueError(
            f"{file} is not what was published: {problem} Remove it to fetch it again, or {by_hand}."
        ) from None
    state = torch.load(file, map_location="cpu", weights_only=True)
    net = getattr(convnotes, name)(device="meta", **_OPTIONS.get(name, {}))
    net.load_state_dict(state, strict=True, assign=True)
    for side in _SIDE_CLASSIFIERS.get(name, ()):
        setattr(net, side, None)
    return net.eval()


def _folder(root: str | os.PathLike[str] | None) -> Path:
    return place(None) / "pretrained" if root is None else Path(root).expanduser()
