"""Make the recorded calls again, in their order: each server that was recorded is one of ours."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.e2e.tfaas.answers import Differences, compare
from tests.e2e.tfaas.ours import serving
from tests.e2e.tfaas.recordings import Call, read_calls
from tests.e2e.tfaas.wire import Wire

__all__ = ["BEFORE", "SESSIONS", "SILENT", "Session", "replay", "sessions"]

SILENT = {
    "python client: no action",
    "python client: help",
    "python client under Python 3",
    "python client: upload, model with a known suffix is not encoded but the header says base64",
}
"""Calls in which the client has sent nothing: it had nothing to ask, or failed by itself."""

THREADS = 100
"""Of the calls of the C++ client's benchmark, the last so many are made at once."""

_FORM = "form upload as every document says (no op): files are stored, reply is an error"

BEFORE = {
    "json: TF2, first content": ("bundle keras",),
    "expect 100-continue": (_FORM,),
}
"""What has to be made again before a call: it had been deleted, and was put back by hand."""


class Session(NamedTuple):
    """Calls that one server was asked one after the other.

    ``options`` are those that ours has for the same; ``given`` are calls that have put models
    there before.
    """

    options: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


SESSIONS = {
    "tfaas.jsonl": Session(),
    "tfaas2.jsonl": Session(),
    "base:": Session(("--base-path", "/tfaas")),
    "base without a leading slash:": Session(("--base-path", "tfaas")),
    "rate": Session(("--rate", "2-D")),
    "C++ client against the default rate": Session(("--rate", "100-D"), ("bundle luca",)),
}
"""The recorded servers, by how the names of their calls begin; the second has all the others.

Their limits are counted in days, and not in seconds: else the machine had to be fast enough.
"""


def sessions(shared: Path) -> dict[str, list[Call]]:
    """Return all calls by the server that they were made to."""
    found: dict[str, list[Call]] = {name: [] for name in SESSIONS}
    for call in read_calls(shared / "reference" / "wire"):
        name = next((name for name in SESSIONS if call.case.startswith(name)), "tfaas2.jsonl")
        found[name].append(call)
    return found


def replay(name: str, calls: Mapping[str, Sequence[Call]], folder: Path) -> dict[str, Differences]:
    """Make the calls of a session; returns what differs, by the names of the calls."""
    session = SESSIONS[name]
    named = {call.case: call for each in calls.values() for call in each}
    if session.given:
        with serving(folder) as given:
            _make(given.wire, [named[case] for case in session.given])
    found = {}
    with serving(folder, *session.options) as running:
        for call in calls[name]:
            _make(running.wire, [named[case] for case in BEFORE.get(call.case, ())])
            found[call.case] = _again(running.wire, call, folder)
    return found


def _make(wire: Wire, calls: Sequence[Call]) -> None:
    for call in calls:
        answer = wire.ask(call.exchanges[0])
        assert answer is not None, call.case
        assert answer.status == 200, (call.case, answer)


def _again(wire: Wire, call: Call, folder: Path) -> Differences:
    if call.total > len(call.exchanges):
        return _many(wire, call)
    paths = [_filled(exchange.path, folder) for exchange in call.exchanges]
    answers = wire.ask_all(call.exchanges, paths)
    found: Differences = {}
    for exchange, answer in zip(call.exchanges, answers, strict=True):
        found |= compare(exchange, answer)
    return found


def _filled(path: str, folder: Path) -> str:
    """Put a file of the server's machine where the recording had one."""
    return path.replace("<fixture>", str(folder / "serve.log"))


def _many(wire: Wire, call: Call) -> Differences:
    """Make all calls of a benchmark of which the first ones are recorded, all of them alike."""
    exchange = call.exchanges[0]
    answers = [wire.ask(exchange) for _ in range(call.total - THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        answers += pool.map(wire.ask, [exchange] * THREADS)
    refused = [answer for answer in answers if answer is not None and answer.status == 429]
    found: Differences = {}
    for answer in answers:
        if answer not in refused:
            found |= compare(exchange, answer)
    if len(refused) != call.failed:
        found["refused"] = f"{call.failed} → {len(refused)}"
    return found
