"""Who is answered, and what stands in every answer."""

import pytest
from fastapi.testclient import TestClient

from diagonal_eval.explore.server import listen
from diagonal_infra.errors import UserError


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8501", 200),
        ("localhost", 200),
        ("evil.example", 421),
        ("evil.example:8501", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_only_requests_addressed_to_this_machine_are_answered(
    client: TestClient, host: str, status: int
) -> None:
    assert client.get("/api", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("none", "navigate", 200),
        ("same-origin", "cors", 200),
        ("cross-site", "navigate", 200),
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
    ],
)
def test_a_foreign_page_may_link_here_but_not_ask(
    client: TestClient, site: str, mode: str, status: int
) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    assert client.get("/api", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/api", "/elsewhere", "/static/explore.js", "/sql?where=1"])
def test_every_answer_forbids_what_is_not_the_explorers_own(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_nothing_can_be_written(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, "/sql?where=true").status_code == 405


def test_no_page_of_the_framework_loads_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/sql", "/api/text", "/api/around", "/picture/{uid}"} <= set(paths)


def test_a_taken_port_is_a_user_error() -> None:
    with listen(0) as listener, pytest.raises(UserError, match="set another --port"):
        listen(listener.getsockname()[1])
