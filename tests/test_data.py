"""Real data: embedded pictures and splits, larger sets read safely, downloads that are whole or not there at all."""

import gzip
import hashlib
import io
import os
import pickle
import sys
import tarfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import assert_close
from PIL import Image

from convnotes.data import PHOTOGRAPHS, TEXTURES, digits, larger, load, photograph, texture, textures


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


@contextmanager
def server(content: bytes | dict[str, bytes], promised: int | None = None, status: int = 200):
    """Serves `content` at every path, or one content a path, promising `promised` bytes; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = content[self.path] if isinstance(content, dict) else content
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if promised is None else promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def archive(tmp_path) -> bytes:
    """A small CIFAR-10 packed as the published one is."""
    cifar10(tmp_path / "source" / "cifar-10-batches-py")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.add(tmp_path / "source" / "cifar-10-batches-py", "cifar-10-batches-py")
    return stream.getvalue()


@pytest.fixture
def publish(monkeypatch):
    """Let a set be found at another address, with the checksum of other bytes."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def as_published(name: str, archives: dict[str, bytes]) -> None:
        sums = {url: hashlib.sha256(content).hexdigest() for url, content in archives.items()}
        monkeypatch.setitem(larger.KNOWN, name, larger.KNOWN[name]._replace(archives=sums))

    return as_published


def test_a_download_is_unpacked_in_its_place_and_read_without_the_network_afterwards(tmp_path, archive, publish):
    root = tmp_path / "new" / "data"
    with server(archive) as address:
        publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
        assert len(load("cifar10", root=root, download=True)) == 15
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"], "nothing else is left"
    assert "batches.meta" in os.listdir(root / "cifar-10-batches-py")
    assert len(load("cifar10", "test", root=root, download=True)) == 3, "the server is gone: nothing was fetched"


def test_files_that_are_no_archives_are_kept_as_they_are(tmp_path, publish):
    files = {f"/{name}.gz": gzip.compress(content) for name, content in mnist_files().items()}
    with server(files) as address:
        publish("mnist", {address + path: content for path, content in files.items()})
        assert load("mnist", root=tmp_path, download=True).labels.tolist() == [7, 0]
    assert sorted(os.listdir(tmp_path / "MNIST" / "raw")) == sorted(f"{name}.gz" for name in mnist_files())


def assert_nothing_was_kept(tmp_path):
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_interrupted_download_leaves_nothing(tmp_path, archive, publish):
    with server(archive[: len(archive) // 2], promised=len(archive)) as address:
        publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
        with pytest.raises(ConnectionError, match=rf"could not fetch {address}/cifar.*put the files, unpacked, into"):
            load("cifar10", root=tmp_path / "data", download=True)
    assert_nothing_was_kept(tmp_path)


@pytest.mark.parametrize(
    "change", [lambda a: a[:-100], lambda a: a[:-1] + b"!", lambda a: b""], ids=["cut", "changed", "empty"]
)
def test_a_file_that_is_not_the_published_one_leaves_nothing(tmp_path, archive, publish, change):
    with server(change(archive)) as address:
        publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
        with pytest.raises(ValueError, match=r"gave something else than what was published \(SHA-256 [0-9a-f]{64}"):
            load("cifar10", root=tmp_path / "data", download=True)
    assert_nothing_was_kept(tmp_path)


def test_without_a_network_the_error_says_what_was_tried_and_what_to_do(tmp_path, archive, publish):
    with server(b"") as address:
        pass  # closed again: nobody listens there
    publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
    with pytest.raises(ConnectionError) as refused:
        load("cifar10", root=tmp_path / "data", download=True)
    assert f"could not fetch {address}/cifar-10-python.tar.gz" in str(refused.value)
    assert f"into {tmp_path / 'data' / 'cifar-10-batches-py'}" in str(refused.value)
    assert_nothing_was_kept(tmp_path)


def test_a_server_that_has_moved_leaves_nothing(tmp_path, archive, publish):
    with server(b"gone", status=404) as address:
        publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
        with pytest.raises(ConnectionError, match="404"):
            load("cifar10", root=tmp_path / "data", download=True)
    assert_nothing_was_kept(tmp_path)


def test_a_keyboard_interrupt_while_unpacking_leaves_nothing(tmp_path, archive, publish, monkeypatch):
    def interrupted(self, path, **_):
        open(os.path.join(path, "half"), "w").close()
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extractall", interrupted)
    with server(archive) as address:
        publish("cifar10", {f"{address}/cifar-10-python.tar.gz": archive})
        with pytest.raises(KeyboardInterrupt):
            load("cifar10", root=tmp_path / "data", download=True)
    assert_nothing_was_kept(tmp_path)


def test_every_published_file_has_a_checksum():
    for known in larger.KNOWN.values():
        for url, sha256 in known.archives.items():
            assert url.startswith("http")
            assert len(bytes.fromhex(sha256)) == 32
