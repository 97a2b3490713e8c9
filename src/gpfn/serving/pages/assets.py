"""Files that the pages load: the style and the script, from the package, and how they are sent."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from gpfn.errors import InvalidRequest
from gpfn.http.loop.exchange import Response

__all__ = ["POLICY", "PageAssets", "address_of", "asset", "html", "page_headers", "redirect"]

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_OWN = re.compile(r'((?:href|action|src)=")/')
_YEAR = "public, max-age=31536000, immutable"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a page may load: its own server's, and an image that was chosen, which is a blob."""


class PageAssets:
    """The files of some pages: of a package's folder, by the names that are given and no others."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._files = {name: folder / name for name in names}

    def address_of(self, name: str) -> str:
        """Return where an asset is: a changed one is elsewhere, so that it may be kept for good."""
        return f"/assets/{name}?{_digest(self._files[name])}"

    def answer(self, name: str) -> Response | None:
        """Return an asset, or None when there is none of that name."""
        file = self._files.get(name)
        if file is None:
            return None
        headers = (
            ("content-type", _TYPES[file.suffix]),
            ("cache-control", _YEAR),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
        )
        return Response(200, headers, (_content(file),))


_OURS = PageAssets(Path(__file__).with_name("assets"), "style.css", "page.js")
address_of = _OURS.address_of


def asset(name: str) -> Response:
    """Return an asset. Raises InvalidRequest (404)."""
    found = _OURS.answer(name)
    if found is None:
        raise InvalidRequest("there is no such file", field="path", status=404)
    return found


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
def _content(file: Path) -> bytes:
    return file.read_bytes()


@cache
def _digest(file: Path) -> str:
    return sha256(_content(file)).hexdigest()[:12]
