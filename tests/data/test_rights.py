import struct

import pytest
from PIL import Image, PngImagePlugin

from diagonal_data.headers import Header, format_of
from diagonal_data.pixels import read_header
from diagonal_data.rights import MAX_TEXTS, NONE_SAID, ImageRights, read_rights

NAMES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" '
    'xmlns:cc="http://creativecommons.org/ns#" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
)
ELEMENTS = """
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© A &amp; B</rdf:li></rdf:Alt></dc:rights>
<dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Bob</rdf:li></rdf:Seq></dc:creator>
<xmpRights:WebStatement>https://example.org/terms</xmpRights:WebStatement>
<photoshop:Credit>Agency</photoshop:Credit>
<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING</plus:DataMining>
"""
SAID = ImageRights(
    copyright="© A & B",
    licence_url="https://example.org/terms",
    creator="Ann, Bob",
    credit="Agency",
    data_mining="DMI-PROHIBITED-AIMLTRAINING",
)


def packet(inside: str = "", attributes: str = "", before: str = "") -> bytes:
    return (
        f'{before}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMES}>'
        f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def header(
    xmp: bytes | None = None, iptc: bytes | None = None, exif: bytes | None = None
) -> Header:
    return Header(
        format="jpeg", width=9, height=9, mode="L", pixel_bytes=1, xmp=xmp, iptc=iptc, exif=exif
    )


def iptc_block(**values: bytes) -> bytes:
    sets = {"copyright": 116, "creator": 80, "credit": 110}
    datasets = b"".join(
        bytes([0x1C, 2, sets[name]]) + struct.pack(">H", len(value)) + value
        for name, value in values.items()
    )
    other = b"8BIM\x03\xed\0\0" + struct.pack(">I", 3) + b"abc\0"
    return other + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(datasets)) + datasets


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_xmp_of_every_format_is_read(make_picture, encode_picture, format: str) -> None:
    options: dict[str, object] = {"xmp": packet(ELEMENTS)}
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet(ELEMENTS).decode(), zip=True)
        options = {"pnginfo": text}
    body = encode_picture(make_picture(), format, **options)
    kind = format_of(body)
    assert kind is not None
    assert read_rights(read_header(body, kind)) == SAID


def test_xmp_attributes_and_resources_are_read() -> None:
    xmp = packet(
        '<cc:license rdf:resource="https://creativecommons.org/licenses/by/4.0/"/>',
        'photoshop:Credit="Agency" xmpRights:WebStatement="https://example.org/terms" '
        'plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"',
    )
    rights = read_rights(header(xmp))
    assert rights.licence_url == "https://creativecommons.org/licenses/by/4.0/"
    assert (rights.credit, rights.data_mining) == ("Agency", "DMI-ALLOWED")


def test_xmp_wins_over_iptc_and_iptc_over_exif() -> None:
    exif = Image.Exif()
    exif[0x8298] = "from exif\0"
    exif[0x013B] = "Eve"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    iptc = iptc_block(copyright="from iptc é".encode("latin-1"), credit=b"Press")
    assert read_rights(header(exif=block)).copyright == "from exif"
    rights = read_rights(header(iptc=iptc, exif=block))
    assert (rights.copyright, rights.credit, rights.creator) == ("from iptc é", "Press", "Eve")
    assert read_rights(header(packet(ELEMENTS), iptc, block)) == SAID


def test_no_entity_is_expanded() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;">]>'
    xmp = packet("<dc:rights>&b;</dc:rights>", before=bomb)
    assert read_rights(header(xmp)) == NONE_SAID


@pytest.mark.parametrize(
    "xmp",
    [
        b"rights",
        packet(ELEMENTS)[:40] + b"rights",
        b"<a>" * 100_000 + b"rights",
        packet("<dc:rights>" + "x" * 300_000 + "</dc:rights>"),
        b"\xff\xfe<\0rights",
        b'<?xml version="1.0" encoding="none"?><rights/>',
    ],
)
def test_damaged_and_huge_packets_say_nothing(xmp: bytes) -> None:
    assert read_rights(header(xmp)) == NONE_SAID


def test_what_stood_before_the_damage_holds() -> None:
    whole = packet(ELEMENTS)
    rights = read_rights(header(whole[: whole.index(b"<dc:creator>")]))
    assert rights == ImageRights(copyright="© A & B")


def test_a_long_list_is_cut() -> None:
    names = [f"n{number}" for number in range(5_000)]
    entries = "".join(f"<rdf:li>{name}</rdf:li>" for name in ["", "n0", *names])
    xmp = packet(f"<dc:creator><rdf:Seq>{entries}</rdf:Seq></dc:creator>")
    assert read_rights(header(xmp)).creator == ", ".join(names[:MAX_TEXTS])


def test_an_empty_element_says_nothing() -> None:
    rights = read_rights(header(packet("<dc:rights> </dc:rights>"), iptc_block(copyright=b"me")))
    assert rights.copyright == "me"


def test_texts_are_cut_and_cleaned() -> None:
    rights = read_rights(header(iptc=iptc_block(copyright=b"a\0b " + 600 * b"c", credit=b" \0 ")))
    assert rights.copyright is not None
    assert rights.copyright.startswith("a b ccc")
    assert len(rights.copyright) == 500
    assert rights.credit is None


@pytest.mark.parametrize("end", range(0, 60, 7))
def test_cut_blocks_do_not_raise(end: int) -> None:
    cut = iptc_block(copyright=b"somebody")[:end]
    assert read_rights(header(iptc=cut, exif=cut)).creator is None
