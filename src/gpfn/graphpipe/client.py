"""Asks a GraphPipe model server: ``remote(url, array)``, or a :class:`Client` for more.

Each kind of failure has its error, and every message names the server:

    CannotConnect     nothing listens there, or TLS or the proxy failed
    BackendTimeout    the answer was not complete at the deadline
    RefusedByModel    the server answered with an error; the detail is the server's text
    BrokenReply       the answer is not GraphPipe, or not all of it came
    DeadlineExceeded  the caller's time was up before anything was sent

No message shows the user, password or query of the URL.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gpfn import __version__
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BrokenReply, CallerError, CannotConnect, RefusedByModel
from gpfn.graphpipe.decode import decode_metadata, decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    MetadataRequest,
    MetadataResponse,
)
from gpfn.http.address import parse_url, proxy_for
from gpfn.http.client import HttpClient
from gpfn.http.pending import Pending
from gpfn.http.response import HttpResponse
from gpfn.http.writer import check_header
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.media import GRAPHPIPE, OCTETS

if TYPE_CHECKING:
    import ssl

__all__ = ["Client", "remote"]

_HEADERS = (
    ("User-Agent", f"gpfn/{__version__}"),
    ("Accept", f"{GRAPHPIPE}, {OCTETS}"),
    ("Accept-Encoding", "identity"),
    ("Content-Type", GRAPHPIPE),
)
_LONGEST_TEXT = 500

_Array = np.ndarray[Any, Any]


class Client:
    """A client of one model server; connections are kept, and threads may share it.

    >>> client = Client("http://127.0.0.1:9000", timeout=2.0)
    >>> client
    Client('http://127.0.0.1:9000')
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        limits: Limits = REPLY_LIMITS,
        headers: Mapping[str, str] | None = None,
        ssl_context: "ssl.SSLContext | None" = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Parse the URL; nothing is connected yet.

        Args:
            url: ``http://`` or ``https://``; a user and password in it are sent as Basic
                authorization.
            timeout: Seconds for a call in all; a call's deadline can only shorten it.
            connect_timeout: Seconds of those for connecting.
            limits: Upper bounds of a reply.
            headers: More headers for every request.
            ssl_context: For https; the system's certificates when there is none.
            environ: Where ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``
                are looked up, now.

        Raises:
            SetupError: For a URL or proxy that cannot be used.
            ValueError: For a header that cannot be sent.
        """
        address = parse_url(url)
        more = tuple((headers or {}).items())
        for name, value in more:
            check_header(name, value)
        named = {name.lower() for name, _ in more}
        self._url = address.shown
        self._timeout = timeout
        self._limits = limits
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
        inputs: Mapping[str, _Array] | Sequence[_Array] | _Array,
        *,
        output_names: Sequence[str] = (),
        config: str = "",
        deadline: Deadline = NEVER,
        exact: bool = True,
    ) -> tuple[_Array, ...]:
        """Return the model's outputs, in the order of ``output_names``.

        Args:
            inputs: Arrays by name, or in the order of the server's default inputs, or one
                array. dtypes are those of GraphPipe: bool, integers of 8 to 64 bits,
                float16 to float64, and strings as object arrays of ``bytes`` or ``str``.
            output_names: The server's default outputs when empty.
            config: A text for the model; most ignore it.
            deadline: After it the answer is of no use.
            exact: Whether another number of outputs than asked for is a broken reply.

        The arrays that come back are read-only views into the reply.

        Raises:
            InvalidTensor: An input of a dtype that GraphPipe does not have.
            BackendError: One of those that the top of this module lists.
            DeadlineExceeded: Nothing was sent.
        """
        tensors = self._tensors(self._ask(_request(inputs, output_names, config), deadline))
        if exact and output_names and len(tensors) != len(output_names):
            raise BrokenReply(
                f"{self._url}: {len(tensors)} outputs came, {len(output_names)} were asked for"
            )
        return tensors

    def begin(
        self,
        inputs: Mapping[str, _Array] | Sequence[_Array] | _Array,
        *,
        output_names: Sequence[str] = (),
        config: str = "",
        deadline: Deadline = NEVER,
    ) -> Pending[tuple[_Array, ...]] | None:
        """Ask as :meth:`infer` does, if that takes no waiting; None, and nothing was asked.

        Raises InvalidTensor and DeadlineExceeded as that does.
        """
        buffers = encode_request(_request(inputs, output_names, config))
        deadline.check(f"{self._url} was asked")
        pending = self._http.begin(buffers, deadline.earlier(Deadline.after(self._timeout)))
        if pending is None:
            return None
        return pending.then(lambda finish: self._tensors(self._body(finish())))

    def metadata(self, *, deadline: Deadline = NEVER) -> MetadataResponse:
        """Return the server's description of its model.

        Raises BackendError or DeadlineExceeded as :meth:`infer` does.
        """
        body = self._ask(MetadataRequest(), deadline)
        try:
            return decode_metadata(body, self._limits)
        except CallerError as error:
            raise BrokenReply(f"{self._url}: {error}") from error

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
        return f"Client({self._url!r})"

    def _ask(
        self, request: InferRequest | MetadataRequest, deadline: Deadline
    ) -> bytes | memoryview:
        """Return the body of a reply with status 200."""
        buffers = encode_request(request)
        deadline.check(f"{self._url} was asked")
        until = deadline.earlier(Deadline.after(self._timeout))
        return self._body(self._http.post(buffers, until))

    def _body(self, reply: HttpResponse) -> bytes | memoryview:
        if reply.status != 200:
            raise self._failure(reply)
        return reply.body

    def _tensors(self, body: bytes | memoryview) -> tuple[_Array, ...]:
        response = self._response(body)
        if response.errors:
            raise RefusedByModel(f"{self._url}: {_words(response.errors)}")
        return response.tensors

    def _response(self, body: bytes | memoryview) -> InferResponse:
        try:
            return decode_response(body, self._limits)
        except CallerError as error:
            raise BrokenReply(f"{self._url}: {error}") from error

    def _failure(self, reply: HttpResponse) -> Exception:
        """Return the error that a reply with another status is."""
        status = f"{reply.status} {_printable(reply.reason)}".strip()
        if reply.status == 407:
            return CannotConnect(f"{self._url}: the proxy wants a user and password")
        if reply.status < 400:
            return BrokenReply(f"{self._url}: {status}; only 200 is an answer")
        try:
            errors = decode_response(reply.body, self._limits).errors
        except CallerError:
            errors = ()
        words = _words(errors) or _printable(bytes(reply.body[:4000]).decode(errors="replace"))
        return RefusedByModel(
            f"{self._url}: {words} ({status})" if words else f"{self._url}: {status}",
            code=reply.status,
        )


def _request(
    inputs: Mapping[str, _Array] | Sequence[_Array] | _Array,
    output_names: Sequence[str],
    config: str,
) -> InferRequest:
    if isinstance(inputs, Mapping):
        return InferRequest(tuple(inputs.values()), tuple(inputs), tuple(output_names), config)
    arrays = (inputs,) if isinstance(inputs, np.ndarray) else tuple(inputs)
    return InferRequest(arrays, (), tuple(output_names), config)


def remote(
    url: str,
    array: _Array,
    *,
    input_name: str = "",
    output_name: str = "",
    config: str = "",
    timeout: float = 60.0,
    deadline: Deadline = NEVER,
) -> _Array:
    """Return the output of the model at ``url`` for ``array``: one array in, one out.

    Connections are kept from call to call, for the last few URLs; the proxy of a URL is
    looked up when it is first asked. For several inputs or outputs, limits, headers or
    certificates there is :class:`Client`.

    Raises BackendError, DeadlineExceeded or InvalidTensor as :meth:`Client.infer` does.
    """
    client = _client(url)
    outputs = client.infer(
        {input_name: array} if input_name else (array,),
        output_names=(output_name,) if output_name else (),
        config=config,
        deadline=deadline.earlier(Deadline.after(timeout)),
    )
    if len(outputs) != 1:
        raise BrokenReply(f"{client.url}: {len(outputs)} outputs came; name the one you want")
    return outputs[0]


@lru_cache(maxsize=8)
def _client(url: str) -> Client:
    return Client(url, timeout=float("inf"))


def _words(errors: Sequence[Error]) -> str:
    return "; ".join(
        _printable(error.message) or f"error {error.code} without a message" for error in errors
    )


def _printable(text: str) -> str:
    """Return a server's text as one line of printable characters, for a log."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in line[:_LONGEST_TEXT])
