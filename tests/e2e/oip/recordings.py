"""The recorded calls: which client, what it ran, and what happened."""

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.oip.relay import Answer, Asked, Exchange

__all__ = ["Call", "read_calls"]

SERVERS = {"181": "triton", "180": "triton", "182": "kserve", "183": "mlserver"}
"""By the beginning of the port that a server had when it was recorded; any other is a stub."""


class Call(NamedTuple):
    """One line of the recordings.

    ``server`` is what it was made against. ``raised`` is the last line of a traceback: the
    exception's class and text.
    """

    number: int
    client: str
    case: str
    command: str
    exit: int
    stdout: str
    raised: str
    server: str
    exchanges: list[Exchange]

    @property
    def key(self) -> tuple[str, str]:
        """What names it: no two have the same."""
        return self.client, self.case


def read_calls(file: Path) -> list[Call]:
    """Read the recordings."""
    with file.open(encoding="utf-8") as lines:
        return [_call(number, json.loads(line)) for number, line in enumerate(lines)]


def _call(number: int, line: dict[str, Any]) -> Call:
    exchanges = [_exchange(each) for each in line.get("exchanges", [])]
    client = line["client"].removesuffix(" against a stub")
    hosts = [exchange.asked.headers.get("host", "") for exchange in exchanges]
    return Call(
        number,
        re.sub(r" [\d.]+\b", "", client),
        line["case"],
        line["command"],
        line["exit"],
        line["stdout"],
        _raised(line.get("stderr", "")) if line["exit"] else "",
        _server([*hosts, line["command"]], line["client"]),
        exchanges,
    )


def _server(texts: Iterable[str], client: str) -> str:
    """Return who answered: by a port in the requests, or in the command."""
    if client.endswith("stub"):
        return "stub"
    for text in texts:
        if found := re.search(r"127\.0\.0\.1:(\d{3})\d\d", text):
            return SERVERS.get(found[1], "stub")
    return "triton"  # the port is in what went before the command


def _raised(stderr: str) -> str:
    found = re.findall(r"^(?:\w+\.)*[A-Z]\w+(?:Error|Exception)\b.*$", stderr, re.MULTILINE)
    return found[-1] if found else ""


def _exchange(line: dict[str, Any]) -> Exchange:
    request, response = line["request"], line["response"]
    asked = Asked(
        request["method"], request["path"], _headers(request["headers"]), _body(request["body"])
    )
    if response is None:
        return Exchange(asked, None)
    headers = _headers(response["headers"])
    return Exchange(asked, Answer(response["status"], headers, _body(response["body"])))


def _headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in pairs}


def _body(body: str | dict[str, str]) -> bytes:
    if isinstance(body, str):
        return body.encode()
    text = body["base64"]
    return base64.b64decode(text) if text.isascii() else b""  # a long one is cut
