"""Asks a model server over the Open Inference Protocol's gRPC.

Each kind of failure has its error, as in `gpfn.oip.client`, and every message names the server.
No message shows the user or password of the URL. grpcio is imported at the first call.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    BackendError,
    BackendTimeout,
    BrokenReply,
    CallerError,
    CannotConnect,
    MissingExtra,
    RefusedByModel,
    SetupError,
)
from gpfn.http.address import parse_url
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.oip.client import ModelAddress
from gpfn.oip.documents import ServedTensors, read_model_metadata
from gpfn.oip.grpc_messages import decode_grpc_reply, encode_grpc_infer
from gpfn.oip.grpc_schema import RPCS, SERVICE, message_class
from gpfn.oip.reply import InferReply
from gpfn.oip.request import OutputAsked, Parameter
from gpfn.traceparent import PARENT

__all__ = ["GrpcInferenceClient", "grpc_address"]

_Array = np.ndarray[Any, Any]

_PORTS = {"grpc": 8001, "grpcs": 443}
_CODES = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""The HTTP status that says the same as a gRPC status; 500 for the others."""

_NO_CONNECTION = ("connect", "resolution", "resolving", "handshake")
_BROKEN_OFF = ("Socket closed", "reset", "GOAWAY", "recvmsg", "CLIENT: Received message", "Stream")
"""Words by which the library tells what it found itself, under the statuses of servers."""


def grpc_address(url: str) -> ModelAddress:
    """Return what ``grpc://host:8001/NAME`` or ``…/NAME/versions/VERSION`` names.

    In the names, what a URL cannot hold is percent-encoded, a ``/`` as well.

    Raises SetupError, whose text shows nothing of the URL: it may hold a password.
    """
    scheme, mark, rest = url.partition("://")
    server, _, path = rest.partition("/")
    names = path.removesuffix("/").split("/")
    right = scheme.lower() in _PORTS and mark and "?" not in rest
    if (
        not right
        or len(names) not in (1, 3)
        or not all(names)
        or names[1:2] not in ([], ["versions"])
    ):
        told = "expected grpc://HOST:PORT/NAME or …/NAME/versions/VERSION; a / in a name is %2F"
        raise SetupError(told, field="url")
    return ModelAddress(f"{scheme.lower()}://{server}", *map(unquote, names[::2]))


