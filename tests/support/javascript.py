"""Run the pure functions of a widget's own ES module in node, with the values that Python gives them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from convnotes.widgets.base import source


def call(module: str, expression: str, **values: Any) -> Any:
    """What `expression` gives in the module `<module>.js`, where `values` are in scope; typed arrays come as lists."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine: apt-get install nodejs")
    script = f"""
{source(module)}
const {{ {", ".join(values)} }} = {json.dumps(values)};
const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
process.stdout.write(JSON.stringify({expression}, plain));
"""
    run = subprocess.run([node, "--input-type=module", "-"], input=script, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def refused_by_both(build: Callable[..., Any], state: dict[str, Any], says: str, **others: Any) -> None:
    """Assert that Python and the page refuse the one trait in `state`, and that the page takes the one `build` gives.

    `others` are the traits that the page compares it with.
    """
    with pytest.raises(Exception, match=says):
        build(**state)
    ((name, value),) = state.items()
    widget = build()
    values = [value, getattr(widget, name)]
    fits = "values.map((value) => accepts((name) => others[name])[name](value))"
    assert call(widget.module, fits, name=name, values=values, others=others) == [False, True]
