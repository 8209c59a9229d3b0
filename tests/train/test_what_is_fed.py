"""What people feed `fit`: side classifiers, labels of every kind, void pixels, streams; and what cannot be had."""

import functools

import pytest
import torch
import torch.nn.functional as F
from support.data_sets import two_classes
from support.resuming import Stream
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import convnotes
from convnotes.data import Split
from convnotes.train import evaluate, fit

OPTIONS = {"epochs": 1, "batch_size": 8, "device": "cpu"}


def small(classes: int = 2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(20, classes))


def loaders(change, **options):
    """The two classes with changed labels."""
    data = two_classes()
    parts = TensorDataset(data.train_x, change(data.train_y)), TensorDataset(data.test_x, change(data.test_y))
    return tuple(DataLoader(part, batch_size=8, **options) for part in parts)


LABELS = {
    "int32": lambda y: y.int(), "int16": lambda y: y.short(), "uint8": lambda y: y.byte(), "bool": lambda y: y.bool(),
    "float32": lambda y: y.float(), "float64": lambda y: y.double(), "[N, 1]": lambda y: y[:, None],
    "[N, 1] float": lambda y: y[:, None].float(),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_kind_of_whole_number_train_as_int64(kind):
    assert fit(small, loaders(LABELS[kind]), **OPTIONS) == fit(small, loaders(lambda y: y), **OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 0.5, r"labels must be whole numbers, got torch\.float32"),
        (lambda y: y / torch.zeros(()), r"labels must be whole numbers|labels must lie in"),
        (lambda y: F.one_hot(y, 2), r"labels must be \[N\] or \[N, H, W\], got shape \(8, 2\)"),
        (lambda y: y.int() - 1, r"labels must lie in 0…1 for 2 logits, got -1…0"),
    ],
)
def test_labels_that_are_none_are_blamed_themselves(change, message):
    with pytest.raises(ValueError, match=message):
        fit(small, loaders(change), **OPTIONS)


def test_batches_that_are_no_pairs_are_named():
    data = two_classes()
    three = DataLoader(TensorDataset(data.train_x, data.train_y, data.train_y), batch_size=8)
    named = DataLoader(
        [{"image": x, "label": y} for x, y in zip(data.train_x, data.train_y, strict=True)], batch_size=8
    )
    text = DataLoader([(x, "cat") for x in data.train_x], batch_size=8)
    for loader, message in ((three, "got 3 parts"), (named, "got dict"), (text, "labels must be a tensor, got")):
        with pytest.raises(TypeError, match=message):
            fit(small, (loader, loader), **OPTIONS)


class WithSides(nn.Module):
    """Logits and those of two side classifiers, in every form in which libraries give them."""

    def __init__(self, form):
        super().__init__()
        self.main, self.form = small(), form
        self.sides = nn.ModuleList([small(), small()])

    def forward(self, x):
        logits = self.main(x)
        if not self.training:
            return {"out": logits} if self.form == "dict" else logits
        first, second = (side(x) for side in self.sides)
        if self.form == "dict":
            return {"out": logits, "aux": first, "aux2": second, "features": x}
        if self.form == "logits":
            return {"aux_logits1": first, "logits": logits, "aux_logits2": second, "aux3": None}
        return [logits, first, None, second] if self.form == "list" else (logits, first, second)


