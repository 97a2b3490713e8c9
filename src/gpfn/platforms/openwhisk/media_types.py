"""Which media types OpenWhisk takes for text, and which for bytes that go as base64.

Its HTTP library has a table of media types. One of the table is text or binary, whatever is
said beside it; one that is not in it is text when it has a charset, and binary without. A
body without a type is ``application/octet-stream``.

Source: Apache Pekko HTTP, ``MediaTypes`` and ``CommonActions.getMediaType``.
"""

from __future__ import annotations

import binascii
import re
from functools import cache
from typing import NamedTuple

__all__ = ["MediaType", "body_text", "is_json", "is_text", "parse_media_type"]

_TEXT_APPLICATIONS = (
    "atom+xml base64 javascript json json-patch+json merge-patch+json problem+json problem+xml"
    " rss+xml soap+xml vnd.api+json vnd.google-earth.kml+xml x-latex x-vrml x-www-form-urlencoded"
    " xhtml+xml xml xml-dtd"
)
_TEXTS = (
    "asp cache-manifest calendar css csv event-stream html markdown mcf plain richtext"
    " tab-separated-values uri-list vnd.wap.wml vnd.wap.wmlscript x-asm x-c x-component x-h"
    " x-java-source x-pascal x-script x-scriptcsh x-scriptelisp x-scriptksh x-scriptlisp"
    " x-scriptperl x-scriptperl-module x-scriptphyton x-scriptrexx x-scriptscheme x-scriptsh"
    " x-scripttcl x-scripttcsh x-scriptzsh x-server-parsed-html x-setext x-sgml x-speech"
    " x-uuencode x-vcalendar x-vcard xml"
)
_BINARY = {
    "application": (
        "cbor gnutar java-archive grpc+proto lha lzx msword octet-stream pdf postscript"
        " vnd.google-earth.kmz vnd.ms-excel vnd.ms-excel.addin.macroenabled.12"
        " vnd.ms-excel.sheet.binary.macroenabled.12 vnd.ms-excel.sheet.macroenabled.12"
        " vnd.ms-excel.template.macroenabled.12 vnd.ms-fontobject vnd.ms-powerpoint"
        " vnd.ms-powerpoint.addin.macroenabled.12 vnd.ms-powerpoint.presentation.macroenabled.12"
        " vnd.ms-powerpoint.slideshow.macroenabled.12 vnd.ms-word.document.macroenabled.12"
        " vnd.ms-word.template.macroenabled.12 vnd.oasis.opendocument.chart"
        " vnd.oasis.opendocument.database vnd.oasis.opendocument.formula"
        " vnd.oasis.opendocument.graphics vnd.oasis.opendocument.image"
        " vnd.oasis.opendocument.presentation vnd.oasis.opendocument.spreadsheet"
        " vnd.oasis.opendocument.text vnd.oasis.opendocument.text-master"
        " vnd.oasis.opendocument.text-web"
        " vnd.openxmlformats-officedocument.presentationml.presentation"
        " vnd.openxmlformats-officedocument.presentationml.slide"
        " vnd.openxmlformats-officedocument.presentationml.slideshow"
        " vnd.openxmlformats-officedocument.presentationml.template"
        " vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        " vnd.openxmlformats-officedocument.spreadsheetml.template"
        " vnd.openxmlformats-officedocument.wordprocessingml.document"
        " vnd.openxmlformats-officedocument.wordprocessingml.template x-7z-compressed"
        " x-ace-compressed x-apple-diskimage x-arc-compressed x-bzip x-bzip2 x-chrome-extension"
        " x-compress x-compressed x-debian-package x-dvi x-font-truetype x-font-opentype x-gtar"
        " x-gzip x-rar-compressed x-redhat-package-manager x-shockwave-flash x-tar x-tex"
        " x-texinfo x-x509-ca-cert x-xpinstall zip"
    ),
    "audio": ("aiff basic midi mod mpeg ogg voc vorbis voxware wav x-pn-realaudio x-psid xm webm"),
    "font": "woff woff2",
    "image": (
        "gif jpeg pict png svg+xml tiff x-icon x-ms-bmp x-pcx x-pict x-quicktime x-rgb x-xbitmap"
        " x-xpixmap webp"
    ),
    "message": "http delivery-status rfc822",
    "video": (
        "avs-video divx gl mp4 mpeg ogg quicktime x-dv x-flv x-motion-jpeg x-ms-asf x-msvideo"
        " x-sgi-movie webm"
    ),
}

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - of HTTP's grammar
_TYPE = re.compile(rf"({_TOKEN})/({_TOKEN})(.*)", re.DOTALL)
_PARAMETER = re.compile(rf'\s*;\s*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")')


class MediaType(NamedTuple):
    """A media type as the platform reads it; ``value`` has its parameters, but no charset."""

    base: str
    value: str
    charset: str = ""

    @property
    def json(self) -> bool:
        """Whether the platform reads it as JSON: the type itself has to end so."""
        return self.value == "application/json" or self.value.endswith("+json")

    @property
    def text(self) -> bool:
        """Whether a body of this type goes as text."""
        known = _known().get(self.base)
        if known is not None:
            return known
        return bool(self.charset) and not self.base.startswith("multipart/")


def parse_media_type(content_type: str) -> MediaType | None:
    """Read a Content-Type; None for what is none."""
    found = _TYPE.fullmatch(content_type.strip())
    if found is None:
        return None
    base, rest = f"{found[1]}/{found[2]}".lower(), found[3]
    value, charset, at = base, "", 0
    while part := _PARAMETER.match(rest, at):
        at = part.end()
        if part[1].lower() == "charset":
            charset = part[2].strip('"')
        else:
            value += f"; {part[1]}={part[2]}"
    return None if rest[at:].strip() else MediaType(base, value, charset)


def is_text(content_type: str) -> bool:
    """Say whether a body of a type goes as text; what is no type is bytes."""
    parsed = parse_media_type(content_type)
    return parsed is not None and parsed.text


def is_json(content_type: str) -> bool:
    """Say whether a body of a type is read as JSON."""
    parsed = parse_media_type(content_type)
    return parsed is not None and (parsed.base == "application/json" or parsed.json)


def body_text(body: bytes, content_type: str) -> str:
    """Return a request's body as the parameter ``__ow_body``: text, or base64.

    JSON itself goes as base64 though it is text; its relations, such as events, do not.
    """
    parsed = parse_media_type(content_type)
    if parsed is None or not parsed.text or parsed.value == "application/json":
        return binascii.b2a_base64(body, newline=False).decode()
    return body.decode("utf-8", "replace")


@cache
def _known() -> dict[str, bool]:
    """Return the types of the table, and which of them are text."""
    binary = {f"{main}/{sub}": False for main, subs in _BINARY.items() for sub in subs.split()}
    text = {f"application/{sub}": True for sub in _TEXT_APPLICATIONS.split()}
    return {**binary, **text, **{f"text/{sub}": True for sub in _TEXTS.split()}}
