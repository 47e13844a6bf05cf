import random

import pytest

from diagonal_data.candidates.page_scan import PageScan


def alts(html: str) -> list[bytes]:
    scan = PageScan(html.encode(), metas=(b"robots",))
    return [image.attributes[b"alt"] or b"" for image in scan.images]


@pytest.mark.parametrize(
    "html",
    [
        "<script>'<img alt=no>'</script><img alt=yes>",
        "<SCRIPT>'<img alt=no>'</ScRiPt ><img alt=yes>",
        "<script><!-- <script> </script> <img alt=no> --></script><img alt=yes>",
        "<script><!-- </script><img alt=yes>",
        "<style>a:before{content:'<img alt=no>'}</style><img alt=yes>",
        "<title><img alt=no></title><img alt=yes>",
        "<textarea><img alt=no></textarea><img alt=yes>",
        "<iframe><img alt=no></iframe><img alt=yes>",
        "<template><div><img alt=no></div></template><img alt=yes>",
        "<template><template></template><img alt=no></template><img alt=yes>",
        "<noscript><img alt=yes></noscript>",
        "<!-- <img alt=no> --><img alt=yes>",
        "<!-- <img alt=no> --!><img alt=yes>",
        "<!--><img alt=yes>",
        "<!---><img alt=yes>",
        "<!-- > <img alt=no> -- > <img alt=no> --><img alt=yes>",
        '<div data-html="<img alt=no>"><img alt=yes>',
        "<div data-html='<img alt=no>'><img alt=yes>",
        '<div data-html = "<b>x</b> <img alt=no>"><img alt=yes>',
        '<div title="a > b" data-html="<img alt=no>"><img alt=yes>',
        "<div class=a <img alt=no><img alt=yes>",
        "<?php echo '<img alt=no>' ?><img alt=yes>",
        "<!doctype html <img alt=no><img alt=yes>",
        '<p title="=">"<img alt=yes>',
        '<p>5 < 6 = "<img alt=yes>',
        "<p>it's <img alt=yes> 'so'",
        "< img alt=no><img alt=yes>",
        "<image-box alt=no></image-box><img\nalt=yes>",
        "<imgx alt=no><img/alt=yes>",
        "<IMG ALT=yes>",
        "<img alt=yes alt=no>",
        '<img alt="yes" alt="no">',
        '<img class="a>b" alt="yes">',
        "<svg><title/><style/><img alt=yes></svg>",
        "<img alt=yes><img alt='no",
        "<img alt=yes><script><img alt=no>",
        "<img alt=yes><!-- <img alt=no>",
        "<img alt=yes><title><img alt=no>",
    ],
)
def test_only_tags_that_stand_in_text_count(html: str) -> None:
    assert alts(html) == [b"yes"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(
    ("html", "is_in_link"),
    [
        ("<a href=f><img alt=x>", True),
        ("<A href=f><b><img alt=x></b></A>", True),
        ("<a href=f></a><img alt=x>", False),
        ("<a href=f><!-- </a> --><img alt=x>", True),
        ("<a href=f></a><!-- <a href=g> --><img alt=x>", False),
        ("<a href=f><script>'</a>'</script><img alt=x>", True),
        ("<a href=f></a><script>'<a>'</script><b><img alt=x>", False),
        ("<a href=f><img title='</a>' alt=y><img alt=x>", True),
        ("</a><img alt=x>", False),
        ("<abbr><img alt=x></abbr>", False),
    ],
)
def test_an_image_knows_the_link_around_it(html: str, is_in_link: bool, links: bool) -> None:
    scan = PageScan(html.encode(), metas=(b"robots",), links=links)
    assert (scan.images[-1].link >= 0) == is_in_link


def test_images_of_random_soup_are_those_that_the_long_way_finds() -> None:
    """The quick check whether a tag stands in text, against reading tag by tag."""
    chance = random.Random(0)
    pieces = [
        "<img alt=1>",
        '<b title="',
        "<i class='",
        '"',
        "'",
        ">",
        "<",
        " ",
        "=",
        "text",
        "</b>",
    ]
    for _ in range(3_000):
        html = "".join(chance.choices(pieces, k=14))
        assert len(alts(html)) == _images_tag_by_tag(html), html


def _images_tag_by_tag(html: str) -> int:
    images, position = 0, 0
    while (position := html.find("<", position)) >= 0:
        name = html[position + 1 : position + 5].removeprefix("/")
        if not name[:1].isalpha():
            ends = (
                html.find(">", position) if html[position + 1 : position + 2] == "/" else position
            )
            if ends < 0:
                return images
            position = ends + 1
            continue
        end = _end_of_tag(html, position)
        if end < 0:
            return images
        images += name == "img "
        position = end
    return images


def _end_of_tag(html: str, position: int) -> int:
    """By the states of HTML's tokeniser, character by character."""
    state, quote = "name", ""
    for place in range(position + 1, len(html)):
        character = html[place]
        if state == "quoted":
            state = "after" if character == quote else state
        elif character == ">":
            return place + 1
        elif state == "value" and character in "\"'":
            state, quote = "quoted", character
        elif state == "value":
            state = state if character == " " else "unquoted"
        elif state == "unquoted" or state == "name":
            state = "before" if character == " " else state
        elif character == "=" and state in ("attribute", "after name"):
            state = "value"
        elif character == " ":
            state = "after name" if state in ("attribute", "after name") else "before"
        else:
            state = "attribute"
    return -1
