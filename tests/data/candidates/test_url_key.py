import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from xxhash import xxh3_64_intdigest

from diagonal_data.candidates.url_key import PATH_RULES, dedup_url, url_keys

SAME: Sequence[tuple[str, str, str]] = [
    ("spelling", "HTTP://A.Test:80/x.jpg#top", "https://a.test/x.jpg"),
    ("spelling", "http://a.test", "https://a.test/"),
    ("spelling", "https://a.test:443/x.jpg", "https://a.test/x.jpg"),
    ("spelling", "http://a.test/%7ejo/%c3%a4 b.jpg", "https://a.test/~jo/ä%20b.jpg"),
    ("session", "http://a.test/x.jpg;jsessionid=1A2B?id=3", "http://a.test/x.jpg?id=3"),
    ("wordpress", "http://a.test/x-800x600.jpg", "http://a.test/x.jpg"),
    ("wordpress", "http://a.test/x-80x600.JPEG", "http://a.test/x.JPEG"),
    ("wordpress scaled", "http://a.test/x-scaled.jpg", "http://a.test/x.jpg"),
    ("underscore", "http://a.test/x_640x480.png", "http://a.test/x.png"),
    ("retina", "http://a.test/x@2x.png", "http://a.test/x.png"),
    (
        "drupal",
        "http://a.test/sites/default/files/styles/large/public/a/x.jpg?itok=Ab_1",
        "http://a.test/sites/default/files/a/x.jpg",
    ),
    (
        "shopify",
        "https://cdn.shopify.com/s/files/1/x_640x_crop_center@2x.progressive.jpg?v=1531",
        "https://cdn.shopify.com/s/files/1/x_grande.jpg",
    ),
    (
        "google",
        "https://lh3.googleusercontent.com/abc=w400-h300-no",
        "https://lh3.googleusercontent.com/abc=s0",
    ),
    (
        "blogger",
        "http://1.bp.blogspot.com/-a/b/s1600-h/x.jpg",
        "http://1.bp.blogspot.com/-a/b/w400-h300/x.jpg",
    ),
    (
        "wikimedia",
        "https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/X.jpg/800px-X.jpg",
        "https://upload.wikimedia.org/wikipedia/commons/a/ab/X.jpg",
    ),
    (
        "amazon",
        "https://m.media-amazon.com/images/I/71aB._AC_SX679_.jpg",
        "https://m.media-amazon.com/images/I/71aB.jpg",
    ),
    (
        "cloudinary",
        "https://res.cloudinary.com/d/image/upload/w_400,h_300,c_fill/q_auto/v1/x.jpg",
        "https://res.cloudinary.com/d/image/upload/v1/x.jpg",
    ),
    (
        "flickr",
        "https://live.staticflickr.com/65535/512_0a1b2c3d4e_b.jpg",
        "https://live.staticflickr.com/65535/512_0a1b2c3d4e.jpg",
    ),
    (
        "pinterest",
        "https://i.pinimg.com/236x/a/b/x.jpg",
        "https://i.pinimg.com/originals/a/b/x.jpg",
    ),
    (
        "tumblr",
        "https://66.media.tumblr.com/t_abc_500.jpg",
        "https://66.media.tumblr.com/t_abc_1280.jpg",
    ),
    (
        "ebay",
        "https://i.ebayimg.com/images/g/x/s-l1600.jpg",
        "https://i.ebayimg.com/images/g/x/s-l300.jpg",
    ),
    (
        "wix",
        "https://static.wixstatic.com/media/a~mv2.jpg/v1/fill/w_1,h_2/a~mv2.webp",
        "https://static.wixstatic.com/media/a~mv2.jpg",
    ),
    (
        "twitter",
        "https://pbs.twimg.com/media/X.jpg:large",
        "https://pbs.twimg.com/media/X.jpg?name=small",
    ),
    ("proxy", "https://i2.wp.com/a.test/x.jpg?resize=300%2C200&ssl=1", "http://a.test/x.jpg"),
    ("tracking", "http://a.test/p?utm_source=x&id=3&fbclid=y&gclid=", "http://a.test/p?id=3"),
    ("sizes", "http://a.test/i?src=a&w=800&h=600px&amp;resize=80,60", "http://a.test/i?src=a"),
    ("sizes", "http://a.test/i?max-width=800&maxHeight=99&dpr=1.5", "http://a.test/i"),
    ("of images", "http://a.test/x.jpg?q=80&fit=crop&auto=format&v=163", "http://a.test/x.jpg"),
]
DIFFERENT = [
    ("http://a.test/poster-24x36.jpg", "http://a.test/poster.jpg"),
    ("http://a.test/1920x1080.jpg", "http://a.test/.jpg"),
    ("http://a.test/-800x600.jpg", "http://a.test/.jpg"),
    ("http://a.test/a-800x600-b.jpg", "http://a.test/a-b.jpg"),
    ("http://a.test/a-800x600", "http://a.test/a"),
    ("http://a.test/x_large.jpg", "http://a.test/x.jpg"),
    ("http://a.test/x_500.jpg", "http://a.test/x_1280.jpg"),
    ("http://a.test/thumb/a/ab/X.jpg/800px-X.jpg", "http://a.test/a/ab/X.jpg"),
    ("http://a.test/abc=s1024", "http://a.test/abc=s64"),
    ("http://nocdn.shopify.com.test/x_large.jpg", "http://nocdn.shopify.com.test/x.jpg"),
    ("http://notpinimg.com/236x/x.jpg", "http://notpinimg.com/x.jpg"),
    (
        "https://res.cloudinary.com/d/upload/e_grayscale/x.jpg",
        "https://res.cloudinary.com/d/upload/x.jpg",
    ),
    ("http://a.test/X.jpg", "http://a.test/x.jpg"),
    ("http://www.a.test/x.jpg", "http://a.test/x.jpg"),
    ("http://a.test:8080/x.jpg", "http://a.test/x.jpg"),
    ("http://a.test/a%2Fb.jpg", "http://a.test/a/b.jpg"),
    ("http://a.test/i?a=1&b=2", "http://a.test/i?b=2&a=1"),
    ("http://a.test/i?h=9f8e7d", "http://a.test/i"),
    ("http://a.test/page?q=80", "http://a.test/page"),
    ("http://a.test/page?v=163", "http://a.test/page"),
    ("http://a.test/x.jpg?v=dQw4w9", "http://a.test/x.jpg"),
    ("http://a.test/i?format=json", "http://a.test/i"),
    ("http://a.test/i?utm=1", "http://a.test/i"),
    ("http://a.test/i?name=fox", "http://a.test/i"),
]


