"""What is known of one URL while it is fetched, and at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from diagonal_data.http_client import Answer
from diagonal_data.schema import Reason
from diagonal_data.site_rules import Verdict

MOST_VERDICT_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class Response:
    """What became of one URL: a body, or a reason; exactly one of the two is None."""

    url: str
    final_url: str
    """The last URL of the redirects."""
    http_status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the last answer; names in lower case, repeated ones joined by a comma."""
    reason: Reason | None = None
    detail: str | None = None
    robots: str = "not_asked"
    """`allowed`, `disallowed` or `not_asked`."""
    x_robots_tag: str | None = None
    tdm_reservation: str | None = None
    content_usage: str | None = None
    fetch_ms: int = 0
    """Time inside requests of all attempts, without waiting for slots and site rules."""
    attempts: int = 0
    """Attempts that sent a request."""
    retry_after_seconds: float | None = None


def after_hop(response: Response, answer: Answer, *, for_rules: bool) -> Response:
    """The response with what one answer adds; site rules are read as far as they came."""
    whole = answer.reason is None or (for_rules and answer.reason is Reason.BODY_TOO_LARGE)
    headers = answer.headers
    return replace(
        response,
        http_status=answer.status,
        headers=headers,
        body=answer.body if whole else None,
        reason=None if whole else answer.reason,
        detail=None if whole else answer.detail,
        x_robots_tag=_cut(headers.get("x-robots-tag")),
        tdm_reservation=_cut(headers.get("tdm-reservation", response.tdm_reservation)),
        content_usage=_cut(headers.get("content-usage", response.content_usage)),
        fetch_ms=response.fetch_ms + round(answer.seconds * 1000),
        attempts=1,
    )


def _cut(value: str | None) -> str | None:
    """Ten thousand rows stand in memory together."""
    return value and value[:MOST_VERDICT_CHARS]


def after_verdict(response: Response, verdict: Verdict) -> Response:
    """The response with what the site's files say of its next hop."""
    return replace(
        response,
        reason=verdict.reason,
        detail=verdict.detail,
        robots=verdict.robots,
        tdm_reservation=verdict.tdm_reservation,
        content_usage=verdict.content_usage,
    )
