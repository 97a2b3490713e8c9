"""Asks a repository over HTTP: what there is, new versions, tags, the trash.

Failures are those of `gpfn.oip.client`: CannotConnect, BackendTimeout, BrokenReply, and
RefusedByModel with the server's text and status; where something can be done about it, the
message says what.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar
from urllib.parse import quote

import orjson

from gpfn import __version__
from gpfn.errors import BrokenReply, CallerError, RefusedByModel, SetupError
from gpfn.http.address import parse_url
from gpfn.http.site import Site
from gpfn.repository.answers import (
    ModelHistory,
    ModelSummary,
    PushAnswer,
    PushQuestion,
    encode_push,
    missing_of,
    model_history_of,
    model_summaries_of,
    problem_text,
    push_answer_of,
)
from gpfn.repository.documents import Manifest, StoredFile, manifest_of
from gpfn.repository.names import LATEST, check_model_name, check_version_name
from gpfn.repository.record import JsonRecord, parse_object
from gpfn.repository.tags import tags_of

if TYPE_CHECKING:
    import ssl

    from gpfn.http.response import HttpResponse

__all__ = ["ModelReference", "RepositoryClient", "model_reference"]

_T = TypeVar("_T")
_MODELS = "/repository/models"
_MOST_BYTES = 64 << 20
_JSON = (("Content-Type", "application/json"),)
_HEADERS = (("User-Agent", f"gpfn/{__version__}"), ("Accept", "application/json"))
_OCTETS = (("Content-Type", "application/octet-stream"),)
_HINTS = {
    401: "give a token with --token or GPFN_TOKEN",
    403: "the token's scope is too small: writing needs write",
    405: "is it gpfn serve --repository?",
}


class ModelReference(NamedTuple):
    """A model of a repository by its URL; ``version`` is a number, a tag or ``latest``."""

    server: str
    name: str
    version: str = LATEST


def model_reference(url: str) -> ModelReference:
    """Return what ``https://host/base/NAME`` or ``…/NAME@VERSION`` names.

    Raises SetupError, whose text shows nothing of the URL's password.
    """
    parse_url(url)
    server, _, last = url.rstrip("/").rpartition("/")
    name, mark, version = last.partition("@")
    if server.endswith(":/") or "?" in url or "#" in url:
        raise SetupError("expected URL/NAME or URL/NAME@TAG", field="url")
    try:
        check_model_name(name)
        version = check_version_name(version) if mark else LATEST
    except CallerError as error:
        raise SetupError(
            f"expected URL/NAME or URL/NAME@TAG: {error.detail}", field="url"
        ) from None
    return ModelReference(server, name, version)


class RepositoryClient:
    """A client of one repository; threads may share it.

    >>> client = RepositoryClient("http://127.0.0.1:9000", token="gpfn_x")
    >>> client
    RepositoryClient('http://127.0.0.1:9000')
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 300.0,
        stall: float = 60.0,
        context: ssl.SSLContext | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Parse the URL, which is what stands before ``/repository``; nothing is connected yet.

        ``timeout`` is for a question, and a server opens a new model before it answers;
        ``stall`` are seconds without progress while a file is sent or comes.

        Raises SetupError.
        """
        self._site = Site(
            url,
            token=token,
            headers=_HEADERS,
            timeout=timeout,
            stall=stall,
            context=context,
            limit=_MOST_BYTES,
            environ=environ,
        )

    @property
    def url(self) -> str:
        """The server's URL without user and password."""
        return self._site.shown

    def models(self) -> tuple[ModelSummary, ...]:
        """Return all models."""
        return self._document("GET", _MODELS, model_summaries_of)

    def model(self, name: str) -> ModelHistory:
        """Return all that is known of a model."""
        return self._document("GET", _place(name), model_history_of)

    def push(self, name: str, question: PushQuestion) -> PushAnswer | tuple[str, ...]:
        """Make a version; or return the hashes of the files that have to be sent first."""
        place = f"{_place(name)}/versions"
        reply = self._site.ask("POST", place, encode_push(question), _JSON)
        if reply.status == 409:
            missing = self._read(reply, place, missing_of)
            if missing:
                return missing
        return self._answer(reply, place, push_answer_of)

    def send_file(self, sha256: str, pieces: Iterable[bytes | memoryview], size: int) -> None:
        """Send a file of a version that is to be made."""
        place = f"/repository/files/{sha256}"
        reply = self._site.send("PUT", place, pieces, size, _OCTETS)
        if not 200 <= reply.status < 300:
            raise self._refusal(reply, place)

    def receive_file(
        self, name: str, version: int, file: StoredFile, write: Callable[[bytes], object]
    ) -> None:
        """Fetch a file of a version; its bytes are given to ``write`` as they come."""
        place = f"{_place(name, str(version))}/files/{quote(file.path)}"
        reply = self._site.receive(place, file.size, write)
        if reply.status != 200:
            raise self._refusal(reply, place)

    def tag(self, name: str, tag: str, version: int | None) -> Mapping[str, int]:
        """Let a tag lead to a version, to none with None; return all tags after that."""
        place = f"{_place(name)}/tags/{quote(tag, safe='')}"
        if version is None:
            return self._document("DELETE", place, _tags)
        body = orjson.dumps({"version": version})
        return self._document("PUT", place, _tags, body)

    def delete(self, name: str, version: str = "") -> tuple[int, ...]:
        """Move a version to the trash, or all of them; return their numbers."""
        return self._document("DELETE", _place(name, version), _deleted)

    def restore(self, name: str, version: int) -> Manifest:
        """Take a version out of the trash."""
        place = f"{_place(name, str(version))}/restore"
        return self._document("POST", place, manifest_of, b"")

    def close(self) -> None:
        """Close the connections; a later call opens a new one."""
        self._site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RepositoryClient({self.url!r})"

    def _document(
        self, method: str, place: str, read: Callable[[JsonRecord], _T], body: bytes | None = None
    ) -> _T:
        headers = _JSON if body else ()
        return self._answer(self._site.ask(method, place, body, headers), place, read)

    def _answer(self, reply: HttpResponse, place: str, read: Callable[[JsonRecord], _T]) -> _T:
        if not 200 <= reply.status < 300:
            raise self._refusal(reply, place)
        return self._read(reply, place, read)

    def _read(self, reply: HttpResponse, place: str, read: Callable[[JsonRecord], _T]) -> _T:
        try:
            return read(parse_object(reply.body, _MOST_BYTES))
        except CallerError as error:
            raise BrokenReply(f"{self.url}{place}: {error}") from error

    def _refusal(self, reply: HttpResponse, place: str) -> Exception:
        """Return the error that a reply is, with what can be done about it."""
        shown, words = self.url + place, problem_text(reply.body)
        status = f"{reply.status} {' '.join(reply.reason.split())[:100]}".strip()
        if reply.status < 400:
            return BrokenReply(f"{shown}: {status}; only 2xx is an answer")
        hint = _HINTS.get(reply.status, "")
        if reply.status == 404 and (not words or "no such path" in words):
            hint = _HINTS[405]
        told = f"{shown}: {words} ({status})" if words else f"{shown}: {status}"
        return RefusedByModel(f"{told}; {hint}" if hint else told, code=reply.status)


def _place(name: str, version: str = "") -> str:
    """Return the path of a model, or of one of its versions."""
    versions = f"/versions/{quote(version, safe='')}" if version else ""
    return f"{_MODELS}/{quote(name, safe='')}{versions}"


def _tags(record: JsonRecord) -> Mapping[str, int]:
    return tags_of(record.mapping("tags", 1000))


def _deleted(record: JsonRecord) -> tuple[int, ...]:
    numbers = record.items("deleted", 100_000)
    if not all(type(number) is int for number in numbers):
        raise record.wrong("deleted", "numbers")
    return tuple(numbers)
