"""Asks a TFaaS server, ours or the original: models, uploads, rows, images.

What is sent is understood by both. Uploads go as they are, without the base64 of TFaaS's own
client, and piece by piece; answers are given back as they came, whatever their status, for the
original answers 500 where others answer 404.
"""

from __future__ import annotations

import mimetypes
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gpfn import __version__
from gpfn.errors import BrokenReply, CallerError, RefusedByModel, SetupError
from gpfn.http.response import HttpResponse
from gpfn.http.site import Site
from gpfn.tfaas.answers import read_error
from gpfn.tfaas.messages import ClassProbability, decode_predictions, encode_row_message
from gpfn.tfaas.row import encode_row

if TYPE_CHECKING:
    import ssl

__all__ = ["TfaasClient"]

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_OCTETS = "application/octet-stream"
_ACCEPT = ("Accept", "application/json")
_JSON = ("Content-Type", "application/json")
_HEADERS = (("User-Agent", f"gpfn/{__version__}"),)
_IN_QUOTES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class TfaasClient:
    """A client of one server, by the URL that TFaaS's paths stand behind.

    >>> client = TfaasClient("http://127.0.0.1:8083")
    >>> client
    TfaasClient('http://127.0.0.1:8083')
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        context: ssl.SSLContext | None = None,
        timeout: float = 60.0,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Parse the URL; nothing is connected yet.

        ``timeout`` are the seconds for an answer, and those without progress of an upload.
        Raises SetupError.
        """
        self._site = Site(
            url,
            token=token,
            headers=_HEADERS,
            context=context,
            timeout=timeout,
            stall=timeout,
            environ=environ,
        )

    @property
    def url(self) -> str:
        """The server's URL without user and password."""
        return self._site.shown

    def models(self) -> HttpResponse:
        """Ask for the list of models."""
        return self._site.ask("GET", "/models", headers=[_ACCEPT])

    def predict(self, row: Mapping[str, Any]) -> HttpResponse:
        """Ask for the answer to a row: keys, values and model."""
        return self._site.ask("POST", "/json", orjson.dumps(row), [_ACCEPT, _JSON])

    def values(
        self, values: Sequence[float], *, keys: Sequence[str] = (), model: str = ""
    ) -> list[Any]:
        """Return the outputs of a model for a row, or for several when there are lists of it.

        Raises RefusedByModel with the server's words, BrokenReply, InvalidTensor.
        """
        body = encode_row(list(values), keys=list(keys), model=model)
        reply = self._good(self._site.ask("POST", "/json", body, [_ACCEPT, _JSON]), "/json")
        try:
            found = orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise BrokenReply(f"{self.url}/json: not JSON: {error}") from None
        if type(found) is not list:
            raise BrokenReply(f"{self.url}/json: expected a list")
        return found

    def classes(
        self, values: Sequence[float], *, keys: Sequence[str] = (), model: str = ""
    ) -> tuple[ClassProbability, ...]:
        """Return the outputs of a model for a row, asked for over protocol buffers.

        Raises as :meth:`values` does.
        """
        body = encode_row_message(values, keys=keys, model=model)
        headers = [("Content-Type", "application/x-protobuf")]
        reply = self._good(self._site.ask("POST", "/proto", body, headers), "/proto")
        try:
            return decode_predictions(reply.body)
        except CallerError as error:
            raise BrokenReply(f"{self.url}/proto: {error}") from error

    def image(self, path: str, model: str) -> HttpResponse:
        """Ask what a model sees in a picture."""
        return self._form("POST", "/image", {"model": model}, {"image": path}, [_ACCEPT])

    def upload(self, fields: Mapping[str, str], files: Mapping[str, str]) -> HttpResponse:
        """Send a model as a form: its name among the fields, paths of files by their part."""
        return self._form("POST", "/upload", fields, files, [_ACCEPT])

    def bundle(self, path: str) -> HttpResponse:
        """Send a model as an archive, whose top folder has its name."""
        with _readable(path), open(path, "rb") as file:
            packed = [("Content-Encoding", "gzip")] if file.read(2) == _GZIP else []
            size = os.fstat(file.fileno()).st_size
        headers = [_ACCEPT, ("Content-Type", _OCTETS), *packed]
        return self._site.send("POST", "/upload", _whole(path, size), size, headers)

    def delete(self, model: str) -> HttpResponse:
        """Ask that a model be deleted."""
        return self._form("DELETE", "/delete", {"model": model}, {}, [])

    def _good(self, reply: HttpResponse, path: str) -> HttpResponse:
        if 200 <= reply.status < 300:
            return reply
        words = read_error(bytes(reply.body)) or bytes(reply.body[:500]).decode(errors="replace")
        told = f"{self.url}{path}: {' '.join(words.split())} ({reply.status})"
        raise RefusedByModel(told, code=reply.status)

    def _form(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str],
        files: Mapping[str, str],
        headers: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        boundary = f"gpfn-{secrets.token_hex(16)}"
        parts = _parts(boundary, fields, files)
        length = sum(len(head) + size + 2 for head, _, size in parts) + len(boundary) + 6
        typed = (*headers, ("Content-Type", f"multipart/form-data; boundary={boundary}"))
        return self._site.send(method, path, _form_pieces(boundary, parts), length, typed)


_Part = tuple[bytes, str | None, int]
"""A part's head with the value of a field, and the file that follows, with its size."""


def _parts(boundary: str, fields: Mapping[str, str], files: Mapping[str, str]) -> list[_Part]:
    parts: list[_Part] = []
    for name, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
        parts.append(((head + value).encode(), None, 0))
    for name, path in files.items():
        with _readable(path):
            size = Path(path).stat().st_size
        kind = mimetypes.guess_type(path)[0] or _OCTETS
        named = f'name="{_quoted(name)}"; filename="{_quoted(path)}"'
        head = f"--{boundary}\r\nContent-Disposition: form-data; {named}\r\n"
        parts.append((f"{head}Content-Type: {kind}\r\n\r\n".encode(), path, size))
    return parts


def _quoted(text: str) -> str:
    """Return a name as it stands between quotes, which browsers do so too."""
    return text.translate(_IN_QUOTES)


def _form_pieces(boundary: str, parts: Sequence[_Part]) -> Iterator[bytes]:
    for head, path, size in parts:
        yield head
        if path is not None:
            yield from _whole(path, size)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _whole(path: str, size: int) -> Iterator[bytes]:
    """Give the bytes of a file, as many as it had."""
    sent = 0
    with _readable(path), open(path, "rb") as file:
        while sent < size:
            piece = file.read(min(_PIECE, size - sent))
            if not piece:
                raise SetupError("has become shorter while it was sent", field=path)
            yield piece
            sent += len(piece)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=path) from error
