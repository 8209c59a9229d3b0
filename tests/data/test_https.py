"""Downloads come by https with a checksum: other addresses, and redirects to them, are refused."""

import re
from http.server import BaseHTTPRequestHandler

import pytest
from support.serving import served

from convnotes import pretrained
from convnotes.data import download, larger


def test_every_address_has_https_and_a_checksum():
    sets = {url: sha for known in larger.KNOWN.values() for url, sha in known.archives.items()}
    weights = {pretrained._AT + file: sha for file, sha in pretrained.PUBLISHED.values()}
    for url, sha in {**sets, **weights}.items():
        assert url.startswith("https://"), url
        assert re.fullmatch(r"[0-9a-f]{64}" if url in sets else r"[0-9a-f]{8}|[0-9a-f]{64}", sha), url


@pytest.mark.parametrize("url", ["http://example.com/a", "ftp://example.com/a", "file:///etc/hostname"])
def test_an_address_without_https_is_refused_before_anything_is_asked(url, tmp_path):
    with pytest.raises(ConnectionError, match="https"):
        download.fetch({url: "0" * 64}, tmp_path / "new" / "set", "get it by hand")
    assert not list(tmp_path.iterdir())


def test_a_redirect_to_an_address_without_https_is_not_followed(tmp_path, monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/a")
            self.end_headers()

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(Handler) as address, pytest.raises(ConnectionError, match=r"need.* https, got http://example\.invalid"):
        download.fetch({f"{address}/a": "0" * 64}, tmp_path / "new" / "set", "get it by hand")
    assert not list(tmp_path.iterdir())
