"""Asks a model server over the Open Inference Protocol's REST, in binary where it can.

Each kind of failure has its error, as in `gpfn.graphpipe.client`, and every message names the
server: CannotConnect, BackendTimeout, RefusedByModel (the detail is the server's text),
BrokenReply, and DeadlineExceeded when the caller's time was up before anything was sent.

No message shows the user, password or query of the URL.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote, unquote

import numpy as np
import orjson

from gpfn import __version__
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BrokenReply, CallerError, CannotConnect, RefusedByModel, SetupError
from gpfn.http.address import parse_url, proxy_for
from gpfn.http.client import HttpClient
from gpfn.http.writer import check_header
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.oip.binary_values import Buffer
from gpfn.oip.body import JSON_SIZE
from gpfn.oip.documents import ServedTensors, error_text, read_model_metadata
from gpfn.oip.reply import InferReply, decode_reply
from gpfn.oip.request import OutputAsked, Parameter, encode_infer

if TYPE_CHECKING:
    import ssl

    from gpfn.http.response import HttpResponse

__all__ = ["InferenceClient", "ModelAddress", "model_address", "model_path"]

_Array = np.ndarray[Any, Any]
_Encoded = tuple[list[Buffer], int | None]
_HEADERS = (
    ("User-Agent", f"gpfn/{__version__}"),
    ("Accept", "application/json, application/octet-stream"),
    ("Accept-Encoding", "identity"),
)
_JSON = (("Content-Type", "application/json"),)
_SIZE = JSON_SIZE.lower()
_MODELS = "/v2/models/"
_NOT_READ = (400, 415, 422)  # what servers answer that take no binary data


class ModelAddress(NamedTuple):
    """A model by its URL: the server's URL, the model's name, and a version or nothing."""

    server: str
    model: str
    version: str = ""


def model_address(url: str) -> ModelAddress:
    """Return what ``http://host:9000/v2/models/NAME`` or ``…/NAME/versions/VERSION`` names.

    In the names, what a URL cannot hold is percent-encoded, a ``/`` as well. What stands
    before ``/v2`` and behind a ``?`` belongs to the server's URL.

    Raises SetupError, whose text shows nothing of the URL: it may hold a password.
    """
    place, mark, query = url.partition("?")
    server, _, rest = place.partition(_MODELS)
    names = rest.removesuffix("/").split("/")
    if len(names) not in (1, 3) or not all(names) or names[1:2] not in ([], ["versions"]):
        told = "expected …/v2/models/NAME or …/v2/models/NAME/versions/VERSION; a / is %2F"
        raise SetupError(told, field="url")
    return ModelAddress(server + mark + query, *map(unquote, names[::2]))


class InferenceClient:
    """A client of one model server; connections are kept, and threads may share it.

    >>> client = InferenceClient("http://127.0.0.1:9000", timeout=2.0)
    >>> client
    InferenceClient('http://127.0.0.1:9000')
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        limits: Limits = REPLY_LIMITS,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Parse the URL; nothing is connected yet.

        ``url`` is what stands before ``/v2``; its query goes along with every request. All
        else is as in `gpfn.graphpipe.client.Client`.

        Raises:
            SetupError: For a URL or proxy that cannot be used.
            ValueError: For a header that cannot be sent.
        """
        address = parse_url(url)
        more = tuple((headers or {}).items())
        for name, value in more:
            check_header(name, value)
        named = {name.lower() for name, _ in more}
        path, mark, query = address.target.partition("?")
        self._prefix, self._query = path.rstrip("/"), mark + query
        address = address._replace(target=path)
        self._url = address.shown
        self._timeout = timeout
        self._limits = limits
        self._speaks_binary = True
        self._http = HttpClient(
            address,
            proxy=proxy_for(address, environ),
            headers=(*(pair for pair in _HEADERS if pair[0].lower() not in named), *more),
            connect_timeout=connect_timeout,
            limit=limits.body_bytes,
            context=ssl_context,
        )

    @property
    def url(self) -> str:
        """The server's URL without user, password and query."""
        return self._url

    def infer(
        self,
        model: str,
        inputs: Mapping[str, _Array],
        *,
        version: str = "",
        outputs: Sequence[str | OutputAsked] = (),
        datatypes: Mapping[str, str] | None = None,
        identity: str = "",
        parameters: Mapping[str, Parameter] | None = None,
        binary: bool = True,
        deadline: Deadline = NEVER,
    ) -> InferReply:
        """Return the model's reply; its arrays are read-only.

        Args:
            model: Its name.
            inputs: Arrays by name; strings as object arrays of ``bytes`` or ``str``.
            version: Which one; the server chooses when empty.
            outputs: Those wanted, all of them when empty.
            datatypes: Of the inputs whose dtype does not tell it, BF16.
            identity: The request's id.
            parameters: Of the request. The time that is left goes along as ``timeout``.
            binary: Whether tensors go and come as bytes. A server that refuses that, and
                lists no such extension, is asked again in JSON, and from then on.
            deadline: After it the answer is of no use.

        Raises:
            InvalidTensor: An input that cannot be sent.
            BackendError: One of those that the top of this module lists.
            DeadlineExceeded: Nothing was sent.
        """
        asked = [OutputAsked(o) if isinstance(o, str) else o for o in outputs]

        def encoded(as_bytes: bool) -> _Encoded:
            return encode_infer(
                inputs,
                datatypes=datatypes,
                outputs=[output._replace(binary=as_bytes) for output in asked],
                identity=identity,
                parameters=_with_timeout(parameters, deadline),
                binary=as_bytes,
            )

        place = f"{model_path(model, version)}/infer"
        until = deadline.earlier(Deadline.after(self._timeout))
        if not (binary and self._speaks_binary):
            return self._ask(place, encoded(False), until)
        try:
            return self._ask(place, encoded(True), until)
        except RefusedByModel as error:
            if error.code not in _NOT_READ or self._knows_binary(until):
                raise
        reply = self._ask(place, encoded(False), until)
        self._speaks_binary = False
        return reply

    def _ask(self, place: str, encoded: _Encoded, deadline: Deadline) -> InferReply:
        pieces, size = encoded
        # as tritonclient, without a type: octet-stream makes MLServer answer 500, not 422
        headers = _JSON if size is None else ((JSON_SIZE, str(size)),)
        reply = self._send("POST", place, deadline, pieces, headers)
        try:
            return decode_reply(reply.body, reply.headers.get(_SIZE), self._limits)
        except CallerError as error:
            raise BrokenReply(f"{self._url}{place}: {error}") from error

    def _knows_binary(self, deadline: Deadline) -> bool:
        """Say whether the server names the extension, or says nothing of its extensions."""
        try:
            extensions = self.server_metadata(deadline=deadline).get("extensions")
        except RefusedByModel:
            return True
        return type(extensions) is not list or "binary_tensor_data" in extensions

    def model_metadata(
        self, model: str, *, version: str = "", deadline: Deadline = NEVER
    ) -> ServedTensors:
        """Return what the server says of a model's inputs and outputs. Raises as infer()."""
        place = model_path(model, version)
        document = self._get(place, deadline)
        try:
            return read_model_metadata(document)
        except CallerError as error:
            raise BrokenReply(f"{self._url}{place}: {error}") from error

    def server_metadata(self, *, deadline: Deadline = NEVER) -> dict[str, Any]:
        """Return the server's name, version and extensions, as it sent them. Raises as infer()."""
        return self._get("/v2", deadline)

    def close(self) -> None:
        """Close the connections; a later call opens a new one."""
        self._http.close()

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
        return f"InferenceClient({self._url!r})"

    def _send(
        self,
        method: str,
        place: str,
        deadline: Deadline,
        pieces: Sequence[Buffer] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        """Return a reply with status 200; raise what another one means."""
        deadline.check(f"{self._url} was asked")
        until = deadline.earlier(Deadline.after(self._timeout))
        head = self._http.head(method, f"{self._prefix}{place}{self._query}", headers)
        reply = self._http.send(head, pieces, until)
        if reply.status != 200:
            raise _failure(reply, f"{self._url}{place}")
        return reply

    def _get(self, place: str, deadline: Deadline) -> dict[str, Any]:
        """Return the object that a GET answers with status 200."""
        reply = self._send("GET", place, deadline)
        try:
            document = orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise BrokenReply(f"{self._url}{place}: not JSON: {error}") from error
        if type(document) is not dict:
            raise BrokenReply(f"{self._url}{place}: expected a JSON object")
        return document


def model_path(model: str, version: str = "") -> str:
    """Return the path of a model, or of one of its versions."""
    versions = f"/versions/{quote(version, safe='')}" if version else ""
    return f"{_MODELS}{quote(model, safe='')}{versions}"


def _failure(reply: HttpResponse, shown: str) -> Exception:
    """Return the error that a reply with another status than 200 is."""
    status = f"{reply.status} {_line(reply.reason)}".strip()
    if reply.status == 407:
        return CannotConnect(f"{shown}: the proxy wants a user and password")
    if reply.status < 400:
        return BrokenReply(f"{shown}: {status}; only 200 is an answer")
    words = _line(error_text(reply.body) or bytes(reply.body[:4000]).decode(errors="replace"))
    told = f"{shown}: {words} ({status})" if words else f"{shown}: {status}"
    return RefusedByModel(told, code=reply.status)


def _with_timeout(
    parameters: Mapping[str, Parameter] | None, deadline: Deadline
) -> dict[str, Parameter]:
    """Return the parameters with the time that is left, in microseconds; 0 means no bound."""
    left = deadline.remaining()
    told: dict[str, Parameter] = {} if left == inf else {"timeout": max(1, int(left * 1e6))}
    return {**told, **(parameters or {})}


def _line(text: str) -> str:
    """Return a server's text as one short line."""
    return " ".join(text.split())[:500]
