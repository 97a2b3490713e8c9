"""Which files a model consists of, and one hash, one size and one stamp over all of them.

A model is a file, a file with others beside it (tensors of an .onnx), or a folder. Whatever
has to notice that a model is another one now asks here: ``#sha256=``, the row cache's key,
the model cache's ``watch``.
"""

import os
import stat
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

from gpfn.errors import ModelUnreadable
from gpfn.models.backends import BACKENDS, installed_backends
from gpfn.models.filekind import recognise

__all__ = [
    "Part",
    "digest_of",
    "model_digest",
    "model_parts",
    "model_size",
    "model_stamp",
    "other_names",
]


class Part(NamedTuple):
    """A file of a model: its name in the model ("" for the file that is opened), its path."""

    name: str
    path: str


def model_parts(path: "str | os.PathLike[str]") -> tuple[Part, ...]:
    """Return the files of the model at ``path``, sorted by name: of a folder all that are in it.

    Raises ModelUnreadable for a damaged file, and when a part is absent or outside of the
    model's folder. A file that no backend knows is a part of its own.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        return tuple(sorted(_within(path)))
    parts = [Part("", path)]
    for name in _others(path, *_identity(path)):
        parts.append(Part(name, os.path.join(os.path.dirname(path), name)))
        _check_inside(parts[-1], path)
    return tuple(parts)


def model_size(path: "str | os.PathLike[str]") -> int:
    """Return the bytes of all files of a model."""
    return sum(os.path.getsize(part.path) for part in model_parts(path))


def model_digest(path: "str | os.PathLike[str]") -> str:
    """Return the SHA-256 that ``#sha256=`` names, as 64 lower-case hex digits.

    Of a model that is one file it is the file's own. Of several it is over a line for each,
    sorted by name: the name, a zero byte, the file's own SHA-256, a line feed.
    """
    return digest_of(model_parts(path))


def digest_of(parts: Iterable[Part]) -> str:
    """Return the hash over a model's files; see :func:`model_digest`.

    Raises ModelUnreadable for a file that cannot be read.
    """
    import hashlib  # only where it is used: loading OpenSSL costs 3 ms

    digests = []
    for part in parts:
        try:
            with open(part.path, "rb") as file:
                digests.append((part.name, hashlib.file_digest(file, "sha256").hexdigest()))
        except OSError as error:
            raise ModelUnreadable(f"{error.strerror}: {part.path}") from None
    if len(digests) == 1 and not digests[0][0]:
        return digests[0][1]
    lines = [os.fsencode(f"{name}\0{digest}\n") for name, digest in sorted(digests)]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def model_stamp(path: "str | os.PathLike[str]") -> tuple[object, ...]:
    """Return what changes when any file of a model is written anew, put there, or removed."""
    try:
        parts = model_parts(path)
    except (ModelUnreadable, OSError):  # absent or half written: whoever opens it is told
        parts = (Part("", os.fspath(path)),)
    return tuple((part.name, *_identity(part.path)) for part in parts)


def other_names(path: "str | os.PathLike[str]") -> tuple[str, ...]:
    """Return the names of the files that a model's file needs, whether they are there or not.

    They are sorted, and relative to its folder. Raises ModelUnreadable for a damaged file,
    and for a name that leads out of that folder.
    """
    path = os.fspath(path)
    return _others(path, *_identity(path))


def _check_inside(part: Part, model: str) -> None:
    """Refuse a part that is absent, or that a symbolic link takes out of the model's folder.

    A link may lead to where the model's own link leads: stores of models keep files so.
    """
    real = os.path.realpath(part.path)
    homes = {os.path.realpath(os.path.dirname(model)), os.path.dirname(os.path.realpath(model))}
    if all(os.path.commonpath((home, real)) != home for home in homes):
        raise _outside(part.name, model)
    if not os.path.isfile(real):
        raise ModelUnreadable(f"the model needs the file {part.name!r:.99} beside it: {model}")


def _outside(name: str, model: str) -> ModelUnreadable:
    return ModelUnreadable(f"its file {name!r:.99} is outside of the model's folder: {model}")


def _within(folder: str) -> Iterable[Part]:
    """Give the regular files below a folder; a folder that links lead to twice counts once."""
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = os.path.join(at, name)
            if os.path.isfile(path):
                yield Part(os.path.relpath(path, folder), path)


def _identity(path: str) -> tuple[int, int, int]:
    """Return when a file was written, its size and its inode; zeros when it is absent."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=32)
def _others(path: str, _written: int, size: int, _inode: int) -> tuple[str, ...]:
    """Return what :func:`other_names` does: looked for again once the file has changed."""
    if not size or not stat.S_ISREG(os.stat(path).st_mode):
        return ()
    row = recognise(path, BACKENDS) or recognise(path, installed_backends())
    if row is None or not row.parts:
        return ()
    module, _, function = row.parts.partition(":")
    names: set[str] = {*getattr(import_module(module), function)(path)}
    for name in names:
        if not name or "\0" in name or os.path.isabs(name) or ".." in name.split("/"):
            raise _outside(name, path)
    return tuple(sorted(names))
