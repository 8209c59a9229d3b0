"""What `cost` counts of products that are no matrix product to torch, and what it takes as the input of a model."""

from collections import OrderedDict, UserDict, namedtuple

import pytest
import torch
from support.fields import Net
from torch import nn

from convnotes.measure import cost

PRODUCTS = {
    "outer": (lambda net, x: torch.outer(x[0], x[1]), 16),
    "outer, a method": (lambda net, x: x[0].outer(x[1, :3]), 12),
    "ger": (lambda net, x: torch.ger(x[0], x[1]), 16),
    "as torch.mm has it": (lambda net, x: x[0, :, None] @ x[1, None], 16),
    "kron": (lambda net, x: torch.kron(x, x), 9 * 16),
    "vecdot": (lambda net, x: torch.linalg.vecdot(x, x), 12),
    "dot": (lambda net, x: torch.dot(x[0], x[1]), 4),
    "inner": (lambda net, x: torch.inner(x, x), 9 * 4),
    "tensordot": (lambda net, x: torch.tensordot(x, x, 0), 9 * 16),
    "einsum, outer": (lambda net, x: torch.einsum("i,j->ij", x[0], x[1]), 16),
    "einsum, by element": (lambda net, x: torch.einsum("ij,ij->ij", x, x), 12),
    "einsum, a factor per row": (lambda net, x: torch.einsum("ij,i->ij", x, x[:, 0]), 12),
    "einsum, contracted": (lambda net, x: torch.einsum("ij,kj->ik", x, x), 9 * 4),
    "einsum, of one": (lambda net, x: torch.einsum("ij->ji", x), 0),
    "einsum, of three": (lambda net, x: torch.einsum("ij,ij,ij->ij", x, x, x), 24),
    "sparse.mm": (lambda net, x: torch.sparse.mm(x, x.t()), 9 * 4),
    "matrix power": (lambda net, x: torch.linalg.matrix_power(x[:3, :3], 3), 54),
    "by element": (lambda net, x: x * x + x.mul(2), 0),
    "broadcast": (lambda net, x: x[0, :, None] * x[1, None], 0),
    "a norm": (lambda net, x: torch.nn.functional.layer_norm(x, x.shape[1:]), 0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_is_called_a_product_counts_however_torch_computes_it(name):
    run, macs = PRODUCTS[name]
    assert cost(Net(run), (3, 4)).macs == macs


class Batch(nn.Module):
    """Takes one image and a mask in every way in which they can be handed over."""

    def __init__(self, how):
        super().__init__()
        self.conv, self.how = nn.Conv2d(3, 4, 3), how

    def forward(self, *args, **kwargs):
        image, mask, scale = self.how(*args, **kwargs)
        assert isinstance(scale, int)
        return self.conv(image) * mask * scale


IMAGE, MASK = torch.rand(2, 3, 9, 9), torch.ones(2, 1, 7, 7)
Pair = namedtuple("Pair", "image mask")
WAYS = {
    "a dict": (lambda batch: (batch["image"], batch["mask"], 1), [{"image": IMAGE, "mask": MASK}], {}),
    "an ordered dict": (
        lambda batch: (*batch.values(), 1), [OrderedDict(image=IMAGE, mask=MASK)], {},
    ),
    "a mapping": (lambda batch: (batch["image"], batch["mask"], 1), [UserDict(image=IMAGE, mask=MASK)], {}),
    "by name": (lambda image, mask=None, scale=1: (image, mask, scale), [], {"image": IMAGE, "mask": MASK, "scale": 2}),
    "both": (lambda image, mask=None: (image, mask, 1), [IMAGE], {"mask": MASK}),
    "a shape and by name": (lambda image, mask=None: (image, mask, 1), [(2, 3, 9, 9)], {"mask": MASK}),
    "nested": (
        lambda image, more: (image, more["masks"][0], more["scale"]), [(IMAGE, {"masks": [MASK], "scale": 3})], {},
    ),
    "a named tuple in a list": (lambda pair: (*pair, 1), [[Pair(IMAGE, MASK)]], {}),
    "a tensor and a number": (lambda image, mask, scale: (image, mask, scale), [(IMAGE, MASK, 2)], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_any_input_is_taken_that_the_model_takes(name):
    how, args, keywords = WAYS[name]
    found = cost(Batch(how), *args, **keywords)
    assert found.macs == cost(nn.Conv2d(3, 4, 3), (2, 3, 9, 9)).macs
    assert IMAGE.device.type == MASK.device.type == "cpu"


def test_a_layer_of_torch_that_takes_keywords_is_counted():
    x = torch.rand(5, 1, 8)
    layer = nn.MultiheadAttention(8, 2)
    assert cost(layer, query=x, key=x, value=x) == cost(layer, (x, x, x))
    mask = torch.zeros(5, 5, dtype=torch.bool)
    assert cost(layer, (x, x, x), attn_mask=mask, need_weights=False).macs == cost(layer, (x, x, x)).macs


@pytest.mark.parametrize(
    ("args", "keywords", "says"),
    [
        ([], {}, "must be a tensor, a shape such as .* or tensors, got None"),
        ([{"x": 5}], {}, r"got \{'x': 5\}"),
        ([], {"input": 5}, r"got None and \{'input': 5\}"),
        (["image"], {}, "got 'image'"),
    ],
)
def test_an_input_without_tensors_is_refused(args, keywords, says):
    with pytest.raises(TypeError, match=says):
        cost(nn.Linear(3, 3), *args, **keywords)


def test_a_keyword_that_does_not_fit_is_named_by_its_shape():
    with pytest.raises(ValueError, match=r"cannot take \(2, 4\) \(the model was given \(2, 4\)\)"):
        cost(nn.Linear(3, 3), input=torch.rand(2, 4))
