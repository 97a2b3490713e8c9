"""The console over HTTP: its page, what is sent from it, what happens as it happens, its files.

Everything of a page stands in its address, so that a form ends at a page (303) that may be loaded
again. That a request names this server, and no page of another site sends it, is the handler's
to see (`gpfn.local.handler`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import GpfnError, InvalidRequest, error_document
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.local.console.asking import PageAsked
from gpfn.local.console.desk import desk, frame_of
from gpfn.local.console.documents import console_document
from gpfn.local.console.functions_panel import SendForm
from gpfn.local.console.live import HEARTBEAT_SECONDS, LiveCalls
from gpfn.local.console.looking import look
from gpfn.local.console.sending import again, filled_form, sent_events
from gpfn.local.handler import answering
from gpfn.media import PROBLEM
from gpfn.serving.answers import headers_of, json_page
from gpfn.serving.pages.assets import PageAssets, address_of, asset, html, redirect
from gpfn.serving.pages.forms import read_form, read_query
from gpfn.serving.pages.markup import PageSite, document, problem
from gpfn.serving.routing import Route, not_found

if TYPE_CHECKING:
    from gpfn.local.calls import Calls
    from gpfn.local.console.bridge import BridgeFacts, BridgeLook
    from gpfn.local.console.looking import Looked
    from gpfn.local.console.shell import ServerAddresses
    from gpfn.local.console.views import ConsoleFunctions, SentEvent, ShownFunction
    from gpfn.local.supervisor.emulated import EmulatedRow

__all__ = ["ROOT", "ConsolePages", "ConsoleSources"]

ROOT = "/ui"
_DOWNLOAD = (
    ("content-type", "application/octet-stream"),
    ("content-disposition", "attachment"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)
"""Somebody's bytes, which must never be a page of this server."""
_ASSETS = PageAssets(Path(__file__).with_name("assets"), "console.css", "console.js")


class ConsoleSources(NamedTuple):
    """What a console shows: calls, functions, what is emulated, and a bridge if one is named."""

    calls: Calls
    functions: ConsoleFunctions
    emulated: Callable[[], Sequence[EmulatedRow]]
    servers: ServerAddresses
    version: str
    bridge: BridgeLook | None = None


