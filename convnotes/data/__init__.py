"""Real images: photographs, textures and digits out of installed packages, larger sets from the disk or by download::

    photograph, texture   one picture out of the wheels of scikit-image and scikit-learn (`embedded.py`)
    digits, textures      a `Split` to train on, made without a network
    segmentation, scaled_digits, pairs
                          scenes of digits on textures (`scenes.py`)
    load                  CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, or a folder of images a class (`larger.py`)

Pixels are float32 in [0, 1], pictures [C, H, W], labels int64. Needs pip install "convnotes[data]".
"""

from convnotes.data.embedded import PHOTOGRAPHS, TEXTURES, Split, digits, photograph, texture, textures
from convnotes.data.larger import Images, load
from convnotes.data.scenes import pairs, scaled_digits, segmentation

__all__ = [
    "PHOTOGRAPHS",
    "TEXTURES",
    "Images",
    "Split",
    "digits",
    "load",
    "pairs",
    "photograph",
    "scaled_digits",
    "segmentation",
    "texture",
    "textures",
]
