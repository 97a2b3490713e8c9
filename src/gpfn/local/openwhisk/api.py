"""OpenWhisk's REST on a server: the key, routes, and answers."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from gpfn.errors import GpfnError
from gpfn.http.loop import Response
from gpfn.local.openwhisk.asking import MOST_BODY_BYTES, WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.describing import describing_routes
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.linking import RuleRoutes, TriggerRoutes
from gpfn.local.openwhisk.managing import ActionRoutes, PackageRoutes
from gpfn.local.openwhisk.naming import GUEST, check_name, check_namespace
from gpfn.local.openwhisk.referring import not_yours
from gpfn.local.openwhisk.refusing import INTERNAL, WhiskRefusal, error_reply, refusal_reply
from gpfn.serving.routing import Route, Router

if TYPE_CHECKING:
    from gpfn.http.loop import Exchange
    from gpfn.http.loop.exchange import Headers
    from gpfn.log import Log

__all__ = ["GUEST_KEY", "WhiskApi", "entity_routes"]

GUEST_KEY = (
    "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:"
    "123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
)
"""The key of the namespace guest, as every OpenWhisk on one machine has it: no secret."""

_UNDER_KEY = "/api/v1/"
_CHALLENGE = (("www-authenticate", 'Basic realm="OpenWhisk secure realm",charset=UTF-8'),)
_NO_KEY = "The resource requires authentication, which was not supplied with the request"
_WRONG_KEY = "The supplied authentication is invalid"
_NO_PATH = "The requested resource could not be found."
_METHODS = ("PUT", "GET", "DELETE", "POST", "HEAD", "OPTIONS", "PATCH")
_CHECKS = {"namespace": check_namespace, "package": check_name, "name": check_name}
_MOST_FIELDS = 1000


class WhiskApi:
    """OpenWhisk's REST as `gpfn.local.handler.LocalHandler` takes a protocol: the last one.

    The loop server has to let bodies of `MOST_BODY_BYTES` in.
    """

    prefixes: Sequence[str] = ("/api",)

    def __init__(self, routes: Sequence[WhiskRoute], log: Log, *, key: str = GUEST_KEY) -> None:
        """``routes`` are those of all areas, the more special ones first."""
        self._log = log
        self._key = key.encode()
        self._table = {(route.method, route.pattern): route for route in routes}
        self._router = Router([_Inner(routes)], decode=_decoded)

    @property
    def routes(self) -> Sequence[Route]:
        """All paths: which there are is told only to who has the key."""
        return [Route(method, "/{raw*}", self._answer, early=self._early) for method in _METHODS]

    def failure(self, error: BaseException, accept: str | None) -> Response:  # noqa: ARG002
        """Return the answer to a request that was refused before it came here."""
        transaction = secrets.token_hex(16)
        if isinstance(error, GpfnError) and not isinstance(error, WhiskRefusal):
            return error_reply(error.status, error.detail, transaction)
        return self._failed(error, transaction)

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        """Return what is wrong with a method that nothing has."""
        return _unknown(method, path, allowed)

    def _answer(self, exchange: Exchange, body: bytes | memoryview, **_: str) -> Any:
        """Return the answer, or a coroutine that does."""
        method, target, headers, *_rest = exchange.request
        try:
            route, names, trusted = self._find(method, target, headers, len(body))
            query = target.partition("?")[2]
            request = WhiskRequest(
                method, target, names, _fields(query), query, headers, bytes(body), exchange.id,
                trusted, exchange,
            )  # fmt: skip
            answer = route.answer(request)
        except Exception as error:  # noqa: BLE001 - a bug of ours is told, and ends nothing
            return self._failed(error, exchange.id)
        return answer if isinstance(answer, Response) else self._later(answer, exchange.id)

    async def _later(self, answer: Awaitable[Response], transaction: str) -> Response:
        try:
            return await answer
        except Exception as error:  # noqa: BLE001 - as before
            return self._failed(error, transaction)

    def _early(self, method: str, target: str, headers: Headers) -> None:
        """Raise WhiskRefusal for what needs no body to be refused."""
        length = next((value for name, value in headers if name == "content-length"), "")
        self._find(method, target, headers, int(length) if length.isdecimal() else 0)

    def _find(
        self, method: str, target: str, headers: Headers, length: int
    ) -> tuple[WhiskRoute, Mapping[str, str], bool]:
        """Return a request's route, its names, and whether it came with the key.

        Raises WhiskRefusal; without the key nothing else is told of what is under it.
        """
        problem = self._key_problem(headers)
        try:
            routed = self._router.find(method, target)
        except WhiskRefusal:
            if problem and target.startswith(_UNDER_KEY):
                raise problem from None
            raise
        route, names = self._table[routed.route.method, routed.route.pattern], routed.names
        if problem and not route.public:
            raise problem
        if names.get("namespace", GUEST) != GUEST and not (route.public or route.shared):
            raise not_yours(["/".join(_path(names))])
        if length > route.most:
            raise _too_large(length, route.most)
        return route, names, problem is None

    def _key_problem(self, headers: Headers) -> WhiskRefusal | None:
        given = next((value for name, value in headers if name == "authorization"), None)
        if given is None:
            return WhiskRefusal(401, _NO_KEY, _CHALLENGE)
        scheme, _, text = given.partition(" ")
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if scheme.lower() == "basic" and hmac.compare_digest(key, self._key):
            return None
        return WhiskRefusal(401, _WRONG_KEY, _CHALLENGE)

    def _failed(self, error: BaseException, transaction: str) -> Response:
        if isinstance(error, WhiskRefusal):
            return refusal_reply(error, transaction)
        self._log.failure(error, call=transaction)
        return error_reply(500, INTERNAL, transaction)


def entity_routes(entities: WhiskEntities) -> Sequence[WhiskRoute]:
    """Return the routes of everything but calls."""
    return [
        *describing_routes(),
        *ActionRoutes(entities).routes,
        *PackageRoutes(entities).routes,
        *TriggerRoutes(entities).routes,
        *RuleRoutes(entities).routes,
    ]


class _Inner(NamedTuple):
    """The table as the router takes it; answers are looked up in ours."""

    table: Sequence[WhiskRoute]
    prefixes: Sequence[str] = ()

    @property
    def routes(self) -> Sequence[Route]:
        return [Route(each.method, each.pattern, _unused) for each in self.table]

    def failure(self, error: BaseException, accept: str | None) -> Response:  # noqa: ARG002
        raise error

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        return _unknown(method, path, allowed)


def _unknown(_: str, __: str, allowed: Sequence[str]) -> GpfnError:
    """Return what is wrong with a path that has no route, or only for other methods."""
    if not allowed:
        return WhiskRefusal(404, _NO_PATH)
    methods = ", ".join(sorted({*allowed}, key=_METHODS.index))
    said = f"HTTP method not allowed, supported methods: {methods}"
    return WhiskRefusal(405, said, (("allow", methods),))


def _unused(*_: object) -> None:
    """Stand where the router's routes have their answers: ours are in the table."""


def _decoded(part: str, name: str) -> str:
    """Return a name of a path; what a star takes stays as it came. Raises WhiskRefusal (400)."""
    if name.endswith("*"):
        return part
    check = _CHECKS.get(name, str)
    try:
        return check(unquote_to_bytes(part).decode())
    except UnicodeDecodeError:
        return check("\0")  # no name either


def _path(names: Mapping[str, str]) -> list[str]:
    return [names[key] for key in _CHECKS if key in names]


def _fields(query: str) -> Mapping[str, str]:
    """Return the first value of each key of a query. Raises WhiskRefusal (400) for too many."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise WhiskRefusal(400, f"more than {_MOST_FIELDS} fields in the query") from None
    return dict(reversed(pairs))


def _too_large(length: int, most: int) -> WhiskRefusal:
    """Return what is said of a body over a limit; the server's own limit has other words."""
    if most < MOST_BODY_BYTES:
        return WhiskRefusal(413, f"Request larger than allowed: {length} > {most} bytes.")
    size = f"incoming entity size ({length}) exceeded size limit ({most} bytes)!"
    return WhiskRefusal(413, f"The request content was malformed:\n{size}")
