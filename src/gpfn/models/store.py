"""Fetching model files to this machine.

A file is looked for in the cache folder, then in the mirror (``GPFN_MODEL_MIRROR``, a
folder or a URL), and is then fetched from its own address. Only a file whose hash is right
gets into the cache, under its hash, so a file that is there needs no further check.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from pathlib import Path
from urllib.parse import quote, unquote

from gpfn.errors import DownloadFailed
from gpfn.http.address import shown_url
from gpfn.models.description import ModelFile
from gpfn.models.download import Progress, Terms, download
from gpfn.models.files import (
    CACHE_VARIABLE,
    cache_folder,
    cached_path,
    check_file,
    download_path,
    lock_folder,
    publish,
)

__all__ = ["fetch_url", "obtain"]

_MIRROR = "GPFN_MODEL_MIRROR"


def obtain(
    file: ModelFile, *, terms: Terms | None = None, progress: Progress | None = None
) -> Path:
    """Return the path of a catalogue file on this machine, fetched if need be.

    Raises DownloadFailed, which says what was tried and what to do.
    """
    path = cached_path(file)
    if path is not None:
        return path
    if not file.url:
        raise DownloadFailed(f"{file.name} should have come with gpfn; install it again")
    order = _Order(file.name, file.url, file.sha256, file.size)
    return _fetch(order, download_path(file), terms or Terms.from_env(), progress)


def fetch_url(
    reference: str, *, terms: Terms | None = None, progress: Progress | None = None
) -> Path:
    """Return the path of what ``URL`` or ``URL#sha256=HEX`` names, in the cache folder.

    With a hash it is fetched once; without one it is fetched every time, and replaces
    what was there only when it has come as a whole. The last part of the URL's path is
    its name, so that its suffix tells what kind of model it is.
    """
    url, _, fragment = reference.partition("#")
    if fragment and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", fragment):
        raise DownloadFailed(f"expected #sha256= and 64 hex digits after {shown_url(url)}")
    order = _Order(_name_in(url), url, fragment[len("sha256=") :].lower(), None)
    if order.sha256:
        place = cache_folder() / "models" / order.sha256 / order.name
        if place.is_file():
            return place
    else:
        place = cache_folder() / "urls" / sha256_of(url.encode()).hexdigest() / order.name
    return _fetch(order, place, terms or Terms.from_env(), progress)


@dataclass(frozen=True, slots=True)
class _Order:
    """A file to fetch. Without a hash the mirror is not asked."""

    name: str
    url: str
    sha256: str
    size: int | None


def _name_in(url: str) -> str:
    path = re.sub(r"^[^:]*://[^/]*", "", url).partition("?")[0]
    last = unquote(path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "model"


def _fetch(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> Path:
    try:
        with lock_folder(place.parent, terms.total):
            if order.sha256 and place.is_file():  # another process was faster
                return place
            _try_all(order, place, terms, progress)
    except OSError as error:
        raise DownloadFailed(
            f"cannot use the cache folder {cache_folder()}: {error.strerror}; "
            f"{CACHE_VARIABLE} names another one"
        ) from error
    return place


def _try_all(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> None:
    failures = []
    for source in _sources(order):
        try:
            return source(order, place, terms, progress)
        except DownloadFailed as error:
            failures.append(error.detail)
    raise DownloadFailed("; ".join(failures) + _advice(order, place))


_Source = Callable[[_Order, Path, Terms, Progress | None], None]


def _sources(order: _Order) -> list[_Source]:
    mirror = os.environ.get(_MIRROR, "")
    if not mirror or not order.sha256:
        return [_from_origin]
    return [_from_mirror_url if "://" in mirror else _from_mirror_folder, _from_origin]


def _from_origin(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> None:
    download(order.url, place, sha256=order.sha256, size=order.size, terms=terms, progress=progress)


def _from_mirror_url(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> None:
    url = f"{os.environ[_MIRROR].rstrip('/')}/{quote(order.name)}"
    download(url, place, sha256=order.sha256, size=order.size, terms=terms, progress=progress)


def _from_mirror_folder(
    order: _Order, place: Path, terms: Terms, progress: Progress | None
) -> None:
    source = Path(os.environ[_MIRROR]) / order.name
    if not source.is_file():
        raise DownloadFailed(f"the mirror {source.parent} has no {order.name}")
    size = source.stat().st_size
    if size > terms.max_bytes:
        raise DownloadFailed(f"{source} has {size} bytes, over the limit of {terms.max_bytes}")
    part = place.with_name(place.name + ".mirrored")
    try:
        _copy(source, part)
        wrong = check_file(part, sha256=order.sha256, size=order.size)
        if wrong:
            raise DownloadFailed(f"{source} {wrong}")
        publish(part, place)
    finally:
        part.unlink(missing_ok=True)
    if progress:
        progress(order.name, size, size)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise DownloadFailed(f"cannot copy {source}: {error.strerror}") from error


def _advice(order: _Order, place: Path) -> str:
    if not order.sha256:
        return ". Give a file that is on this machine instead"
    return (
        f". Without a network, set {_MIRROR} to a folder or a URL that has {order.name}, "
        f"or put the file at {place}"
    )
