"""Each case runs on its own backend."""

import pytest

from convnotes.kernels import backend


@pytest.fixture(autouse=True)
def _backend(request):
    layer = request.node.callspec.params.get("layer") if hasattr(request.node, "callspec") else None
    name = layer.backend if layer else "auto"
    if name != "auto" and name not in backend.available():
        pytest.skip(f"{name} is not installed")
    with backend.use(name):
        yield
