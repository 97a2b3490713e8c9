"""What a server says of itself: health, metrics, and the page at /."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.metrics import MEDIA_TYPE
from gpfn.serving.answers import failure, health, json_page, page, text
from gpfn.serving.protocols.graphpipe_tensors import describe, metadata_json
from gpfn.serving.routing import Route, not_found

if TYPE_CHECKING:
    from gpfn.serving.service import Service

__all__ = ["Control"]


class Control:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = ("/control", "/metrics")

    def __init__(self, service: Service) -> None:
        self._service = service
        self.routes = (
            Route("GET", "/", self.front, ""),
            Route("GET", "/metrics", self.metrics, ""),
            Route("GET", "/control/is_ready", self.is_ready, "", vital=True),
            Route("GET", "/control/is_alive", self.is_alive, "", vital=True),
            Route("GET", "/control/client_count", self.client_count, ""),
            Route("GET", "/control/shutdown", self.shutdown, "admin"),
        )

    def failure(self, error: BaseException, accept: str | None) -> Response:
        """Return text."""
        return failure(error, accept)

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return 404 or 405."""
        return not_found(path, allowed)

    def front(self, exchange: Exchange, _: object) -> Response:
        """Return a page to a browser, to the rest what the first model is as JSON."""
        accept = exchange.fields.by_name.get("accept", "")
        if "text/html" in accept:
            return self._front_page(exchange)
        library = self._service.library
        document: dict[str, object] = {"status": "alive", "models": library.names()}
        first = library.first
        if first and (library.asleep is None or first in library.open):
            served = library.find(first)
            document |= metadata_json(describe(served.model, "gpfn", self._service.version))
        return json_page(document)

    def _front_page(self, exchange: Exchange) -> Response:
        """Return the page; it names all models, so it asks for what asking them does."""
        from urllib.parse import parse_qs

        from gpfn.serving.page import front_page

        self._service.gate.check("predict", exchange.request.headers)
        query = parse_qs(exchange.request.target.partition("?")[2])
        host = exchange.fields.by_name.get("host", "")
        return front_page(self._service, host, query.get("model", [""])[0])

    def metrics(self, *_: object) -> Response:
        """Return Prometheus' text."""
        return page(MEDIA_TYPE, self._service.metrics.text())

    def is_ready(self, *_: object) -> Response:
        """Say whether requests will be answered."""
        return health(self._service.ready)

    def is_alive(self, *_: object) -> Response:
        """Say whether the loop turns and nobody has ended it."""
        return health(self._service.alive())

    def client_count(self, *_: object) -> Response:
        """Return how many connections are open."""
        return text(200, str(self._service.client_count()))

    def shutdown(self, *_: object) -> Response:
        """End the server, where that was allowed."""
        if self._service.shutdown is None:
            raise InvalidRequest("no such control: /control/shutdown", status=404)
        self._service.shutdown()
        return text(200, "ok")
