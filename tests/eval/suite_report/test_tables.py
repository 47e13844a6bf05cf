import csv
import io

from tests.eval.suite_report.folders import FORMULA, HOSTILE

from diagonal_eval.suite_report.record import read_tasks
from diagonal_eval.suite_report.tables import csv_table, latex_table, markdown_table

RESULTS = {
    "tasks": {
        HOSTILE: {
            "metric": "acc1",
            "metrics": {"acc5": 0.9, "acc1": 1 / 3},
            "ci95": {"acc1": [0.25, 0.5]},
            "n": 1200,
        },
        FORMULA: {"metric": "map", "metrics": {"map": float("nan")}, "n": 3},
    }
}
TASKS = read_tasks(RESULTS)


def test_csv_has_every_digit_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(TASKS))))
    assert list(rows[0]) == ["task", "metric", "value", "ci_low", "ci_high", "n"]
    assert rows[0]["task"] == HOSTILE
    assert [row["metric"] for row in rows] == ["acc1", "acc5", "map"]
    assert float(rows[0]["value"]) == 1 / 3
    assert (rows[0]["ci_low"], rows[0]["ci_high"], rows[0]["n"]) == ("0.25", "0.5", "1200")
    assert (rows[2]["task"], rows[2]["value"]) == ("'" + FORMULA, "")


def test_markdown_has_a_row_per_measure_and_as_many_cells() -> None:
    lines = markdown_table(TASKS).splitlines()
    assert len(lines) == 2 + 3
    assert all(line.replace("\\|", "").count("|") == 7 for line in lines)
    assert "| acc1 | **33.3** | 25.0 | 50.0 | 1,200 |" in lines[2]
    assert "<script>" not in "".join(lines)


def test_latex_has_balanced_braces_and_one_end() -> None:
    text = latex_table(TASKS)
    assert text.count("\\end{tabular}") == 1
    bare = text.replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert all(row.replace("\\&", "").count("&") == 5 and row.endswith("\\\\") for row in rows)
    assert "\\textbf{--} & -- & --" in rows[2]


def test_no_task_is_a_table_without_rows() -> None:
    assert len(markdown_table(()).splitlines()) == 2
    assert csv_table(()).splitlines() == ["task,metric,value,ci_low,ci_high,n"]
