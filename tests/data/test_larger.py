"""The larger sets, read safely from the published files; what is damaged or missing is named."""

import gzip
import os
import pickle

import numpy as np
import pytest
import torch
from support.close import assert_close
from support.data_sets import cifar10, mnist_files, python2_pickle

from convnotes.data import load


def test_cifar10_is_read_as_torchvision_lays_it_out(tmp_path, monkeypatch):
    pixels = cifar10(tmp_path / "cifar-10-batches-py")
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path))
    train, test = load("cifar10"), load("CIFAR-10", "test")
    assert (train.title, len(train), len(test)) == ("CIFAR-10", 15, 3)
    assert train.classes == tuple(f"class{i}" for i in range(10))
    image, label = test[0]
    assert label == 9
    assert_close(image, torch.from_numpy(pixels[5, 0].reshape(3, 32, 32)).float() / 255)
    x, y = train.tensors()
    assert (x.shape, x.dtype, y.tolist()) == ((15, 3, 32, 32), torch.float32, [9, 0, 4] * 5)
    assert_close(x[4], train[4][0])


def test_cifar100_takes_the_fine_labels(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    data = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    content = {b"data": data, b"fine_labels": [99, 7], b"coarse_labels": [1, 2]}
    (folder / "test").write_bytes(python2_pickle(content))
    (folder / "meta").write_bytes(
        python2_pickle({b"fine_label_names": [b"f"] * 100, b"coarse_label_names": [b"c"] * 20})
    )
    test = load("cifar100", "test", root=tmp_path)
    assert (test.title, test.labels.tolist(), len(test.classes)) == ("CIFAR-100", [99, 7], 100)


class Harmful:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run_it(tmp_path):
    cifar10(tmp_path / "cifar-10-batches-py")
    marker = str(tmp_path / "was-here")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps({"data": Harmful(marker)}, protocol=2))
    with pytest.raises(ValueError, match=r"test_batch is damaged or no CIFAR file: it asks for .*mkdir"):
        load("cifar10", "test", root=tmp_path)
    assert not os.path.exists(marker)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or no CIFAR file"),
        (python2_pickle({b"data": 1})[:-4], "damaged or no CIFAR file"),
        (python2_pickle([1, 2]), "it holds a list, not a dict"),
        (python2_pickle({b"labels": [1]}), r"holds no uint8 array of shape \(N, 3072\)"),
        (
            python2_pickle({b"data": np.zeros((2, 10), np.uint8), b"labels": [1, 2]}),
            r"no uint8 array of shape \(N, 3072\)",
        ),
        (python2_pickle({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "labels for each of its 2 images"),
        (
            python2_pickle({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}),
            "labels must lie in 0…9, got 10…10",
        ),
    ],
)
def test_a_damaged_cifar_file_is_named(tmp_path, content, message):
    cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load("cifar10", "test", root=tmp_path)
    assert len(load("cifar10", "train", root=tmp_path)) == 15


def test_an_incomplete_folder_is_named(tmp_path):
    cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_3 is missing, so .* is incomplete"):
        load("cifar10", root=tmp_path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_mnist_and_its_relative_are_read_plain_and_packed(tmp_path, name, folder, packed):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    for file, content in mnist_files().items():
        (raw / (file + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    data = load(name, root=tmp_path)
    image, label = data[1]
    assert (image.shape, label) == ((1, 28, 28), 0)
    assert_close(image, (torch.arange(784, 1568) % 256).reshape(1, 28, 28).float() / 255)
    assert data.classes[7] == ("Sneaker" if folder == "FashionMNIST" else "7")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: gzip.compress(content)[:-30], "is damaged"),
        (lambda content: b"not gzip", "is damaged"),
        (lambda content: gzip.compress(content[:-1]), r"promises \(2, 28, 28\) bytes and holds 1567"),
        (lambda content: gzip.compress(b"\x00\x00\x0d\x03" + content[4:]), "no idx file of bytes with 3 dimensions"),
        (lambda content: gzip.compress(content[:6]), "no idx file of bytes"),
    ],
    ids=["cut", "foreign", "short", "floats", "header only"],
)
def test_a_damaged_idx_file_is_named(tmp_path, damage, message):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for file, content in mnist_files().items():
        packed = damage(content) if file.startswith("train-images") else gzip.compress(content)
        (tmp_path / "MNIST" / "raw" / f"{file}.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte.gz.*{message}"):
        load("mnist", root=tmp_path)


def test_what_is_not_there_is_answered_with_both_ways_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVNOTES_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError) as missing:
        load("cifar10")
    for part in (str(tmp_path / "nowhere" / "cifar-10-batches-py"), "download=True", "https://", "$CONVNOTES_DATA"):
        assert part in str(missing.value)
    with pytest.raises(FileNotFoundError, match=r"animals has no train images: looked for .*nowhere.*animals"):
        load("animals")
    assert not list(tmp_path.iterdir())


def test_names_and_splits_that_make_no_sense_are_refused(tmp_path):
    for name in ("", "..", "a/b", str(tmp_path)):
        with pytest.raises(ValueError, match="name must be the name of a data set or of one folder"):
            load(name, root=tmp_path)
    with pytest.raises(ValueError, match='split must be "train" or "test", got \'valid\''):
        load("cifar10", "valid", root=tmp_path)
    with pytest.raises(ValueError, match="no download for 'animals'; there is one for cifar10, cifar100, mnist"):
        load("animals", root=tmp_path, download=True)
