"""The requests that ``wsk`` made, sent again one after the other.

Their recorded replies are a stub's: documents that ``wsk`` accepted. So a reply has to have the
recorded status, media type and keys, and the values are the test's business. Where the platform
has no such key, `PLATFORM` says so.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.local.openwhisk.whisk_server import Reply, WhiskServer

__all__ = [
    "PLATFORM",
    "Exchange",
    "Told",
    "is_of_entities",
    "read_exchanges",
    "replay",
    "replay_one",
    "wrong",
]

_ENTITIES = re.compile(
    r"(GET|PUT|DELETE) /api/v1/namespaces/_/(actions|packages|triggers|rules)\b"
    r"|POST /api/v1/namespaces/_/rules/|GET /api/v1(/namespaces)?$|GET /api/v1/web/whisk\.system/"
)

PLATFORM: Mapping[str, frozenset[str]] = {
    r"GET /api/v1$": frozenset({"runtimes", "limits"}),
    r"GET .*/actions\?": frozenset({"parameters"}),
    r"PUT .*/packages/": frozenset({"limits"}),
    r"(PUT|DELETE) .*/rules/": frozenset({"limits", "parameters"}),
}
"""Keys that the stub wrote and the platform does not, by what was asked for."""

_IN_TEXT = re.compile(r"POST .*/rules/")
"""A rule is switched with nothing but OK, as text (Rules.scala, activate)."""


class Exchange(NamedTuple):
    """A request of a command as it was sent, and the stub's answer."""

    command: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int
    media_type: str
    reply: Any

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"


class Told(NamedTuple):
    """What was answered to a recorded request."""

    exchange: Exchange
    reply: Reply


def read_exchanges(shared: Path) -> Iterator[Exchange]:
    """Yield all exchanges in their order."""
    for line in (shared / "reference" / "wire" / "wsk.jsonl").read_text().splitlines():
        recorded = json.loads(line)
        for each in recorded["exchanges"]:
            request, response = each["request"], each["response"]
            headers = {name.lower(): value for name, value in response["headers"]}
            yield Exchange(
                recorded["command"],
                request["method"],
                request["path"],
                tuple((name, value) for name, value in request["headers"]),
                request["body"].encode(),
                response["status"],
                headers["content-type"],
                json.loads(response["body"]),
            )


def is_of_entities(exchange: Exchange) -> bool:
    """Say whether an exchange calls nothing and reads no activation."""
    return _ENTITIES.match(exchange.asked) is not None


def replay(
    server: WhiskServer, shared: Path, wanted: Callable[[Exchange], bool] = lambda _: True
) -> list[Told]:
    """Send the recorded requests that are wanted to a server, with the recorded headers."""
    return [replay_one(server, each) for each in filter(wanted, read_exchanges(shared))]


def replay_one(server: WhiskServer, exchange: Exchange) -> Told:
    """Send one recorded request."""
    left_out = ("host", "content-length")
    sent = [(name, value) for name, value in exchange.headers if name.lower() not in left_out]
    body = exchange.body or None
    return Told(
        exchange, server.ask(exchange.method, exchange.path, body, sent, auth=None, media=None)
    )


def wrong(told: Told) -> list[str]:
    """Return what is not as recorded in status, media type and keys."""
    exchange, reply = told
    if reply.status != exchange.status:
        return [f"{exchange.command}: {reply.status} {reply.body[:200]!r}"]
    if _IN_TEXT.match(exchange.asked):
        return [] if reply.headers["content-type"].startswith("text/plain") else ["no text"]
    if reply.headers["content-type"] != exchange.media_type:
        return [f"{exchange.command}: {reply.headers['content-type']}"]
    left_out = frozenset[str]().union(
        *(k for p, k in PLATFORM.items() if re.match(p, exchange.asked))
    )
    return [
        f"{exchange.command}: no {', '.join(sorted(absent))}"
        for recorded, ours in _pairs(exchange.reply, reply.json)
        if (absent := recorded - ours - left_out)
    ]


def _pairs(recorded: Any, ours: Any) -> Iterator[tuple[set[str], set[str]]]:
    """Yield the keys of documents that have to have the same ones: of lists, each with each."""
    if isinstance(recorded, dict):
        yield {*recorded}, {*ours}
        if isinstance(recorded.get("exec"), dict):
            yield {*recorded["exec"]}, {*ours["exec"]}
    elif recorded and isinstance(recorded[0], dict):
        assert ours
        yield from (({*recorded[0]}, {*each}) for each in ours)
    else:
        assert not recorded or ours == recorded
