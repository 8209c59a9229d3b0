"""Run the pure functions of a widget's own ES module in node, with the values that Python gives them."""

import atexit
import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from convnotes.widgets.base import source

# It answers a line with a line: a module's source by what its `found` holds, or by what went wrong.
ANSWERING = """
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
    const address = "data:text/javascript," + encodeURIComponent(JSON.parse(line));
    const answer = await import(address).then(({ found }) => ({ found }), (wrong) => ({ wrong: String(wrong) }));
    process.stdout.write(`${JSON.stringify(answer)}\\n`);
}
"""


@functools.cache
def _node() -> subprocess.Popen[str]:
    """One process of node for all calls of this process: to start one takes longer than almost any of them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine: apt-get install nodejs")
    command = [node, "--input-type=module", "-e", ANSWERING]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    atexit.register(running.communicate)  # which closes what it reads from, so that it ends
    return running


def call(module: str, expression: str, **values: Any) -> Any:
    """What `expression` gives in the module `<module>.js`, where `values` are in scope; typed arrays come as lists."""
    script = f"""
{source(module)}
const {{ {", ".join(values)} }} = {json.dumps(values)};
const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
export const found = JSON.stringify({expression}, plain);
"""
    node, too_late = _node(), threading.Timer(300, lambda: _node().kill())
    too_late.daemon = True
    too_late.start()
    node.stdin.write(json.dumps(script) + "\n")
    node.stdin.flush()
    answer = json.loads(node.stdout.readline() or '{"wrong": "node has ended, or gave no answer for 300 s"}')
    too_late.cancel()
    assert "wrong" not in answer, answer["wrong"]
    return json.loads(answer["found"])


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
