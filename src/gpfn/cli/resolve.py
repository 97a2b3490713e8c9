"""What a user calls a model: a name in the catalogue, a file, a folder or a URL."""

import os
import re
from collections.abc import Iterator

from gpfn.cli.progress import DownloadProgress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from gpfn.models.description import Description

__all__ = ["fetched", "is_address", "model_uri", "pull_models"]

_FETCH_SECONDS = 60.0  # as long as graphpipe-tf gives a model's address
_MARK = "catalogue:"
_QUOTED = re.compile(r"""["'](catalogue:)?([\w.-]+)["']""")


def model_uri(name: str) -> str:
    """Return what `gpfn.models.open_model` opens for a user's word.

    A file or folder comes before a name of the catalogue; the catalogue's file is fetched
    when it is not on this machine yet, and so is the address of a model file. Any other
    address is a GraphPipe server's.
    """
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain

    if is_address(name):
        return fetched(name) if _ends_like_a_model(name) else name
    if os.path.exists(name) or name not in default_catalogue():
        return name
    return str(obtain(default_catalogue().get(name).model, progress=DownloadProgress()))


def is_address(name: str) -> bool:
    """Say whether it begins as an http(s) URL does."""
    return name.lower().startswith(("http://", "https://"))


def fetched(url: str) -> str:
    """Return the file at an address, which may end in ``#sha256=``. Raises DownloadFailed."""
    from gpfn.models.download import Terms
    from gpfn.models.store import fetch_url

    terms = Terms.from_env(total=_FETCH_SECONDS)
    return str(fetch_url(url, terms=terms, progress=DownloadProgress()))


def _ends_like_a_model(url: str) -> bool:
    from urllib.parse import urlsplit

    from gpfn.models.backends import backend_by_suffix, installed_backends

    path = urlsplit(url).path
    if not os.path.splitext(path)[1]:
        return False
    return bool(backend_by_suffix(path) or backend_by_suffix(path, installed_backends()))


def pull_models(function: "Path", request: bytes = b"") -> None:
    """Fetch what a function's file needs of the catalogue and is neither here nor beside it.

    A runner never downloads, so this goes before starting one. The file is read, not run:
    ``"catalogue:NAME"`` is needed, any other name of the catalogue that stands quoted in
    it when the request names it too. Raises DownloadFailed.
    """
    text = function.read_text(encoding="utf-8", errors="replace")
    if _MARK not in text:
        return
    from gpfn.models.files import cached_path
    from gpfn.models.store import obtain

    for entry in _named(text, request):
        for file in entry.files:
            if cached_path(file) is None and not (function.parent / file.name).is_file():
                obtain(file, progress=DownloadProgress())


def _named(text: str, request: bytes) -> "Iterator[Description]":
    from gpfn.models.catalogue import default_catalogue

    for marked, name in sorted(set(_QUOTED.findall(text)), reverse=True):
        if (marked or name.encode() in request) and name in default_catalogue():
            yield default_catalogue().get(name)
