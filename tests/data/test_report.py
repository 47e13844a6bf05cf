import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.config import ReportConfig
from diagonal_data.manifest import Manifest, ShardInfo, finished_shards
from diagonal_data.report import host_funnels, main
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_infra import run_dir
from diagonal_infra.errors import UserError

Row = tuple[str, str | None]


def write_shard(dataset: Path, name: str, rows: list[Row], **known) -> None:
    """A finished shard by its row table and its stats, without a tar."""
    folder = dataset / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    table = [
        {
            "uid": uid_for(url, ""),
            "url": url,
            "caption": "",
            "status": "failed" if reason else "success",
            "reason": reason,
        }
        for url, reason in rows
    ]
    pq.write_table(pa.Table.from_pylist(table, schema=ROW_SCHEMA), folder / f"{name}.parquet")
    failed = [reason for _, reason in rows if reason]
    info = ShardInfo(
        name=name,
        candidates=len(rows),
        samples=len(rows) - len(failed),
        bytes=0,
        sha256="",
        reasons={reason: failed.count(reason) for reason in failed},
        **known,
    )
    (folder / f"{name}_stats.json").write_bytes(run_dir.to_json(asdict(info)))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two shards and a retry of one row; manifest.json knows of none of them yet."""
    Manifest(dataset=str(tmp_path), settings={}).write()
    write_shard(
        tmp_path,
        "00000000",
        [
            ("http://a/1", None),
            ("http://a/2", "timed_out"),
            ("http://a/3", "opted_out"),
            ("http://A:80/4", "opted_out"),
        ],
    )
    write_shard(tmp_path, "00000001", [("http://b/1", None), ("", "bad_url"), ("http://b/2", None)])
    write_shard(
        tmp_path,
        "00000002",
        [("http://a/2", "not_found")],
        retry_pass=1,
        retried={"timed_out": 1},
    )
    return tmp_path


def test_hosts_are_counted_by_their_latest_rows_most_rows_first(dataset: Path) -> None:
    hosts = host_funnels(str(dataset), finished_shards(str(dataset)))
    shown = [(h.host, h.rows, h.kept, h.top_reason, h.opt_outs) for h in hosts]
    assert shown == [("a", 4, 1, "opted_out", 2), ("b", 2, 2, None, 0), ("", 1, 0, "bad_url", 0)]
    assert hosts[0].reasons == {"opted_out": 2, "not_found": 1}


def test_json_is_one_object_that_adds_up(dataset: Path, capsys) -> None:
    main(ReportConfig(dataset=str(dataset), json=True, hosts=2))
    report = json.loads(capsys.readouterr().out)
    assert (report["input"], report["kept"], report["shards"], report["num_hosts"]) == (7, 3, 3, 3)
    assert report["reasons"] == {"bad_url": 1, "not_found": 1, "opted_out": 2}
    assert [host["host"] for host in report["hosts"]] == ["a", "b"]
    assert report["hosts"][0] == {
        "host": "a",
        "rows": 4,
        "kept": 1,
        "share": 0.25,
        "top_reason": "opted_out",
        "opt_outs": 2,
        "reasons": {"not_found": 1, "opted_out": 2},
    }


def test_the_tables_show_reasons_and_hosts(dataset: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "diagonal_data.report", "funnel", "--dataset", str(dataset)],
        capture_output=True,
        text=True,
        check=True,
    )
    for shown in ("opted_out", "42.9%", "3 of 3 hosts, 7 rows", "(no URL)", "most frequent reason"):
        assert shown in done.stdout


def test_an_empty_dataset_has_an_empty_funnel_and_none_is_the_users_mistake(
    tmp_path: Path, capsys
) -> None:
    with pytest.raises(UserError, match="no dataset"):
        main(ReportConfig(dataset=str(tmp_path)))
    Manifest(dataset=str(tmp_path), settings={}).write()
    main(ReportConfig(dataset=str(tmp_path), json=True))
    report = json.loads(capsys.readouterr().out)
    assert (report["input"], report["reasons"], report["hosts"]) == (0, {}, [])
