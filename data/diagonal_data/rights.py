"""What a picture says of its rights, kept as columns while all metadata is dropped.

    XMP    dc:rights  cc:license or xmpRights:WebStatement  dc:creator  photoshop:Credit
           plus:DataMining (its code, such as DMI-PROHIBITED-AIMLTRAINING)
    IPTC   2:116 copyright  2:80 by-line  2:110 credit
    EXIF   Copyright  Artist

XMP wins, then IPTC. A packet is XML from a stranger: a document type or an entity declaration ends
its reading, so nothing is ever expanded.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from xml.parsers import expat

from diagonal_data.headers import MAX_XMP_BYTES, Header, read_exif

MAX_CHARACTERS = 500
MAX_TEXTS = 32
"""Of one property: further entries of a list are not read."""
MAX_DEPTH = 64
XMP_FIELDS = {
    "http://purl.org/dc/elements/1.1/ rights": "copyright",
    "http://creativecommons.org/ns# license": "licence_url",
    "http://ns.adobe.com/xap/1.0/rights/ WebStatement": "web_statement",
    "http://purl.org/dc/elements/1.1/ creator": "creator",
    "http://ns.adobe.com/photoshop/1.0/ Credit": "credit",
    "http://ns.useplus.org/ldf/xmp/1.0/ DataMining": "data_mining",
}
XMP_WORDS = (b"rights", b"license", b"WebStatement", b"creator", b"Credit", b"DataMining")
RESOURCE = "http://www.w3.org/1999/02/22-rdf-syntax-ns# resource"
IPTC_FIELDS = {116: "copyright", 80: "creator", 110: "credit"}
IPTC_RESOURCE = 0x0404
EXIF_COPYRIGHT, EXIF_ARTIST = 0x8298, 0x013B


@dataclass(frozen=True, kw_only=True)
class ImageRights:
    """Texts of at most 500 characters; None is unsaid."""

    copyright: str | None = None
    licence_url: str | None = None
    creator: str | None = None
    credit: str | None = None
    data_mining: str | None = None


NONE_SAID = ImageRights()


def read_rights(header: Header) -> ImageRights:
    """The rights in the header's metadata blocks; damaged blocks say nothing, and never raise."""
    if not (header.xmp or header.iptc or header.exif):
        return NONE_SAID
    said: dict[str, str] = {}
    for source in (_xmp(header.xmp), _iptc(header.iptc), _exif(header.exif)):
        for name, text in source.items():
            said.setdefault(name, text)
    return ImageRights(**{name: _clean(said.get(name, "")) for name in asdict(NONE_SAID)})


def _clean(text: str) -> str | None:
    # Surrogates cannot be written to Parquet.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    return " ".join(text.split())[:MAX_CHARACTERS] or None


def _xmp(packet: bytes | None) -> dict[str, str]:
    if not packet or len(packet) > MAX_XMP_BYTES or not any(w in packet for w in XMP_WORDS):
        return {}
    reader = _XmpReader()
    # What was read before the damage holds.
    with suppress(expat.ExpatError, ValueError, LookupError):
        reader.read(packet.strip(b"\0"))
    said = {name: ", ".join(texts) for name, texts in reader.found.items()}
    statement = said.pop("web_statement", "")
    if statement:
        said.setdefault("licence_url", statement)
    if "data_mining" in said:
        said["data_mining"] = said["data_mining"].rpartition("/")[2]
    return said


class _XmpReader:
    """Collects texts of the wanted properties, be they attributes, elements, lists or resources."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._open: list[str] = []
        """Wanted property that each open element stands in, or an empty name."""
        self._text: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def read(self, packet: bytes) -> None:
        self._parser.Parse(packet, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) == MAX_DEPTH:
            raise ValueError("XMP is nested too deep")
        wanted = XMP_FIELDS.get(name) or (self._open[-1] if self._open else "")
        self._open.append(wanted)
        self._text.clear()
        for key, value in attributes.items():
            self._keep(wanted if key == RESOURCE else XMP_FIELDS.get(key, ""), value)

    def _end(self, name: str) -> None:
        self._keep(self._open.pop(), "".join(self._text))
        self._text.clear()

    def _keep(self, wanted: str, value: str) -> None:
        # Cut here too: a list of thousands of entries must not be compared with itself.
        text = _clean(value) if wanted and len(self.found.get(wanted, ())) < MAX_TEXTS else None
        if text and text not in self.found.setdefault(wanted, []):
            self.found[wanted].append(text)

    def _refuse(self, *declaration: object) -> None:
        raise ValueError("XMP declares a document type")


def _iptc(photoshop: bytes | None) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for number, content in _photoshop_resources(photoshop or b""):
        if number == IPTC_RESOURCE:
            for dataset, value in _iptc_datasets(content):
                if dataset in IPTC_FIELDS:
                    said.setdefault(IPTC_FIELDS[dataset], []).append(_text(value))
    return {name: ", ".join(texts) for name, texts in said.items()}


def _photoshop_resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    """8BIM, number, padded Pascal string, length, padded content."""
    position = 0
    while block[position : position + 4] == b"8BIM" and position + 7 <= len(block):
        number = int.from_bytes(block[position + 4 : position + 6], "big")
        start = position + 6 + (block[position + 6] + 2) // 2 * 2
        length = int.from_bytes(block[start : start + 4], "big")
        yield number, block[start + 4 : start + 4 + length]
        position = start + 4 + length + length % 2


def _iptc_datasets(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Record 2's: 1C, record, dataset, length, value. Values over 32 KiB end the reading."""
    position = 0
    while block[position : position + 1] == b"\x1c" and position + 5 <= len(block):
        record, dataset = block[position + 1], block[position + 2]
        length = int.from_bytes(block[position + 3 : position + 5], "big")
        if length > 0x7FFF:
            return
        if record == 2:
            yield dataset, block[position + 5 : position + 5 + length]
        position += 5 + length


def _exif(exif: bytes | None) -> dict[str, str]:
    tags = read_exif(exif) if exif else {}
    values = {"copyright": tags.get(EXIF_COPYRIGHT), "creator": tags.get(EXIF_ARTIST)}
    texts = {name: _text(value) for name, value in values.items() if isinstance(value, bytes)}
    return {name: text for name, text in texts.items() if text.strip(" \0")}


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
