from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagonal_data.config import ShardsConfig
from diagonal_data.contact import require_contact
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_infra.errors import UserError


@pytest.mark.parametrize(
    ("urls", "allow_hosts", "goes_on"),
    [
        (["http://a.example/1", "http://127.0.0.9:81/2"], (), True),
        (["http://a.example/1", "http://localhost:81/2"], (), True),
        (["http://a.example/1", "http://[::1]/2"], (), True),
        (["http://a.example/1", "http://b.example/2"], ("b.example",), True),
        (["http://a.example/1", "http://b.example:81/2"], ("b.example:82",), False),
        (["http://a.example/1", "http://10.0.0.1/2", "nonsense", ""], (), False),
    ],
)
def test_one_near_host_is_enough_to_go_on_without_a_contact(
    tmp_path: Path, urls: list[str], allow_hosts: tuple[str, ...], goes_on: bool
) -> None:
    path = str(tmp_path / "c.parquet")
    pq.write_table(candidates_table([candidate_for(url, "cat") for url in urls]), path)
    config = ShardsConfig(candidates=path, dataset="", allow_hosts=allow_hosts)
    named = ShardsConfig(candidates=path, dataset="", fetch=FetchConfig(contact="me@a.example"))
    require_contact(named, [path])
    if goes_on:
        require_contact(config, [path])
        return
    with pytest.raises(UserError, match=r"--fetch\.contact"):
        require_contact(config, [path])
