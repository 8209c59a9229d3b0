"""A folder of image files as a data set."""

import pytest
import torch
from PIL import Image
from support.close import assert_close

from convnotes.data import load


def folder_of_images(root, size=(6, 5)):
    for kind in ("zebra", "ant"):
        (root / "train" / kind).mkdir(parents=True)
        for k, suffix in enumerate((".png", ".JPG")):
            Image.new("RGB", size, (200 * (kind == "ant"), 100, 50 * k)).save(root / "train" / kind / f"{k}{suffix}")
        (root / "train" / kind / "notes.txt").write_text("no image")


def test_a_folder_of_images_has_its_classes_in_sorted_order(tmp_path):
    folder_of_images(tmp_path / "cifar10-jpeg")
    data = load("cifar10-jpeg", root=tmp_path)
    assert (data.title, data.classes, len(data)) == ("CIFAR-10 (JPEG)", ("ant", "zebra"), 4)
    x, y = data.tensors()
    assert (x.shape, y.tolist()) == ((4, 3, 5, 6), [0, 0, 1, 1])
    assert_close(x[0, :, 0, 0], torch.tensor([200.0, 100.0, 0.0]) / 255)
    assert_close(data[2][0], x[2])


def test_a_folder_without_test_images_says_so(tmp_path):
    folder_of_images(tmp_path / "animals")
    with pytest.raises(FileNotFoundError, match=r"animals has no test images: .*animals has train only"):
        load("animals", "test", root=tmp_path)


def test_images_of_several_sizes_come_one_by_one_but_not_as_one_tensor(tmp_path):
    folder_of_images(tmp_path / "animals")
    Image.new("L", (9, 4)).save(tmp_path / "animals" / "train" / "zebra" / "9.png")
    data = load("animals", root=tmp_path)
    assert data[4][0].shape == (3, 4, 9)
    with pytest.raises(ValueError, match=r"images of one size, got \(5, 6\) and \(4, 9\) \(9.png\)"):
        data.tensors()


def test_a_damaged_image_is_named(tmp_path):
    folder_of_images(tmp_path / "animals")
    file = tmp_path / "animals" / "train" / "ant" / "0.png"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"0.png cannot be read as an image"):
        _ = load("animals", root=tmp_path)[0]
