"""Larger sets of images: read from a folder laid out as torchvision lays it out, or one folder a class; or downloaded.

$CONVNOTES_DATA/cifar-10-batches-py/        data_batch_1 … data_batch_5, test_batch, batches.meta
$CONVNOTES_DATA/cifar-100-python/           train, test, meta
$CONVNOTES_DATA/MNIST/raw/                  train-images-idx3-ubyte(.gz), … ; FashionMNIST/raw/ likewise
$CONVNOTES_DATA/<name>/<split>/<class>/     *.png, *.jpg, *.webp, … , also in folders inside
"""

from __future__ import annotations

import gzip
import os
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convnotes import checks
from convnotes.data import folders
from convnotes.data.download import fetch
from convnotes.data.files import place, read_picture


class Known(NamedTuple):
    """A published data set: its name in captions, torchvision's folder for it, and its files, URL → SHA-256."""

    title: str
    folder: str
    archives: dict[str, str]


def _four_files(url: str, *sha256: str) -> dict[str, str]:
    """The four files of MNIST and its relatives, in the order of their checksums."""
    kinds = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return {f"{url}/{kind}-ubyte.gz": sha for kind, sha in zip(kinds, sha256, strict=True)}


# Every checksum stands in at least two independent sources (Keras and torchvision among them).
KNOWN = {
    "cifar10": Known(
        "CIFAR-10",
        "cifar-10-batches-py",
        {
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz": (
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
            )
        },
    ),
    "cifar100": Known(
        "CIFAR-100",
        "cifar-100-python",
        {
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz": (
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
            )
        },
    ),
    "mnist": Known(
        "MNIST",
        "MNIST/raw",
        _four_files(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashionmnist": Known(
        "Fashion-MNIST",
        "FashionMNIST/raw",
        _four_files(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}
_RENEW = "Remove the folder and load it again, or put back a copy"
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
TITLES = {"cifar10-jpeg": "CIFAR-10 (JPEG)"}  # folders whose name does not say enough for a caption


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A data set, by index (float32 [C, H, W] in [0, 1], int label).

    Held as bytes, or as file names that are read when asked for; `tensors()` gives all of it at once.

    Args:
        title: for captions.
        classes: the names, in the order of the labels.
        images: bytes [N, C, H, W] (uint8), or one file a picture.
        labels: [N], int64.

    Raises:
        ValueError: for labels that do not fit, and later for a file that cannot be read.

    Example:
        >>> from convnotes.data import Images
        >>> images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
        >>> Images("one picture", ("cat", "dog"), images, torch.tensor([1]))[0]
        (tensor([[[0., 1.]]]), 1)
    """

    def __init__(self, title: str, classes: Sequence[str], images: Tensor | list[Path], labels: Tensor) -> None:
        if len(images) != len(labels):
            raise ValueError(f"{title}: {len(images)} images, but {len(labels)} labels")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
            raise ValueError(f"{title}: labels must lie in 0…{len(classes) - 1}, got {labels.min()}…{labels.max()}")
        self.title, self.classes, self.images, self.labels = title, tuple(classes), images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        picture = read_picture(image, "RGB") if isinstance(image, Path) else image.float() / 255
        return picture, int(self.labels[index])

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images [N, C, H, W] and labels [N]; images of several sizes are refused."""
        if isinstance(self.images, Tensor):
            return self.images.float() / 255, self.labels
        pictures = [read_picture(file, "RGB") for file in self.images]
        for file, picture in zip(self.images, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                sizes = f"{tuple(pictures[0].shape[1:])} and {tuple(picture.shape[1:])} ({file.name})"
                raise ValueError(f"{self.title}: tensors() needs images of one size, got {sizes}")
        return torch.stack(pictures), self.labels

    def __repr__(self) -> str:
        return f"Images({self.title}, {len(self)} images, {len(self.classes)} classes)"


def load(
    name: str,
    split: Literal["train", "test"] = "train",
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Images:
    """The data set `name`: cifar10, cifar100, mnist, fashionmnist, or the name of a folder of images a class.

    Such a folder is <name>/<split>/<class>/…, with images of any kind that Pillow reads, also in folders inside. A
    label is the place of the class among those of both splits. What is hidden is left out. Images are read upright,
    as colours; grey of 16 bits keeps them all.

    Args:
        name: of the data set or the folder.
        split: "train" or "test".
        root: where to look; else in `$CONVNOTES_DATA`, else in the user's cache folder. `~` is the home folder.
        download: whether to fetch one of the four named sets there first, when it is missing: SHA-256 checked, and
            nothing kept unless it is whole.

    Raises:
        FileNotFoundError: for a data set that is not there.
        ValueError: for a name or split that makes no sense, for files that are not what they should be, and for images
            beside the class folders.
        ConnectionError: where a download does not get through.
        OSError: where a download cannot be written, and for a folder that cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from convnotes import data
        >>> folder = Path("animals/train/cat")
        >>> folder.mkdir(parents=True)
        >>> Image.new("RGB", (6, 4)).save(folder / "tom.png")
        >>> data.load("animals", root=".")
        Images(animals, 1 images, 1 classes)
    """
    checks.one_of("split", split, ("train", "test"))
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"name must be the name of a data set or of one folder, got {name!r}")
    base = place(root)
    known = KNOWN.get(name.lower().replace("-", "").replace("_", ""))
    if known is None:
        if download:
            raise ValueError(f"there is no download for {name!r}; there is one for {', '.join(KNOWN)}")
        return _folder(name, base / name, split)
    folder = base / known.folder
    if not folder.exists():
        by_hand = f"fetch {' and '.join(known.archives)} and put the files, unpacked, into {folder}"
        if not download:
            raise FileNotFoundError(
                f"{known.title} is not here: looked for {folder}. Either load({name!r}, download=True), or "
                f"{by_hand}. Another place is named by $CONVNOTES_DATA or root=."
            )
        fetch(known.archives, folder, by_hand)
    read = _cifar if known.folder.startswith("cifar") else _idx
    return read(known, folder, split)


class _NumpyOnly(pickle.Unpickler):
    """Reads plain values and numpy arrays and nothing else: a data file must not be able to run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return lambda _, shape, dtype: np.empty(shape, dtype)
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a data file has no need of")


def _unpickle(file: Path) -> dict[str, Any]:
    with _open(file) as stream:
        try:
            content = _NumpyOnly(stream, encoding="latin1").load()  # latin1: the files were written by Python 2
        except Exception as problem:  # a damaged pickle may raise nearly anything
            raise ValueError(f"{file} is damaged or no CIFAR file: {problem}. {_RENEW}") from problem
    if not isinstance(content, dict):
        raise ValueError(f"{file} is no CIFAR file: it holds a {type(content).__name__}, not a dict. {_RENEW}")
    return content


def _cifar(known: Known, folder: Path, split: str) -> Images:
    """10: ten thousand pictures a file; 100: one file a split. Rows are 3·32·32 bytes, red, green, blue."""
    if known.title == "CIFAR-10":
        files = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
        meta, classes, labels = "batches.meta", "label_names", "labels"
    else:
        files, meta, classes, labels = [split], "meta", "fine_label_names", "fine_labels"
    names = _unpickle(folder / meta).get(classes)
    if not isinstance(names, list):
        raise ValueError(f"{folder / meta} has no list of {classes}")
    rows, y = [], []
    for file in files:
        content = _unpickle(folder / file)
        data, marks = content.get("data"), content.get(labels)
        if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape[1:] == (3072,)):
            raise ValueError(f"{folder / file} holds no uint8 array of shape (N, 3072)")
        if not (isinstance(marks, list) and len(marks) == len(data)):
            raise ValueError(f"{folder / file} does not hold one of {labels} for each of its {len(data)} images")
        rows.append(data)
        y += marks
    pixels = torch.from_numpy(np.concatenate(rows)).reshape(-1, 3, 32, 32)
    return Images(known.title, names, pixels, torch.tensor(y, dtype=torch.int64))


def _idx(known: Known, folder: Path, split: str) -> Images:
    part = "train" if split == "train" else "t10k"
    pixels = _idx_array(folder / f"{part}-images-idx3-ubyte", 3)[:, None]
    labels = _idx_array(folder / f"{part}-labels-idx1-ubyte", 1).long()
    classes = FASHION if known.title == "Fashion-MNIST" else tuple(map(str, range(10)))
    return Images(known.title, classes, pixels, labels)


def _idx_array(file: Path, dimensions: int) -> Tensor:
    """An idx file of bytes, plain or .gz: two zeros, type 8, the number of dimensions, big-endian sizes, bytes."""
    if not file.exists():
        file = file.with_name(file.name + ".gz")
    with _open(file) as stream:
        try:
            content = gzip.decompress(stream.read()) if file.suffix == ".gz" else stream.read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise ValueError(f"{file} is damaged: {problem}. {_RENEW}") from problem
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < start:
        raise ValueError(f"{file} is no idx file of bytes with {dimensions} dimensions: it starts with {content[:4]!r}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) - start != np.prod(shape):
        raise ValueError(f"{file} is damaged: it promises {shape} bytes and holds {len(content) - start}. {_RENEW}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _open(file: Path) -> BinaryIO:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing, so {file.parent} is incomplete: remove it and load it again")
    return file.open("rb")


def _folder(name: str, folder: Path, split: str) -> Images:
    """Images a class below folder/split; the classes are the sorted names of the folders there and in the other split.

    A class that lacks in one split thus shifts no label.
    """
    if not (folder / split).is_dir() or not (classes := folders.classes_of(folder)):
        there = [part for part in folders.SPLITS if (folder / part).is_dir() and part != split]
        found = f"{folder} has {there[0]} only" if there else f"there is no such folder in {folder.parent}"
        raise FileNotFoundError(
            f"{name} has no {split} images: looked for {folder / split}/<class>/*.png or *.jpg; {found}. Put one "
            f"folder of images a class there, or name another place by $CONVNOTES_DATA or root=. By name, with "
            f"download=True: {', '.join(KNOWN)}."
        )
    if loose := folders.loose_images(folder / split):
        raise ValueError(f"{len(loose)} images in {folder / split} are in no class folder, {loose[0].name} among them")
    images = [folders.images_of(folder / split / kind) for kind in classes]
    files = [file for kind in images for file in kind]
    labels = [label for label, kind in enumerate(images) for _ in kind]
    if not files:
        raise FileNotFoundError(f"{folder / split} has {len(classes)} class folders, but no image in any")
    return Images(TITLES.get(name, name), classes, files, torch.tensor(labels, dtype=torch.int64))
