import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagonal_data.demo import server, web
from diagonal_data.demo.server import serving
from diagonal_data.demo.site import ensure_site
from diagonal_infra.errors import UserError

FIRST = web.ADDRESSES[0]


def free_port() -> int:
    with socket.create_server((FIRST, 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def site(package_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "web"
    ensure_site(str(folder), str(package_cache), port=free_port(), max_concepts=12)
    return folder


@pytest.fixture
def port(site: Path) -> int:
    return json.loads((site / "site.json").read_text())["port"]


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[Path]:
    with serving(str(site)):
        yield site


def get(url: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, f"/{path}")
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def url_of(site: Path, kind: str) -> str:
    rows = pq.read_table(site / "labels.parquet").to_pylist()
    return next(row["url"] for row in rows if row["kind"] == kind)


def answers(port: int) -> bool:
    try:
        return get(f"http://{FIRST}:{port}/")[0] == 200
    except OSError:
        return False


def start_by_pipe(site: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", server.__name__, str(site), "--until-stdin-closes"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_all_addresses_answer(served: Path, port: int) -> None:
    for host in web.hosts_at(port):
        status, headers, body = get(f"http://{host}/")
        assert (status, headers["Content-Type"]) == (200, "text/html")
        assert b"Emoji galleries" in body
        assert get(f"http://{host}/robots.txt")[2] == web.ROBOTS_TXT.encode()


def test_a_picture_is_served_with_its_type_whatever_the_query(served: Path) -> None:
    url = url_of(served, "drawing")
    status, headers, body = get(f"{url}?w=48")
    assert status == 200
    assert headers["Content-Type"].startswith("image/")
    path = url.removeprefix("http://")
    host, _, inner = path.partition("/")
    assert body == (served / host.partition(":")[0] / inner).read_bytes()


@pytest.mark.parametrize(
    ("kind", "status"), [("gone", 404), ("error", 500), ("noai", 200), ("truncated", 200)]
)
def test_planned_statuses(served: Path, kind: str, status: int) -> None:
    assert get(url_of(served, kind))[0] == status


def test_an_opt_out_is_a_header(served: Path) -> None:
    assert get(url_of(served, "noai"))[1]["X-Robots-Tag"] == "noai"


def test_a_redirect_carries_its_target(served: Path) -> None:
    status, headers, _ = get(url_of(served, "moved"))
    assert status in (301, 302)
    assert headers["Location"]
    assert get(get(url_of(served, "loop"))[1]["Location"])[1]["Location"]


def test_a_head_request_has_no_body(served: Path) -> None:
    status, headers, body = get(url_of(served, "drawing"), "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/../site.json", "/%2e%2e/site.json", "/noto", "/a%00b"])
def test_nothing_outside_the_host_is_served(served: Path, port: int, path: str) -> None:
    assert get(f"http://{FIRST}:{port}{path}")[0] in (400, 404)


def test_a_connection_serves_many_requests(served: Path, port: int) -> None:
    connection = http.client.HTTPConnection(f"{FIRST}:{port}", timeout=10)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read()
        assert connection.sock is not None
    connection.close()


def test_a_server_of_the_same_folder_is_shared_and_left_running(served: Path, port: int) -> None:
    with serving(str(served)):
        assert answers(port)
    assert answers(port)


def test_a_taken_port_is_a_users_error(site: Path) -> None:
    with (
        socket.create_server((FIRST, 0)) as taken,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(server, "PROBE_SECONDS", 0.1)
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"{FIRST}:{port}"), serving(str(site), port):
            pass


def test_an_unfinished_site_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished demo web"), serving(str(tmp_path)):
        pass


def test_the_server_ends_with_the_block(site: Path) -> None:
    port = free_port()
    with serving(str(site), port):
        assert answers(port)
    assert not answers(port)


def test_the_server_ends_when_its_parents_pipe_closes(
    site: Path, port: int, tmp_path: Path
) -> None:
    copy = tmp_path / "web"
    copy.mkdir()
    record = json.loads((site / "site.json").read_text()) | {"port": free_port()}
    (copy / "site.json").write_text(json.dumps(record))
    with start_by_pipe(copy) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        process.stdin.close()
        assert process.wait(10) == 0


def test_the_server_ends_when_its_parent_is_killed(site: Path) -> None:
    port = free_port()
    driver = (
        "import sys\nfrom diagonal_data.demo.server import serving\n"
        f"with serving({str(site)!r}, {port}):\n    print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        with socket.create_connection((FIRST, port), timeout=10) as connection:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            # Blocks until the server lets go of the connection.
            assert connection.recv(1) == b""
    assert not answers(port)
