"""Candidates of one unit to outcomes: lines, one fetch per URL, block lists, opt-outs in files."""

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.hostile_server import HostileServer

from diagonal_data import workplace
from diagonal_data.config import DecodeConfig, ShardsConfig
from diagonal_data.engine_native import fetch_and_decode, lines_of
from diagonal_data.fetch import Fetcher
from diagonal_data.fetch_config import BlockConfig, FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_data.outcome import Outcome
from diagonal_data.response import Response
from diagonal_data.schema import Candidate, Reason, candidate_for
from diagonal_infra.shared import Here

PROHIBITED = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/></rdf:RDF></x:xmpmeta>"""


def outcomes_of(
    candidates: Sequence[Candidate], host: str, **settings: object
) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    config = ShardsConfig(
        **{"candidates": "", "dataset": "", "allow_hosts": (host,), "image_size": 32, **settings}  # pyright: ignore[reportArgumentType]  # keywords of one dataclass
    )

    def deliver(index: int, outcome: Outcome) -> None:
        assert index not in found
        found[index] = outcome

    fetch_and_decode(candidates, config, Here(HostLedger(config.fetch)), deliver)
    assert sorted(found) == list(range(len(candidates)))
    return found


def test_jobs_stand_in_the_line_of_their_host_and_long_lines_come_first() -> None:
    urls = ["http://a.test/1", "http://B.test/1", "http://b.test./2", "no url", "http://b.test/3"]
    lines = lines_of([candidate_for(url, "cat") for url in urls], lambda *_: None)
    assert [(host, len(line)) for host, line in lines] == [("b.test", 3), ("a.test", 1), ("", 1)]


def test_a_url_of_several_candidates_is_fetched_once(server: HostileServer, make_jpeg) -> None:
    url = server.put("/a.jpg", make_jpeg())
    same = [candidate_for(url, "one"), candidate_for(f"{url}#part", "two")]
    found = outcomes_of(same, server.host)
    assert found[0].image is not None
    assert found[0].image == (found[1].image)
    assert server.requests.count("/a.jpg") == 1


@pytest.mark.parametrize("caption", ["", "  ", "a\0b", "a" * 100_001])
def test_a_candidate_without_a_usable_caption_is_not_fetched(
    server: HostileServer, make_jpeg, caption: str
) -> None:
    found = outcomes_of([candidate_for(server.put("/a.jpg", make_jpeg()), caption)], server.host)
    assert found[0].reason is Reason.BAD_CAPTION
    assert server.requests == []


@pytest.mark.parametrize("kind", ["md5", "sha256", "phash"])
def test_a_listed_picture_is_not_handed_on(
    server: HostileServer, make_jpeg, tmp_path: Path, kind: str
) -> None:
    body = make_jpeg(3)
    candidates = [
        candidate_for(server.put("/bad.jpg", body), "bad"),
        candidate_for(server.put("/good.jpg", make_jpeg(4)), "good"),
    ]
    image = outcomes_of(candidates, server.host)[0].image
    assert image is not None
    entries = {
        "md5": hashlib.md5(body).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "phash": f"{image.phash:016x}",
    }
    (tmp_path / "list").write_text(entries[kind])
    block = BlockConfig(**{kind: str(tmp_path / "list")})  # pyright: ignore[reportArgumentType]  # keywords of one dataclass
    found = outcomes_of(candidates, server.host, block=block)
    assert (found[0].reason, found[0].image) == (Reason.BLOCKED_IMAGE, None)
    assert found[1].reason is None


def test_a_prohibition_inside_the_file_is_an_opt_out_and_a_column(
    server: HostileServer, make_picture
) -> None:
    file = io.BytesIO()
    make_picture().save(file, "JPEG", xmp=PROHIBITED)
    candidates = [candidate_for(server.put("/a.jpg", file.getvalue()), "cat")]
    found = outcomes_of(candidates, server.host)[0]
    assert (found.reason, found.rights.data_mining) == (Reason.OPTED_OUT, "DMI-PROHIBITED")
    indulgent = FetchConfig(respect_opt_out=False)
    found = outcomes_of(candidates, server.host, fetch=indulgent)[0]
    assert (found.reason, found.rights.data_mining) == (None, "DMI-PROHIBITED")


def test_faces_that_are_listed_are_blurred(server: HostileServer) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    url = server.put("/a.png", file.getvalue())
    candidates = [
        candidate_for(url, "plain"),
        Candidate(uid="0" * 32, url=url, caption="face", face_bboxes=[[0.0, 0.0, 0.5, 0.5]]),
    ]
    decode = DecodeConfig(format="png", resize_mode="no")
    found = outcomes_of(candidates, server.host, decode=decode)
    plain, blurred = (
        np.asarray(Image.open(io.BytesIO(outcome.image.content)), dtype=float)
        for outcome in (found[0], found[1])
        if outcome.image is not None
    )
    assert blurred[4:28, 4:28].std() < 0.5 * plain[4:28, 4:28].std()
    assert (blurred[48:, 48:] == plain[48:, 48:]).all()


def test_what_nobody_thought_of_costs_one_row(
    server: HostileServer, make_jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.put(f"/{i}.jpg", make_jpeg(i)) for i in range(3)]
    real = Fetcher.open

    def fails_once(self: Fetcher, url: str, **kept: Any) -> object:
        if url == urls[1]:
            raise KeyError("caf\udce9")
        return real(self, url, **kept)

    monkeypatch.setattr(Fetcher, "open", fails_once)
    found = outcomes_of([candidate_for(url, "cat") for url in urls], server.host)
    assert [found[i].reason for i in range(3)] == [None, Reason.ENGINE_FAILED, None]
    assert (found[1].detail or "").encode()


def test_lanes_bound_the_bodies_that_are_held(
    server: HostileServer, make_jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workplace, "BACKLOG", 2)
    held = most = 0
    real = Fetcher.open

    @contextlib.asynccontextmanager
    async def counting(self: Fetcher, url: str, **kept: Any) -> AsyncIterator[Response]:
        nonlocal held, most
        async with real(self, url, **kept) as response:
            held, most = held + 1, max(most, held + 1)
            yield response
            held -= 1

    monkeypatch.setattr(Fetcher, "open", counting)
    body = make_jpeg()
    candidates = [candidate_for(server.put(f"/{i}.jpg", body), "cat") for i in range(60)]
    fetch = FetchConfig(max_in_flight=3, max_per_host=32, respect_robots=False)
    outcomes = outcomes_of(candidates, server.host, fetch=fetch)
    assert all(outcome.reason is None for outcome in outcomes.values())
    assert 1 < most <= 5
