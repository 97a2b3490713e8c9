"""What callers send as an image, down to the bytes of the image file."""

import binascii
from collections.abc import Mapping

from gpfn.errors import InvalidImage, InvalidRequest, TooLarge

__all__ = ["from_text", "multipart_fields"]

_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
_SHOWN = 24


def from_text(text: object, max_bytes: int, *, field: str = "image") -> bytes:
    """Return the bytes of an image sent as base64 or as a base64 data URL.

    Line breaks, missing padding and the URL-safe alphabet are accepted. Raises
    InvalidImage naming ``field``, TooLarge before anything is decoded.
    """
    if text is None:
        raise InvalidImage("missing; send the image file as base64 text", field=field)
    if not isinstance(text, str):
        raise InvalidImage(f"expected base64 text, got {type(text).__name__}", field=field)
    if len(text) > max_bytes * 3 // 2 + 1024:  # base64 is 4/3, line breaks a little more
        raise TooLarge(f"more than {max_bytes} bytes of image (GPFN_MAX_BODY_BYTES)", field=field)
    if text.startswith("data:"):
        text = _data_url_content(text, field)
    data = _decode(text, field)
    if not data:
        raise InvalidImage("empty; send the image file as base64 text", field=field)
    if len(data) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes of image (GPFN_MAX_BODY_BYTES)", field=field)
    return data


def _data_url_content(text: str, field: str) -> str:
    head, comma, content = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidImage("a data URL must be data:<type>;base64,<content>", field=field)
    return content


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


def multipart_fields(body: bytes, content_type: str) -> Mapping[str, bytes | str]:
    """Return the parts of a multipart/form-data body by name: files as bytes, values as text.

    Raises InvalidRequest when it is not one.
    """
    from email.parser import BytesParser
    from email.policy import HTTP

    head = b"content-type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise InvalidRequest("not a multipart/form-data body with a boundary", field="body")
    fields: dict[str, bytes | str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise InvalidRequest("a part without a name", field="body")
        is_file = part.get_filename() is not None or part.get_content_maintype() == "image"
        fields[name] = content if is_file else content.decode("utf-8", "replace").strip()
    return fields
