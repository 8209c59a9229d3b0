"""Small data sets, some of them in the published forms."""

import io
import pickle
from typing import ClassVar

import numpy as np
import torch

from convnotes.data import Split


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as the published CIFAR files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)

    dispatch[bytes] = save_bytes


def python2_pickle(value) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar10(folder, images: int = 3):
    """A CIFAR-10 of a few random images; returns the pixels of the test batch."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, images, 3072), np.uint8)
    for name, data in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], pixels, strict=True):
        content = {b"data": data, b"labels": [9, 0, 4][:images], b"batch_label": b"x"}
        (folder / name).write_bytes(python2_pickle(content))
    (folder / "batches.meta").write_bytes(python2_pickle({b"label_names": [b"class%d" % i for i in range(10)]}))
    return pixels


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def mnist_files() -> dict[str, bytes]:
    images, labels = np.arange(2 * 28 * 28).reshape(2, 28, 28), np.array([7, 0])
    return {
        f"{part}-{kind}-ubyte": idx(array)
        for part in ("train", "t10k")
        for kind, array in (("images-idx3", images), ("labels-idx1", labels))
    }


def two_classes(samples: int = 37) -> Split:
    """Images [N, 1, 5, 4] whose mean tells the class; 37 is no multiple of any batch size used here."""
    generator = torch.Generator().manual_seed(7)
    y = torch.arange(samples) % 2
    x = torch.randn(samples, 1, 5, 4, generator=generator) + 2.0 * y[:, None, None, None]
    return Split(x, y, x[:11] + 0.1, y[:11], ("low", "high"))
