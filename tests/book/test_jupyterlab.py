"""A widget in JupyterLab with a kernel: Python moves the figure, and the page and its buttons move the traits."""

import collections
import json
import os
import re
import subprocess
import sys
import threading

import nbformat
import pytest
from support.visits import Visit, browser_test

MAKE, SET, PRINT = CELLS = (
    """from convnotes.widgets import FieldGrower
grower = FieldGrower([[3, 1, 1]] * 2, links={"four dilated layers": {"layers": [[3, 1, 2]] * 4}})
grower""",
    "grower.layers = [[3, 1, 1], [3, 1, 2], [5, 1, 1]]",
    "print(len(grower.layers))",
)
# As in a chapter: JupyterLab takes the address away, so that only the words are left.
WORDS = "Four layers [see further](set:layers=[[3,1,2],[3,1,2],[3,1,2],[3,1,2]]) than two"
ASKING_OUTSIDE = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension:plugin",
)
PATIENCE = 120_000  # milliseconds, for a loaded machine


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab without the user's settings, on a folder with one notebook; gives its address."""
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "root"
    root.mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[*map(nbformat.v4.new_code_cell, CELLS), nbformat.v4.new_markdown_cell(WORDS)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, root / "grower.ipynb")
    own = {
        "IPYTHONDIR": f"{folder / 'ipython'}",
        "JUPYTER_CONFIG_DIR": f"{folder / 'config'}",
        "JUPYTER_DATA_DIR": f"{folder / 'data'}",
        "JUPYTER_RUNTIME_DIR": f"{folder / 'runtime'}",
        "JUPYTER_TOKEN": "known",
    }
    settings = folder / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"disabledExtensions": dict.fromkeys(ASKING_OUTSIDE, True)}))
    options = ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={root}"]
    with subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options],
        env=os.environ | own,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if address := re.search(r"http://127\.0\.0\.1:\d+/", line):
                    break
            else:
                pytest.fail("JupyterLab did not start:\n" + "".join(said))
            # A full pipe would stop the server: the rest is read and dropped.
            rest = threading.Thread(target=collections.deque, args=(server.stderr, 0))
            rest.start()
            yield address[0]
            server.terminate()
            assert server.wait(60) == 0
            rest.join(60)
            assert not rest.is_alive(), "a kernel that JupyterLab started has not ended"
        finally:
            server.kill()


@pytest.fixture(scope="module")
def visit(chromium, lab):
    """The notebook in the browser, its first cell run."""
    with Visit(chromium, lab, "lab/tree/grower.ipynb?token=known") as visit:
        visit.page.set_default_timeout(PATIENCE)
        visit.page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()
        run(visit.page, MAKE)
        visit.page.locator("[data-widget]").wait_for()
        yield visit


def cell_of(page, code):
    return page.locator(".jp-CodeCell").nth(CELLS.index(code))


def run(page, code) -> None:
    """Run one cell by the keyboard, and wait until the kernel has."""
    cell = cell_of(page, code)
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.text_content()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        r"([e, before]) => e.textContent !== before && /\[\d+\]/.test(e.textContent)",
        arg=[prompt.element_handle(), before],
    )


def printed(page) -> int:
    run(page, PRINT)
    return int(cell_of(page, PRINT).locator(".jp-OutputArea-output").text_content())


@browser_test
def test_a_trait_set_in_python_moves_the_figure(visit):
    run(visit.page, SET)
    size = 1 + 2 * 1 + 2 * 2 + 4 * 1  # 1 + Σ (kernel size − 1) · dilation
    visit.page.locator('[data-shown="size"]', has_text=f"{size}×{size}").wait_for()
    visit.page.locator(f'[data-widget] svg[aria-label*="{size} by {size} pixels"]').wait_for()
    assert visit.page.locator('input[data-control="layers"]').input_value() == "3"
    assert not visit.wrong


@browser_test
def test_a_slider_moved_by_keyboard_reaches_python_and_jupyterlab_leaves_it_the_key(visit):
    slider = visit.page.locator('input[data-control="layers"]')
    before = int(slider.input_value())
    slider.focus()
    visit.page.keyboard.press("ArrowDown")  # JupyterLab's own key for the next cell
    assert int(slider.input_value()) == before - 1
    assert "jp-mod-active" in cell_of(visit.page, MAKE).get_attribute("class").split()
    assert printed(visit.page) == before - 1
    assert not visit.wrong


@browser_test
@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_button_of_a_link_is_reached_by_tab_and_sets_the_traits_of_the_widget(visit, key):
    page = visit.page
    run(page, SET)
    size = page.locator('[data-shown="size"]')
    size.filter(has_text="11×11").wait_for()
    button = page.locator('[data-control="link-0"]')
    assert button.text_content() == "four dilated layers"
    page.locator('input[data-control="layers"]').focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        if button.evaluate("b => b === document.activeElement"):
            break
    else:
        pytest.fail("sixty steps of the Tab key do not reach the button")
    page.keyboard.press(key)
    size.filter(has_text="17×17").wait_for()  # 1 + 4 · 2 · 2
    assert page.locator('input[data-control="layers"]').input_value() == "4"
    assert "jp-mod-editMode" not in page.locator(".jp-Notebook").get_attribute("class").split()
    assert printed(page) == 4
    assert not visit.wrong


@browser_test
def test_words_that_set_a_figure_in_the_page_are_plain_words_in_jupyterlab(visit):
    said = visit.page.locator(".jp-MarkdownCell .jp-RenderedMarkdown")
    assert said.text_content().rstrip("¶\n ") == "Four layers see further than two"
    assert not said.locator("a[href]").count()