@pytest.mark.parametrize("form", ["tuple", "list", "dict", "logits"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5])
def test_side_classifiers_train_with_their_weight(form, weight):
    model, data = WithSides(form), two_classes(8)
    with torch.no_grad():
        losses = [F.cross_entropy(net(data.train_x), data.train_y).item() for net in (model.main, *model.sides)]
    before = model.sides[0][1].weight.clone()
    history = fit(model, data, auxiliary_weight=weight, **OPTIONS)
    assert history.loss == pytest.approx([losses[0] + weight * sum(losses[1:])], rel=1e-6)
    assert torch.equal(model.sides[0][1].weight, before) == (weight == 0)
    assert history.test_accuracy == [evaluate(model.main, data.test_x, data.test_y)]


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda y: {"scores": y}, ValueError, 'must give its logits as "out" or "logits", got a dict of scores'),
        (lambda y: (y, y[:, :1]), ValueError, r"side classifier 1 must have 2 classes as the main one|labels must lie"),
        (lambda y: (y, torch.cat([y, y], 1)), ValueError, "side classifier 1 must have 2 classes.*auxiliary_weight=0"),
        (lambda y: (y, y.mean()), ValueError, r"side classifier 1 of the model must give logits \[8, classes\]"),
        (lambda y: "logits", TypeError, "the model must give logits, got str"),
        (lambda y: (), TypeError, "the model must give logits, got tuple"),
    ],
)
def test_outputs_that_are_no_logits_are_named(output, error, message):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small()

        def forward(self, x):
            return output(self.net(x))

    with pytest.raises(error, match=message):
        fit(Net, two_classes(8), **OPTIONS)


def test_the_book_s_networks_with_side_classifiers_train():
    x, y = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 1, 0])
    net = functools.partial(convnotes.googlenet, 2, aux_logits=True)
    assert fit(net, Split(x, y, x[:1], y[:1], ("a", "b")), **OPTIONS).test_samples == 1
    x, y = torch.rand(2, 3, 32, 32), torch.randint(3, (2, 32, 32))
    y[:, :8] = 255
    net = functools.partial(convnotes.deeplabv3_resnet50, 3, aux_loss=True)
    history = fit(net, Split(x, y, x, y, ("a", "b", "c")), ignore_index=255, **OPTIONS)
    assert (history.train_samples, history.test_samples) == (2 * 24 * 32, 2 * 24 * 32)


def pixels(void: int):
    """Pictures whose upper half is void, the last ones wholly; the labels of the rest are in the picture."""
    x = torch.randn(10, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    y = (x[:, 0] > 0).long()
    y[:, :2], y[8:] = void, void
    return Split(x, y, x[:8], y[:8], ("low", "high"))


@pytest.mark.parametrize("void", [255, -100, 1000, -1])
@pytest.mark.parametrize("loader", [False, True], ids=["Split", "DataLoader"])
def test_void_labels_are_neither_trained_on_nor_counted(void, loader):
    split, seen = pixels(void), []

    def see(model, inputs):
        if model.training:
            seen.append(inputs[0])

    model = nn.Conv2d(1, 2, 1)
    model.register_forward_pre_hook(see)
    data = split
    if loader:
        data = tuple(DataLoader(TensorDataset(*part), batch_size=2) for part in (split[:2], split[2:4]))
    history = fit(model, data, ignore_index=void, **(OPTIONS | {"batch_size": 2, "lr": 1e-9}))
    with torch.no_grad():
        expected = F.cross_entropy(model(split.train_x), split.train_y, ignore_index=void)
    assert history.loss == pytest.approx([expected.item()], rel=1e-4), "each label once, whatever its batch"
    assert (history.train_samples, history.test_samples) == (8 * 8, 8 * 8)
    assert len(history.step_loss) == 5
    assert evaluate(model, *split[2:4], ignore_index=void) == history.test_accuracy[0]
    with pytest.raises(ValueError, match="labels must lie in 0…1"):
        fit(nn.Conv2d(1, 2, 1), data, **OPTIONS)


def test_nothing_but_void_is_no_number():
    split = pixels(255)
    void = split._replace(train_y=torch.full_like(split.train_y, 255))
    history = fit(nn.Conv2d(1, 2, 1), void, ignore_index=255, **OPTIONS)
    assert history.loss[0] != history.loss[0]
    assert history.train_accuracy[0] != history.train_accuracy[0]


class Measured(Stream):
    def __len__(self):
        return 37


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [Stream, Measured])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_stream_trains_with_and_without_a_length(kind, workers, schedule):
    rates = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    loader = DataLoader(kind(), batch_size=8, num_workers=workers)
    options = OPTIONS | {"epochs": 2, "schedule": schedule, "optimizer": Watching, "lr": 0.1}
    history = fit(small, (loader, loader), **options)
    assert (history.train_samples, history.test_samples) == (37, 37)
    steps = len(history.step_loss)
    assert steps == 2 * (6 if workers else 5), "two workers end with a batch each"
    if schedule == "cosine" and not (kind is Measured and workers):  # whose length is not what its workers give
        wanted = [0.05 * (1 + torch.cos(torch.tensor(torch.pi * t / steps)).item()) for t in range(steps)]
        assert rates == pytest.approx(wanted, rel=1e-5)


