"""What ``wsk`` called, fired and asked of activations, answered as it was recorded."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import Deployed
from gpfn.local.openwhisk.invoking import InvokingSettings
from tests.local.openwhisk.calls_server import CallsServer, answered, calls_server
from tests.local.openwhisk.recorded import (
    Exchange,
    Told,
    is_of_entities,
    read_exchanges,
    replay_one,
    wrong,
)

HIDDEN = "statusCode"
"""The stub had the code beside its words; the platform shows it in summaries alone."""

HAS_NONE = re.compile(r"GET .*/activations(/[0-9a-f]{32}/result|\?docs=true.*)")

LATE = 0.4
FIRED = "wsk trigger fire t1 -p x 1"
"""The stub answered 202; the trigger had no rule then, for which the platform has 204."""


async def _slow(_: Deployed, __: FunctionCall) -> CallOutcome:
    await asyncio.sleep(3 * LATE)
    return answered({})


@pytest.fixture(scope="module")
def told(shared: Path) -> Iterator[list[Told]]:
    """Replay everything; ids of the stub's activations are those of ours in the same place."""
    with calls_server(settings=InvokingSettings(blocking_seconds=LATE)) as server:
        server.scripted.scripts["badone"] = answered({"error": "boom"})
        server.scripted.scripts["slow"] = _slow
        yield [_replayed(server, each) for each in read_exchanges(shared)]


def _replayed(server: CallsServer, exchange: Exchange) -> Told:
    named = re.search(r"/activations/([0-9a-f]{32})", exchange.path)
    if named is not None:
        oldest = server.api("GET", "activations?limit=200").json[-1]["activationId"]
        exchange = exchange._replace(path=exchange.path.replace(named[1], oldest))
    return replay_one(server.server, exchange)


def _calls(told: list[Told]) -> list[Told]:
    return [each for each in told if not is_of_entities(each.exchange)]


def replies(told: list[Told], command: str) -> list[Any]:
    found = [each.reply for each in told if each.exchange.command == command]
    assert found
    return found


def test_status_media_type_and_keys_are_as_recorded(told: list[Told]) -> None:
    calls = _calls(told)
    assert len(calls) == 30
    for each in calls:
        found = wrong(each)
        if HAS_NONE.fullmatch(each.exchange.asked):
            assert {*found} == {f"{each.exchange.command}: no {HIDDEN}"}
        elif each.exchange.command != FIRED:
            assert not found


def test_the_response_of_a_record_has_all_but_the_hidden_code(told: list[Told]) -> None:
    compared = 0
    for exchange, reply in _calls(told):
        recorded = exchange.reply
        if isinstance(recorded, dict) and "response" in recorded:
            compared += 1
            absent = {*recorded["response"]} - {*reply.json["response"]}
            assert absent == {HIDDEN}, exchange.command
    assert compared >= 5


def test_what_was_called_is_answered_as_it_was(told: list[Told]) -> None:
    [reply] = replies(told, "wsk action invoke classify -r -P image.json")
    assert reply.json["image"] == "aGVsbG8="
    [reply] = replies(told, "wsk action invoke badone -r")
    assert (reply.status, reply.json) == (502, {"error": "boom"})
    [reply] = replies(told, "wsk action invoke slow -b")
    assert (reply.status, {*reply.json}) == (202, {"activationId"})
    [reply] = replies(told, "wsk action invoke nosuch -r")
    assert (reply.status, reply.error) == (404, "The requested resource does not exist.")


def test_a_list_is_the_newest_first(told: list[Told]) -> None:
    [reply] = replies(told, "wsk activation list")
    starts = [each["start"] for each in reply.json]
    assert starts == sorted(starts, reverse=True)
    assert {each["name"] for each in reply.json} >= {"classify", "badone"}
    command = "wsk activation list classify --limit 2 --skip 1 --since 1 --upto 9999999999999"
    [reply] = replies(told, command)
    assert [each["name"] for each in reply.json] == ["classify"] * 2


def test_a_trigger_without_a_rule_was_202_in_the_recording_and_is_204(told: list[Told]) -> None:
    [each] = [one for one in told if one.exchange.command == FIRED]
    assert (each.exchange.status, each.reply.status) == (202, 204)


def test_what_is_sent_is_what_wsk_made_of_its_words(told: list[Told]) -> None:
    command = (
        "wsk action invoke classify -r -p n 12345678 -p s '\"123\"' -p t true -p nul null "
        "-p o '{\"a\":1}' -p str abc"
    )
    [each] = [one for one in told if one.exchange.command == command]
    assert json.loads(each.exchange.body).items() <= each.reply.json.items()
