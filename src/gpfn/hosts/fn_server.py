"""A client of an Fn server's REST: the requests that Fn's command line makes, in its order.

Lists are asked for with a name, and hold what has that name or nothing. What is sent has the
zero times and the order of keys that Fn's own client sends. The token goes to ``/v2`` alone,
never along with an invocation (fnproject/cli, provider and ``client/invoke.go``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from gpfn.errors import BrokenReply, SetupError
from gpfn.hosts.rest import RestAdvice, RestServer, keep_secret
from gpfn.secrets import read_setting

__all__ = ["FN_URL", "FnClient", "FnEntity", "endpoint_of", "fn_client", "fn_document"]

FN_URL = "http://127.0.0.1:8080"
"""Where an Fn server is unless FN_API_URL or an option says otherwise."""

FnEntity = Mapping[str, object]
"""An app, a function or a trigger as the server describes it."""

_NEVER = "0001-01-01T00:00:00.000Z"
_ADVICE = RestAdvice(
    "an Fn server",
    "start one with gpfn dev or fn start, or name it with --at or FN_API_URL",
    "FN_TOKEN has to hold a token that it takes",
)


def fn_client(url: str = "", environ: Mapping[str, str] = os.environ) -> FnClient:
    """Return the client of ``url``, or of FN_API_URL's server, with FN_TOKEN's token."""
    token = read_setting("FN_TOKEN", "", environ).strip()
    return FnClient(url or environ.get("FN_API_URL", "") or FN_URL, token=token)


def fn_document(**values: object) -> dict[str, object]:
    """Return what is sent to create or update something, as Fn's own client orders it.

    What is None or empty is left out: the server then keeps what it has.
    """
    given = {key: value for key, value in values.items() if value not in (None, "", 0, {}, ())}
    return dict(sorted({**given, "created_at": _NEVER, "updated_at": _NEVER}.items()))


class FnClient:
    """An Fn server's apps, functions and triggers.

    Methods raise SetupError for what the server refuses, BackendError when it fails; each
    message names the server and says what to do. Of one that is ``empty`` nothing is asked: it
    has nothing, for a dry run where no server answers.
    """

    def __init__(self, url: str, *, token: str = "", empty: bool = False) -> None:
        self._empty = empty
        self._server = RestServer(url, _ADVICE, token=keep_secret(token, "FN_TOKEN"))

    @property
    def shown(self) -> str:
        """The server's URL for people."""
        return self._server.shown

    def find_app(self, name: str) -> FnEntity | None:
        """Return the app of a name."""
        return self._first("/v2/apps", f"look for the app {name}", name=name)

    def find_fn(self, app_id: str, name: str) -> FnEntity | None:
        """Return the function of a name."""
        doing = f"look for the function {name}"
        return self._first("/v2/fns", doing, app_id=app_id, name=name)

    def find_trigger(self, app_id: str, fn_id: str, name: str = "") -> FnEntity | None:
        """Return the trigger of a name, or a function's first one."""
        doing = f"look for the trigger {name}" if name else "list triggers"
        query = {"app_id": app_id, "fn_id": fn_id, **({"name": name} if name else {})}
        return self._first("/v2/triggers", doing, **query)

    def write(self, method: str, path: str, document: FnEntity, doing: str) -> FnEntity:
        """Create or update something, and return how the server describes it then."""
        found = self._server.expect(self._server.ask(method, path, document), doing)
        if not isinstance(found, dict) or not isinstance(found.get("id"), str):
            raise BrokenReply(f"{self.shown} answers without an id; is it an Fn server?")
        return found

    def invoke_endpoint(self, app_name: str, name: str) -> str:
        """Return the URL that a function is invoked at. Raises SetupError when there is none."""
        _, found = self.must_find(app_name, name)
        usual = f"{self.shown}/invoke/{quote(str(found['id']), safe='')}"
        return endpoint_of(found, "fnproject.io/fn/invokeEndpoint") or usual

    def trigger_endpoint(self, app_name: str, name: str) -> str:
        """Return the URL of a function's first trigger. Raises SetupError when there is none."""
        app, found = self.must_find(app_name, name)
        trigger = self.find_trigger(str(app["id"]), str(found["id"]))
        url = endpoint_of(trigger or {}, "fnproject.io/trigger/httpEndpoint")
        if not url:
            told = f"{app_name}/{name} has no HTTP trigger on {self.shown}"
            raise SetupError(f"{told}; add one to func.yaml and deploy again")
        return url

    def must_find(self, app_name: str, name: str) -> tuple[FnEntity, FnEntity]:
        """Return an app and its function. Raises SetupError for what is not there."""
        app = self.find_app(app_name)
        if app is None:
            raise SetupError(f"{self.shown} has no app {app_name}; fn list apps tells which")
        found = self.find_fn(str(app["id"]), name)
        if found is None:
            told = f"the app {app_name} on {self.shown} has no function {name}"
            raise SetupError(f"{told}; gpfn deploy fn FOLDER --app {app_name} puts one there")
        return app, found

    def _first(self, path: str, doing: str, **query: str) -> FnEntity | None:
        """Return the first of a list, when it has the name that was asked for."""
        if self._empty:
            return None
        asked = f"{path}?{urlencode(sorted(query.items()))}"
        found = self._server.expect(self._server.ask("GET", asked), doing)
        items = found.get("items") if isinstance(found, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BrokenReply(f"{self.shown} answers without items; is it an Fn server?")
        named = [item for item in items if item.get("name") == query.get("name", item.get("name"))]
        if named and not isinstance(named[0].get("id"), str):
            raise BrokenReply(f"{self.shown} answers without an id; is it an Fn server?")
        return named[0] if named else None

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


def endpoint_of(entity: FnEntity, annotation: str) -> str:
    """Return the URL that a server has annotated something with; empty for none."""
    annotations = entity.get("annotations")
    found = annotations.get(annotation) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else ""
