"""The pages over HTTP: what people ask for, what they send, and who may.

A form is answered by sending the browser to a page (303), so that going back and loading again do
nothing twice. One form is not: a prediction changes nothing, and its input and its answer may be
megabytes, which no process keeps. Its answer is the page.

Where the server has tokens, a browser asks for one with its own dialog: HTTP's basic scheme, any
name, the token as the password. The browser keeps it in memory, and no page, script or cookie
ever holds it. As it is sent without being asked for, whatever writes is held against Origin,
Sec-Fetch-PageSite and Host, as without tokens.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, InvalidRequest, error_document
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import PROBLEM
from gpfn.serving.answers import json_page
from gpfn.serving.library import Asleep
from gpfn.serving.pages import netron
from gpfn.serving.pages.assets import asset
from gpfn.serving.pages.changes import PageChanges
from gpfn.serving.pages.forms import number_of, read_query
from gpfn.serving.pages.listing import list_page, trash_page
from gpfn.serving.pages.making import PageMaker
from gpfn.serving.pages.markup import document, problem
from gpfn.serving.pages.model_page import delete_page
from gpfn.serving.pages.told import flash_of
from gpfn.serving.pages.trials import Trials
from gpfn.serving.pages.trying import filled
from gpfn.serving.pages.views import Trial
from gpfn.serving.routing import Route, Routed, not_found

if TYPE_CHECKING:
    from gpfn.serving.pages.views import Shown
    from gpfn.serving.service import Service

__all__ = ["RepositoryPages"]


class RepositoryPages:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`.

    ``programs`` answer ``/`` and ``/models`` for who does not ask for HTML, each as its own
    protocol has it. ``secret`` is shared by the processes of a server, ``root`` what it has
    before all its paths.
    """

    prefixes = ("/models", "/trash", "/assets", "/netron")

    def __init__(
        self,
        service: Service,
        shown: Shown,
        *,
        programs: Mapping[str, Routed] | None = None,
        secret: bytes | None = None,
        root: str = "",
    ) -> None:
        self._shown = shown
        programs = programs or {}
        self._maker = PageMaker(service, shown, self, secret, root)
        other = programs.get("/models")
        listed = None if other is None else partial(self._for_program, other)
        self.routes = (
            Route("GET", "/", partial(self.front, programs.get("/")), ""),
            Route("GET", "/models", partial(self.front, other), ""),
            Route("GET", "/models/{model}", self.model, ""),
            Route("GET", "/models/{model}/delete", self.ask, ""),
            Route("GET", "/trash", self.trash, ""),
            Route("GET", "/assets/{name}", self.asset, ""),
            Route("GET", "/netron/{name}", self.netron, ""),
            Route("GET", "/netron/{key}/{model}/{version}/{file}", self.netron_model, ""),
            *Trials(self._maker).routes,
            *PageChanges(self._maker, listed).routes,
        )

    def failure(self, error: BaseException, accept: str | None) -> Response:
        """Return a page to a browser, to the rest an error document."""
        told = error_document(error)["error"]
        status = error.status if isinstance(error, GpfnError) else 500
        if "text/html" in (accept or ""):
            title = f"{status} {told['title']}"
            body = (
                f'<main class="sheet stack" id="swap"><h1 id="main">{told["title"]}</h1>'
                f'{problem(told)}<p><a href="/models">All models</a></p></main>'
            )
            response = self._maker.html(
                document(self._maker.site(None), title, body, view="error"), status
            )
        else:
            response = json_page(told, status)
            response = response._replace(headers=(("content-type", PROBLEM),))
        return response._replace(headers=(*response.headers, *self._maker.challenge(error)))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return 404 or 405."""
        return not_found(path, allowed)

    # what is read

    def front(self, other: Routed | None, exchange: Exchange, body: object) -> Response | None:
        """Return the list; a program is answered by the ``other`` route, if there is one."""
        if other is not None and not self._maker.wants_html(exchange):
            return self._for_program(other, exchange, body)
        self._maker.check("predict", exchange.request.headers)
        query, site = read_query(exchange.request.target), self._maker.site(exchange)

        def work() -> str:
            return list_page(
                site, self._maker.listing(query), flash_of(query, self._shown.trash_days)
            )

        self._maker.later(exchange, work, self._maker.html)
        return None

    def _for_program(self, other: Routed, exchange: Exchange, body: object) -> Response | None:
        try:
            if other.route.scope:
                self._maker.service.gate.check(other.route.scope, exchange.request.headers)
            return other.route.answer(exchange, body)
        except Asleep:
            raise
        except GpfnError as error:
            return other.protocol.failure(error, exchange.fields.by_name.get("accept"))

    def model(self, exchange: Exchange, _: object, model: str) -> None:
        """Return the page of a model."""
        self._maker.check("predict", exchange.request.headers)
        query = read_query(exchange.request.target)

        def work() -> str:
            shown = self._shown.model(model, query.get("version", ""))
            typed = filled(shown, query["fill"]) if query.get("fill") else {}
            trial = Trial(query.get("view", ""), typed)
            return self._maker.page(exchange, shown, trial, query)

        self._maker.later(exchange, work, self._maker.html)

    def trash(self, exchange: Exchange, _: object) -> None:
        """Return what was deleted."""
        self._maker.check("predict", exchange.request.headers)
        query, site = read_query(exchange.request.target), self._maker.site(exchange)
        days = self._shown.trash_days

        def work() -> str:
            return trash_page(site, self._shown.trash(), days, flash_of(query, days))

        self._maker.later(exchange, work, self._maker.html)

    def ask(self, exchange: Exchange, _: object, model: str) -> None:
        """Ask whether a version, or the whole model, is to be deleted."""
        self._maker.check("predict", exchange.request.headers)
        version = number_of(read_query(exchange.request.target).get("version", ""))
        site = self._maker.site(exchange)
        self._maker.later(
            exchange, lambda: delete_page(site, self._shown.model(model), version), self._maker.html
        )

    def asset(self, exchange: Exchange, _: object, name: str) -> Response:  # noqa: ARG002
        """Return the style or the script."""
        return asset(name)

    def netron(self, exchange: Exchange, _: object, name: str) -> Response:
        """Return a file of Netron's, or its page for one model."""
        if name != "graph":
            return netron.part(name)
        query = read_query(exchange.request.target)
        model, version = query.get("model", ""), number_of(query.get("version", "")) or 0
        file, key = query.get("file", ""), query.get("key", "")
        if not self._is_key(key, model, version, file):
            raise InvalidRequest("this way to a graph has ended; load its page again", status=404)
        return netron.frame_page(self._maker.site(exchange).base, model, version, file, key)

    def netron_model(
        self, exchange: Exchange, _: object, key: str, model: str, version: str, file: str
    ) -> None:
        """Return a model's file to a frame that was told its address."""
        number = number_of(version) or 0

        if not self._is_key(key, model, number, file):
            raise InvalidRequest("there is no such file", field="path", status=404)

        def work() -> Response:
            for path in self._shown.model(model, str(number)).chosen.files:
                if path.rpartition("/")[2] == file:
                    with self._shown.file(model, number, path) as place:
                        return netron.model_file(place)
            raise InvalidRequest("there is no such file", field="path", status=404)

        self._maker.later(exchange, work, lambda response: response)

    def _is_key(self, key: str, model: str, version: int, file: str) -> bool:
        known = netron.key_of(self._maker.secret, model, version, file)
        return hmac.compare_digest(known.encode(), key.encode())
