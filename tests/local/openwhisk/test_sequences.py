"""Sequences: results from one to the next, errors, depth, and what is remembered of them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gpfn.local.calling import CallOutcome, CallStages, FunctionCall
from gpfn.local.deployed import Deployed
from tests.local.openwhisk.calls_server import CallsServer, answered, calls_server


@pytest.fixture
def server() -> Iterator[CallsServer]:
    with calls_server() as server:
        for name, memory in (("a", 128), ("b", 512), ("c", 256)):
            server.make(name, limits={"memory": memory})
        server.scripted.scripts["b"] = answered({"from": "b"}, stages=CallStages(run=0.5))
        yield server


def annotations(record: Any) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in record["annotations"]}


def test_each_part_gets_what_the_one_before_returned(server: CallsServer) -> None:
    server.make("a", parameters=[{"key": "own", "value": 1}])
    server.make("c", parameters=[{"key": "own", "value": 3}])
    server.sequence("s", "a", "b", "c")
    reply = server.invoke("s", {"x": 0}, "blocking=true&result=true")
    assert (reply.status, reply.json) == (200, {"own": 3, "from": "b"})
    sent = [deployed.name for deployed, _ in server.scripted.seen]
    assert sent == ["a", "b", "c"]


def test_its_record_has_those_of_its_parts(server: CallsServer) -> None:
    server.sequence("s", "a", "b")
    record = server.invoke("s").json
    assert record["duration"] == 500  # the parts' together
    known = annotations(record)
    assert known.pop("waitTime") >= 0
    assert known == {
        "topmost": True,
        "path": "guest/s",
        "kind": "sequence",
        "limits": {"timeout": 60000, "memory": 512, "logs": 10, "concurrency": 1},
    }
    assert "cause" not in record
    assert len(record["logs"]) == 2
    for identifier, name in zip(record["logs"], "ab", strict=True):
        part = server.activation(identifier)
        assert (part["name"], part["cause"]) == (name, record["activationId"])
        assert annotations(part)["causedBy"] == "sequence"
    assert record == server.activation(record["activationId"])


def test_what_went_through_it_is_kept_for_who_looks_at_the_calls(server: CallsServer) -> None:
    server.sequence("s", "a", "b")
    server.invoke("s", {"x": 0})
    whole, second, first = server.told()
    assert [one.name for one in (whole, second, first)] == ["s", "b", "a"]
    assert json.loads(whole.request.data) == json.loads(first.request.data) == {"x": 0}
    assert json.loads(second.request.data) == {"x": 0}
    assert json.loads(whole.reply.data) == json.loads(second.reply.data) == {"from": "b"}


def test_an_error_ends_it(server: CallsServer) -> None:
    server.scripted.scripts["a"] = answered({"error": "no"})
    server.sequence("s", "a", "b")
    reply = server.invoke("s")
    assert reply.status == 502
    assert reply.json["response"]["status"] == "application error"
    assert reply.json["response"]["result"] == {"error": "no"}
    assert len(reply.json["logs"]) == 1


def test_a_crash_ends_it_as_a_developer_error(server: CallsServer) -> None:
    server.scripted.scripts["b"] = CallOutcome(None, "crashed")
    server.sequence("s", "a", "b", "c")
    reply = server.invoke("s")
    assert reply.status == 502
    assert reply.json["response"]["status"] == "action developer error"
    assert len(reply.json["logs"]) == 2


def test_an_error_in_what_is_sent_ends_nothing(server: CallsServer) -> None:
    server.sequence("s", "b")
    assert server.invoke("s", {"error": "mine"}).status == 200


def test_an_array_goes_from_one_to_the_next(server: CallsServer) -> None:
    server.scripted.scripts["b"] = answered([1, 2])
    server.sequence("s", "b", "a")
    assert server.invoke("s").json == [1, 2]
    assert server.scripted.last["value"] == [1, 2]


def test_a_sequence_in_a_sequence(server: CallsServer) -> None:
    server.sequence("inner", "a", "b")
    server.sequence("outer", "inner", "c")
    record = server.invoke("outer").json
    assert record["response"]["result"] == {"from": "b"}
    inner = server.activation(record["logs"][0])
    assert (inner["name"], inner["cause"]) == ("inner", record["activationId"])
    assert (annotations(inner)["topmost"], annotations(inner)["causedBy"]) == (False, "sequence")
    assert len(inner["logs"]) == 2
    assert server.activation(inner["logs"][0])["cause"] == inner["activationId"]


def test_a_part_that_is_not_there_any_more(server: CallsServer) -> None:
    server.sequence("s", "a", "b")
    assert server.api("DELETE", "actions/b").status == 200
    reply = server.invoke("s")
    assert reply.status == 502
    assert reply.json["response"] == {
        "result": {"error": "Sequence component does not exist."},
        "success": False,
        "status": "application error",
    }
    assert len(reply.json["logs"]) == 1


def test_50_actions_are_run_and_no_more_however_deep(server: CallsServer) -> None:
    server.sequence("most", *["a"] * 50)
    assert len(server.invoke("most").json["logs"]) == 50
    server.sequence("half", *["a"] * 25)
    server.sequence("two", "half", "half")
    assert server.invoke("two").status == 200
    server.sequence("half", *["a"] * 30)  # what is made of it is not looked at again
    reply = server.invoke("two")
    told = {"error": "Too many actions in the sequence."}
    assert (reply.status, reply.json["response"]["result"]) == (502, told)
    assert server.api("GET", "activations?count=true&name=a").json == {"activations": 150}


def test_nobody_has_to_wait_for_it(server: CallsServer) -> None:
    async def slow(_: Deployed, __: FunctionCall) -> CallOutcome:
        await asyncio.sleep(0.2)
        return answered({"late": True})

    server.scripted.scripts["a"] = slow
    server.sequence("s", "a", "c")
    for query in ("blocking=false", "blocking=true&timeout=20"):
        reply = server.invoke("s", {}, query)
        assert reply.status == 202
        record = server.wait_for(reply.json["activationId"])
        assert record["response"]["result"] == {"late": True}


def test_a_busy_part_is_the_platforms_error(server: CallsServer) -> None:
    server.scripted.scripts["b"] = CallOutcome(None, "busy")
    server.sequence("s", "a", "b")
    reply = server.invoke("s")
    assert (reply.status, reply.json["response"]["result"]) == (500, {"error": "Sequence failed."})


def test_each_part_and_the_whole_are_told_of(server: CallsServer) -> None:
    server.sequence("s", "a", "b")
    server.invoke("s", {"x": 1})
    told = server.told()
    assert [(each.name, each.via) for each in told] == [
        ("s", "invoke"),
        ("b", "sequence s"),
        ("a", "sequence s"),
    ]
    assert told[0].request.data == b'{"x": 1}'


def test_whole_numbers_beyond_64_bits_go_through_it(server: CallsServer) -> None:
    server.scripted.scripts["b"] = answered({"n": 2**70})
    server.sequence("s", "b", "a")
    assert server.invoke("s").json["response"]["result"] == {"n": 2**70}
    assert json.loads(server.told()[0].reply.data) == {"n": 2**70}


def test_a_fault_of_ours_ends_the_record_of_each_that_was_begun(server: CallsServer) -> None:
    async def broken(_: Deployed, __: FunctionCall) -> CallOutcome:
        raise RuntimeError("ours")

    server.scripted.scripts["b"] = broken
    server.sequence("inner", "a", "b")
    server.sequence("s", "inner", "c")
    assert server.invoke("s").status == 500
    assert "ours" in "".join(server.log)
    assert server.running() == []
    told = {one.name: one.status for one in server.told()}
    assert told == {"s": 500, "inner": 500, "b": 500, "a": 200}
    for name in ("s", "inner", "b"):
        record = server.api("GET", f"activations?name={name}&docs=true").json[0]
        assert record["response"]["status"] == "whisk internal error"
        assert "gpfn dev failed" in record["response"]["result"]["error"]
    server.log.clear()
    server.server.log.clear()
