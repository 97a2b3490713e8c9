"""A model repository in an object store, for any number of servers: ``s3://BUCKET/PREFIX``.

Documents are objects that are made once, by a conditional write. A version's files are
objects below ``files/DIGEST/``; on this machine they lie in a cache of folders. Beside them
is ``files/DIGEST/.kept``, written anew whenever a version with these files comes in, so that
its time says when that was, and ``.going`` while they are removed. No list is remembered: what
another server has made is there at once.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from gpfn.errors import SetupError, TooLarge
from gpfn.repository.documents import MANIFEST_BYTES, StoredFile, content_digest
from gpfn.serving.repository.bucket import PIECE_BYTES, Bucket
from gpfn.serving.repository.folder_cache import FolderCache
from gpfn.serving.repository.objects import StoreDamaged, StoreFull, StoreUnavailable

__all__ = ["CACHE_BYTES", "ObjectStore", "open_objects"]

CACHE_BYTES = 20 << 30

_Item = TypeVar("_Item")

_PARALLEL = 4
_MOST_PIECES = 9_000  # S3 takes 10,000
_KEPT, _GOING = ".kept", ".going"
_REMOVAL_SECONDS = 600.0
_WAIT_SECONDS = 30.0


def open_objects(url: str, cache: Path | None = None) -> "ObjectStore":
    """Return the repository at ``url``, once it is known to do what we need."""
    if cache is None:
        from gpfn.models.files import cache_folder

        cache = cache_folder() / "repository"
    store = ObjectStore(url, cache)
    store.probe()
    return store


class ObjectStore:
    """The place of a repository in a bucket. Safe for threads; make it after a fork.

    Files are fetched into ``cache``, which may take ``max_bytes`` and which processes of one
    machine share. ``seconds`` is how long a document may take, and ``piece_seconds`` each
    ``piece_bytes`` of a file (S3 asks for at least 5 MiB).
    """

    def __init__(
        self,
        url: str,
        cache: Path,
        *,
        max_bytes: int = CACHE_BYTES,
        seconds: float = 10.0,
        piece_seconds: float = 180.0,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self.url = url
        self._bucket = Bucket(url, seconds=seconds, piece_seconds=piece_seconds)
        with _disk_errors():
            self._cache = FolderCache(cache, max_bytes)
        self._piece = piece_bytes
        self._told: dict[str, float] = {}

    def probe(self) -> None:
        """Make sure that the first writer of a key wins here; raises SetupError.

        There are stores, and proxies before them, that take a conditional write and write
        in any case.
        """
        key = f"probe-{secrets.token_hex(16)}"
        first = self._bucket.create(key, b"1")
        second = self._bucket.create(key, b"2")
        found = self._bucket.read(key)
        self._bucket.delete(key)
        if not first or second or found != b"1":
            raise SetupError(
                f"{self.url}: this store ignores conditional writes (If-None-Match: *), so that"
                " two servers could claim one version; use one that has them",
                field="repository",
            )

    def read(self, key: str) -> bytes | None:
        """Return a document, or None when there is none."""
        return self._bucket.read(key)

    def create(self, key: str, data: bytes) -> bool:
        """Make a document; False when it is there already.

        When StoreUnavailable is raised, it may have been made or not.
        """
        if len(data) > MANIFEST_BYTES:
            raise TooLarge(f"a document may have {MANIFEST_BYTES} bytes", field=key)
        return self._bucket.create(key, data)

    def delete(self, key: str) -> None:
        """Remove a document; an absent one is no error."""
        self._bucket.delete(key)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all documents below a prefix that ends with a slash, sorted.

        A store's list may lag behind: who looks for the highest number probes upwards from it.
        """
        return [entry.key for entry in self._bucket.entries(prefix)]

    def keep(self, digest: str, folder: Path, files: Sequence[StoredFile]) -> None:
        """Bring a version's files in, from a folder that is given away.

        What is there already is not sent again. The folder becomes the cache's; when an error
        is raised it is left as it is, and the call may be repeated.
        """
        _check(digest, files)
        self._announce(digest)
        with _disk_errors():
            _each(files, lambda file: self._send(_key(digest, file.path), folder, file))
        # without room on this disk they are fetched when they are asked for
        with suppress(OSError, StoreUnavailable):
            self._adopt(digest, folder, files)
        shutil.rmtree(folder, ignore_errors=True)

    def place(self, digest: str, files: Sequence[StoredFile]) -> Path:
        """Return a local folder with them, fetched and checked by SHA-256 where need be.

        It stays until :meth:`release` has been called as often as this.
        """
        _check(digest, files)
        with _disk_errors():
            self._cache.lease(digest)
        try:
            with _disk_errors(), self._cache.fetching(digest):
                return self._cache.find(digest, files) or self._fetch(digest, files)
        except BaseException:
            self._cache.release(digest)
            raise

    def release(self, digest: str) -> None:
        """Say that a folder of :meth:`place` is not used any more, so that it may go."""
        self._cache.release(digest)

    def drop(self, digest: str) -> None:
        """Remove a version's files, unless they were kept again since :meth:`digests` told.

        Another server may keep them at this moment: it waits until they are gone.
        """
        going = _key(digest, _GOING)
        self._bucket.write(going, b"")
        kept = self._bucket.entry(_key(digest, _KEPT))
        if kept is None or kept.when <= self._told.get(digest, kept.when):
            gone = [one.key for one in self._bucket.entries(_key(digest, "")) if one.key != going]
            _each(gone, self._bucket.delete)
        self._bucket.delete(going)

    def digests(self) -> list[tuple[str, float]]:
        """Return what is kept, with the time when it was last kept, by the store's clock."""
        found: dict[str, float] = {}
        for entry in self._bucket.entries("files"):
            digest = _digest_in(entry.key)
            if digest:
                found[digest] = max(entry.when, found.get(digest, 0.0))
        self._told = found
        return sorted(found.items())

    def writing(self) -> AbstractContextManager[object]:
        """Nobody can be kept out of a bucket; see :meth:`drop` for what is done instead."""
        return nullcontext()

    def incoming(self) -> Path:
        """Return a new, empty folder of this machine, on the disk of the cache."""
        with _disk_errors():
            return self._cache.incoming()

    def _announce(self, digest: str) -> None:
        """Write the time of keeping; wait for a removal that has begun before."""
        going, kept = _key(digest, _GOING), _key(digest, _KEPT)
        give_up = time.monotonic() + _WAIT_SECONDS
        while True:
            self._bucket.write(kept, b"")
            removal = self._bucket.entry(going)
            if removal is None:
                return
            written = self._bucket.entry(kept)
            if written and written.when - removal.when > _REMOVAL_SECONDS:
                self._bucket.delete(going)  # of a server that ended in the middle of it
            elif time.monotonic() > give_up:
                raise StoreUnavailable("these files are just being removed", field=digest)
            time.sleep(0.1)

    def _send(self, key: str, folder: Path, file: StoredFile) -> None:
        """Send a file unless it is there; one that is not as it should be stops before its end."""
        path = folder / file.path
        there = self._bucket.entry(key)
        if there and there.holds(file.size, file.sha256):
            for _ in _pieces_of(path, file, self._piece):
                pass  # its bytes are checked at the last one
        elif file.size <= self._piece:
            self._bucket.write(key, b"".join(_pieces_of(path, file, self._piece)), file.sha256)
        else:
            size = max(self._piece, file.size // _MOST_PIECES)
            self._bucket.write_pieces(key, _pieces_of(path, file, size), size, file.sha256)

    def _adopt(self, digest: str, folder: Path, files: Sequence[StoredFile]) -> None:
        """Move files that have been sent into the cache, when it is on the same disk."""
        with self._cache.coming(sum(file.size for file in files)) as coming:
            for file in files:
                target = coming / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                (folder / file.path).rename(target)
            self._cache.publish(coming, digest)

    def _fetch(self, digest: str, files: Sequence[StoredFile]) -> Path:
        with self._cache.coming(sum(file.size for file in files)) as coming:
            _each(files, lambda file: self._receive(_key(digest, file.path), coming, file))
            return self._cache.publish(coming, digest)

    def _receive(self, key: str, coming: Path, file: StoredFile) -> None:
        """Fetch one file, and check what has come; an ETag says nothing about that."""
        there = self._bucket.entry(key)
        if there is None or there.size != file.size:
            has = f"{there.size} bytes" if there else "nothing"
            raise StoreDamaged(f"the store has {has}, expected {file.size} bytes", field=key)
        target, sha256 = coming / file.path, hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as output:
            for piece in self._bucket.pieces(key, file.size, self._piece):
                sha256.update(piece)
                output.write(piece)
        if sha256.hexdigest() != file.sha256:
            raise StoreDamaged(
                f"has sha256 {sha256.hexdigest()}, expected {file.sha256}", field=key
            )


def _each(items: Iterable[_Item], work: Callable[[_Item], object]) -> None:
    """Do some work for each item, a few at a time; the first failure ends it."""
    with ThreadPoolExecutor(_PARALLEL, "gpfn-store") as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            for one in running:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(digest: str, files: Sequence[StoredFile]) -> None:
    """Refuse files that are not a version's with this digest."""
    if (found := content_digest(files)) != digest:
        raise StoreDamaged(f"its files' digest is {found}, not {digest}", field=f"files/{digest}")


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Tell an error of this machine's disk as one of the store, without a path."""
    try:
        yield
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable
        raise kind(f"the disk of the cache: {error.strerror}", field="repository") from error


def _key(digest: str, path: str) -> str:
    return f"files/{digest}/{path}"


def _digest_in(key: str) -> str:
    """Return the digest in a file's key; nothing for what another program has put there."""
    found = re.match(r"files/([0-9a-f]{64})/", key)
    return found[1] if found else ""


def _pieces_of(path: Path, file: StoredFile, size: int) -> Iterator[bytes]:
    """Give a file in pieces. The last one comes only if all of them are what they should be."""
    sha256, rest = hashlib.sha256(), file.size
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as source:
        while True:
            piece = source.read(size)
            sha256.update(piece)
            rest -= len(piece)
            if rest <= 0 or not piece:
                break
            yield piece
        if rest or source.read(1) or sha256.hexdigest() != file.sha256:
            raise StoreDamaged("the file has changed while it was sent", field=file.path)
        yield piece
