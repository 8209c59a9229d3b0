"""Data files that were cut at any byte or changed at any byte are read as they are or named, and nothing hangs."""

import gzip
import io
import os
import re

import numpy as np
import pytest
from PIL import Image
from support.data_sets import cifar10, mnist_files

from convnotes.data import load


def damaged(content, places=24):
    """Cut at some bytes, one byte turned over at some, one bit changed, zeros, more than there should be."""
    chosen = np.unique(np.linspace(0, len(content) - 1, places).astype(int)).tolist()
    chosen = sorted({*chosen, *range(min(20, len(content)))})
    for at in chosen:
        yield f"cut at {at}", content[:at]
        for mask in (255, 1):
            yield f"{at} changed by {mask}", content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]
    yield "zeros", bytes(len(content))
    yield "more", content + b"more"


def cifar(root):
    cifar10(root / "cifar-10-batches-py", images=1)
    return root / "cifar-10-batches-py" / "test_batch", "cifar10"


def meta(root):
    return cifar(root)[0].with_name("batches.meta"), "cifar10"


def idx(root, packed=False):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in mnist_files().items():
        (folder / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder / f"t10k-images-idx3-ubyte{'.gz' * packed}", "mnist"


def image(root, suffix=".png"):
    file = root / "pets" / "test" / "cat" / f"1{suffix}"
    file.parent.mkdir(parents=True)
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, Image.registered_extensions()[suffix])
    file.write_bytes(stream.getvalue())
    return file, "pets"


KINDS = {
    "CIFAR": cifar,
    "CIFAR's names": meta,
    "idx": idx,
    "idx, packed": lambda root: idx(root, packed=True),
    **{suffix: lambda root, suffix=suffix: image(root, suffix) for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif")},
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of what Pillow finds in a damaged file and reads nevertheless
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_damaged_file_is_read_or_named(make, tmp_path):
    file, name = make(tmp_path)
    x, y = load(name, "test", root=tmp_path).tensors()
    refused = {}
    for what, content in damaged(file.read_bytes()):
        file.write_bytes(content)
        try:
            again, labels = load(name, "test", root=tmp_path).tensors()
        except ValueError as problem:
            refused[what] = str(problem)
        else:
            assert not what.startswith("cut") or again.shape == x.shape, what
            assert labels.dtype == y.dtype, what
    assert len(refused) >= 10
    assert not {what: said for what, said in refused.items() if str(file) not in said}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_folder_in_the_place_of_a_file_is_named(make, tmp_path):
    file, name = make(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(str(tmp_path))):
        load(name, "test", root=tmp_path).tensors()


@pytest.mark.parametrize("name", ["cifar10", "mnist", "pets"])
def test_a_file_in_the_place_of_a_folder_is_named(name, tmp_path):
    (tmp_path / {"cifar10": "cifar-10-batches-py", "mnist": "MNIST", "pets": "pets"}[name]).write_text("a file")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        load(name, "test", root=tmp_path)


def test_a_folder_that_cannot_be_read_is_named_and_its_images_are_not_left_out(tmp_path, monkeypatch):
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / "test" / kind).mkdir(parents=True)
        Image.new("RGB", (3, 2)).save(tmp_path / "pets" / "test" / kind / "1.png")
    scan = os.scandir

    def closed(path="."):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*dog'"):
        load("pets", "test", root=tmp_path)
