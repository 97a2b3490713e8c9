"""Fn's REST: what a method and a path ask for, and the reply as an Fn server gives it.

A path is decoded before it is matched, as gin does it: a slash in a name is one more part. Source:
fnproject/fn 0.3.753, api/server; what a recording of that server has is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.errors import GpfnError
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.local.fn.asking import FnRequest, changes_of, decoded, match, page_of, query_of
from gpfn.local.fn.deploying import Deployer
from gpfn.local.fn.documents import (
    APP_FIELDS,
    FN_FIELDS,
    TRIGGER_FIELDS,
    app_document,
    fn_document,
    read,
    trigger_document,
)
from gpfn.local.fn.errors import FnError
from gpfn.local.fn.invoke import FnInvoker
from gpfn.local.fn.replies import NO_CONTENT, failure_reply, json_reply, listed, moved, not_found
from gpfn.local.handler import answering
from gpfn.log import Log
from gpfn.serving.routing import Route

if TYPE_CHECKING:
    from gpfn.local.calling import FunctionCaller
    from gpfn.local.calls import Calls
    from gpfn.local.deployed import Resolve
    from gpfn.local.fn.entities import FnEntities
    from gpfn.local.fn.entity import Trigger

__all__ = ["TRIGGER_PATHS", "VERSION", "FnApi"]

TRIGGER_PATHS = "/t/"

VERSION = "0.3.753"
"""The Fn server whose replies these are."""

_ANY = ("GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE")
_PATHS = ("/", "/version", "/version/", "/v2/{raw*}", "/invoke/{raw*}", f"{TRIGGER_PATHS}{{raw*}}")

_MOST_KEPT, _LONGEST_KEPT = 1000, 100

_Reply = Response | Coroutine[Any, Any, None] | None
_Row = tuple[str, Sequence[str], Callable[[FnRequest], _Reply]]


class FnApi:
    """The protocol of Fn for a loop server's router (`gpfn.serving.routing.HttpProtocol`)."""

    prefixes = ("/v2", "/invoke", "/t")

    def __init__(
        self,
        entities: FnEntities,
        caller: FunctionCaller,
        calls: Calls,
        resolve: Resolve,
        log: Log | None = None,
        *,
        unknown: Callable[[str], str],
    ) -> None:
        """``unknown`` says what to do about an image that ``resolve`` does not know."""
        self._entities = entities
        deployer = Deployer(entities, resolve, unknown)
        for forget in (caller.forget, deployer.forget):  # whoever removes a function
            entities.on_removed(forget)
        self._invoker = FnInvoker(entities, caller, calls, deployer, log or Log("dev"))
        self.routes = [
            Route(method, path, answering(self._answer), body=True)
            for path in _PATHS
            for method in _ANY
        ]
        self._invoked: dict[str, str] = {}  # ids by targets
        self._table: dict[str, list[_Row]] = {}
        for row in self._rows():
            self._table.setdefault(row[1][0], []).append(row)

    def _rows(self) -> Sequence[_Row]:
        gone = (("calls",), ("calls", ":call"), ("calls", ":call", "log"))
        return (
            ("GET", ("",), self._ping),
            ("GET", ("version",), self._version),
            ("GET", ("v2", "apps"), self._list_apps),
            ("POST", ("v2", "apps"), self._create_app),
            ("GET", ("v2", "apps", ":id"), self._get_app),
            ("PUT", ("v2", "apps", ":id"), self._update_app),
            ("DELETE", ("v2", "apps", ":id"), self._delete_app),
            ("GET", ("v2", "fns"), self._list_fns),
            ("POST", ("v2", "fns"), self._create_fn),
            ("GET", ("v2", "fns", ":id"), self._get_fn),
            ("PUT", ("v2", "fns", ":id"), self._update_fn),
            ("DELETE", ("v2", "fns", ":id"), self._delete_fn),
            ("GET", ("v2", "triggers"), self._list_triggers),
            ("POST", ("v2", "triggers"), self._create_trigger),
            ("GET", ("v2", "triggers", ":id"), self._get_trigger),
            ("PUT", ("v2", "triggers", ":id"), self._update_trigger),
            ("DELETE", ("v2", "triggers", ":id"), self._delete_trigger),
            *(("GET", ("v2", "fns", ":id", *rest), self._gone) for rest in gone),
            ("POST", ("invoke", ":id"), self._invoke),
            *((method, ("t", ":app"), self._trigger) for method in _ANY),
            *((method, ("t", ":app", "*"), self._trigger) for method in _ANY),
        )

    # what the router asks

    def failure(self, error: BaseException, accept: str | None) -> Response:  # noqa: ARG002
        """Return the reply to a request that failed."""
        return failure_reply(error)

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return what is wrong with a path that has no route."""
        return not_found(method, decoded(path))

    def _answer(self, exchange: Exchange, body: bytes | memoryview, **_: str) -> _Reply:
        method, target = exchange.request.method, exchange.request.target
        known = self._invoked.get(target) if method == "POST" else None
        if known is not None:
            return self._invoker.invoke(exchange, known, body)
        raw, _mark, query = target.partition("?")
        path = decoded(raw)
        parts = path.split("/")[1:]
        allowed = False
        for wanted, pattern, answer in self._table.get(parts[0], ()):
            found = match(pattern, parts)
            if found is not None and wanted == method:
                return answer(FnRequest(exchange, found, query_of(query), body))
            allowed = allowed or found is not None
        if allowed:
            raise FnError("", f"Method not allowed: {method} {path}", 405)
        if len(parts) > 1 and not parts[-1] and self._has(method, parts[:-1]):
            return moved(method, raw.rstrip("/"), query)
        raise not_found(method, path)

    def _has(self, wanted: str, parts: Sequence[str]) -> bool:
        return any(
            method == wanted and match(pattern, parts) is not None
            for method, pattern, _ in self._table.get(parts[0], ())
        )

    # what is there

    def _ping(self, _: FnRequest) -> Response:
        return json_reply({"goto": "https://github.com/fnproject/fn", "hello": "world!"})

    def _version(self, _: FnRequest) -> Response:
        return json_reply({"version": VERSION})

    def _gone(self, _: FnRequest) -> Response:
        return Response(410, (), ())

    def _list_apps(self, asked: FnRequest) -> Response:
        page = page_of(asked.query)
        found = self._entities.apps(
            name=asked.query.get("name", ""), after=page.after, limit=page.limit
        )
        return listed(found, [app_document(app) for app in found], page.limit)

    def _create_app(self, asked: FnRequest) -> Response:
        return json_reply(app_document(self._entities.create_app(read(asked.body, APP_FIELDS))))

    def _get_app(self, asked: FnRequest) -> Response:
        return json_reply(app_document(self._entities.app(asked.parts[0])))

    def _update_app(self, asked: FnRequest) -> Response:
        changes = changes_of(asked, APP_FIELDS, "app id other")
        return json_reply(app_document(self._entities.update_app(asked.parts[0], changes)))

    def _delete_app(self, asked: FnRequest) -> Response:
        self._entities.delete_app(asked.parts[0])
        return NO_CONTENT

    def _list_fns(self, asked: FnRequest) -> Response:
        query, page = asked.query, page_of(asked.query)
        found = self._entities.fns(
            query.get("app_id", ""), name=query.get("name", ""), after=page.after, limit=page.limit
        )
        documents = [fn_document(fn, asked.host) for fn in found]
        return listed(found, documents, page.limit)

    def _create_fn(self, asked: FnRequest) -> Response:
        fn = self._entities.create_fn(read(asked.body, FN_FIELDS))
        return json_reply(fn_document(fn, asked.host, given=True))

    def _get_fn(self, asked: FnRequest) -> Response:
        return json_reply(fn_document(self._entities.fn(asked.parts[0]), asked.host))

    def _update_fn(self, asked: FnRequest) -> Response:
        changes = changes_of(asked, FN_FIELDS, "fn id other")
        fn = self._entities.update_fn(asked.parts[0], changes)
        return json_reply(fn_document(fn, "", given="config" in changes))

    def _delete_fn(self, asked: FnRequest) -> Response:
        self._entities.delete_fn(asked.parts[0])
        return NO_CONTENT

    def _list_triggers(self, asked: FnRequest) -> Response:
        query, page = asked.query, page_of(asked.query)
        app_id, name = query.get("app_id", ""), query.get("name", "")
        found = self._entities.triggers(
            app_id, fn_id=query.get("fn_id", ""), name=name, after=page.after, limit=page.limit
        )
        app = self._entities.app(app_id) if found else None
        documents = [trigger_document(trigger, app, asked.host) for trigger in found]
        return listed(found, documents, page.limit)

    def _create_trigger(self, asked: FnRequest) -> Response:
        return self._annotated(
            self._entities.create_trigger(read(asked.body, TRIGGER_FIELDS)), asked
        )

    def _get_trigger(self, asked: FnRequest) -> Response:
        return self._annotated(self._entities.trigger(asked.parts[0]), asked)

    def _update_trigger(self, asked: FnRequest) -> Response:
        changes = changes_of(asked, TRIGGER_FIELDS, "trigger id other")
        return json_reply(
            trigger_document(self._entities.update_trigger(asked.parts[0], changes), None, "")
        )

    def _delete_trigger(self, asked: FnRequest) -> Response:
        self._entities.delete_trigger(asked.parts[0])
        return NO_CONTENT

    def _annotated(self, trigger: Trigger, asked: FnRequest) -> Response:
        app = self._entities.app(trigger.app_id)
        return json_reply(trigger_document(trigger, app, asked.host))

    # calls

    def _invoke(self, asked: FnRequest) -> _Reply:
        target, identifier = asked.exchange.request.target, asked.parts[0]
        later = self._invoker.invoke(asked.exchange, identifier, asked.body)
        if len(target) <= _LONGEST_KEPT and len(self._invoked) < _MOST_KEPT:
            self._invoked[target] = identifier  # of a function that is there
        return later

    def _trigger(self, asked: FnRequest) -> _Reply:
        app, source = asked.parts[0], f"/{'/'.join(asked.parts[1:])}"
        return self._invoker.trigger(asked.exchange, app, source, asked.body)
