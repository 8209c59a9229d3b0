"""A publisher of weights on this machine: files of the published names and shapes, made on the spot."""

import functools
import hashlib
import http.server
import json
from pathlib import Path

import pytest
import torch
from support.serving import served

from convnotes import pretrained

NAMES = {}
for part in ("compression", "receptive_field"):
    NAMES |= json.loads((Path(__file__).parents[1] / part / "torchvision_names.json").read_text())


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """Serve a folder on this machine in the place of the publisher; gives the folder and the log of requests."""
    published, asked = tmp_path / "published", []
    published.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    with served(functools.partial(Handler, directory=str(published))) as address:
        monkeypatch.setattr(pretrained, "_AT", f"{address}/")
        yield published, asked


def publish(folder: Path, name: str, monkeypatch, state=None) -> Path:
    file = folder / pretrained.PUBLISHED[name][0]
    if state is None:
        generator = torch.Generator().manual_seed(0)
        state = {
            key: torch.rand(shape, generator=generator) if shape else torch.tensor(0)
            for key, shape in NAMES[name].items()
        }
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(pretrained.PUBLISHED, name, (file.name, digest))
    return file
