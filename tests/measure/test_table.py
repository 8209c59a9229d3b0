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
