"""The forms that a model server's answers have.

A reply to an error has a status other than 200, always. Its body is an InferResponse with
``errors`` when the caller's Accept names ``application/vnd.graphpipe`` (our client does), and
plain text otherwise: the clients of graphpipe-go and of PyPI's graphpipe print the body of such
a reply as it is.
"""

from collections.abc import Sequence
from math import isfinite

from gpfn.errors import GpfnError, InvalidRequest, Overloaded
from gpfn.http.loop.exchange import Response
from gpfn.media import GRAPHPIPE, JSON, OCTETS, TEXT_UTF8
from gpfn.public_text import public_text
from gpfn.scope import MOST_HOPS, Took, hops_of, server_timing
from gpfn.serving.routing import WrongMethod
from gpfn.serving.tokens import NotAuthorised

__all__ = [
    "checked_hops",
    "failure",
    "graphpipe",
    "headers_of",
    "health",
    "json_page",
    "page",
    "seconds_of",
    "text",
    "timed",
]

_OCTETS = (("content-type", OCTETS),)
_NAMED = (("content-type", GRAPHPIPE),)
_TEXT = (("content-type", TEXT_UTF8),)


def failure(error: BaseException, accept: str | None) -> Response:
    """Return the reply to a failed request: a message or text, as ``accept`` says."""
    known = error if isinstance(error, GpfnError) else GpfnError("internal error; see the log")
    told = public_text(str(known))
    if GRAPHPIPE not in (accept or ""):
        response = text(known.status, told)
    else:
        from gpfn.graphpipe.encode import encode_response  # NumPy comes with it
        from gpfn.graphpipe.messages import Error, InferResponse

        message = InferResponse(errors=(Error(code=known.status, message=told),))
        response = graphpipe(known.status, encode_response(message), accept)
    return response._replace(headers=(*response.headers, *headers_of(known)))


def headers_of(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Return the headers that an answer to an error has, whatever the protocol."""
    if isinstance(error, Overloaded):
        return (("retry-after", str(error.retry_after)),)
    if isinstance(error, NotAuthorised):
        return (("www-authenticate", error.challenge),)
    if isinstance(error, WrongMethod):
        return (("allow", ", ".join(error.allowed)),)
    return ()


def page(media_type: str, text: bytes) -> Response:
    """Return a document of that media type."""
    return Response(200, (("content-type", media_type),), (text,))


def json_page(document: object, status: int = 200) -> Response:
    """Return a document as JSON."""
    import orjson

    return Response(status, (("content-type", JSON),), (orjson.dumps(document),))


def graphpipe(status: int, buffers: Sequence[bytes | memoryview], accept: str | None) -> Response:
    """Return a GraphPipe message; its media type is named to who named it."""
    return Response(status, _NAMED if GRAPHPIPE in (accept or "") else _OCTETS, buffers)


def text(status: int, line: str) -> Response:
    """Return a line of text."""
    return Response(status, _TEXT, (f"{line}\n".encode(),))


def seconds_of(text: str) -> float:
    """Return what a caller's X-Timeout header says. Raises InvalidRequest."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not isfinite(found) or found <= 0:
        raise InvalidRequest(f"expected seconds above 0, got {text:.40}", field="x-timeout")
    return found


def checked_hops(text: str) -> int:
    """Return how many servers have sent a request on. Raises InvalidRequest for too many."""
    hops = hops_of(text)
    if hops < MOST_HOPS:
        return hops
    told = f"sent on by {MOST_HOPS} servers: do they call each other in a circle?"
    raise InvalidRequest(told, field="x-hops", status=508)


def timed(response: Response, timings: Sequence[Took], seconds: float) -> Response:
    """Return an answer that tells what it took, for a caller who wants to know."""
    told = server_timing([*timings, Took("total", seconds)])
    return response._replace(headers=(*response.headers, ("server-timing", told)))


def health(well: bool) -> Response:
    """Return the answer to a question about health."""
    return text(200, "ok") if well else text(503, "not ready")
