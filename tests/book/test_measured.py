"""The comparison of measured numbers: what lies within the tolerance passes, and nothing else does."""

import nbformat
import pytest
from support.measured import agree, unsupported, without_shapes
from support.nbval_runs import failed_cells

STORED = "mean of 3 seeds\naccuracy   0.71, loss 12.50\nparameters 2,702 (x0.25)\n"


@pytest.mark.parametrize(
    ("found", "tolerance", "equal"),
    [
        (STORED, 0.02, True),
        (STORED.replace("0.71", "0.73"), 0.02, True),
        (STORED.replace("0.71", "0.69"), 0.02, True),
        (STORED.replace("0.71", "0.74"), 0.02, False),
        (STORED.replace("0.71", "0.73"), [("accuracy", 0.02)], True),
        (STORED.replace("0.25", "0.26"), [("accuracy", 0.02)], False),
        (STORED.replace("12.50", "12.49"), [("accuracy", 0), ("loss", 0.5)], False),
        (STORED.replace("12.50", "12.49"), [("loss", 0.5), ("accuracy", 0)], True),
        (STORED.replace("0.71", "0.72"), [("loss", 0.5)], False),
        (STORED.replace("accuracy", "precision"), 0.02, False),
        (STORED.replace("loss ", ""), 0.02, False),
        (STORED.replace("0.71", ""), 0.02, False),
        (STORED.replace("0.71", "nan"), 0.02, False),
        (STORED.replace("0.71", "0.71 0.71"), 0.02, False),
        (STORED.replace("0.71", "0.710"), 0.02, False),
        (STORED.replace("0.71", "1"), 5, False),
        (STORED.replace("2,702", "2,703"), 5, False),
        (STORED.replace("3 seeds", "4 seeds"), 5, False),
        (STORED + "more\n", 0.02, False),
        (STORED.removesuffix("parameters 2,702 (x0.25)\n"), 0.02, False),
    ],
)
def test_texts_agree_within_the_tolerance_of_their_lines_and_in_all_else_to_the_letter(found, tolerance, equal):
    assert agree(STORED, found, tolerance) is equal


@pytest.mark.parametrize(
    ("stored", "found", "equal"),
    [
        ("+0.004", "−0.003", True),
        ("-0.004", "−0.003", True),
        ("0.006", "−0.006", False),
        ("  9.995 ms", " 10.002 ms", True),
        ("1,234.500", "1,234.510", True),
        ("0.5–0.7", "0.5–0.8", False),
        ("torch 2.13.0", "torch 2.14.0", False),
        ("<td>0.71</td><td>8</td>", "<td>0.72</td><td>8</td>", True),
        ("<td>0.71</td><td>8</td>", "<td>0.72</td><td>9</td>", False),
    ],
)
def test_signs_widths_and_marks_around_a_number(stored, found, equal):
    assert agree(stored, found, 0.01) is equal


@pytest.mark.parametrize(
    ("text", "tolerance", "bad"),
    [("0.71", 0.02, []), ("0.714", 0.02, ["0.714"]), ("0.714", 0.01, []), ("0.91 of 0.91", [("of", 0.5)], ["0.91"])],
)
def test_a_number_has_no_more_digits_than_its_tolerance_supports(text, tolerance, bad):
    assert unsupported(text, tolerance) == bad


def notebook(*cells: tuple[str, str, object]) -> nbformat.NotebookNode:
    """Of (source, stored output, tolerance or None)."""
    made = nbformat.v4.new_notebook()
    for number, (source, stored, tolerance) in enumerate(cells, 1):
        cell = nbformat.v4.new_code_cell(source, execution_count=number)
        html = stored.startswith("<")
        data = {"text/html": stored, "text/plain": "<IPython.core.display.HTML object>"}
        kind = ("execute_result", {"data": data, "execution_count": number}) if html else ("stream", {"text": stored})
        cell.outputs = [nbformat.v4.new_output(kind[0], **kind[1])]
        if tolerance is not None:
            cell.metadata["tolerance"] = tolerance
        made.cells.append(cell)
    return made


def test_nbval_compares_a_cell_as_its_metadata_says(tmp_path):
    table = "from IPython.display import HTML\nHTML('<table><tr><td>0.72</td></tr></table>')"
    cells = [
        ("print('accuracy 0.72')", "accuracy 0.71\n", 0.02),
        ("print('accuracy 0.72')", "accuracy 0.71\n", None),
        ("print('accuracy 0.74')", "accuracy 0.71\n", 0.02),
        ("print('precision 0.71')", "accuracy 0.71\n", 0.02),
        ("print('accuracy')", "accuracy 0.71\n", 0.02),
        ("pass", "accuracy 0.71\n", 0.02),
        ("print('accuracy 0.72'); print('cost 0.25')", "accuracy 0.71\ncost 0.26\n", [["accuracy", 0.02]]),
        (table, "<table><tr><td>0.71</td></tr></table>", 0.02),
        (table, "<table><tr><td>0.68</td></tr></table>", 0.02),
        ("print('accuracy 0.72'); assert 0.72 > 0.8", "accuracy 0.72\n", 0.02),
    ]
    assert failed_cells(tmp_path, notebook(*cells)) == [1, 2, 3, 4, 5, 6, 8, 9]


def test_a_drawing_is_compared_by_its_words():
    drawn = "<svg><path d='M0 1.25'/><text x='3.5'>plain 3×3</text><text x='1'>0.71</text></svg>"
    moved = drawn.replace("1.25", "1.26").replace("3.5", "3.6").replace("0.71", "0.72")
    assert without_shapes(drawn) == without_shapes(moved)
    assert without_shapes(f"<p>0.71</p>{drawn}") != without_shapes(f"<p>0.72</p>{drawn}")
    assert without_shapes(drawn) != without_shapes(drawn.replace("plain", "dilated"))
    assert without_shapes(drawn) != without_shapes(drawn + drawn)
