import csv
import io

import pytest

from diagonal_train.exporting.escaping import csv_text, latex_text, markdown_text, plain


def test_text_stays_one_line_in_its_own_order() -> None:
    assert plain("a\nb\tc\u2028d") == "a b c d"
    assert plain("safe\u202eexe\u2066") == "safe\ufffdexe\ufffd"
    assert plain("nul\0 esc\x1b half\ud800") == "nul\ufffd esc\ufffd half\ufffd"


def test_other_scripts_and_emoji_stay_as_they_are() -> None:
    for text in ("قطة سوداء", "日本", "👩‍🚀", "naïve"):
        assert plain(text) == markdown_text(text) == csv_text(text) == latex_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>a</b>", "&lt;b&gt;a&lt;/b&gt;"),
        ("a|b", r"a\|b"),
        ("[x](http://e.example)", r"\[x\](http\://e.example)"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("2.13.0", "2.13.0"),
        ("www.e.example", r"www\.e.example"),
        ("recall@1 of a-b", "recall@1 of a-b"),
    ],
)
def test_markdown_has_no_markup_from_names(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "＝"])
def test_no_cell_is_a_formula(start: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow([csv_text(f"{start}cmd|' /C calc'!A0")])
    (cell,) = next(csv.reader([line.getvalue()]))
    assert cell.startswith("'")


def test_numbers_of_names_stay_cells_of_text() -> None:
    assert csv_text("a=b") == "a=b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50% & $x_1$ #2", r"50\% \& \$x\_1\$ \#2"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("[h] *", "{[}h{]} {*}"),
        ("a~b^c", r"a\textasciitilde{}b\textasciicircum{}c"),
    ],
)
def test_latex_runs_nothing(text: str, shown: str) -> None:
    assert latex_text(text) == shown
