"""Every exchange that a real Fn server had with ``fn`` and curl, asked of ours.

Ids, times and hosts differ: an id of the recording stands for the one that our reply to the same
request gave. What may differ besides is in `OTHER`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.fn.fn_server import FnServer, Reply, answered, fn_server

ID = re.compile(r"01M7[0-9A-Z]{22}")
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HOST = "127.0.0.1:18081"
OTHER = ("date", "connection", "x-request-id", "content-length")
"""Headers that are not compared: of the connection, an id of our own, and a length (ids and hosts
are as long as they are; of the bodies themselves everything else is compared)."""


@pytest.fixture(scope="module")
def commands(shared: Path) -> list[dict[str, Any]]:
    text = (shared / "reference" / "wire" / "fn.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


class Ids:
    """Which of our ids stands for which of the recording."""

    def __init__(self, server: FnServer) -> None:
        self.ours: dict[str, str] = {}
        self._host = f"{server.host}:{server.port}"

    def in_our_words(self, text: str) -> str:
        text = ID.sub(lambda found: self.ours.get(found[0], found[0]), text)
        return text.replace(HOST, self._host)

    def learn(self, recorded: str, ours: str) -> None:
        for old, new in zip(
            ID.findall(recorded), re.findall(r"01[0-9A-Z]{24}", ours), strict=False
        ):
            self.ours.setdefault(old, new)


def headers_of(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in OTHER}


def replay(server: FnServer, ids: Ids, exchange: dict[str, Any]) -> None:
    asked, recorded = exchange["request"], exchange["response"]
    if asked["path"].startswith(("/invoke/", "/t/")) and recorded["status"] == 200:
        body = recorded["body"].encode()
        as_invoked = [
            ("fn-fdk-version", "fdk-python/0.1.128"),
            ("fn-fdk-runtime", "python/3.11.2 final"),
            ("fn-http-status", "200"),
            ("content-type", "application/json"),
        ]
        if asked["path"].startswith("/invoke/"):
            as_invoked.pop(2)
        server.said.answer = lambda _, __: answered(200, body, *as_invoked)
    headers = dict(asked["headers"])
    headers["Host"] = f"{server.host}:{server.port}"
    headers.pop("Content-Length", None)
    path, data = ids.in_our_words(asked["path"]), ids.in_our_words(asked["body"])
    reply = server.ask(asked["method"], path, data.encode(), headers)
    text = reply.body.decode()
    ids.learn(recorded["body"], text)
    ids.learn(dict(recorded["headers"]).get("Fn-Call-Id", ""), reply.headers.get("fn-call-id", ""))
    expected = {name.lower(): ids.in_our_words(value) for name, value in recorded["headers"]}
    expected = {name: value for name, value in expected.items() if name not in OTHER}
    assert reply.status == recorded["status"]
    assert headers_of(reply) == expected
    assert TIME.sub("TIME", text) == TIME.sub("TIME", ids.in_our_words(recorded["body"]))


def test_every_recorded_exchange_is_answered_as_the_real_server_answered(
    commands: list[dict[str, Any]],
) -> None:
    count = 0
    with fn_server() as server:
        ids = Ids(server)
        for command in commands:
            for exchange in command["exchanges"]:
                count += 1
                try:
                    replay(server, ids, exchange)
                except AssertionError as error:
                    raise AssertionError(f"exchange {count} of {command['command']!r}") from error
    assert count == sum(len(command["exchanges"]) for command in commands) > 90


@pytest.fixture
def server() -> Iterator[FnServer]:
    with fn_server() as running:
        yield running


def test_times_move_as_recorded(server: FnServer) -> None:
    app = server.made("/v2/apps", name="models")
    assert TIME.fullmatch(app["created_at"])
    assert app["created_at"] == app["updated_at"]
    same = server.ask("PUT", f"/v2/apps/{app['id']}", {"name": "models"}).document
    assert same == app
    changed = server.ask("PUT", f"/v2/apps/{app['id']}", {"config": {"A": "1"}}).document
    assert changed["created_at"] == app["created_at"]
    assert changed["updated_at"] >= app["updated_at"]
