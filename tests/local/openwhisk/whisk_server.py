"""OpenWhisk's REST on a socket of its own: the routes of entities, and those that a test adds."""

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gpfn.http.body import Budget
from gpfn.http.loop import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.handler import LocalHandler
from gpfn.local.openwhisk.api import GUEST_KEY, WhiskApi, entity_routes
from gpfn.local.openwhisk.asking import MOST_BODY_BYTES, WhiskRoute
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.web import WEB_PATHS
from gpfn.local.state import State
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.browser import own_hosts

__all__ = ["AUTH", "MoreRoutes", "Reply", "WhiskServer", "basic", "whisk_server"]

Found = TypeVar("Found")
MoreRoutes = Callable[[State, WhiskEntities], Sequence[WhiskRoute]]


def basic(key: str) -> str:
    """Return the header that a key is sent in."""
    return f"Basic {base64.b64encode(key.encode()).decode()}"


AUTH = basic(GUEST_KEY)


class Reply(NamedTuple):
    """What came back; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What is wrong, of a reply that is the platform's document of an error."""
        document = self.json
        assert {*document} == {"error", "code"}
        assert document["code"]
        return str(document["error"])


class WhiskServer:
    """A server on a thread; ``ask`` sends it one request on a connection of its own."""

    def __init__(self, place: Path | None, more: MoreRoutes) -> None:
        self.log: list[str] = []
        self._place, self._more = place, more
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._began = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._began.wait(10)

    async def _serve(self) -> None:
        log = Log("test", sink=lambda line, _: self.log.append(line.decode()))
        state = State(self._place)
        self.entities = WhiskEntities(state)
        routes = [*entity_routes(self.entities), *self._more(state, self.entities)]
        hosts = own_hosts("127.0.0.1", self.port)
        handler = LocalHandler([WhiskApi(routes, log)], hosts, log, for_pages=(WEB_PATHS,))
        self._server = LoopServer(
            self._listening,
            handler,
            log,
            limits=Limits(body_bytes=MOST_BODY_BYTES),
            settings=LoopSettings(drain_seconds=1.0),
            budget=Budget(256 << 20),
            metrics=Metrics(),
        )
        await self._server.serve(self._began.set)
        await handler.close()
        state.close()

    def look(self, work: Callable[[WhiskEntities], Found]) -> Found:
        """Return what is found in the entities, on the server's thread."""

        async def run() -> Found:
            return work(self.entities)

        return asyncio.run_coroutine_threadsafe(run(), self._server.loop).result(10)

    def stop(self) -> None:
        """End the server and its thread."""
        self._server.loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        auth: str | None = AUTH,
        media: str | None = "application/json",
    ) -> Reply:
        """Send one request; a body that is no bytes goes as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = [*headers]
        if auth is not None:
            sent.append(("Authorization", auth))
        if data is not None and media is not None:
            sent.append(("Content-Type", media))
        if data is not None:
            sent.append(("Content-Length", str(len(data))))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in sent:
                connection.putheader(name, value)
            connection.endheaders(data)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, fields, response.read())
        finally:
            connection.close()

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """Send a request for something of the caller's namespace."""
        return self.ask(method, f"/api/v1/namespaces/_/{path}", body, **more)


@contextmanager
def whisk_server(
    place: Path | None = None, more: MoreRoutes = lambda *_: ()
) -> Iterator[WhiskServer]:
    """Serve entities of a state, in memory without a place; ``more`` returns further routes."""
    server = WhiskServer(place, more)
    try:
        yield server
    finally:
        server.stop()
