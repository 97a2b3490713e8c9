"""Calls of actions over REST: what is answered when, and what is remembered."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gpfn.errors import SetupError
from gpfn.local.calling import CallOutcome, CallStages, FunctionCall
from gpfn.local.deployed import ActionCode, Deployed, MappedImage
from gpfn.local.openwhisk.api import GUEST_KEY
from gpfn.local.openwhisk.invoking import InvokingSettings
from gpfn.local.openwhisk.refusing import NOT_ALLOWED
from tests.local.openwhisk.calls_server import CallsServer, answered, calls_server

ID = "x-openwhisk-activation-id"


@pytest.fixture
def server() -> Iterator[CallsServer]:
    with calls_server(settings=InvokingSettings(blocking_seconds=0.3)) as server:
        server.make("a")
        yield server


def slow(seconds: float) -> Any:
    async def script(_: Deployed, __: FunctionCall) -> CallOutcome:
        await asyncio.sleep(seconds)
        return answered({"late": True})

    return script


def test_a_result_alone(server: CallsServer) -> None:
    reply = server.invoke("a", {"x": 1}, "blocking=true&result=true")
    assert (reply.status, reply.json) == (200, {"x": 1})
    assert len(reply.headers[ID]) == 32


def test_result_does_not_make_a_call_blocking(server: CallsServer) -> None:
    assert server.invoke("a", {}, "result=true").status == 202


def test_a_blocking_call_is_answered_with_its_record(server: CallsServer) -> None:
    stages = CallStages(wait=0.001, start=0.02, init=0.01, run=0.005)
    log = ((1_700_000_000.0, "stdout", "hello"),)
    server.scripted.scripts["a"] = answered({"ok": 1}, cold=True, stages=stages, log=log)
    before = int(1000 * time.time())
    reply = server.invoke("a")
    record = reply.json
    assert reply.status == 200
    assert record == server.activation(reply.headers[ID])
    assert record["activationId"] == reply.headers[ID]
    assert before - 40 <= record["start"] <= record["end"]
    assert record["end"] - record["start"] == record["duration"] == 35
    assert record["response"] == {
        "status": "success",
        "success": True,
        "result": {"ok": 1},
        "size": 9,
    }
    assert record["logs"] == ["2023-11-14T22:13:20.000000000Z stdout: hello"]
    annotations = {each["key"]: each["value"] for each in record["annotations"]}
    assert annotations.pop("waitTime") >= 0
    assert annotations == {
        "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1},
        "path": "guest/a",
        "kind": "blackbox",
        "timeout": False,
        "initTime": 30,
    }
    assert (record["namespace"], record["subject"], record["name"]) == ("guest", "guest", "a")
    assert (record["version"], record["publish"]) == ("0.0.1", False)


def test_a_warm_call_has_no_init_time(server: CallsServer) -> None:
    annotations = [each["key"] for each in server.invoke("a").json["annotations"]]
    assert "initTime" not in annotations


@pytest.mark.parametrize(
    ("outcome", "status", "result"),
    [
        (answered({"error": "no"}), 502, {"error": "no"}),
        (answered({"error": "no"}, status=500), 502, {"error": "no"}),
        (CallOutcome(None, "crashed"), 502, None),
        (CallOutcome(None, "timed out"), 502, None),
        (CallOutcome(None, "init timed out", cold=True), 502, None),
        (CallOutcome(None, "memory"), 502, None),
    ],
)
def test_failures(server: CallsServer, outcome: CallOutcome, status: int, result: Any) -> None:
    server.scripted.scripts["a"] = outcome
    whole, bare = server.invoke("a"), server.invoke("a", {}, "blocking=true&result=true")
    assert (whole.status, bare.status) == (status, status)
    assert whole.json["response"]["result"] == bare.json
    assert {*bare.json} == {"error"}
    assert not whole.json["response"]["success"]
    if result is not None:
        assert bare.json == result


def test_a_time_limit_is_told_with_its_milliseconds_and_marked(server: CallsServer) -> None:
    server.make("a", limits={"timeout": 1500})
    server.scripted.scripts["a"] = CallOutcome(None, "timed out")
    record = server.invoke("a").json
    told = "The action exceeded its time limits of 1500 milliseconds."
    assert record["response"]["result"] == {"error": told}
    assert {"key": "timeout", "value": True} in record["annotations"]
    assert record["logs"][-1].endswith("Log data might be missing.")


def test_an_array_is_always_bare(server: CallsServer) -> None:
    server.scripted.scripts["a"] = answered([1, {"a": 2}])
    assert server.invoke("a").json == [1, {"a": 2}]
    assert server.invoke("a", {}, "blocking=true&result=true").json == [1, {"a": 2}]


def test_nobody_waits_for_a_call_that_is_not_blocking(server: CallsServer) -> None:
    server.scripted.scripts["a"] = slow(0.2)
    reply = server.invoke("a", {}, "blocking=false&result=false")
    assert reply.status == 202
    identifier = reply.json["activationId"]
    assert reply.headers[ID] == identifier
    assert server.api("GET", f"activations/{identifier}").status == 404
    assert server.api("GET", f"activations/{identifier}/logs").status == 404
    listed = server.api("GET", "activations").json
    assert identifier not in [each["activationId"] for each in listed]
    assert server.running() == [identifier]  # which the console shows
    assert server.wait_for(identifier)["response"]["result"] == {"late": True}


def test_over_the_platforms_time_it_is_202_and_the_result_is_kept(server: CallsServer) -> None:
    server.scripted.scripts["a"] = slow(0.6)
    reply = server.invoke("a")
    assert reply.status == 202
    assert {*reply.json} == {"activationId"}
    assert server.wait_for(reply.json["activationId"])["response"]["result"] == {"late": True}
    assert [each.status for each in server.told()] == [202]


def test_a_caller_may_wait_for_less() -> None:
    with calls_server(settings=InvokingSettings(blocking_seconds=20.0)) as server:
        server.make("a")
        server.scripted.scripts["a"] = slow(20.0)
        began = time.monotonic()
        assert server.invoke("a", {}, "blocking=true&timeout=20").status == 202
        assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("timeout", ["0", "-1", "301", "x", "", "1.5", "9" * 400])
def test_a_wrong_time_is_refused(server: CallsServer, timeout: str) -> None:
    reply = server.invoke("a", {}, f"blocking=true&timeout={timeout}")
    said = "Timeout must be number of milliseconds up to 300."
    assert (reply.status, reply.error) == (
        400,
        f"The query parameter 'timeout' was malformed:\n{said}",
    )


def test_parameters_of_package_binding_action_and_call_are_merged(server: CallsServer) -> None:
    def given(**values: int) -> list[dict[str, Any]]:
        return [{"key": key, "value": value} for key, value in values.items()]

    assert server.api("PUT", "packages/p", {"parameters": given(a=1, b=1, c=1, d=1)}).status == 200
    bound = {"binding": {"namespace": "_", "name": "p"}, "parameters": given(b=2, c=2, d=2)}
    assert server.api("PUT", "packages/bound", bound).status == 200
    server.make("p/x", parameters=given(c=3, d=3))
    reply = server.invoke("bound/x", {"d": 4})
    assert server.scripted.last["value"] == {"a": 1, "b": 2, "c": 3, "d": 4}
    annotations = {each["key"]: each["value"] for each in reply.json["annotations"]}
    assert (annotations["path"], annotations["binding"]) == ("guest/p/x", "guest/bound")
    assert server.scripted.last["action_name"] == "/guest/p/x"


def test_final_parameters_are_refused(server: CallsServer) -> None:
    server.make(
        "a",
        parameters=[{"key": "secret", "value": 1}, {"key": "open", "value": None}],
        annotations=[{"key": "final", "value": True}],
    )
    reply = server.invoke("a", {"secret": 2})
    assert (reply.status, reply.error) == (400, NOT_ALLOWED)
    assert server.invoke("a", {"open": 2}).status == 200


def test_init_parameters_are_the_environment(server: CallsServer) -> None:
    parameters = [{"key": "MODE", "value": {"a": 1}, "init": True}, {"key": "b", "value": 2}]
    server.make("a", parameters=parameters)
    server.invoke("a")
    environ = dict(server.scripted.seen[-1][1].environ)
    assert (environ["MODE"], server.scripted.last["value"]) == ('{"a":1}', {"b": 2})


def test_the_key_is_given_by_the_annotation(server: CallsServer) -> None:
    server.invoke("a")
    assert "api_key" not in server.scripted.last
    server.make("a", annotations=[{"key": "provide-api-key", "value": True}])
    server.invoke("a")
    assert server.scripted.last["api_key"] == GUEST_KEY
    assert dict(server.scripted.seen[-1][1].environ)["__OW_API_KEY"] == GUEST_KEY


def test_the_deadline_is_the_time_limit_from_now(server: CallsServer) -> None:
    server.invoke("a")
    deadline = server.scripted.last["deadline"]
    assert isinstance(deadline, str)
    assert 55_000 < int(deadline) - 1000 * time.time() <= 60_001
    [(_, call)] = server.scripted.seen
    time.sleep(0.05)  # it has waited
    assert call.renew is not None
    assert int(json.loads(call.renew())["deadline"]) >= int(deadline) + 50


def test_what_is_deployed_has_its_limits_and_its_code(server: CallsServer) -> None:
    code = {"kind": "python:3.11", "code": "def main(args): return {}", "main": "main"}
    server.make("code", code, limits={"timeout": 2000, "memory": 128})
    assert server.api("PUT", "packages/p", {}).status == 200
    server.make("p/code", {**code, "main": "other"})
    for name in ("code", "p/code", "a"):
        server.invoke(name)
    (first, _), (second, _), (third, _) = server.scripted.seen
    assert (first.key, first.memory, first.timeout) == ("guest/code", 128, 2.0)
    assert first.code == ActionCode("def main(args): return {}", binary=False)
    assert (second.key, second.name) == ("guest/p/code", "p/code")
    assert second.code == ActionCode("def main(args): return {}", binary=False, main="other")
    assert (third.code, str(third.file)) == (None, "func.py")


def test_a_main_without_code_is_sent_alone(server: CallsServer) -> None:
    server.make("a", {"kind": "blackbox", "image": "example/a:1", "main": "predict"})
    server.invoke("a")
    assert server.scripted.seen[-1][0].code == ActionCode("", binary=False, main="predict")


def test_a_change_is_another_revision_and_keeps_the_code(server: CallsServer) -> None:
    server.make("code", {"kind": "python:3.11", "code": "def main(args): return {}"})
    server.invoke("code")
    server.invoke("code")
    update = {"parameters": [{"key": "a", "value": 1}]}
    assert server.api("PUT", "actions/code?overwrite=true", update).status == 200
    server.invoke("code")
    first, second, third = (deployed for deployed, _ in server.scripted.seen)
    assert first == second
    assert first.revision != third.revision
    assert third.code == first.code


def test_an_image_of_no_folder_is_an_error_that_says_what_to_do() -> None:
    with calls_server(images={"known:1": MappedImage("1")}) as server:
        server.make("a", {"kind": "blackbox", "image": "example/none:1"})
        reply = server.invoke("a", {}, "blocking=true&result=true")
        told = "Failed to pull container image 'example/none:1'."
        hint = "gpfn dev --map example/none:1=FOLDER says which is meant"
        assert (reply.status, reply.json) == (502, {"error": f"{told} {hint}"})


@pytest.mark.parametrize("error", [SetupError("gone", field="func.yaml"), OSError("gone")])
def test_an_image_whose_folder_went_is_an_error(error: Exception) -> None:
    def resolve(image: str) -> MappedImage | None:
        raise error

    with calls_server(resolve=resolve) as server:
        server.make("a")
        reply = server.invoke("a", {}, "blocking=true&result=true")
        assert reply.status == 502
        assert reply.json["error"].endswith("gone")


def test_busy_is_429_and_leaves_no_record(server: CallsServer) -> None:
    server.scripted.scripts["a"] = CallOutcome(None, "busy")
    for query in ("blocking=true", "blocking=false"):
        reply = server.invoke("a", {}, query)
        assert (reply.status, reply.error) == (429, "Too many concurrent requests in flight.")
    assert server.api("GET", "activations").json == []
    assert [each.status for each in server.told()] == [429, 429]


def test_who_was_told_202_gets_a_record_of_what_was_busy_later(server: CallsServer) -> None:
    async def busy_later(_: Deployed, __: FunctionCall) -> CallOutcome:
        await asyncio.sleep(0.1)
        return CallOutcome(None, "busy")

    server.scripted.scripts["a"] = busy_later
    reply = server.invoke("a", {}, "blocking=false")
    assert reply.status == 202
    record = server.wait_for(reply.json["activationId"])
    assert record["response"]["status"] == "whisk internal error"


def test_503_is_run_again_by_another_process(server: CallsServer) -> None:
    answers = [answered(b"", status=503), answered({"second": True})]

    async def script(_: Deployed, __: FunctionCall) -> CallOutcome:
        return answers.pop(0)

    server.scripted.scripts["a"] = script
    assert server.invoke("a", {}, "blocking=true&result=true").json == {"second": True}


def test_503_for_ever_is_the_platforms_error(server: CallsServer) -> None:
    server.scripted.scripts["a"] = answered(b"", status=503)
    reply = server.invoke("a")
    assert reply.status == 500
    assert reply.json["response"]["status"] == "whisk internal error"


def test_a_payload_over_a_mebibyte_is_413(server: CallsServer) -> None:
    fits = {"a": "x" * ((1 << 20) - 9)}
    assert len(json.dumps(fits)) == (1 << 20) + 1 - 1
    assert server.invoke("a", json.dumps(fits).encode()).status == 200
    reply = server.invoke("a", json.dumps({"a": "x" * (1 << 20)}).encode())
    told = "Request larger than allowed: 1048585 > 1048576 bytes."
    assert (reply.status, reply.error) == (413, told)


def test_a_payload_that_is_too_large_with_its_parameters_is_413(server: CallsServer) -> None:
    server.make("a", parameters=[{"key": "p", "value": "x" * 900_000}])
    reply = server.invoke("a", {"q": "x" * 900_000})
    assert reply.status == 413
    assert server.invoke("a", {"p": "x" * 900_000}).status == 200
    assert len(server.api("GET", "activations").json) == 1


def test_a_result_over_a_mebibyte_is_cut_and_an_error(server: CallsServer) -> None:
    server.scripted.scripts["a"] = answered({"a": "x" * (1 << 20)})
    reply = server.invoke("a")
    assert reply.status == 502
    assert reply.json["response"]["status"] == "application error"
    error = reply.json["response"]["result"]["error"]
    assert error.startswith("The action produced a response that exceeded the allowed length: ")


@pytest.mark.parametrize("body", [b"[1]", b'"a"', b"1", b"{", b"\xff", b"[" * 100_000])
def test_a_payload_that_is_no_object_is_400(server: CallsServer, body: bytes) -> None:
    reply = server.invoke("a", body)
    assert reply.status == 400
    assert reply.error.startswith("The request content was malformed:\n")


def test_another_media_type_is_415(server: CallsServer) -> None:
    event = "application/cloudevents+json"
    assert server.api("POST", "actions/a?blocking=true", {}, media=event).status == 415
    assert server.api("POST", "actions/a?blocking=true", None).status == 200


def test_an_action_that_is_not_there_is_404(server: CallsServer) -> None:
    reply = server.invoke("none")
    told = "The requested resource does not exist."
    assert (reply.status, reply.error) == (404, told)


@pytest.mark.parametrize("name", ["a%2Fb", "%00", "x" * 300, "%20a", "a%20", "%ff"])
def test_names_that_name_nothing_are_refused(server: CallsServer, name: str) -> None:
    assert server.invoke(name).status == 400
    assert server.invoke("a").status == 200


def test_each_call_is_told_of(server: CallsServer) -> None:
    server.scripted.scripts["a"] = answered(
        {"a": 1}, cold=True, stages=CallStages(run=0.1), memory=5
    )
    agent = (("User-Agent", "OpenWhisk-CLI/1.0 (2020) linux amd64"),)
    server.server.ask("POST", "/api/v1/namespaces/_/actions/a?blocking=true", {"b": 2}, agent)
    [record] = server.told()
    assert (record.platform, record.key, record.name) == ("openwhisk", "guest/a", "a")
    assert (record.caller, record.via, record.status) == ("wsk", "invoke", 200)
    assert (record.cold, record.stages.run, record.memory) == (True, 0.1, 5)
    assert (record.request.data, record.reply.data) == (b'{"b": 2}', b'{"a": 1}')
    assert record.id == server.api("GET", "activations").json[0]["activationId"]


def test_which_python_stands_for_the_kind_is_told(server: CallsServer) -> None:
    server.make("code", {"kind": "python:3.11", "code": "def main(args): return {}"})
    server.scripted.scripts["code"] = answered({}, cold=True)
    server.invoke("code")
    [record] = server.told()
    assert record.detail.startswith("python:3.11 is run here by Python 3.")


def test_nothing_is_asked_without_the_key(server: CallsServer) -> None:
    path = "/api/v1/namespaces/_/actions/a?blocking=true"
    assert server.server.ask("POST", path, {}, auth=None).status == 401
    assert not server.scripted.seen
