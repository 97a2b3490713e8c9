"""Feed bytes to a reader in pieces, and say what came of it as one comparable value."""

from collections.abc import Iterable

from gpfn.errors import GpfnError
from gpfn.http import Request, RequestReader
from gpfn.limits import Limits

__all__ = ["Outcome", "head", "outcome", "pieces"]

Outcome = tuple[list[Request], tuple[str, int, str] | None, bool]


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut ``data`` into pieces of ``size`` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def outcome(
    parts: Iterable[bytes], limits: Limits | None = None, large_body: int = 1 << 20
) -> Outcome:
    """Return the requests, the error that ended them, and whether one is still on its way."""
    reader = RequestReader(limits or Limits(), large_body=large_body)
    found: list[Request] = []
    try:
        for part in parts:
            reader.feed(part)
            while (request := reader.next_request()) is not None:
                found.append(request._replace(body=bytes(request.body)))
    except GpfnError as error:
        return found, (type(error).__name__, error.status, str(error)), False
    return found, None, reader.in_request


def head(*lines: str, start: str = "POST /call HTTP/1.1", host: str | None = "a") -> bytes:
    """Return a request's head."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([start, *hosts, *lines, "", ""]).encode("latin-1")
