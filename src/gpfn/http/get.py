"""One GET of a URL along its redirects, through the environment's proxy, as it comes.

For what the deployer names, such as a model's address. What a caller names goes through
:mod:`gpfn.http.fetch`.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply, CannotConnect, SetupError
from gpfn.http.address import Address, parse_url, proxy_for, request_head, shown_url
from gpfn.http.connection import Connection, connect
from gpfn.http.response import Closed, IncomingResponse

__all__ = ["REDIRECTS", "GetAnswer", "Waiting", "open_url"]

REDIRECTS = frozenset([301, 302, 303, 307, 308])
"""The statuses that lead elsewhere, by their Location."""


class Waiting(NamedTuple):
    """How long is waited: seconds for connecting and for an answer, and until when in all."""

    connect: float
    answer: float
    deadline: Deadline

    def at_most(self, seconds: float) -> Deadline:
        """Return the deadline of one step."""
        return self.deadline.earlier(Deadline.after(seconds))


class GetAnswer(NamedTuple):
    """A response whose body is still to come, over a connection that has to be closed."""

    connection: Connection
    response: IncomingResponse
    address: Address


def open_url(
    url: str,
    headers: Sequence[tuple[str, str]],
    waiting: Waiting,
    *,
    redirects: int = 5,
    downgrade: bool = False,
) -> GetAnswer:
    """Ask for ``url`` and return the first answer that leads nowhere else.

    ``downgrade`` allows redirects from https to http.

    Raises:
        CannotConnect: The URL, one that a redirect names, or the way to its server is wrong.
        BrokenReply: What came is not HTTP, or nothing came.
        OSError: The connection broke; TimeoutError when no answer came in time.
    """
    for _ in range(redirects + 1):
        answer = _ask(url, headers, waiting)
        location = answer.response.headers.get("location", "")
        if answer.response.status not in REDIRECTS or not location:
            return answer
        answer.connection.close()
        url = _joined(url, location, downgrade)
    raise CannotConnect(f"redirected more than {redirects} times")


def _ask(url: str, headers: Sequence[tuple[str, str]], waiting: Waiting) -> GetAnswer:
    connection, address, proxy = _connected(url, waiting)
    try:
        connection.deadline = waiting.at_most(waiting.answer)
        connection.send([request_head("GET", address, proxy, headers) + b"\r\n\r\n"])
        return GetAnswer(connection, IncomingResponse(connection), address)
    except Closed:
        connection.close()
        raise BrokenReply("the server closed the connection") from None
    except BaseException:
        connection.close()
        raise


def _connected(url: str, waiting: Waiting) -> tuple[Connection, Address, Address | None]:
    try:
        address = parse_url(url)
        proxy = proxy_for(address, os.environ)
        until = waiting.at_most(waiting.connect)
        return connect(address, proxy, None, until), address, proxy
    except SetupError as error:
        raise CannotConnect(str(error) if error.field != "url" else error.detail) from error
    except TimeoutError as error:
        raise CannotConnect("no connection in time") from error
    except OSError as error:
        raise CannotConnect(error.strerror or type(error).__name__) from error


def _joined(url: str, location: str, downgrade: bool) -> str:
    try:
        moved = urljoin(url, location)
    except ValueError:
        raise CannotConnect("redirected to what is not a URL") from None
    if moved.lower().startswith("http:") and url.lower().startswith("https:") and not downgrade:
        raise CannotConnect(f"redirected to {shown_url(moved)}, unencrypted")
    return moved
