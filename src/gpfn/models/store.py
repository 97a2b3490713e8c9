"""Fetching model files to this machine.

A file is looked for in the cache folder, then in the mirror (``GPFN_MODEL_MIRROR``, a
folder or a URL), and is then fetched from its own address. Only a file whose hash is right
gets into the cache, under its hash, so a file that is there needs no further check.

A model of several files is fetched whole: the others lie beside it where it comes from, and
the hash after its address is that of all of them.
"""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256 as sha256_of
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from gpfn.errors import DownloadFailed
from gpfn.http.address import shown_url
from gpfn.models.catalogue import bundled_folder
from gpfn.models.description import Description, ModelFile
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
from gpfn.models.parts import Part, digest_of, other_names
from gpfn.secrets import read_setting

__all__ = ["fetch_url", "obtain", "obtain_model"]

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
    if not file.url and file.folder not in ("", str(bundled_folder())):
        told = f"{file.name} is not in {file.folder}, where its description has it"
        raise DownloadFailed(told)
    if not file.url:
        raise DownloadFailed(f"{file.name} should have come with gpfn; install it again")
    order = _Order(file.name, file.url, file.sha256, file.size)
    return _fetch(order, download_path(file), terms or Terms.from_env(), progress)


def obtain_model(
    entry: Description, *, terms: Terms | None = None, progress: Progress | None = None
) -> Path:
    """Return the path of a catalogue model on this machine, with what it needs beside it.

    Each file is kept under its own hash, so those that the model's file names are linked to
    where it lies. Raises DownloadFailed.
    """
    path = obtain(entry.model, terms=terms, progress=progress)
    needed = other_names(path)
    for file in entry.files:
        if file.url and file.name in needed:
            found, beside = obtain(file, terms=terms, progress=progress), path.parent / file.name
            if not beside.exists():
                with suppress(FileExistsError):  # another process was faster
                    os.link(found, beside)
    return path


def fetch_url(
    reference: str, *, terms: Terms | None = None, progress: Progress | None = None
) -> Path:
    """Return the path of what ``URL`` or ``URL#sha256=HEX`` names, in the cache folder.

    With a hash it is fetched once; without one it is fetched every time, and replaces
    what was there only when it has come as a whole. The last part of the URL's path is
    its name, so that its suffix tells what kind of model it is. Files that the model needs
    are fetched from beside it, and the hash is `gpfn.models.parts.model_digest`'s.
    """
    url, _, fragment = reference.partition("#")
    if fragment and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", fragment):
        raise DownloadFailed(f"expected #sha256= and 64 hex digits after {shown_url(url)}")
    order = _Order(_name_in(url), url, fragment[len("sha256=") :].lower(), None, whole=True)
    if order.sha256:
        place = cache_folder() / "models" / order.sha256 / order.name
        if place.is_file():
            return place
    else:
        place = cache_folder() / "urls" / sha256_of(url.encode()).hexdigest() / order.name
    return _fetch(order, place, terms or Terms.from_env(), progress)


@dataclass(frozen=True, slots=True)
class _Order:
    """A file to fetch, or a ``whole`` model. Without a hash the mirror is not asked."""

    name: str
    url: str
    sha256: str
    size: int | None
    whole: bool = False


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
    mirror = read_setting(_MIRROR)
    if not mirror or not order.sha256:
        return [_from_origin]
    return [_from_mirror_url if "://" in mirror else _from_mirror_folder, _from_origin]


def _from_origin(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> None:
    _from_url(order.url, order, place, terms, progress)


def _from_mirror_url(order: _Order, place: Path, terms: Terms, progress: Progress | None) -> None:
    url = f"{read_setting(_MIRROR).rstrip('/')}/{quote(order.name)}"
    _from_url(url, order, place, terms, progress)


def _from_url(
    url: str, order: _Order, place: Path, terms: Terms, progress: Progress | None
) -> None:
    def beside(name: str, target: Path) -> None:
        download(_beside(url, name), target, terms=terms, progress=progress)

    download(
        url,
        place,
        sha256=order.sha256,
        size=order.size,
        terms=terms,
        progress=progress,
        check=partial(_check, order, place, beside),
    )


def _beside(url: str, name: str) -> str:
    """Return the address of a file in the folder of ``url``'s, with the same query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{quote(name)}"))


def _from_mirror_folder(
    order: _Order, place: Path, terms: Terms, progress: Progress | None
) -> None:
    folder = Path(read_setting(_MIRROR))

    def beside(name: str, target: Path) -> None:
        source = folder / name
        if not source.is_file():
            raise DownloadFailed(f"the mirror {folder} has no {name}")
        size = source.stat().st_size
        if size > terms.max_bytes:
            raise DownloadFailed(f"{source} has {size} bytes, over the limit of {terms.max_bytes}")
        _copy(source, target)

    part = place.with_name(place.name + ".mirrored")
    try:
        beside(order.name, part)
        wrong = _check(order, place, beside, part)
        if wrong:
            raise DownloadFailed(f"{folder / order.name} {wrong}")
        publish(part, place)
    finally:
        part.unlink(missing_ok=True)
    if progress:
        size = place.stat().st_size
        progress(order.name, size, size)


def _check(order: _Order, place: Path, beside: Callable[[str, Path], None], part: Path) -> str:
    """Return what is wrong with a file that has come, or with the model that it begins.

    ``beside`` fetches another file of the model. Those get their names only when all are
    right, and before the first one does.
    """
    names = other_names(part) if order.whole else ()
    if not names:
        return check_file(part, sha256=order.sha256, size=order.size)
    with TemporaryDirectory(dir=place.parent) as folder:
        parts = [Part("", str(part))]
        for name in names:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            beside(name, target)
            parts.append(Part(name, str(target)))
        digest = digest_of(parts) if order.sha256 else ""
        if digest != order.sha256:
            return f"and the files beside it have sha256 {digest}, expected {order.sha256}"
        for name in names:
            target = place.parent / name
            target.parent.mkdir(parents=True, exist_ok=True)
            publish(Path(folder, name), target)
    return ""


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
