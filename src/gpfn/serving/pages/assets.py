"""Files that the pages load: the style and the script, from the package, and how they are sent."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from gpfn.errors import InvalidRequest
from gpfn.http.loop.exchange import Response

__all__ = ["POLICY", "address_of", "asset", "html", "page_headers", "redirect"]

_FOLDER = Path(__file__).with_name("assets")
_TYPES = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_OWN = re.compile(r'((?:href|action|src)=")/')
_YEAR = "public, max-age=31536000, immutable"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a page may load: its own server's, and an image that was chosen, which is a blob."""


def address_of(name: str) -> str:
    """Return where an asset is: a changed one is elsewhere, so that it may be kept for good."""
    return f"/assets/{name}?{_digest(name)}"


def asset(name: str) -> Response:
    """Return an asset. Raises InvalidRequest (404)."""
    if name not in _TYPES:
        raise InvalidRequest("there is no such file", field="path", status=404)
    headers = (
        ("content-type", _TYPES[name]),
        ("cache-control", _YEAR),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    )
    return Response(200, headers, (_content(name),))


def page_headers() -> tuple[tuple[str, str], ...]:
    """Return the headers of a page."""
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("vary", "accept"),
    )


def html(text: str, status: int = 200, *, root: str = "") -> Response:
    """Return a page; what it leads to and loads is below ``root``.

    Only addresses of ours stand in quotes: in texts of others these are escaped.
    """
    if root:
        text = _OWN.sub(rf"\1{root}/", text)
    return Response(status, page_headers(), (text.encode("utf-8", "replace"),))


def redirect(place: str, *, root: str = "") -> Response:
    """Send a browser, whose form was dealt with, to a page that may be loaded again."""
    return Response(303, (("location", root + place), ("cache-control", "no-store")), ())


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:12]
