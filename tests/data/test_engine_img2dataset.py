"""What img2dataset asks for in our place: the same addresses as we would, and no others."""

import importlib
import io
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from diagonal_data.config import ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_data.outcome import Outcome
from diagonal_data.schema import Reason, candidate_for
from diagonal_infra.shared import Here

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 16), "red").save(file, "PNG")
    return file.getvalue()


def outcome_of(
    url: str, *allow_hosts: str, face_bboxes: list[list[float]] | None = None
) -> Outcome:
    config = ShardsConfig(
        candidates="",
        dataset="",
        engine="img2dataset",
        allow_hosts=allow_hosts,
        fetch=FetchConfig(timeout_seconds=5.0),
    )
    # Here and not above, where the filter of warnings does not reach.
    engine = importlib.import_module("diagonal_data.engine_img2dataset")
    outcomes: dict[int, Outcome] = {}
    ledger = Here(HostLedger(config.fetch))
    candidate = replace(candidate_for(url, "fox"), face_bboxes=face_bboxes)
    engine.fetch_and_decode([candidate], config, ledger, outcomes.__setitem__)
    return outcomes[0]


def moved(server: "HostileServer", location: str) -> str:
    return server.put("/moved", b"", f"Location: {location}", status="302 Found")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.5/", Reason.ADDRESS_REFUSED),
        ("https://10.0.0.5/", Reason.ADDRESS_REFUSED),
        ("http://169.254.169.254/latest/meta-data/", Reason.ADDRESS_REFUSED),
        ("http://[::ffff:10.0.0.5]/", Reason.ADDRESS_REFUSED),
        ("http://2130706433/", Reason.ADDRESS_REFUSED),
        ("//127.0.0.1:9/", Reason.ADDRESS_REFUSED),
        ("file:///etc/hostname", Reason.SCHEME_REFUSED),
        ("data:image/png,x", Reason.SCHEME_REFUSED),
        ("ftp://127.0.0.1/x.png", Reason.SCHEME_REFUSED),
    ],
)
def test_a_redirect_to_what_our_rules_refuse_is_not_followed(
    server: "HostileServer", location: str, reason: Reason
) -> None:
    outcome = outcome_of(moved(server, location), server.host)
    assert (outcome.reason, outcome.image) == (reason, None), outcome.detail


def resolving(address: str) -> Callable[..., list[tuple[Any, ...]]]:
    """getaddrinfo of a world where every name means `address`."""

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return getaddrinfo


def test_a_name_with_a_private_address_is_not_connected_to(
    server: "HostileServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    url = moved(server, f"http://rebound.test:{server.port}/secret")
    # The address of the server itself, so that an unchecked client would come back with a picture.
    monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1"))
    server.put("/secret", png())
    outcome = outcome_of(url, server.host)
    assert outcome.reason is Reason.ADDRESS_REFUSED, outcome.detail
    assert "/secret" not in server.requests


def test_redirects_between_allowed_hosts_are_followed_without_a_proxy(
    server: "HostileServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.put("/picture.png", png())
    outcome = outcome_of(moved(server, "/picture.png"), server.host)
    assert outcome.reason is None, outcome.detail
    assert outcome.image is not None
    assert outcome.image.original_width == 32


def test_a_picture_with_faces_to_blur_is_left_to_the_other_engine(server: "HostileServer") -> None:
    url = server.put("/picture.png", png())
    outcome = outcome_of(url, server.host, face_bboxes=[[0.1, 0.1, 0.5, 0.5]])
    assert (outcome.reason, outcome.image) == (Reason.ENGINE_FAILED, None)
    assert "/picture.png" not in server.requests


def test_other_users_of_urllib_get_their_opener_back(server: "HostileServer") -> None:
    server.put("/picture.png", png())
    assert outcome_of(server.url("/picture.png"), server.host).reason is None
    with urllib.request.urlopen(server.url("/picture.png")) as answer:
        assert answer.read() == png()


def test_the_engine_works_without_loading_torch() -> None:
    program = """
import io, sys, warnings
warnings.simplefilter("ignore")
from diagonal_data.config import ShardsConfig
from diagonal_data import engine_img2dataset as engine
from PIL import Image
file = io.BytesIO()
Image.new("RGB", (200, 100)).save(file, "PNG")
for mode in ("border", "keep_ratio", "keep_ratio_largest", "center_crop", "no"):
    resizer = engine.Resizer(image_size=64, resize_mode=mode, resize_only_if_bigger=False)
    file.seek(0)
    assert resizer(file)[-1] is None
print([name for name in sys.modules if name.split(".")[0] == "torch"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.returncode) == ("[]\n", 0), ended.stderr