class Batches(IterableDataset):
    def __iter__(self):
        data = two_classes()
        yield from zip(data.train_x.split(8), data.train_y.split(8), strict=True)


def test_a_stream_of_ready_batches_trains():
    loader = DataLoader(Batches(), batch_size=None)
    assert fit(small, (loader, loader), **OPTIONS).train_samples == 37


def test_a_stream_that_does_not_start_again_is_named():
    class Once(IterableDataset):
        def __init__(self):
            data = two_classes()
            self.left = iter([*zip(data.train_x, data.train_y, strict=True)])

        def __iter__(self):
            return self.left

    with pytest.raises(ValueError, match=r"the train DataLoader is empty .a stream must start from its beginning"):
        fit(small, (DataLoader(Once(), batch_size=8), DataLoader(Once(), batch_size=8)), **OPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mixed_precision": "fp16"}, ValueError, "mixed_precision='fp16' cannot be had on cpu: take bf16 or no"),
        ({"mixed_precision": "fp8"}, ValueError, 'mixed_precision must be "no", "bf16" or "fp16", got \'fp8\''),
        ({"optimizer": "sgd"}, TypeError, r"must be a function .* such as torch\.optim\.SGD, got 'sgd'"),
        ({"optimizer": torch.optim.SGD(small().parameters())}, TypeError, "optimizer must be a function that makes"),
        ({"optimizer": torch.optim.LBFGS}, TypeError, r"called as optimizer\(parameters, lr=…, weight_decay=…\)"),
        ({"optimizer": lambda p, lr, weight_decay: 3}, TypeError, "what optimizer makes must be a torch.optim.Opt"),
        (
            {"optimizer": lambda p, lr, weight_decay: torch.optim.LBFGS(p, lr=lr)},
            ValueError,
            "optimizer must step without a closure, which LBFGS needs",
        ),
        ({"auxiliary_weight": -1}, ValueError, r"auxiliary_weight must lie in \[0, inf\), got -1"),
        ({"ignore_index": "void"}, TypeError, "ignore_index must be an int, got 'void'"),
    ],
)
def test_what_cannot_be_had_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        fit(small, two_classes(), **(OPTIONS | options))


def test_a_model_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="the model has no parameter that trains"):
        fit(small().requires_grad_(False), two_classes(), **OPTIONS)


@pytest.mark.parametrize("through", [lambda split: split, lambda split: loaders_of(split)], ids=["Split", "DataLoader"])
def test_images_of_bytes_are_named_and_tokens_are_taken(through):
    data = two_classes()
    images = Split(*((255 * data.train_x).to(torch.uint8), data.train_y) * 2, data.classes)
    assert images.train_x.dim() == 4
    with pytest.raises(ValueError, match=r"train.* must be fractions, got torch\.uint8: divide them by 255"):
        fit(small, through(images), **OPTIONS)
    tokens = Split(*(images.train_x.flatten(1).long() % 7, data.train_y) * 2, data.classes)
    model = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(60, 2))
    assert len(fit(model, through(tokens), **OPTIONS).loss) == 1


def loaders_of(split):
    parts = TensorDataset(split.train_x, split.train_y), TensorDataset(split.test_x, split.test_y)
    return tuple(DataLoader(part, batch_size=8) for part in parts)
