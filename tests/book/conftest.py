"""The book, built and served once, and a browser for its pages."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from support.visits import CHROMIUM, ROOT


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The book in both languages, built as `make book` builds it, once for all workers; a warning fails."""
    worker = tmp_path_factory.getbasetemp()
    out = (worker.parent if "PYTEST_XDIST_WORKER" in os.environ else worker) / "book"
    with FileLock(f"{out}.lock"):
        log = out / "log"
        if not log.exists():
            out.mkdir()
            run = subprocess.run(
                [sys.executable, ROOT / "book" / "build.py", "--to", out],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONWARNINGS": "ignore"},
            )
            log.write_text(f"{run.returncode}\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
    assert log.read_text().startswith("0\n"), log.read_text()
    return out / "html"


@pytest.fixture(scope="module")
def address(built):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()