class ConsolePages:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = (ROOT,)

    def __init__(
        self, sources: ConsoleSources, *, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self._sources = sources
        self.live = LiveCalls(sources.calls, heartbeat_seconds=heartbeat_seconds)
        self.routes = (
            Route("GET", ROOT, self.page, ""),
            Route("GET", f"{ROOT}/", self.page, ""),
            Route("GET", f"{ROOT}/console.json", self.json, ""),
            Route("GET", f"{ROOT}/events", self.events, ""),
            Route("GET", f"{ROOT}/calls/{{number}}/event", self.event, ""),
            Route("GET", f"{ROOT}/assets/{{name}}", self.asset, ""),
            Route("POST", f"{ROOT}/send", answering(self.send), "", body=True),
            Route("POST", f"{ROOT}/again", answering(self.send_again), "", body=True),
        )

    def failure(self, error: BaseException, accept: str | None) -> Response:
        """Return a page to a browser, to the rest an error document."""
        told = error_document(error)["error"]
        status = error.status if isinstance(error, GpfnError) else 500
        if "text/html" in (accept or ""):
            body = (
                f'<main class="sheet stack" id="swap"><h1 id="main">{told["title"]}</h1>'
                f'{problem(told)}<p><a href="/">Back to the console</a></p></main>'
            )
            title = f"{status} {told['title']}"
            frame = frame_of(_ASSETS, 0)
            response = html(
                document(self._site(), title, body, view="error", tab="/", frame=frame),
                status,
                root=ROOT,
            )
        else:
            response = json_page(told, status)._replace(headers=(("content-type", PROBLEM),))
        return response._replace(headers=(*response.headers, *headers_of(error)))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return 404 or 405."""
        return not_found(path, allowed)

    # what is read

    def page(self, exchange: Exchange, _: object) -> Response:
        """Return the console."""
        return self._shown(self._looked(exchange))

    def json(self, exchange: Exchange, _: object) -> Response:
        """Return the same as JSON."""
        told = console_document(self._looked(exchange), self._sources.emulated(), self._bridge())
        response = json_page(told)
        return response._replace(headers=(*response.headers, ("cache-control", "no-store")))

    def events(self, exchange: Exchange, _: object) -> None:
        """Tell a page of calls as they end; answered by a stream."""
        query = read_query(exchange.request.target)
        seen = exchange.fields.by_name.get("last-event-id") or query.get("after", "")
        plain = seen.isascii() and seen.isdecimal() and len(seen) < 19
        self.live.follow(exchange, int(seen) if plain else 1 << 62)

    def event(self, exchange: Exchange, _: object, number: str) -> Response:  # noqa: ARG002
        """Return what a call was sent, for the commands that send it again."""
        asked = PageAsked.of_query({"call": number})
        record = self._sources.calls.get(asked.call)
        if record is None or record.request.length > len(record.request.data):
            raise InvalidRequest("this event is not kept, or not whole", field="call", status=404)
        return Response(200, _DOWNLOAD, (record.request.data,))

    def asset(self, exchange: Exchange, _: object, name: str) -> Response:  # noqa: ARG002
        """Return a style or a script, of the console or of all pages."""
        return _ASSETS.answer(name) or asset(name)

    # what is sent

    async def send(self, exchange: Exchange, body: bytes | memoryview) -> Response:
        """Send what stands in the form."""
        sent = read_form(body, exchange.fields.by_name.get("content-type", ""))
        function = self._function(sent.texts.get("function", ""))
        sample = sent.texts.get("sample", "")
        try:
            events = sent_events(function, sent)
        except GpfnError as error:
            asked = PageAsked(function.key, sample=sample)
            form = SendForm(sent.texts.get("event", ""), sample, sent.texts.get("way", ""))
            told = error_document(error)["error"]
            return self._shown(look(self._sources.calls, self._all(), asked), form, told)
        return await self._sent(function, events, sample)

    async def send_again(self, exchange: Exchange, body: bytes | memoryview) -> Response:
        """Send the event of a call once more."""
        sent = read_form(body, exchange.fields.by_name.get("content-type", ""))
        asked = PageAsked.of_query(sent.texts)
        record = self._sources.calls.get(asked.call)
        if record is None:
            raise InvalidRequest("this call is not kept any more", field="call", status=404)
        function = self._function(record.key)
        return await self._sent(function, [again(function, record)], "")

    async def _sent(
        self, function: ShownFunction, events: Sequence[SentEvent], sample: str
    ) -> Response:
        for event in events:
            record = await self._sources.functions.send(event)
        asked = PageAsked(function.key, record.number, sample=sample, way=events[0].way)
        return redirect(f"{asked.address()}#call", root=ROOT)

    # how

    def _all(self) -> Sequence[ShownFunction]:
        return self._sources.functions.functions()

    def _function(self, key: str) -> ShownFunction:
        for one in self._all():
            if key in (one.key, *one.keys):
                return one
        raise InvalidRequest("this function is not there any more", field="function", status=404)

    def _looked(self, exchange: Exchange) -> Looked:
        asked = PageAsked.of_query(read_query(exchange.request.target))
        return look(self._sources.calls, self._all(), asked)

    def _shown(
        self,
        looked: Looked,
        form: SendForm | None = None,
        wrong: dict[str, object] | None = None,
    ) -> Response:
        sources = self._sources
        form = form or filled_form(looked, sources.functions)
        body = desk(looked, form, sources.emulated(), self._bridge(), sources.servers, wrong=wrong)
        frame = frame_of(_ASSETS, looked.last)
        path = looked.asked.address("/console.json")
        page = document(
            self._site(),
            "Console · gpfn dev",
            body,
            view="console",
            path=path,
            tab="/",
            frame=frame,
        )
        return html(page, int(str(wrong["status"])) if wrong else 200, root=ROOT)

    def _bridge(self) -> BridgeFacts | None:
        return self._sources.bridge.look() if self._sources.bridge else None

    def _site(self) -> PageSite:
        sources = self._sources
        style, script = address_of("style.css"), address_of("page.js")
        return PageSite(sources.servers.fn, sources.version, style, script, root=ROOT)
