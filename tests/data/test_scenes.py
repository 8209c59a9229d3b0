"""Scenes of digits on textures: they repeat, keep training and test apart, and their labels say what is there."""

import pytest
import torch
from torch import nn

from convnotes import data, train


@pytest.mark.parametrize("make", [data.segmentation, data.scaled_digits, data.pairs])
def test_scenes_repeat_and_follow_their_seed(make):
    one, same, other = (make(train=6, test=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.train_x, same.train_x)
    assert torch.equal(one.test_y, same.test_y)
    assert not torch.equal(one.train_x, other.train_x)
    assert one.train_x.dtype == torch.float32
    assert one.train_x.min() >= 0
    assert one.train_x.max() <= 1


def test_every_pixel_of_a_scene_has_a_label_and_ink_is_bright():
    scenes = data.segmentation(size=40, train=20, test=5, digits=2, classes=(3, 7))
    assert scenes.train_x.shape == (20, 1, 40, 40)
    assert scenes.train_y.shape == (20, 40, 40)
    assert scenes.classes == ("ground", "3", "7")
    assert scenes.train_y.unique().tolist() == [0, 1, 2]
    inked = scenes.train_y > 0
    assert scenes.train_x[:, 0][inked].min() >= 0.5
    assert scenes.train_x[:, 0][inked].mean() > scenes.train_x[:, 0][~inked].mean() + 0.3


def test_a_digit_keeps_its_class_through_scaling():
    """Shrunk back to 8×8 with an empty ground, a scaled digit is nearest to digits of its own class."""
    scenes = data.scaled_digits(size=8, train=200, test=1, scale=(1, 1))
    plain = data.digits()
    near = torch.cdist(scenes.train_x.flatten(1), plain.train_x.flatten(1)).argmin(1)
    assert (plain.train_y[near] == scenes.train_y).float().mean() > 0.8


def test_scales_and_turns_stay_in_their_range():
    small = data.segmentation(train=50, test=1, digits=1, scale=(1, 1), rotation=0).train_y > 0
    large = data.segmentation(train=50, test=1, digits=1, scale=(3, 3), rotation=0).train_y > 0
    assert 6 < large.sum() / small.sum() < 12


def test_half_of_the_pairs_are_the_same_and_the_middle_is_ground():
    pairs = data.pairs(height=16, width=64, train=400, test=10)
    assert pairs.train_y.float().mean() == 0.5
    assert pairs.train_x[..., 16:48].max() <= 0.6
    assert pairs.train_x[..., :16].amax((1, 2, 3)).min() > 0.6


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: data.segmentation(size=0), "size must be from 1 to 256, got 0"),
        (lambda: data.segmentation(size=300), "size must be from 1 to 256, got 300"),
        (lambda: data.segmentation(size=16, scale=(1, 3)), r"8·high ≤ 16 pixels, got \(1, 3\)"),
        (lambda: data.scaled_digits(rotation=200), r"rotation must lie in \[0, 180\], got 200"),
        (lambda: data.scaled_digits(classes=(1, 1)), "different digits"),
        (lambda: data.pairs(height=16, width=20), "twice the height"),
        (lambda: data.pairs(classes=(1,)), "two classes at least"),
        (lambda: data.pairs(train=-1), "train must be at least 1, got -1"),
    ],
)
def test_what_makes_no_scene_is_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_a_network_is_trained_on_a_label_a_pixel():
    scenes = data.segmentation(size=24, train=24, test=8, digits=1, classes=(1, 7), scale=(1.5, 2))
    history = train.fit(lambda: nn.Conv2d(1, 3, 3, padding=1), scenes, epochs=2, lr=0.1, batch_size=8)
    assert history.test_samples == 8 * 24 * 24
    predicted = history.model(scenes.test_x).argmax(1)
    assert history.test_accuracy[-1] == pytest.approx((predicted == scenes.test_y).float().mean().item())
    with pytest.raises(ValueError, match=r"must give logits \[8, classes, 24, 24\], got shape \(8, 3, 22, 22\)"):
        train.fit(lambda: nn.Conv2d(1, 3, 3), scenes, epochs=1, batch_size=8)
