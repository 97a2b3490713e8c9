"""What the real server and its real clients said to each other, as tests ask for it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Exchange", "exchanges"]


class Exchange(NamedTuple):
    """A request and the reply; ``status`` is 0 where the connection was cut."""

    case: str
    method: str
    path: str
    body: bytes
    status: int
    reply: bytes


def exchanges(shared: Path) -> Iterator[Exchange]:
    """Give all exchanges of both files in their order."""
    for name in ("tfaas.jsonl", "tfaas2.jsonl"):
        for line in (shared / "reference" / "wire" / name).read_text().splitlines():
            entry = json.loads(line)
            for exchange in entry["exchanges"]:
                request, reply = exchange["request"], exchange.get("response") or {}
                yield Exchange(
                    entry.get("case", entry.get("command", "")),
                    request["method"],
                    request["path"],
                    _bytes(request.get("body") or ""),
                    reply.get("status") or 0,
                    _bytes(reply.get("body") or ""),
                )


def _bytes(body: Any) -> bytes:
    return base64.b64decode(body["base64"]) if isinstance(body, dict) else body.encode()
