"""Run notebooks and store what they print: `make notebooks`, or `python book/execute.py NOTEBOOK …`.

Outputs and widget state are stored without anything that differs from run to run (times, random identifiers, versions),
so that running an unchanged notebook again changes nothing. A notebook that fails is left as it was.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import yaml
from convnotes.files import replacing
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"
IMPORT = re.compile(r"^(from|import) convnotes\b", flags=re.MULTILINE)
STATE = "application/vnd.jupyter.widget-state+json"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}  # of a kernel, here and in the tests, which run two at a time


def notebooks_of_the_book() -> list[Path]:
    """The notebooks of `_toc.yml`, in its order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"]] + [
        chapter["file"] for part in toc["parts"] for chapter in part["chapters"]
    ]
    return [path for file in files if (path := ROOT / f"{file}.ipynb").exists()]


def execute(path: Path) -> None:
    """Run one notebook from an empty kernel and store it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    say_how_to_install(notebook)
    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
        record_timing=False,
    )
    client.execute(env=os.environ | ONE_THREAD)
    settle(notebook, path.stem)
    with replacing(path) as part:
        nbformat.write(notebook, part)


def installing() -> str:
    """What a reader does where `convnotes` is missing: a comment that Python shows with the failed import."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = config["repository"]["url"]
    if address:
        return f'# Not found? %pip install "convnotes[book] @ git+{address}"'
    return '# Not found? In the folder of the book: pip install -e ".[book]"'


def say_how_to_install(notebook: nbformat.NotebookNode) -> None:
    """Put `installing()` before the first import of convnotes."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and (found := IMPORT.search(cell.source)):
            at = found.start()
            lines = cell.source[:at].splitlines()
            while lines and (
                not lines[-1] or lines[-1].startswith("# Not found?")
            ):
                lines.pop()
            above = [*lines, ""] if lines else []
            cell.source = "\n".join([*above, installing(), cell.source[at:]])
            return


def settle(notebook: nbformat.NotebookNode, name: str) -> None:
    """Take out what differs from run to run: widget ids become `<name>-<n>`, models that no view needs go."""
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell["outputs"] = one_stream(cell["outputs"])
    views = [
        o
        for c in notebook.cells
        for o in c.get("outputs", [])
        if VIEW in o.get("data", {})
    ]
    if not views:
        notebook.metadata.pop("widgets", None)
        return
    state = notebook.metadata["widgets"][STATE]["state"]
    kept = {}
    for number, output in enumerate(views, 1):
        model = output["data"][VIEW]["model_id"]
        record = state[model]
        record["state"].pop(
            "layout", None
        )  # an empty model of its own; the page has a style sheet
        record["state"]["_anywidget_id"] = record["state"][
            "_anywidget_id"
        ].rsplit("-", 1)[0]
        kept[f"{name}-{number}"] = record
        output["data"][VIEW]["model_id"] = f"{name}-{number}"
    notebook.metadata["widgets"] = {
        STATE: {"state": kept, "version_major": 2, "version_minor": 0}
    }


def renew_widgets(path: Path) -> None:
    """Put today's source of every stored widget into a notebook, and how to install, and change nothing else."""
    from convnotes import widgets
    from convnotes.widgets.base import source, style

    notebook = nbformat.read(path, as_version=4)
    stored = notebook.metadata.get("widgets", {}).get(STATE, {"state": {}})
    for record in stored["state"].values():
        kind = getattr(
            widgets, record["state"]["_anywidget_id"].rsplit(".", 1)[1]
        )
        record["state"] |= {
            "_esm": source(kind.module),
            "_css": style(kind.module),
        }
    say_how_to_install(notebook)
    with replacing(path) as part:
        nbformat.write(notebook, part)


def one_stream(outputs: list) -> list:
    """What a cell printed as one text, however many pieces it came in."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "notebooks",
        nargs="*",
        type=Path,
        help="all of the table of contents where none is named",
    )
    parser.add_argument(
        "--widgets",
        action="store_true",
        help="run nothing: only renew the stored source of the widgets",
    )
    arguments = parser.parse_args()
    paths = arguments.notebooks or notebooks_of_the_book()
    if arguments.widgets:
        for path in paths:
            renew_widgets(path)
        return 0
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path} … ", end="", flush=True)
        start = time.perf_counter()
        try:
            execute(path)
        except CellExecutionError as problem:
            print(f"failed\n{problem}", file=sys.stderr)
            return 1
        print(f"{time.perf_counter() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
