"""Compare two evaluations: what differs, is it more than chance, which samples changed.

    python -m diagonal_eval.compare out/eval/a out/eval/b
    python -m diagonal_eval.compare out/eval/a out/eval/b --output out/eval/a-b

Tests are paired: both models answered the same samples. p-values are adjusted for the number of
tasks (Holm). Tasks that cannot be compared are named with the reason.
"""

from rich.text import Text

from diagonal_eval.compare.config import CompareConfig
from diagonal_eval.compare.folders import read_folder
from diagonal_eval.compare.outcome import (
    compare,
    comparison_json,
    comparison_table,
    remarks,
    write_changed,
)
from diagonal_eval.compare.page import comparison_html
from diagonal_infra import log, storage
from diagonal_infra.cli import run_command
from diagonal_infra.run_dir import to_json
from diagonal_train.exporting.escaping import plain


def main(config: CompareConfig) -> None:
    """Print the differences and the verdict; write them if a folder is given."""
    a, b = read_folder(config.a), read_folder(config.b)
    if config.output is not None:
        storage.check_writable(config.output)
    found = compare(a, b, config)
    log.STDOUT.print(comparison_table(found))
    for name, reason in remarks(found):
        log.STDOUT.print(Text(plain(f"{name}: {reason}")), soft_wrap=True)
    log.STDOUT.print(found.overall.verdict, soft_wrap=True, markup=False, highlight=False)
    if config.output is None:
        return
    page = comparison_html(found, changed_shown=config.changed_shown)
    path = storage.join(config.output, "compare.html")
    write_changed(storage.join(config.output, "changed.parquet"), found)
    storage.write_bytes(path, page.encode("utf-8", "replace"))
    record = to_json(comparison_json(found))
    storage.write_bytes(storage.join(config.output, "compare.json"), record)
    log.STDOUT.print(f"report: {path}", soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    run_command(main, CompareConfig, description=__doc__)
