"""What is wrong with a request, in the platform's words: ``{"error": …, "code": …}``.

``code`` is the id of the request's transaction, which X-Request-ID also has. Sources:
ErrorResponse.scala; for what no route of the platform says, the default messages of Pekko HTTP
(RejectionHandler.scala).
"""

from __future__ import annotations

from typing import Any

from gpfn import json_exact
from gpfn.errors import CallerError
from gpfn.http.loop import Response

__all__ = [
    "INTERNAL",
    "NOT_ALLOWED",
    "WhiskRefusal",
    "error_reply",
    "json_reply",
    "malformed",
    "misplaced",
    "missing",
    "refusal_reply",
]

INTERNAL = "There was an internal server error."
NOT_ALLOWED = "Request defines parameters that are not allowed (e.g., reserved properties)."

_JSON = (("content-type", "application/json"),)
_LONGEST = 4000


class WhiskRefusal(CallerError):
    """A request that is refused with a status; ``headers`` go with the answer."""

    type = "refused"
    title = "Refused as OpenWhisk refuses it"

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def missing() -> WhiskRefusal:
    """Return what is said of an entity that is not there."""
    return WhiskRefusal(404, "The requested resource does not exist.")


def misplaced() -> WhiskRefusal:
    """Return what is said of a name that is another kind of entity's."""
    return WhiskRefusal(409, "Resource by this name exists but is not in this collection.")


def malformed(message: str) -> WhiskRefusal:
    """Return what is said of a body that has not the form that it should have."""
    return WhiskRefusal(400, f"The request content was malformed:\n{message[:_LONGEST]}")


def json_reply(
    document: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Return an answer that is a JSON document."""
    return Response(status, (*_JSON, *headers), (json_exact.dumps(document),))


def error_reply(
    status: int, message: str, transaction: str, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Return the answer to a request that is refused or failed."""
    return json_reply({"error": message, "code": transaction}, status, headers)


def refusal_reply(refusal: WhiskRefusal, transaction: str) -> Response:
    """Return the answer to a request that is refused."""
    return error_reply(refusal.status, refusal.message, transaction, refusal.headers)
