"""Pictures and splits that come with installed packages: as published, the same every time, training and test apart."""

import sys
from functools import partial

import pytest
import torch
from support.close import assert_close

from convnotes.data import PHOTOGRAPHS, TEXTURES, digits, photograph, texture, textures


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_in_the_installed_wheels(name):
    picture = photograph(name)
    assert picture.dtype == torch.float32
    assert picture.shape[0] == 3
    assert picture.min() >= 0
    assert 0.5 < picture.max() <= 1


def test_a_photograph_is_what_its_library_shows():
    from skimage import data

    assert_close(photograph("coffee"), torch.from_numpy(data.coffee()).permute(2, 0, 1).float() / 255)
    assert_close(texture("grass"), torch.from_numpy(data.grass())[None].float() / 255)


def test_an_int_size_is_the_shorter_side_and_a_pair_is_height_and_width():
    assert photograph("coffee").shape == (3, 400, 600)
    assert photograph("coffee", 40).shape == (3, 40, 60)
    assert photograph("coffee", (31, 17)).shape == (3, 31, 17)
    assert photograph("rocket", 854).shape == (3, 854, 1280)


def test_shrinking_averages_instead_of_skipping():
    full, small = photograph("coffee"), photograph("coffee", 20)
    torch.testing.assert_close(small.mean((1, 2)), full.mean((1, 2)), rtol=0, atol=5e-3)
    jumps = full[:, ::20, ::20].diff(dim=2).abs().mean()
    assert small.diff(dim=2).abs().mean() < 0.95 * jumps


@pytest.mark.parametrize("size", [0, -3, (3,), (3, 0), (1, 2, 3)])
def test_a_size_that_does_not_fit_is_refused(size):
    with pytest.raises(ValueError, match=r"size must be (at least 1|an int or two ints .*), got"):
        photograph("coffee", size)


@pytest.mark.parametrize("size", [2.5, True, "12"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(TypeError, match=f"size must be an int or two ints .*, got {size!r}"):
        photograph("coffee", size)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r'photograph must be "astronaut", "chelsea", "china", .*, got .lena.'):
        photograph("lena")
    with pytest.raises(ValueError, match=r'texture must be "brick", "grass" or "gravel", got .sand.'):
        texture("sand")


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r'skimage is not installed: pip install "convnotes\[data\]"'):
        texture("grass")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'sklearn is not installed: pip install "convnotes\[data\]"'):
        digits()


def test_the_digits_are_all_there_once_and_every_class_is_in_both_parts():
    from sklearn.datasets import load_digits

    split = digits()
    assert (split.train_x.shape, split.test_x.shape) == ((1347, 1, 8, 8), (450, 1, 8, 8))
    assert (split.train_y.dtype, split.train_x.dtype) == (torch.int64, torch.float32)
    assert split.classes == tuple("0123456789")
    both = torch.cat([split.train_x, split.test_x]).reshape(-1, 64) * 16
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, load_digits().data.tolist()))
    share = split.test_y.bincount() / (split.train_y.bincount() + split.test_y.bincount())
    assert (share - 0.25).abs().max() < 0.01


def test_splits_repeat_and_follow_their_seed():
    for make in (digits, partial(textures, train_per_class=5, test_per_class=4)):
        first, again, other = make(seed=1), make(seed=1), make(seed=2)
        assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
        assert not torch.equal(first.train_x, other.train_x)


def test_no_crop_crosses_the_middle_of_its_texture():
    split = textures(crop=16, train_per_class=20, test_per_class=10, normalise="none")
    assert (split.train_x.shape, split.test_x.shape) == ((60, 1, 16, 16), (30, 1, 16, 16))
    for x, y, columns in (
        (split.train_x, split.train_y, slice(None, 256)),
        (split.test_x, split.test_y, slice(256, None)),
    ):
        for label, name in enumerate(TEXTURES):
            places = texture(name)[0, :, columns].unfold(0, 16, 1).unfold(1, 16, 1)
            for crop in x[y == label][:1, 0]:
                assert (places == crop).all(-1).all(-1).any(), f"a crop of {name} is not from its half"


def test_normalising_takes_brightness_and_contrast_away_from_each_crop():
    make = partial(textures, crop=13, train_per_class=5, test_per_class=5)
    plain, even, standard = (make(normalise=how).train_x for how in ("none", "brightness", "contrast"))
    mean = plain.mean((2, 3), keepdim=True)
    assert_close(even, plain - mean)
    assert_close(standard, (plain - mean) / plain.std((2, 3), keepdim=True, correction=0))


@pytest.mark.parametrize(
    ("options", "problem", "message"),
    [
        ({"crop": 257}, ValueError, "crop must be from 1 to 256, got 257"),
        ({"crop": 0}, ValueError, "crop must be from 1 to 256, got 0"),
        ({"train_per_class": 0}, ValueError, "train_per_class must be at least 1, got 0"),
        ({"test_per_class": 1.5}, TypeError, "test_per_class must be an int, got 1.5"),
        ({"normalise": "both"}, ValueError, 'normalise must be "none", "brightness" or "contrast"'),
    ],
)
def test_textures_refuses_what_makes_no_crops(options, problem, message):
    with pytest.raises(problem, match=message):
        textures(**options)
    with pytest.raises(ValueError, match=r"test_fraction must lie in \(0, 1\), got 1"):
        digits(test_fraction=1)


def test_a_split_moves_and_describes_itself():
    split = textures(crop=8, train_per_class=2, test_per_class=1)
    assert repr(split) == "Split(6 to train, 3 to test, 1×8×8, 3 classes)"
    double = split.to(dtype=torch.float64)
    assert (double.train_x.dtype, double.test_x.dtype) == (torch.float64, torch.float64)
    assert double.train_y.dtype == torch.int64
    moved = split.to("meta")
    assert moved.train_x.is_meta
    assert moved.test_y.is_meta
    assert moved.classes == TEXTURES
