"""The head of a response: its status line and its headers, and a length among them.

Strict (RFC 9112, 4 and 5): a server that sends what is not HTTP is told from one that fails.
"""

from gpfn.errors import BrokenReply

__all__ = ["content_length", "joined_headers", "parse_head"]

_MOST_DIGITS = 20  # of a length: a number with more is over any limit without the others


def parse_head(head: bytes) -> tuple[str, int, str, list[tuple[str, str]]]:
    """Return version, status, reason and headers of a head without its end.

    The names are in lower case; a header that occurs again is there again. Raises BrokenReply.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not _is_status(status):
        raise BrokenReply(f"not HTTP: {first[:80]!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():  # a folded line is refused, too
            raise BrokenReply(f"not a header: {line[:80]!r}")
        headers.append((name.lower(), value.strip(" \t")))
    return version, int(status), reason, headers


def joined_headers(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name, repeated ones joined by commas.

    Raises BrokenReply when they tell two lengths for one body.
    """
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = _repeated(name, joined[name], value) if name in joined else value
    return joined


def _repeated(name: str, before: str, value: str) -> str:
    """Return the value of a header that occurs once more."""
    if name != "content-length":
        return f"{before}, {value}"
    if before != value:
        raise BrokenReply("two lengths for one body")
    return value


def _is_status(text: str) -> bool:
    return len(text) == 3 and text.isdecimal() and text[0] != "0"


def content_length(text: str) -> int:
    """Read a Content-Length; raises BrokenReply."""
    if not (text.isascii() and text.isdigit()):
        raise BrokenReply(f"{text[:40]!r} is not a length")
    return int(text.lstrip("0")[:_MOST_DIGITS] or "0")
