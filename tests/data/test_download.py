"""Downloads are whole or not there at all."""

import gzip
import hashlib
import io
import os
import tarfile
from http.server import BaseHTTPRequestHandler

import pytest
from support.data_sets import cifar10, mnist_files
from support.serving import served

from convnotes.data import larger, load


def server(content: bytes | dict[str, bytes], promised: int | None = None, status: int = 200):
    """Serve `content` at every path, or one content a path, promising `promised` bytes; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = content[self.path] if isinstance(content, dict) else content
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if promised is None else promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return served(Handler)


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
            assert url.startswith("https://")
            assert len(bytes.fromhex(sha256)) == 32
