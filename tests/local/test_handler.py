"""The handler of a server of ``gpfn dev``: late answers, bugs, and what is let in."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import pytest

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.body import Budget
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.http.loop.process import Endpoint, listen
from gpfn.http.loop.server import LoopServer, LoopSettings
from gpfn.limits import Limits
from gpfn.local.handler import LocalAnswer, LocalHandler, answering
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.browser import own_hosts
from gpfn.serving.routing import Route, not_found

Body = bytes | memoryview


def text(status: int, words: str) -> Response:
    return Response(status, (("content-type", "text/plain"),), (words.encode(),))


class Words:
    """A protocol with every way of answering."""

    prefixes = ("/",)

    def __init__(self) -> None:
        self.cancelled = False
        answers: dict[str, Callable[..., LocalAnswer]] = {
            "/now": lambda *_: text(200, "now"),
            "/later": self.later,
            "/itself": self.itself,
            "/bug": self.bug,
            "/late-bug": self.late_bug,
            "/refused": self.refused,
            "/header": lambda *_: Response(200, (("a b", "c"),), ()),
            "/never": self.never,
        }
        self.routes = [
            *(Route("GET", path, answering(answer)) for path, answer in answers.items()),
            Route("POST", "/raw/{raw*}", answering(lambda _, __, raw: text(200, raw))),
        ]

    async def later(self, *_: object) -> Response:
        await asyncio.sleep(0.01)
        return text(200, "later")

    async def itself(self, exchange: Exchange, _: Body) -> None:
        await asyncio.sleep(0)
        exchange.answer(text(200, "itself"))

    def bug(self, *_: object) -> Response:
        raise KeyError("secret")

    async def late_bug(self, *_: object) -> Response:
        await asyncio.sleep(0)
        raise KeyError("secret")

    async def refused(self, *_: object) -> Response:
        raise InvalidRequest("not so", status=409)

    async def never(self, *_: object) -> Response:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return text(200, "never")

    def failure(self, error: BaseException, accept: str | None) -> Response:
        return text(error.status if isinstance(error, GpfnError) else 500, str(error))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        return not_found(path, allowed)


def asked(*requests: str) -> tuple[list[tuple[int, str]], Words, list[str]]:
    """Ask a server one request after the other; returns statuses and bodies, and the log."""
    words, lines = Words(), list[str]()
    log = Log("dev", sink=lambda data, _: lines.append(data.decode()))
    sock = listen(Endpoint(port=0))
    port = sock.getsockname()[1]
    handler = LocalHandler([words], own_hosts("127.0.0.1", port), log, calls=("/now",))

    async def serve() -> list[tuple[int, str]]:
        server = LoopServer(
            sock,
            handler,
            log,
            limits=Limits(body_bytes=1000),
            settings=LoopSettings(drain_seconds=0.1),
            budget=Budget(1 << 20),
            metrics=Metrics(),
        )
        began = asyncio.Event()
        task = asyncio.create_task(server.serve(began.set))
        await began.wait()
        found = [await asyncio.to_thread(ask, port, request) for request in requests]
        server.stop()
        await task
        await handler.close()
        return found

    try:
        return asyncio.run(serve()), words, lines
    finally:
        sock.close()


def ask(port: int, request: str) -> tuple[int, str]:
    line, *headers = request.split("\n")
    if not any(header.startswith("Host") for header in headers):
        headers.append(f"Host: 127.0.0.1:{port}")
    head = "\r\n".join([f"{line} HTTP/1.1", *headers, "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.settimeout(2)
        client.sendall(head.encode())
        data = b""
        try:
            while piece := client.recv(65536):
                data += piece
        except TimeoutError:
            return 0, ""
    found, _, body = data.partition(b"\r\n\r\n")
    return int(found.split()[1]), body.decode()


def test_an_answer_comes_now_or_later_or_by_itself() -> None:
    found, _, lines = asked("GET /now", "GET /later", "GET /itself", "GET /refused", "GET /no")
    assert found == [
        (200, "now"),
        (200, "later"),
        (200, "itself"),
        (409, "not so"),
        (404, "no such path: /no"),
    ]
    assert lines == []


def test_a_bug_is_in_the_log_and_not_in_the_reply() -> None:
    found, _, lines = asked("GET /bug", "GET /late-bug", "GET /header", "GET /now")
    assert found == [(500, "internal error"), (500, "internal error"), (500, ""), (200, "now")]
    assert sum("secret" in line for line in lines) == 2
    assert any("not a header name" in line for line in lines)


@pytest.mark.parametrize(
    "request_",
    [
        "GET /now\nHost: evil.example",
        "GET /now\nHost: 127.0.0.1:1",
        "POST /raw/x\nHost: evil.example",
        "POST /raw/x\nOrigin: http://evil.example",
        "POST /raw/x\nSec-Fetch-Site: cross-site",
        "POST /raw/x\nOrigin: http://evil.example\nContent-Length: 500",
        "GET /now\nSec-Fetch-Site: cross-site",
        "HEAD /now?a\nSec-Fetch-Site: cross-site",
        "GET /now\nSec-Fetch-Site: same-site\nOrigin: http://localhost:1",
    ],
)
def test_a_page_of_another_site_is_kept_out(request_: str) -> None:
    assert asked(request_)[0][0][0] == 403


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
def test_who_opens_a_function_in_a_browser_is_let_in(site: str) -> None:
    assert asked(f"GET /now\nSec-Fetch-Site: {site}")[0] == [(200, "now")]


def test_what_is_raw_comes_as_it_was_sent() -> None:
    found = asked("POST /raw/a%2Fb//%zz/", "POST /raw/", "POST /raw")[0]
    assert found == [(200, "a%2Fb//%zz/"), (200, ""), (404, "no such path: /raw")]


def test_what_is_still_answered_at_the_end_is_given_up() -> None:
    found, words, _ = asked("GET /never")
    assert found == [(0, "")]
    assert words.cancelled
