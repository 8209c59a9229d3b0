"""Folders as they lie on people's disks: labels that mean the same in both splits, every image taken or named."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from support.close import assert_close

from convnotes import pretrained
from convnotes.data import load


def write(file, value=0, size=(3, 2), **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(file, **options)


@pytest.fixture
def animals(tmp_path):
    for split, kinds in (("train", ("ant", "bee", "cat")), ("test", ("bee", "cat"))):
        for kind in kinds:
            write(tmp_path / "animals" / split / kind / "0.png")
    return tmp_path / "animals"


def test_a_class_that_lacks_in_one_split_shifts_no_label(animals):
    train, test = (load("animals", split, root=animals.parent) for split in ("train", "test"))
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1, 2], [1, 2])
    write(animals / "test" / "aardvark" / "0.png")
    train, test = (load("animals", split, root=animals.parent) for split in ("train", "test"))
    assert train.classes == test.classes == ("aardvark", "ant", "bee", "cat")
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 2, 3], [0, 2, 3])


def test_hidden_folders_and_files_are_none(animals):
    for folder in (".ipynb_checkpoints", ".git", "__MACOSX", "@eaDir", "__pycache__"):
        write(animals / "train" / folder / "0.png")
        write(animals / "train" / "bee" / folder / "1.png")
    (animals / "train" / "bee" / "._0.png").write_bytes(b"what macOS leaves")
    (animals / "train" / ".DS_Store").write_bytes(b"")
    (animals / "train" / "bee" / "Thumbs.db").write_bytes(b"")
    data = load("animals", root=animals.parent)
    assert (data.classes, len(data)) == (("ant", "bee", "cat"), 3)


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".PNG", ".jpeg", ".jfif"])
def test_images_of_every_kind_are_taken(animals, suffix):
    write(animals / "train" / "bee" / f"1{suffix}", 255)
    data = load("animals", root=animals.parent)
    assert data.labels.tolist() == [0, 1, 1, 2]
    assert data[2][0][0].min() > 0.95


def test_nested_images_are_taken_and_circles_of_links_end(animals):
    write(animals / "train" / "bee" / "2024" / "may" / "0.png")
    (animals / "train" / "bee" / "2024" / "again").symlink_to(animals / "train" / "bee")
    elsewhere = animals.parent / "elsewhere"
    write(elsewhere / "0.png")
    (animals / "train" / "cat" / "linked").symlink_to(elsewhere)
    assert load("animals", root=animals.parent).labels.tolist() == [0, 1, 1, 2, 2]


def test_what_cannot_be_an_image_of_a_class_is_named(animals):
    (animals / "train" / "bee" / "1.heic").write_bytes(b"no reader for it")
    with pytest.raises(ValueError, match=r"1\.heic cannot be read as an image"):
        load("animals", root=animals.parent).tensors()
    write(animals / "train" / "loose.png")
    with pytest.raises(ValueError, match=r"1 images in .*train are in no class folder, loose\.png among them"):
        load("animals", root=animals.parent)
    for file in (animals / "test").rglob("*.png"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match="test has 3 class folders, but no image in any"):
        load("animals", "test", root=animals.parent)


DEEP = np.array([[0, 1000, 32768, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_grey_of_sixteen_bits_keeps_its_values(animals, suffix):
    file = animals / "train" / "ant" / f"1{suffix}"
    if suffix == ".pgm":
        file.write_bytes(b"P5 4 1 65535\n" + DEEP.astype(">u2").tobytes())
    else:
        Image.fromarray(DEEP).save(file)
    picture, _ = load("animals", root=animals.parent)[1]
    assert picture.shape == (3, 1, 4)
    assert_close(picture[2], torch.tensor([[0, 1000, 32768, 65535]]) / 65535)


def test_grey_without_a_known_range_is_refused(animals):
    Image.fromarray(np.array([[0.5, 7.0]], dtype=np.float32)).save(animals / "train" / "ant" / "1.tif")
    with pytest.raises(ValueError, match=r"1\.tif cannot be read .*have no known range"):
        load("animals", root=animals.parent)[1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_other_mode_is_read_as_colours(animals, mode):
    file = animals / "train" / "ant" / ("1.tif" if mode == "CMYK" else "1.png")
    Image.new("RGB", (4, 2), (255, 255, 255)).convert(mode).save(file)
    picture, _ = load("animals", root=animals.parent)[1]
    assert_close(picture, torch.ones(3, 2, 4))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_of_a_turned_camera_stands_upright(animals, orientation):
    upright = np.zeros((8, 16), dtype=np.uint8)
    upright[:, :8] = 100
    upright[:4, :8] = 250
    turned = {  # how the camera stored what stands upright
        1: upright, 2: np.fliplr(upright), 3: np.rot90(upright, 2), 4: np.flipud(upright), 5: upright.T,
        6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in (".png", ".webp"):
        file = animals / "train" / "ant" / f"1{suffix}"
        picture = Image.fromarray(np.ascontiguousarray(turned[orientation])).convert("RGB")
        picture.save(file, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
        found, _ = load("animals", root=animals.parent)[1]
        assert_close(found[0], torch.from_numpy(upright).float() / 255)
        file.unlink()


def test_a_bomb_is_named_by_its_file(animals):
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    file = animals / "train" / "ant" / "1.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))} has too many pixels .*MAX_IMAGE_PIXELS"):
        load("animals", root=animals.parent)[1]


def test_a_very_large_picture_is_taken_with_a_warning_that_names_it(animals, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    write(animals / "train" / "ant" / "1.png", 255, size=(8, 9))
    with pytest.warns(Image.DecompressionBombWarning, match=r"1\.png has 8×9 pixels"):
        picture, _ = load("animals", root=animals.parent)[1]
    assert picture.shape == (3, 9, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.9])
def test_a_cut_file_is_named_whatever_pillow_says(animals, kind, kept):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    content = stream.getvalue()
    file = animals / "train" / "ant" / f"1.{kind.lower()}"
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"{file.name} cannot be read as an image"):
        load("animals", root=animals.parent)[1]


def test_the_home_folder_is_meant_by_its_sign(animals, monkeypatch):
    monkeypatch.setenv("HOME", str(animals.parent))
    monkeypatch.chdir(animals)
    assert len(load("animals", root="~")) == 3
    monkeypatch.setenv("CONVNOTES_DATA", "~/")
    assert len(load("animals")) == 3
    assert pretrained._folder(None) == animals.parent / "pretrained"
    assert pretrained._folder("~/weights") == animals.parent / "weights"
    monkeypatch.setenv("CONVNOTES_DATA", "")
    assert pretrained._folder(None).is_absolute()
