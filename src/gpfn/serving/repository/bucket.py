"""One place in an object store: every call is bounded in time, and fails in our words.

A library's own words would not do: they hold the request, its signature's text among it.
What is said is the operation, the key and what kind of trouble it was.

An answer that is lost says nothing about the write. So a new object carries a mark of who
has written it, by which a writer who is told "there already" finds out that it was himself.
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gpfn.errors import MissingExtra, SetupError
from gpfn.repository.documents import MANIFEST_BYTES
from gpfn.serving.repository.objects import StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = ["PIECE_BYTES", "SCHEMES", "Bucket", "StoredObject"]

SCHEMES = ("s3", "gs", "az")
PIECE_BYTES = 8 << 20
"""Files are sent and fetched in pieces of this size, each a request of its own."""

_process: dict[str, int] = {}
_MOST_KEYS = 1_000_000
_TRIES = 3
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3")
_NO_OBJECT = ("", "NoSuchKey", "BlobNotFound", "NotFound")
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName", "ContainerNotFound")
_REFUSED = (  # some stores say so with another status than 403
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "XAdminUserNotFound",
)  # fmt: skip
_WRITER = "writer"
_SHA256 = "sha256"


class StoredObject(NamedTuple):
    """An object: its key and size, and when it was written, by the store's clock.

    ``left`` are words that its writer has left with it, unless it is out of a list.
    """

    key: str
    size: int
    when: float
    left: Mapping[str, str] = MappingProxyType({})

    def holds(self, size: int, sha256: str) -> bool:
        """Say whether we have written this, with this size and hash."""
        return self.size == size and self.left.get(_SHA256) == sha256


class Bucket:
    """A bucket, or what is below a prefix in it: ``s3://BUCKET/PREFIX``.

    A request for a document is over after ``seconds``, tried three times or not, and so is
    a piece of a file after ``piece_seconds``. Safe for threads; a process that is forked after
    one was used has none. Raises StoreUnavailable when the store cannot be reached in that time
    or fails, SetupError when it refuses us.
    """

    def __init__(self, url: str, *, seconds: float = 10.0, piece_seconds: float = 180.0) -> None:
        """Connects to nothing yet. Credentials come from the environment alone."""
        try:
            import obstore
            from obstore import store
        except ImportError:
            raise MissingExtra("obstore", "objects") from None
        _check_url(url)
        self.url, self._obstore, self._errors = url, obstore, obstore.exceptions
        self._failures = (obstore.exceptions.BaseError, FileNotFoundError)
        self._refusals = (self._errors.PermissionDeniedError, self._errors.UnauthenticatedError)
        try:
            self._clients = tuple(
                store.from_url(url, client_options=_client(most), retry_config=_retries(most))
                for most in (seconds, piece_seconds)
            )
        except (self._errors.BaseError, ValueError, TypeError, OSError):
            # not its words: they may hold what stands in the environment
            raise SetupError(
                f"{url} cannot be opened: the environment's settings for it are not valid",
                field="repository",
            ) from None

    @property
    def _documents(self) -> "ObjectStore":
        _check_process()
        return self._clients[0]

    @property
    def _files(self) -> "ObjectStore":
        _check_process()
        return self._clients[1]

    def read(self, key: str, most: int = MANIFEST_BYTES) -> bytes | None:
        """Return an object of at most ``most`` bytes, or None; raises StoreDamaged."""
        try:
            answer = self._obstore.get(self._documents, key)
            if answer.meta["size"] > most:
                raise StoreDamaged(f"more than {most} bytes", field=key)
            return answer.bytes().to_bytes()
        except self._failures as error:
            if self._is_absent(error):
                return None
            raise self._failure("read", key, error) from None

    def create(self, key: str, data: bytes) -> bool:
        """Make an object; False when there is one already, whoever has made it."""
        mark = secrets.token_hex(16)
        try:
            self._obstore.put(
                self._documents, key, data,
                mode="create", use_multipart=False, attributes={_WRITER: mark},
            )  # fmt: skip
        except self._errors.AlreadyExistsError:
            return self._is_mine(key, mark)
        except self._failures as error:
            failure = self._failure("create", key, error)
            # it may be there all the same: only the answer has not come
            if isinstance(failure, StoreUnavailable) and self._is_mine(key, mark):
                return True
            raise failure from None
        return True

    def write(self, key: str, data: bytes, sha256: str = "") -> None:
        """Write an object, over another one too."""
        try:
            self._obstore.put(
                self._files, key, data,
                use_multipart=False, attributes={_SHA256: sha256} if sha256 else {},
            )  # fmt: skip
        except self._failures as error:
            raise self._failure("write", key, error) from None

    def write_pieces(self, key: str, pieces: Iterator[bytes], size: int, sha256: str) -> None:
        """Write an object piece by piece; what ``pieces`` raises is raised, and nothing written."""
        failures: list[Exception] = []
        try:
            self._obstore.put(
                self._files, key, _remembered(pieces, failures),
                chunk_size=size, max_concurrency=2, attributes={_SHA256: sha256},
            )  # fmt: skip
        except Exception as error:
            if failures:
                raise failures[0] from None
            if isinstance(error, self._failures):
                raise self._failure("write", key, error) from None
            raise

    def pieces(self, key: str, size: int, piece: int = PIECE_BYTES) -> Iterator[bytes]:
        """Give an object of ``size`` bytes in pieces, as they come."""
        for start in range(0, size, piece):
            end = min(start + piece, size)
            try:
                yield self._obstore.get_range(self._files, key, start=start, end=end).to_bytes()
            except FileNotFoundError:
                raise StoreDamaged("it is gone", field=key) from None
            except self._failures as error:
                raise self._failure("read", key, error) from None

    def entry(self, key: str) -> StoredObject | None:
        """Return what is known of an object, or None when there is none."""
        try:
            found = self._obstore.get(self._documents, key, options={"head": True})
        except self._failures as error:
            if self._is_absent(error):
                return None
            raise self._failure("read", key, error) from None
        left = {str(name): str(value) for name, value in found.attributes.items()}
        return StoredObject(key, found.meta["size"], found.meta["last_modified"].timestamp(), left)

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""
        try:
            self._obstore.delete(self._documents, key)
        except self._failures as error:
            if not self._is_absent(error):
                raise self._failure("delete", key, error) from None

    def entries(self, prefix: str) -> list[StoredObject]:
        """Return all objects below a folder (with a slash or without), sorted by key."""
        found: list[StoredObject] = []
        try:
            for page in self._obstore.list(self._documents, prefix.rstrip("/") or None):
                found.extend(
                    StoredObject(meta["path"], meta["size"], meta["last_modified"].timestamp())
                    for meta in page
                )
                if len(found) > _MOST_KEYS:
                    raise SetupError(f"over {_MOST_KEYS} objects in {self.url}", field=prefix)
        except self._failures as error:
            raise self._failure("list", prefix, error) from None
        return sorted(found, key=lambda entry: entry.key)

    def _is_mine(self, key: str, mark: str) -> bool:
        entry = self.entry(key)
        return entry is not None and entry.left.get(_WRITER) == mark

    def _is_absent(self, error: Exception) -> bool:
        """Say whether there is no such object: status 404 alone also means no bucket or user."""
        return isinstance(error, FileNotFoundError) and _code(str(error)) in _NO_OBJECT

    def _failure(self, what: str, key: str, error: Exception) -> SetupError | StoreUnavailable:
        """Return an error of ours; of the library's only the kind, status and code are told."""
        field, text = key or "repository", str(error)
        if _code(text) in _NO_BUCKET:
            return SetupError(f"there is no bucket for {self.url}", field=field)
        if isinstance(error, self._refusals) or _code(text) in _REFUSED:
            return SetupError(
                f"{self.url} refuses to {what} with the credentials in the environment",
                field=field,
            )
        return StoreUnavailable(f"{self.url} did not {what}: {_kind(text)}", field=field)