class GrpcInferenceClient:
    """A client of one model server; threads may share it.

    >>> GrpcInferenceClient("grpc://127.0.0.1:8001", timeout=2.0)
    GrpcInferenceClient('grpc://127.0.0.1:8001')
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        limits: Limits = REPLY_LIMITS,
    ) -> None:
        """Parse the URL; nothing is connected yet.

        Args:
            url: ``grpc://HOST[:PORT]`` (8001) or ``grpcs://HOST[:PORT]`` (443); a user and
                password in it are sent as Basic authorization.
            timeout: Seconds for a call in all; a call's deadline can only shorten it.
            connect_timeout: Seconds of those for connecting.
            limits: Upper bounds of a reply.

        Raises SetupError for a URL that cannot be used.
        """
        scheme = url.partition("://")[0].lower()
        if scheme not in _PORTS:
            raise SetupError("expected grpc://HOST or grpcs://HOST", field="url")
        address = parse_url(f"http{url[4:]}")
        port = urlsplit(url).port or _PORTS[scheme]
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._target = f"{host}:{port}"
        self._secure = scheme == "grpcs"
        self._url = f"{scheme}://{self._target}"
        self._metadata = [("authorization", address.authorization)] if address.authorization else []
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._limits = limits
        self._guard = threading.Lock()
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The server's URL without user and password."""
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
            parameters: Of the request.
            deadline: After it the answer is of no use; the server is told.

        Raises:
            InvalidTensor: An input that cannot be sent.
            BackendError: CannotConnect, BackendTimeout, RefusedByModel or BrokenReply.
            DeadlineExceeded: Nothing was sent.
            MissingExtra: grpcio or protobuf is not installed.
        """
        asked = [OutputAsked(o, binary=True) if isinstance(o, str) else o for o in outputs]
        request = encode_grpc_infer(
            model,
            version,
            inputs,
            datatypes=datatypes,
            outputs=asked,
            identity=identity,
            parameters=parameters,
        )
        data = self._call("ModelInfer", request, deadline)
        try:
            return decode_grpc_reply(data, self._limits)
        except CallerError as error:
            raise BrokenReply(f"{self._url}: {error}") from error

    def model_metadata(
        self, model: str, *, version: str = "", deadline: Deadline = NEVER
    ) -> ServedTensors:
        """Return what the server says of a model's inputs and outputs. Raises as infer()."""
        request = message_class("ModelMetadataRequest")(name=model, version=version)
        data = self._call("ModelMetadata", request.SerializeToString(), deadline)
        try:
            told = message_class(RPCS["ModelMetadata"].response).FromString(data)
            return read_model_metadata({side: _ends(getattr(told, side)) for side in _SIDES})
        except Exception as error:  # protobuf's DecodeError, or what is wrong with the document
            raise BrokenReply(f"{self._url}: {error}") from error

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        with self._guard:
            channel, self._channel, self._calls = self._channel, None, {}
        if channel is not None:
            channel.close()

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
        return f"GrpcInferenceClient({self._url!r})"

    def _call(self, rpc: str, request: bytes, deadline: Deadline) -> bytes:
        deadline.check(f"{self._url} was asked")
        call = self._calls.get(rpc) or self._connected(rpc)
        seconds = min(self._timeout, deadline.remaining())
        parent = PARENT.get()
        metadata = (*self._metadata, ("traceparent", parent)) if parent else self._metadata
        try:
            reply: bytes = call(request, timeout=seconds, metadata=metadata)
        except Exception as error:
            if not hasattr(error, "code"):  # a channel that was closed meanwhile
                raise CannotConnect(f"{self._url}: {error}") from error
            raise self._failure(error, seconds) from error
        return reply

    def _connected(self, rpc: str) -> Any:
        try:
            import grpc
        except ImportError as error:
            raise MissingExtra("grpcio", "grpc") from error
        options = [
            ("grpc.max_receive_message_length", self._limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            # after the server was away it is asked again within a second
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.min_reconnect_backoff_ms", round(self._connect_timeout * 1000)),
        ]
        with self._guard:
            if self._channel is None:
                self._channel = (
                    grpc.secure_channel(self._target, _credentials(grpc), options)
                    if self._secure
                    else grpc.insecure_channel(self._target, options)
                )
            self._calls[rpc] = self._channel.unary_unary(f"/{SERVICE}/{rpc}")
            return self._calls[rpc]

    def _failure(self, error: Any, seconds: float) -> BackendError:
        """Return what a call's failure means."""
        status, said = error.code().name, " ".join(str(error.details() or "").split())[:500]
        if status == "DEADLINE_EXCEEDED":
            return BackendTimeout(f"{self._url}: no answer within {seconds:.3g} s")
        if status in ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "CANCELLED"):
            if any(word in said for word in _BROKEN_OFF):
                return BrokenReply(f"{self._url}: {said}")
            if status == "UNAVAILABLE" and any(word in said.lower() for word in _NO_CONNECTION):
                return CannotConnect(f"{self._url}: {said}")
        told = f"{self._url}: {said} ({status})" if said else f"{self._url}: {status}"
        return RefusedByModel(told, code=_CODES.get(status, 500))


_SIDES = ("inputs", "outputs")


def _ends(tensors: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in tensors
    ]


def _credentials(grpc: Any) -> Any:
    """Return TLS with the certificates of SSL_CERT_FILE, else with those of grpcio."""
    import os

    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return grpc.ssl_channel_credentials()
    try:
        with open(path, "rb") as file:
            return grpc.ssl_channel_credentials(file.read())
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field="SSL_CERT_FILE") from None
