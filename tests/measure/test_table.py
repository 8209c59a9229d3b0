"""One table: as text and as HTML."""

from convnotes import designs
from convnotes.measure import Table


def test_a_table_says_the_same_as_text_and_as_html():
    shown = designs.overview(designs.read()[:2], "Two <rows>")
    assert "plain 3×3" in repr(shown)
    markup = shown._repr_html_()
    assert "<p class='cn-title'>Two &lt;rows&gt;</p>" in markup
    assert "aria-label='Two &lt;rows&gt;'" in markup
    assert markup.count("<tr>") == 3
    assert "cn-words" not in markup
    assert "cn-words" in Table("in words", ["limit", "because"], [["time", "3 times"]])._repr_html_()
    assert repr(Table("", ["a", "n"], [["b", "7.5 ms"], ["c", "12 ms"]])).splitlines()[2] == "c   12 ms"


def test_the_total_stands_at_the_foot():
    shown = Table("", ["layer", "macs"], [["conv", "1,000"], ["total", "1,000"]], total=True)
    foot = "<tfoot><tr class='total'><th scope='row'>total</th><td class='n'>1,000</td></tr></tfoot>"
    assert shown._repr_html_().endswith(f"</tbody>{foot}</table></div>")
    assert repr(shown).splitlines()[-1] == "total  1,000"


def sides(*column: str) -> str:
    """Where a column of these cells stands: the HTML and the text have to agree."""
    shown = Table("", ["row", "a wide head"], [["r", cell] for cell in column])
    right = "<th scope='col' class='n'>a wide head</th>" in shown._repr_html_()
    assert repr(shown).splitlines()[1] == f"r    {column[0]:{'>' if right else '<'}11}".rstrip(), column
    return "right" if right else "left"


def test_columns_of_numbers_stand_to_the_right_with_signs_shares_and_units_too():
    for column in (
        ["−0.52", "+0.71"],
        ["+3.0%", "100%"],
        ["1/32", "1"],
        ["2·10⁻²⁰", "0.7"],
        ["7.5 ms", "12 ms"],
        ["25.0 M", "0.4 G"],
        ["≥ 25", "0.3 to 0.9"],
        ["25", "65", "all"],
    ):
        assert sides(*column) == "right", column
    for column in (["the same", "12"], ["3×3", "5×5"], ["G", "M"], ["+0.01 against plain 3×3", "0.42 of those"]):
        assert sides(*column) == "left", column


def test_cells_that_say_nothing_do_not_decide_where_their_column_stands():
    assert "class='n'" not in Table("", ["row", "seeds"], [["a", ""], ["b", "apart"]])._repr_html_()
    assert "class='n'" in Table("", ["row", "n"], [["a", "–"], ["b", "−3"]])._repr_html_()
    assert "class='n'" not in Table("", ["row", "n"], [["a", "–"], ["b", ""]])._repr_html_()
    assert repr(Table("", ["row", "n"], [])) == "row  n"