@pytest.mark.parametrize(("rule", "one", "other"), SAME)
def test_addresses_of_one_picture_share_a_key(rule: str, one: str, other: str) -> None:
    assert dedup_url(one) == dedup_url(other), rule


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_addresses_of_two_pictures_are_told_apart(one: str, other: str) -> None:
    assert dedup_url(one) != dedup_url(other)


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in PATH_RULES} <= {rule for rule, _, _ in SAME}


@pytest.mark.parametrize("url", [one for _, one, _ in SAME] + [one for one, _ in DIFFERENT])
def test_a_key_is_its_own_key(url: str) -> None:
    assert dedup_url(dedup_url(url)) == dedup_url(url)


@pytest.mark.parametrize(
    "text", ["", "no url", "http://[::1", "ftp://a.test/x", "//a.test/x", "http://"]
)
def test_what_is_no_url_has_a_key_all_the_same(text: str) -> None:
    assert dedup_url(text) == text


def test_a_column_gets_the_keys_of_its_urls_one_by_one() -> None:
    urls = [url for _, *pair in SAME for url in pair] + [url for pair in DIFFERENT for url in pair]
    urls += [*_drawn_urls(3_000), "", "no url", "ftp://a.test/x", "http://a.test/ü-800x600.jpg"]
    expected = [xxh3_64_intdigest(dedup_url(url).encode()) for url in urls]
    assert url_keys(urls).tolist() == expected
    assert url_keys(pa.chunked_array([urls[:7], urls[7:]])).tolist() == expected
    assert url_keys(pa.array(urls).slice(5, 20)).tolist() == expected[5:25]
    assert url_keys([]).dtype == np.uint64


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["-100x100", "_100x", "/w_1", "%41", "=s1"])
def test_a_long_path_takes_linear_time(piece: str) -> None:
    """Milliseconds each; in quadratic time the limit would pass."""
    path = piece * 9_000
    for host in ("res.cloudinary.com/upload", "lh3.googleusercontent.com"):
        assert host.partition("/")[0] in dedup_url(f"https://{host}/{path}.jpg?{path}")


def _drawn_urls(count: int) -> list[str]:
    """URLs of pieces that rules look at, in all sorts of places."""
    draw = random.Random(8)
    hosts = [
        "a.test",
        "A.test",
        "i.pinimg.com",
        "upload.wikimedia.org",
        "i0.wp.com",
        "cdn.shopify.com",
    ]
    pieces = [
        "x",
        "-800x600",
        "_640x480",
        "@2x",
        "-scaled",
        "/",
        "=s12",
        "%7e",
        ";",
        ".jpg",
        "+",
        "é",
    ]
    tails = ["", ".jpg", ".PNG", "?w=100", "?id=7&q=1", "#a", ".webp?v=12"]

    def path() -> str:
        return "".join(draw.choices(pieces, k=draw.randrange(6)))

    return [
        f"{draw.choice(['http', 'https', 'HTTP'])}://{draw.choice(hosts)}/{path()}{draw.choice(tails)}"
        for _ in range(count)
    ]
