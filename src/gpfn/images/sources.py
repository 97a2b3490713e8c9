"""What callers send as an image, down to the bytes of the image file."""

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import InvalidImage, InvalidRequest, MissingExtra, TooLarge

if TYPE_CHECKING:
    from multipart import MultipartSegment, PushMultipartParser

__all__ = [
    "FORM_HEADERS",
    "FORM_HEADER_BYTES",
    "FORM_PARTS",
    "FormPart",
    "form_boundary",
    "form_parts",
    "from_bytes",
    "from_text",
    "multipart_fields",
]

FORM_PARTS = 64
"""Parts of one form; as many as tensors of one call."""
FORM_HEADERS = 8
"""Header lines of one part."""
FORM_HEADER_BYTES = 4096
"""Bytes of one header line of a part."""

_LONGEST_BOUNDARY = 70  # RFC 2046, section 5.1.1
_LONGEST_TYPE = 1024
_CHUNK = 1 << 16
# RFC 7578, section 4.7, wants none of them any more; some clients have them all the same.
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "base64": binascii.a2b_base64,
    "quoted-printable": binascii.a2b_qp,
}

_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
_SHOWN = 24
_AROUND = "\ufeff \t\r\n"
_LOOKED_AT = 256
_AS_TEXT = re.compile(rb"data:.*|[\w+/=%\\\s-]+", re.I | re.S)
"""How base64 or a data URL begins; no image file has such bytes alone at its start."""


def from_bytes(data: bytes, max_bytes: int, *, field: str = "image") -> bytes:
    """Return the bytes of an image sent as its file, or as what :func:`from_text` takes.

    Raises what that raises.
    """
    if _AS_TEXT.fullmatch(data[:_LOOKED_AT].strip(_AROUND.encode() + b"\"'")):
        return from_text(data.decode("utf-8", "replace"), max_bytes, field=field)
    if len(data) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes of image (GPFN_MAX_BODY_BYTES)", field=field)
    return data


def from_text(text: object, max_bytes: int, *, field: str = "image") -> bytes:
    """Return the bytes of an image sent as base64 or as a base64 data URL.

    Line breaks, missing padding, quotes around it and the URL-safe alphabet are accepted.
    Raises InvalidImage naming ``field``, TooLarge before anything is decoded.
    """
    if text is None:
        raise InvalidImage("missing; send the image file as base64 text", field=field)
    if not isinstance(text, str):
        raise InvalidImage(f"expected base64 text, got {type(text).__name__}", field=field)
    if len(text) > max_bytes * 3 // 2 + 1024:  # base64 is 4/3, line breaks a little more
        raise TooLarge(f"more than {max_bytes} bytes of image (GPFN_MAX_BODY_BYTES)", field=field)
    text = _unquoted(text.strip(_AROUND))
    if text[:5].lower() == "data:":
        text = _data_url_content(text, field)
    data = _decode(text, field)
    if not data:
        raise InvalidImage("empty; send the image file as base64 text", field=field)
    if len(data) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes of image (GPFN_MAX_BODY_BYTES)", field=field)
    return data


def _unquoted(text: str) -> str:
    """Take one pair of quotes off, as of a JSON string whose slashes may be escaped."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    for written, meant in (("\\/", "/"), ("\\n", ""), ("\\r", "")):
        text = text.replace(written, meant)
    return text[1:-1].strip(_AROUND)


def _data_url_content(text: str, field: str) -> str:
    head, comma, content = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidImage("a data URL must be data:<type>;base64,<content>", field=field)
    if "%" not in content:
        return content
    from urllib.parse import unquote

    return unquote(content)


def _decode(text: str, field: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return _decode_loosely(text, field)


def _decode_loosely(text: str, field: str) -> bytes:
    """Decode it without its white space and padding; either alphabet will do."""
    try:
        plain = b"".join(text.encode("ascii").split()).translate(_ONE_ALPHABET).rstrip(b"=")
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        shown = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
        raise InvalidImage(f"not base64: {shown!r}", field=field) from None


class FormPart(NamedTuple):
    """A part of a form: its name, the name of its file (None for a value), and its content."""

    name: str
    filename: str | None
    content: bytes | str


def multipart_fields(body: bytes, content_type: str) -> Mapping[str, bytes | str]:
    """Return the parts of a multipart/form-data body by name: files as bytes, values as text.

    Of two parts of one name the last is kept. Raises as :func:`form_parts` does.
    """
    return {part.name: part.content for part in form_parts(body, content_type)}


def form_parts(body: bytes, content_type: str) -> list[FormPart]:
    """Return the parts of a multipart/form-data body: files as bytes, values as text.

    What is held at a time is the body and its
    parts, together twice the body. RFC 7578; time grows with the body's length.
    Raises InvalidRequest when it is not one, TooLarge over ``FORM_PARTS``,
    ``FORM_HEADERS`` or ``FORM_HEADER_BYTES``, MissingExtra when the ``multipart``
    package is not installed.
    """
    try:
        from multipart import MultipartError, ParserLimitReached, PushMultipartParser
    except ImportError:
        raise MissingExtra("multipart", "images") from None
    try:
        parser = PushMultipartParser(
            form_boundary(content_type),
            max_header_size=FORM_HEADER_BYTES,
            max_header_count=FORM_HEADERS,
            max_segment_count=FORM_PARTS,
        )
        with parser:
            return [*_parts(parser, body)]
    except ParserLimitReached as error:
        limits = f"{FORM_PARTS} parts, each of {FORM_HEADERS} header lines"
        detail = f"{error}; a form has at most {limits} of {FORM_HEADER_BYTES} bytes"
        raise TooLarge(detail, field="body") from None
    except MultipartError as error:
        detail = f"not a multipart/form-data body: {error}"
        raise InvalidRequest(detail, field="body") from None


def form_boundary(content_type: str) -> str:
    """Return the boundary that a form's media type names. Raises InvalidRequest without one."""
    from multipart import parse_options_header

    boundary: str = parse_options_header(content_type[:_LONGEST_TYPE])[1].get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise InvalidRequest(
            "not a multipart/form-data body with a boundary of 1 to 70 characters", field="body"
        )
    return boundary


def _parts(parser: "PushMultipartParser", body: bytes) -> Iterator[FormPart]:
    """Yield each part's name and content; the parser tells of a part, its bytes, its end."""
    part: MultipartSegment | None = None
    pieces: list[bytes] = []
    for start in range(0, len(body), _CHUNK):
        for event in parser.parse(body[start : start + _CHUNK]):
            if event is None:
                assert part is not None, "the end of a part comes after it"  # noqa: S101
                content = _content(part, b"".join(pieces))
                yield FormPart(part.name or "", part.filename, content)
            elif isinstance(event, bytes | bytearray):
                pieces.append(bytes(event))
            else:
                part, pieces = event, []
                if not part.name:
                    raise InvalidRequest("a part without a name", field="body")


def _content(part: "MultipartSegment", content: bytes) -> bytes | str:
    decoder = _DECODERS.get(str(part.header("Content-Transfer-Encoding", "")).lower())
    if decoder is not None:
        try:
            content = decoder(content)
        except ValueError as error:
            raise InvalidRequest(f"the part {part.name!r:.40}: {error}", field="body") from None
    if part.filename is not None or (part.content_type or "").startswith("image/"):
        return content
    return content.decode("utf-8", "replace").strip()
