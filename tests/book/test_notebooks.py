"""The notebooks as files: executed whole, nothing tagged away, every picture in words, the chapters of one pattern."""

import ast
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from support import measured
from support.broken_notebooks import printed
from support.editions import BOOK, NOTEBOOKS, PAGES, SECOND

ROOT = Path(__file__).parents[2]
PARTS = ("fundamentals", "compression", "receptive_field", "operations", "beyond")
CHAPTERS = [p for p in NOTEBOOKS if p.parent.name in PARTS]
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def named(path: Path) -> str:
    return str(path.relative_to(BOOK))


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=named)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def text(path: Path) -> str:
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def test_the_table_of_contents_holds_every_notebook_and_no_other():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {toc["root"]} | {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {str(p.relative_to(ROOT).with_suffix("")) for p in NOTEBOOKS} <= files
    for file in files:
        assert any((ROOT / f"{file}{suffix}").exists() for suffix in (".md", ".ipynb")), file


@every_notebook
def test_it_was_executed_from_top_to_bottom_without_an_error_and_has_outputs(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    for cell in cells:
        assert not [o for o in cell.outputs if o.output_type == "error"], cell.source
        assert not [o for o in cell.outputs if o.get("name") == "stderr"], f"stderr in the page: {cell.source}"


@every_notebook
def test_few_cells_are_left_out_of_the_comparison_and_each_says_why(path):
    cells = code_cells(path)
    ignored = [cell for cell in cells if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert len(ignored) <= math.ceil(len(cells) / 20)
    for cell in ignored:
        assert len(cell.metadata.get("reason", "")) > 15, f"no reason given for: {cell.source}"
    for cell in cells:
        assert not {"nbval-skip", "raises-exception", "nbval-raises-exception"} & set(cell.metadata.get("tags", []))
        assert "NBVAL_" not in cell.source


@every_notebook
def test_every_picture_has_a_text_for_those_who_do_not_see_it(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            data = output.get("data", {})
            if VIEW in data:
                assert len(data["text/plain"]) > 40, f"the widget says nothing of itself: {cell.source}"
            elif "image/svg+xml" in data:
                assert len(data["text/plain"]) > 40, f"alt is too short: {cell.source[:200]}"
            elif any(kind.startswith("image/") for kind in data):
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                assert len(alt) > 40, f"mystnb.image.alt is missing or too short: {cell.source[:200]}"
    for alt in re.findall(r"!\[(.*?)\]\(", text(path)):
        assert len(alt) > 20
    assert "```{figure}" not in text(path) or ":alt:" in text(path)


def bare_comparisons(source: str) -> list[str]:
    """Comparisons whose result is thrown away, or only displayed: `a == b`, `torch.equal(a, b)`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr):
            value = node.value
            called = isinstance(value, ast.Call) and getattr(value.func, "attr", getattr(value.func, "id", ""))
            if isinstance(value, ast.Compare) or called in ("equal", "allclose", "isclose"):
                found.append(ast.unparse(node))
    return found


@every_notebook
def test_no_comparison_stands_without_assert(path):
    for cell in code_cells(path):
        assert not bare_comparisons(cell.source)


def test_no_comparison_stands_without_assert_in_the_tests_either():
    assert bare_comparisons("x == 1\ntorch.equal(a, b)\nassert x == 1") == ["x == 1", "torch.equal(a, b)"]
    for file in (ROOT / "tests").rglob("*.py"):
        assert not bare_comparisons(file.read_text()), file


@every_notebook
def test_every_stored_widget_is_of_today_s_source_and_has_its_state(path):
    from convnotes import widgets
    from convnotes.widgets.base import source, style

    modules = [getattr(widgets, name).module for name in widgets.__all__]
    today = {(source(module), style(module)) for module in modules}
    notebook = read(path)
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    views = [o.data[VIEW]["model_id"] for c in code_cells(path) for o in c.outputs if VIEW in o.get("data", {})]
    assert sorted(state) == sorted(views)
    for record in state.values():
        fresh = (record["state"]["_esm"], record["state"]["_css"]) in today
        assert fresh, "the stored widget is of an older source: run `python book/execute.py --widgets`"


def test_every_notebook_is_gated_as_a_chapter_or_as_a_page():
    gated = {*SECOND, *PAGES}
    assert {named(path.with_suffix("")) for path in CHAPTERS} <= gated
    assert len(gated) == len(SECOND) + len(PAGES)


@every_chapter
def test_every_solution_executes_and_ends_in_an_assert(path):
    cells = read(path).cells
    starts = [n for n, cell in enumerate(cells) if "solution-start" in cell.source]
    for start in starts:
        end = next(n for n in range(start, len(cells)) if "solution-end" in cells[n].source)
        code = [cell.source for cell in cells[start:end] if cell.cell_type == "code"]
        assert code, "a solution without code"
        last = ast.parse(code[-1]).body[-1]
        checked = isinstance(last, ast.Assert) or "assert" in ast.unparse(last)
        assert checked, f"the solution ends without an assert: {code[-1]}"


@every_notebook
def test_a_tolerance_is_explained_and_used_and_no_number_has_more_digits_than_it_supports(path):
    for cell in code_cells(path):
        if "tolerance" not in cell.metadata:
            continue
        tolerance = cell.metadata["tolerance"]
        assert len(cell.metadata.get("reason", "")) > 15, f"no reason given for: {cell.source}"
        texts = [holder[key] for holder, key in printed(cell)]
        assert not [number for text in texts for number in measured.unsupported(text, tolerance)], cell.source
        lines = [line for text in texts for line in text.splitlines()]
        for words, value in measured.rows(tolerance):
            assert value > 0
            used = any(most for line in lines for _, most in measured.numbers(line, [(words, value)]))
            assert used, f"no number is printed after {words!r}: {cell.source}"


def test_the_widget_sources_can_be_renewed_without_running_a_notebook(tmp_path):
    source = BOOK / "compression" / "pointwise.ipynb"
    stale = json.loads(source.read_text())
    for record in stale["metadata"]["widgets"][STATE]["state"].values():
        record["state"] |= {"_esm": "export default {}", "_css": ""}
    path = tmp_path / "stale.ipynb"
    path.write_text(json.dumps(stale))
    subprocess.run([sys.executable, BOOK / "execute.py", "--widgets", path], check=True, capture_output=True)
    assert read(path) == read(source)
