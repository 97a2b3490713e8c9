"""The routes of web actions: an action as a page or an API of its own, for everybody.

``/api/v1/web/NAMESPACE/PACKAGE/NAME.EXTENSION``; an action in no package is in ``default``. The
platform answers for other sites' pages (CORS) unless the action wants to do that itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpfn.http.loop import Response
from gpfn.local.openwhisk.answering import id_header
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.invoking import InvokeOrigin, Invoking
from gpfn.local.openwhisk.naming import GUEST, EntityRef
from gpfn.local.openwhisk.records import WhiskAction, value_of
from gpfn.local.openwhisk.refusing import INTERNAL, WhiskRefusal, missing
from gpfn.local.openwhisk.web_answers import split_extension, web_error, web_response
from gpfn.local.openwhisk.web_arguments import WebCall, web_arguments

if TYPE_CHECKING:
    from gpfn.local.openwhisk.entities import WhiskEntities
    from gpfn.local.openwhisk.invoking import Invoker

__all__ = ["WEB_PATHS", "WebRoutes"]

WEB_PATHS = "/api/v1/web/"
"""What the paths of all web actions begin with."""


_PATTERN = f"{WEB_PATHS}{{owner}}/{{package}}/{{name}}"  # here _ is nobody's namespace
_METHODS = ("GET", "DELETE", "POST", "PUT", "HEAD", "OPTIONS", "PATCH")
_DEFAULT = "default"
_UNAUTHORIZED = "Authentication is possible but has failed or not yet been provided."
_NOT_READY = "Response not yet ready."
_ALLOWED = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"

_Headers = tuple[tuple[str, str], ...]


class WebRoutes:
    """Web actions are called."""

    def __init__(self, entities: WhiskEntities, invoker: Invoker) -> None:
        self._entities = entities
        self._invoker = invoker

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        most = self._invoker.settings.most_payload
        return [
            WhiskRoute(method, pattern, self._answer, public=True, most=most)
            for pattern in (_PATTERN, f"{_PATTERN}/{{path*}}")
            for method in _METHODS
        ]

    async def _answer(self, request: WhiskRequest) -> Response:
        name, extension = split_extension(request.names["name"])
        action = self._action(request, name)
        own_cors = value_of(action.annotations, "web-custom-options") is True
        cors = () if own_cors else _cors(request)
        if request.method == "OPTIONS" and not own_cors:
            return Response(200, cors, ())
        if request.method != "OPTIONS" and not _is_allowed(action, request):
            return _with(web_error(401, _UNAUTHORIZED, request.transaction), cors)
        return _with(await self._call(action, extension, request), cors)

    def _action(self, request: WhiskRequest, name: str) -> WhiskAction:
        """Return the action that is meant, if it is one for everybody."""
        names = request.names
        package = "" if names["package"] == _DEFAULT else names["package"]
        if names["owner"] != GUEST:
            raise missing()
        try:
            action = self._entities.action(EntityRef(package, name))
        except WhiskRefusal:  # also what is there and is no action
            raise missing() from None
        if value_of(action.annotations, "web-export") is not True:
            raise missing()
        return action

    async def _call(self, action: WhiskAction, extension: str, request: WhiskRequest) -> Response:
        asked = WebCall(
            request.method,
            request.headers,
            _rest(request),
            request.raw_query,
            request.body,
            GUEST if request.trusted else "",
        )
        raw = value_of(action.annotations, "raw-http") is True
        transaction = request.transaction
        try:
            arguments: dict[str, Any] = web_arguments(asked, action.final, raw=raw)
        except WhiskRefusal as refusal:
            return web_error(refusal.status, refusal.message, transaction)
        origin = InvokeOrigin.of(request, "web", waits=True)._replace(
            status=lambda response: web_response(response, extension, transaction).status
        )
        return await self._waited(
            self._invoker.begin(action, arguments, origin), extension, transaction
        )

    async def _waited(self, running: Invoking, extension: str, transaction: str) -> Response:
        header = id_header(running.id)
        try:
            activation = await running.wait(self._invoker.settings.blocking_seconds)
        except WhiskRefusal as refusal:
            if refusal.status == 413:  # the platform has no answer of its own for that here
                return web_error(500, INTERNAL, transaction)
            return web_error(refusal.status, refusal.message, transaction)
        if activation is None:
            return _with(web_error(202, _NOT_READY, transaction), header)
        return _with(web_response(activation.response, extension, transaction), header)


def _rest(request: WhiskRequest) -> str:
    """Return the path behind the action's name, as it came."""
    return f"/{request.names['path']}" if "path" in request.names else ""


def _cors(request: WhiskRequest) -> _Headers:
    """Return the headers by which pages of other sites may call an action."""
    asked = request.header("access-control-request-headers")
    return (
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"),
        ("access-control-allow-headers", asked or _ALLOWED),
    )


def _is_allowed(action: WhiskAction, request: WhiskRequest) -> bool:
    """Say whether a request has what the action's ``require-whisk-auth`` asks for."""
    absent = object()
    wanted = value_of(action.annotations, "require-whisk-auth", absent)
    if wanted is absent or wanted is False:
        return True
    if wanted is True:
        return request.trusted
    if isinstance(wanted, str | int | float):
        given = (value for name, value in request.headers if name == "x-require-whisk-auth")
        return next(given, None) == str(wanted)  # without the header never, whatever is wanted
    return False


def _with(response: Response, headers: _Headers) -> Response:
    return response._replace(headers=(*response.headers, *headers))
