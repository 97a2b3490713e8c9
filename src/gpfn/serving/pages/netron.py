"""Netron's pages, from the installed package, for a frame that reaches nothing but one model.

Those pages would ask where the reader is, report what is done to an analytics service, and refuse
to start when they are 180 days old. None of that is cut out of their files. Their page gets no
date and the version of one that was never released, so that it neither counts its days nor
reports; a script of ours before theirs answers for the cookies that a sandbox has not, so that
nobody is asked for consent; and the policy lets the frame connect to the package's own tables
and to the one model, whatever else a later version tries.

The frame has no origin: its requests say ``Origin: null`` and carry no token. So the model is
at an address that nobody can guess, made of a secret of this server, which the model's page
tells to whoever may see that page.
"""

from __future__ import annotations

import hmac
import re
from functools import cache
from hashlib import sha256
from html import escape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from gpfn.errors import InvalidRequest
from gpfn.http.loop.exchange import Response

__all__ = ["SHIM", "frame_address", "frame_page", "installed", "key_of", "model_file", "part"]

SHIM = "gpfn-frame.js"
"""Ours, which runs before theirs."""
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_NAME = re.compile(r"[a-z0-9-]{1,60}\.(js|css|json|png|ico)")
_META = re.compile(r'<meta (name="(date|version|type|file|name|identifier)"|http-equiv)[^>]*>')
_OPEN = (("access-control-allow-origin", "null"), ("x-content-type-options", "nosniff"))
_LONGEST_META = 300


@cache
def installed() -> Path | None:
    """Return the package's folder, without importing it; None where it is not installed."""
    spec = find_spec("netron")
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) if places else None
    return folder if folder and (folder / "index.html").is_file() else None


def key_of(secret: bytes, name: str, version: int, file: str) -> str:
    """Return what the address of a model's file cannot be guessed without."""
    told = f"{name}\0{version}\0{file}".encode()
    return hmac.new(secret, told, sha256).hexdigest()[:32]


def frame_address(secret: bytes, name: str, version: int, path: str) -> str:
    """Return the address of the frame for a file of a version's.

    There is none where the package is not installed.
    """
    if installed() is None:
        return ""
    file = path.rpartition("/")[2]
    key = key_of(secret, name, version, file)
    return f"/netron/graph?key={key}&model={quote(name, safe='')}&version={version}&file=" + quote(
        file, safe=""
    )


def frame_page(base: str, name: str, version: int, file: str, key: str) -> Response:
    """Return Netron's page for one file, whose key was checked. Raises InvalidRequest (404)."""
    folder = _folder()
    text = _META.sub("", (folder / "index.html").read_text(encoding="utf-8"))
    place = f"{key}/{quote(name, safe='')}/{version}/{quote(file, safe='')}"
    names = {"version": "0.0.0", "file": place, "name": name, "identifier": file}
    metas = "".join(
        f'<meta name="{key}" content="{escape(value[:_LONGEST_META])}">'
        for key, value in names.items()
    )
    head = f'{metas}<script src="{SHIM}"></script><script '
    text = text.replace("<script ", head, 1)
    at = f"{base}/netron/"
    policy = (
        f"default-src 'none'; script-src {at}; style-src 'unsafe-inline' {at}; "
        f"img-src {at} data: blob:; worker-src blob:; "
        f"connect-src {at}{place} {' '.join(at + table for table in _tables())}; "
        "sandbox allow-scripts; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    )
    return Response(200, headers, (text.encode("utf-8", "replace"),))


def part(name: str) -> Response:
    """Return a file of the package, or our script before it. Raises InvalidRequest (404)."""
    folder = Path(__file__).with_name("assets") if name == SHIM else _folder()
    path = folder / name
    if not _NAME.fullmatch(name) or not path.is_file():
        raise InvalidRequest("there is no such file", field="path", status=404)
    headers = (("content-type", _TYPES[path.suffix]), ("cache-control", "max-age=3600"), *_OPEN)
    return Response(200, headers, (path.read_bytes(),))


def model_file(path: Path) -> Response:
    """Return a model's file to the frame: its pages of memory are read as they are sent."""
    import mmap

    with path.open("rb") as file:
        size = path.stat().st_size
        data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) if size else b""
    headers = (
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment"),
        ("cache-control", "private, max-age=600"),
        *_OPEN,
    )
    return Response(200, headers, (data,))


@cache
def _tables() -> tuple[str, ...]:
    return tuple(sorted(path.name for path in _folder().glob("*-metadata.json")))


def _folder() -> Path:
    folder = installed()
    if folder is None:
        raise InvalidRequest("Netron is not installed: pip install gpfn[netron]", status=404)
    return folder