def _check_process() -> None:
    """Refuse to wait for ever for threads that a fork has not taken along."""
    if _process.setdefault("used in", os.getpid()) != os.getpid():
        raise SetupError("an object store was used before this process was forked")


def _code(text: str) -> str:
    """Return the store's own word for what is wrong, or nothing: an answer to HEAD has none."""
    found = re.search(r"<Code>([A-Za-z]{1,50})</Code>", text)
    return found[1] if found else ""


def _kind(text: str) -> str:
    """Return what went wrong on the way, in a few words, out of a library's text."""
    if status := re.search(r"status code: (\d{3})", text):
        return f"status {status[1]} {_code(text)}".strip()
    if re.search(r"\bkind: Timeout\b|\bTimedOut\b", text):
        return "no answer in time"
    if re.search(r"\bkind: Connect\b", text):
        return "cannot be reached"
    return "the connection broke"


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise SetupError(f"expected a folder or a URL with {known}", field="repository")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SetupError(
            "credentials and settings of an object store belong into the environment,"
            " not into its URL", field="repository",
        )  # fmt: skip
    if not parts.netloc:
        raise SetupError("the URL names no bucket", field="repository")


def _client(seconds: float) -> "ClientConfig":
    """Return how long one request may take, so that all tries together fit into ``seconds``."""
    http = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    options: ClientConfig = {
        "timeout": timedelta(seconds=seconds / (_TRIES + 1)),
        "connect_timeout": timedelta(seconds=min(3.0, seconds / (_TRIES + 1))),
        "user_agent": "gpfn",
    }
    if http:  # whoever writes http:// means it
        options["allow_http"] = True
    return options


def _retries(seconds: float) -> "RetryConfig":
    return {
        "max_retries": _TRIES - 1,
        "retry_timeout": timedelta(seconds=seconds * 3 / 4),
        "backoff": {
            "init_backoff": timedelta(milliseconds=50),
            "max_backoff": timedelta(seconds=min(1.0, seconds / 10)),
            "base": 3,
        },
    }


def _remembered(pieces: Iterator[bytes], failures: list[Exception]) -> Iterator[bytes]:
    """Give what ``pieces`` gives; the library tells of an iterator's error in words alone."""
    try:
        yield from pieces
    except Exception as error:
        failures.append(error)
        raise
