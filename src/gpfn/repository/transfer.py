"""A model's files sent to a repository, or fetched from it: what is there is not sent again.

A push hashes the files and sends their list; the server names those that it lacks, and only
those are sent. So a push that broke goes on with the file that it broke in. A pull resolves
its tag once, and takes all files from that one version: a tag that moves meanwhile mixes
nothing. Each file that comes is checked, and gets its name when all have come.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import BackendError, BrokenReply, RefusedByModel, SetupError
from gpfn.repository.answers import PushAnswer, PushQuestion
from gpfn.repository.client import RepositoryClient
from gpfn.repository.documents import WHOLE_FOLDER, Manifest, StoredFile

__all__ = ["Progress", "Pulled", "pull_version", "push_files"]

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have gone or come and the bytes in all."""

_PIECE = 1 << 20
_ATTEMPTS = 3
"""For one file: a connection that broke is made again."""
_ROUNDS = 3
"""Of asking what is missing: a collector may remove what was sent before it was used."""
_STAGED = ".gpfn-pull-"
"""How a folder begins in which files wait for the last of them."""
_PAUSE = 0.2
_BUSY = (429, 502, 503, 504)


class Pulled(NamedTuple):
    """A version on this machine: what it is, its folder, and the model in that."""

    manifest: Manifest
    folder: Path
    model: Path


def push_files(
    client: RepositoryClient,
    name: str,
    files: Mapping[str, Path],
    question: PushQuestion,
    *,
    progress: Progress | None = None,
) -> PushAnswer:
    """Make a version of files, by their paths in it.

    ``question`` says all else; its own ``files`` are left out. Raises SetupError for a file
    that cannot be read, else what the client raises.
    """
    stored = {path: _hashed(path, place) for path, place in files.items()}
    asked = question._replace(files=tuple(sorted(stored.values())))
    holders = {file.sha256: file for file in stored.values()}
    for _ in range(_ROUNDS):
        answer = client.push(name, asked)
        if isinstance(answer, PushAnswer):
            return answer
        for sha256 in answer:
            if sha256 not in holders:
                told = "it wants a file that is not of this version"
                raise BrokenReply(f"{client.url}: {told}: {sha256}")
            file = holders[sha256]
            _send(client, file, files[file.path], progress)
    raise BrokenReply(f"{client.url}: it wants files again that were sent")


def _hashed(path: str, place: Path) -> StoredFile:
    with _readable(place), place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredFile(path, os.fstat(file.fileno()).st_size, digest)


def _send(
    client: RepositoryClient, file: StoredFile, place: Path, progress: Progress | None
) -> None:
    def once() -> None:
        client.send_file(file.sha256, _pieces(file, place, progress), file.size)

    _persist(once)
    if progress and not file.size:
        progress(file.path, 0, 0)


def _persist(once: Callable[[], None]) -> None:
    """Do it again when a connection broke, or when a server is busy; a few times."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            once()
        except BackendError as error:
            busy = not isinstance(error, RefusedByModel) or error.code in _BUSY
            if attempt == _ATTEMPTS or not busy:
                raise
            time.sleep(_PAUSE * attempt)
        else:
            return


def _pieces(file: StoredFile, place: Path, progress: Progress | None) -> Iterator[bytes]:
    """Give a file's bytes; what has been taken has been sent."""
    sent = 0
    with _readable(place), place.open("rb") as source:
        while sent < file.size:
            piece = source.read(min(_PIECE, file.size - sent))
            if not piece:
                raise SetupError("has become shorter while it was sent", field=str(place))
            yield piece
            sent += len(piece)
            if progress:
                progress(file.path, sent, file.size)


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(place)) from error


def pull_version(
    client: RepositoryClient,
    name: str,
    reference: str,
    folder: Path,
    *,
    progress: Progress | None = None,
) -> Pulled:
    """Fetch the version that a number, a tag or ``latest`` names into a folder.

    Files that are there already are not fetched again. Raises SetupError when there is no such
    version, or when the folder has other files: they would be taken for the model's.
    """
    history = client.model(name)
    found = history.find(reference)
    if found is None:
        numbers = [str(each.manifest.version) for each in history.versions]
        known = ", ".join([*numbers, *sorted(history.tags)])
        raise SetupError(f"{name} has no {reference!r}; there are {known or 'none'}", field="url")
    manifest = found.manifest
    try:
        _check_folder(folder, manifest)
        folder.mkdir(parents=True, exist_ok=True)
        _fill(client, manifest, folder, progress)
    except OSError as error:
        where = error.filename or folder
        raise SetupError(f"cannot be written: {error.strerror}", field=str(where)) from error
    model = folder if manifest.model == WHOLE_FOLDER else folder / manifest.model
    return Pulled(manifest, folder, model)


def _check_folder(folder: Path, manifest: Manifest) -> None:
    wanted = {file.path for file in manifest.files}
    for place in sorted(folder.rglob("*")) if folder.is_dir() else ():
        path = place.relative_to(folder).as_posix()
        if path.startswith(_STAGED):  # of a pull that was ended
            continue
        if place.is_symlink() or (not place.is_dir() and path not in wanted):
            told = f"has {path}, which is not of this version; empty it, or name another folder"
            raise SetupError(told, field=str(folder))
    if folder.exists() and not folder.is_dir():
        raise SetupError("is no folder", field=str(folder))


def _fill(
    client: RepositoryClient, manifest: Manifest, folder: Path, progress: Progress | None
) -> None:
    """Put what is not there into a folder beside the files, and then all of it in its place."""
    lacking = [file for file in manifest.files if not _is_there(folder / file.path, file)]
    if not lacking:
        return
    staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=folder))
    try:
        for number, file in enumerate(lacking):
            place = staged / str(number)
            _persist(partial(_receive, client, manifest, file, place, progress))
        for number, file in enumerate(lacking):
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            (staged / str(number)).replace(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _is_there(place: Path, file: StoredFile) -> bool:
    return place.is_file() and _hashed(file.path, place) == file


def _receive(
    client: RepositoryClient,
    manifest: Manifest,
    file: StoredFile,
    place: Path,
    progress: Progress | None,
) -> None:
    digest, have = hashlib.sha256(), 0
    with place.open("wb") as target:

        def write(piece: bytes) -> None:
            nonlocal have
            target.write(piece)
            digest.update(piece)
            have += len(piece)
            if progress:
                progress(file.path, have, file.size)

        client.receive_file(manifest.name, manifest.version, file, write)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != file.sha256:
        told = f"{file.path} came with the SHA-256 {digest.hexdigest()}, expected {file.sha256}"
        raise BrokenReply(f"{client.url}: {told}")
    if progress and not file.size:
        progress(file.path, 0, 0)
