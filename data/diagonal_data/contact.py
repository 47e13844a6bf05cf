"""Nobody sets out into the web unnamed: a contact, or hosts of one's own."""

from collections.abc import Sequence
from itertools import islice

from diagonal_data.addresses import host_of, http_url, is_listed
from diagonal_data.config import ShardsConfig
from diagonal_data.host_ledger import is_loopback
from diagonal_data.units import first_urls
from diagonal_infra.errors import UserError

LOOKED_AT = 1_000


def require_contact(config: ShardsConfig, candidates: list[str]) -> None:
    """Refuse to set out into the web unnamed; single hosts of a mixed list the fetcher refuses.

    Raises:
        UserError: no contact, and no candidate on loopback or an allowed host among the first.
    """
    if config.fetch.contact:
        return
    first = map(http_url, islice(first_urls(candidates), LOOKED_AT))
    urls = [url for url in first if url is not None]
    near = (_is_near(host_of(url), url.port or 0, config.allow_hosts) for url in urls)
    if urls and not any(near):
        raise UserError(
            f"the candidates {config.candidates!r} are on other people's servers; give a page or "
            "an address where their owners reach you with --fetch.contact"
        )


def _is_near(host: str, port: int, allow_hosts: Sequence[str]) -> bool:
    return is_loopback(host) or is_listed(host, port, allow_hosts)
