import re
from xml.etree import ElementTree

from diagonal_eval.dot_charts import LABEL_CHARS, Mark, Row, dot_chart, shortened

HOSTILE = "</text><script>alert(1)</script>"


def places(chart: str, kind: str) -> list[float]:
    return [float(x) for x in re.findall(rf'<circle class="{kind}[^"]*" cx="([0-9.]+)"', chart)]


def test_marks_lie_where_their_values_are() -> None:
    marks = [Mark(value=0), Mark(value=0.5, kind="small"), Mark(value=1, kind="hollow")]
    chart = dot_chart([Row(label="a", text="t", marks=marks)], low=0, high=1)
    (left,), (middle,), (right,) = (places(chart, kind) for kind in ("dot", "small", "hollow"))
    assert middle - left == right - middle > 0


def test_names_are_escaped_and_the_whole_is_a_tooltip() -> None:
    mark = Mark(value=0.5, title=HOSTILE)
    row = Row(label=HOSTILE, text=HOSTILE, marks=[mark, Mark(value=0.1, kind="chance")])
    tree = ElementTree.fromstring(dot_chart([row], low=0, high=1))
    assert tree.findall(".//script") == []
    titles = [title.text for title in tree.findall(".//title")]
    assert titles == [HOSTILE, HOSTILE]


def test_values_outside_the_axis_stay_on_its_ends() -> None:
    row = Row(label="a", text="", marks=[Mark(value=-5), Mark(value=5)], interval=(-9, 9))
    chart = dot_chart([row], low=-0.1, high=0.1, zero=True, signed=True)
    low, high = places(chart, "dot")
    assert low < high
    assert "+5" in chart
    assert 'class="zero"' in chart


def test_long_names_are_shortened() -> None:
    assert shortened("x" * LABEL_CHARS) == "x" * LABEL_CHARS
    assert len(shortened("x" * 99)) == LABEL_CHARS
