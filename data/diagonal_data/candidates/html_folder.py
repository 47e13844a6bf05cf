"""Folders of HTML pages, such as a mirror or a documentation tree."""

from urllib.parse import quote, urljoin

from fsspec.core import url_to_fs

from diagonal_data.candidates.found import Found, PageOutcome, ReadCounts
from diagonal_data.candidates.page import MAX_PAGE_BYTES, read_page
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError

ENDINGS = (".html", ".htm", ".xhtml")


def find_pages(pattern: str) -> list[str]:
    """The pages that a pattern names; of a folder all below it.

    Raises:
        UserError: there is none.
    """
    filesystem, inner = url_to_fs(pattern)
    below = f"{pattern.rstrip('/')}/**" if filesystem.isdir(inner) else pattern
    found = [path for path in storage.expand(below) if path.lower().endswith(ENDINGS)]
    if not found:
        raise UserError(f"no page matches {pattern!r}; --input takes {', '.join(ENDINGS)}")
    return found


def read_html_file(
    path: str, counts: ReadCounts, *, folder: str, base_url: str | None, agent: str | None = None
) -> list[Found]:
    """The images of one page.

    Args:
        path: of the page.
        counts: what became of page and images is added.
        folder: in which `base_url` begins.
        base_url: of the folder on the web; without, images with relative addresses have none.
        agent: our product token, for robots metas.
    """
    try:
        with storage.open_read(path, inflate=False) as file:
            body = file.read(MAX_PAGE_BYTES)
    except (FileNotFoundError, StorageError):
        counts.pages[PageOutcome.MISSING] += 1
        return []
    page = read_page(body, page_url_for(path, folder, base_url), agent=agent, with_links=False)
    counts.pages[page.outcome] += 1
    counts.images.update(page.images)
    if base_url is not None:
        return page.found
    return [found._replace(page_url=None) for found in page.found]


def page_url_for(path: str, folder: str, base_url: str | None) -> str:
    """Where the page would be on the web; "" without a base, from which nothing is reached."""
    if base_url is None:
        return ""
    inside = path.removeprefix(folder.rstrip("/") + "/")
    return urljoin(base_url if base_url.endswith("/") else f"{base_url}/", quote(inside))
