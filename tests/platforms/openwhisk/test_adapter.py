"""A Function as main(args): events, web requests, batches, failures, and what is logged."""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn import Function, Payload, TensorSpec
from gpfn.errors import InvalidTensor
from gpfn.message import Message
from tests.platforms.openwhisk.served import Action, served

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

PROBE = '''
"""A function that does what its caller says."""
from gpfn import Function, Payload
from gpfn.errors import InvalidTensor, ModelFailed

def probe(payload):
    if payload.base_type.startswith("image/"):
        return Payload(payload.data, payload.media_type)
    asked = payload.json()
    if not isinstance(asked, dict):
        return asked
    if "bad" in asked:
        raise InvalidTensor("expected 20 numbers", field="data[3]")
    if "bug" in asked:
        raise KeyError("a secret of ours")
    if "broken" in asked:
        raise ModelFailed("the library says no")
    if "text" in asked:
        return "text"
    if "headers" in asked:
        return [list(pair) for pair in payload.headers]
    if "print" in asked:
        print("a line of the function's")
    return {"asked": asked, "event": payload.event is not None}

main = Function(probe, takes="payload", name="probe").openwhisk
'''


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Action]:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "func.py").write_text(PROBE)
    with served(folder, str(folder)) as action:
        assert action.init().status == 200
        yield action
        assert action.run({"a": 1}).status == 200, "nothing has cost the process"


def answer(probe: Action, value: object, **context: object) -> dict[str, object]:
    reply = probe.run(value, **context)
    assert reply.status == 200
    document = reply.json()
    assert isinstance(document, dict)
    return document


def test_parameters_are_json(probe: Action) -> None:
    assert answer(probe, {"a": [1, None]}) == {"asked": {"a": [1, None]}, "event": False}


def test_what_is_no_dictionary_is_its_result(probe: Action) -> None:
    assert answer(probe, {"text": 1}) == {"result": "text"}
    assert answer(probe, {"headers": 1}) == {"result": []}


def test_an_array_for_an_array(probe: Action) -> None:
    assert probe.run([1, "a", None]).json() == [1, "a", None]


def test_a_structured_event_gives_an_event(probe: Action) -> None:
    found = answer(probe, {**EVENT, "data": {"a": 1}})
    assert (found["specversion"], found["type"]) == ("1.0", "t.response")
    assert found["data"] == {"asked": {"a": 1}, "event": True}


def test_a_batch_gives_a_batch(probe: Action) -> None:
    events = [{**EVENT, "id": str(number), "data": {"n": number}} for number in range(3)]
    found = probe.run([*events, {**EVENT, "id": "3", "data": {"bad": 1}}]).json()
    assert isinstance(found, list)
    assert [item["type"] for item in found] == ["t.response"] * 3 + ["t.error"]
    assert found[3]["data"]["error"]["field"] == "data[3]"


def web(content_type: str, **parameters: object) -> dict[str, object]:
    return {"__ow_method": "post", "__ow_headers": {"content-type": content_type}, **parameters}


def test_a_web_action_answers_with_status_headers_and_body(probe: Action) -> None:
    assert answer(probe, web("application/json", a=1)) == {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": {"asked": {"a": 1}, "event": False},
    }


def test_a_raw_web_action_with_bytes(probe: Action) -> None:
    body = base64.b64encode(bytes(range(256))).decode()
    found = answer(probe, web("image/png", __ow_body=body))
    assert found == {"statusCode": 200, "headers": {"content-type": "image/png"}, "body": body}


def test_a_compressed_body_is_refused_as_everywhere(probe: Action) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = base64.b64encode(gzip.compress(b"[1]")).decode()
    sent = {"__ow_method": "post", "__ow_headers": headers, "__ow_body": body}
    reply = answer(probe, sent)["error"]
    assert isinstance(reply, dict)
    assert reply["statusCode"] == 415
    error = reply["body"]["error"]
    assert (error["type"], error["field"]) == ("unsupported-media", "content-encoding")


def test_a_binary_event_through_a_web_action(probe: Action) -> None:
    headers = {f"ce-{name}": value for name, value in EVENT.items()}
    found = answer(
        probe,
        {
            "__ow_method": "post",
            "__ow_headers": {**headers, "content-type": "application/json"},
            "a": 1,
        },
    )
    replied = found["headers"]
    assert isinstance(replied, dict)
    assert (replied["ce-type"], replied["content-type"]) == ("t.response", "application/json")
    assert found["body"] == {"asked": {"a": 1}, "event": True}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])
def test_a_structured_event_through_a_web_action(probe: Action, raw: bool, charset: str) -> None:
    event = {**EVENT, "data": {"a": 1}}
    content_type = f"application/cloudevents+json{charset}"
    text = json.dumps(event)
    body = text if charset else base64.b64encode(text.encode()).decode()
    parameters = web(content_type, __ow_body=body) if raw else web(content_type, **event)
    found = answer(probe, parameters)
    assert found["statusCode"] == 200
    replied = found["body"]
    assert isinstance(replied, dict)
    assert replied["data"] == {"asked": {"a": 1}, "event": True}


def test_a_batch_through_a_web_action(probe: Action) -> None:
    content_type = "application/cloudevents-batch+json"
    found = answer(probe, web(content_type, __ow_body=[{**EVENT, "data": {"a": 1}}]))
    assert found["headers"] == {"content-type": content_type}
    assert isinstance(found["body"], list)


def test_a_failed_web_request_has_its_status(probe: Action) -> None:
    found = answer(probe, web("application/json", bad=1))
    response = found["error"]
    assert isinstance(response, dict)
    assert response["statusCode"] == 400
    assert response["body"]["error"]["detail"] == "expected 20 numbers"


def test_a_trigger_with_a_binary_event(probe: Action) -> None:
    headers = {f"ce-{name}": value for name, value in EVENT.items()}
    found = answer(probe, {"__ow_headers": {**headers, "authorization": "Basic s3cret"}, "a": 1})
    assert found == {"asked": {"a": 1}, "event": True}
    shown = answer(
        probe, {"__ow_headers": {"authorization": "Basic s3cret", "x-a": "1"}, "headers": 1}
    )
    assert shown == {"result": [["x-a", "1"]]}


def test_messages_of_the_kafka_feed(probe: Action) -> None:
    place = {"topic": "t", "partition": 0, "offset": 1, "key": "k"}
    values: list[object] = [
        json.dumps({**EVENT, "data": {"n": 1}}),
        {**EVENT, "data": {"n": 2}},
        '{"n": 3}',
        {"bad": 1},
        "no json",
    ]
    found = answer(probe, {"messages": [{**place, "value": value} for value in values]})
    results = found["results"]
    assert isinstance(results, list)
    assert [item.get("data", item) for item in results[:3]] == [
        {"asked": {"n": 1}, "event": True},
        {"asked": {"n": 2}, "event": True},
        {"asked": {"n": 3}, "event": False},
    ]
    assert [item["error"]["type"] for item in results[3:]] == ["invalid-tensor", "invalid-request"]


def logged(action: Action, value: object, **context: object) -> tuple[str, str]:
    """Return what one call adds to the two streams."""
    before = action.text()
    answer(action, value, **context)
    after = action.text()
    return after[0].removeprefix(before[0]), after[1].removeprefix(before[1])


def test_the_callers_fault_is_a_document_and_one_line(probe: Action) -> None:
    error = answer(probe, {"bad": 1})["error"]
    assert error == {
        "status": 400,
        "type": "invalid-tensor",
        "title": "Invalid tensor",
        "detail": "expected 20 numbers",
        "field": "data[3]",
    }
    out, err = logged(probe, {"bad": 1})
    assert " 400 invalid-tensor: data[3]: expected 20 numbers; " in out
    assert err == ""


def test_a_bug_is_a_trace_in_the_log_and_nothing_of_it_in_the_answer(probe: Action) -> None:
    reply = probe.run({"bug": 1})
    assert (reply.status, b"secret" in reply.body) == (200, False)
    out, err = logged(probe, {"bug": 1})
    assert "KeyError: 'a secret of ours'" in err
    assert err.splitlines()[0].endswith(" Traceback (most recent call last):")
    assert 'func.py", line' in err.splitlines()[1], "it begins in the user's code"
    assert "secret" not in out


def test_a_backends_failure_is_named_in_the_log(probe: Action) -> None:
    out, err = logged(probe, {"broken": 1})
    assert err.endswith("Z error openwhisk probe model-failed: the library says no\n")
    assert " 502 model-failed: the library says no; " in out


LINE = re.compile(
    r"[-\d]{10}T[\d:.]{12}Z info openwhisk probe call=abc 200 \d+\.\d{3} ms"
    r" \(decode \d+\.\d{3}, predict \d+\.\d{3}, encode \d+\.\d{3}\)"
    r" [1-9]\d* B in [1-9]\d* B out rss \d+\.\d MB [-+]\d+\.\d"
)


def test_the_log_of_an_activation(probe: Action) -> None:
    out, err = logged(probe, {"print": 1}, activation_id="abc")
    assert err == ""
    printed, line = out.splitlines()
    assert printed == "a line of the function's"
    assert LINE.fullmatch(line), line


def test_the_log_for_programs_has_times_and_memory_by_stage(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(PROBE)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with served(tmp_path, str(tmp_path), environ={"GPFN_LOG": "json"}) as action:
        action.init()
        out, _ = logged(action, {"__ow_method": "post", "__ow_headers": headers})
        record = json.loads(out)
        assert record["trace_id"] == trace
        out, err = logged(action, {"print": 1}, activation_id="abc")
    assert err == ""
    record = json.loads(out.splitlines()[-1])
    assert (record["function"], record["call"], record["status"]) == ("probe", "abc", 200)
    assert (
        list(record["stages_ms"]) == list(record["stages_rss"]) == ["decode", "predict", "encode"]
    )
    assert sum(record["stages_ms"].values()) <= 1.001 * record["ms"]
    assert all(size > 5e6 for size in (*record["stages_rss"].values(), record["rss"]))


def test_the_trace_id_of_an_event_is_logged(probe: Action) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}}
    out, _ = logged(probe, {**event, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert f" trace={trace} 200 " in out


def test_no_key_of_a_caller_is_ever_logged(probe: Action) -> None:
    headers = {
        "authorization": "Bearer s3cret",
        "cookie": "s3cret",
        "content-type": "application/json",
    }
    for asked in ({"a": 1}, {"bad": 1}, {"bug": 1}, {"__ow_body": "{s3cret"}):
        for method in ({"__ow_method": "post"}, {}):
            probe.run({**method, "__ow_headers": headers, **asked}, api_key="s3cret")
    assert "s3cret" not in probe.out.read_text() + probe.err.read_text()


def test_a_late_deadline_drops_the_work(probe: Action) -> None:
    error = answer(probe, {"a": 1}, deadline="1")["error"]
    assert isinstance(error, dict)
    assert error["type"] == "deadline-exceeded"


def test_the_start_is_logged_with_the_first_activation(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(PROBE)
    with served(tmp_path, str(tmp_path)) as action:
        out, _ = action.text(sentinels=0)
        ready = r".{24} info openwhisk probe ready: import \d\.\d{3} s, rss \d+\.\d MB\n"
        assert re.fullmatch(ready, out), "before the first sentinel"
        action.init()
        first, _ = logged(action, {"a": 1})
        second, _ = logged(action, {"a": 1})
        assert "ready" not in first + second
        assert action.text(sentinels=2)[0].count(" ready: import ") == 1


def test_a_quiet_log_has_failures_only(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(PROBE)
    with served(tmp_path, str(tmp_path), environ={"GPFN_LOG": "quiet"}) as action:
        action.init()
        for asked in ({"a": 1}, {"bad": 1}, {"broken": 1}):
            answer(action, asked)
        out, err = action.text(sentinels=3)
        assert out == ""
        assert re.fullmatch(r".{24} error openwhisk probe model-failed: the library says no\n", err)


MODEL = """
from gpfn import Function, TensorSpec
main = Function(model=("env:WHICH", "absent.tflite"), inputs={"x": TensorSpec("float32", (None,))},
                name="model").openwhisk
"""


def test_the_model_is_open_before_init_is_answered(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(MODEL)
    (tmp_path / "double.py").write_text(
        "print('model loaded')\ndef double(x):\n    return {'output': x * 2}\n"
    )
    with served(
        tmp_path, str(tmp_path), environ={"WHICH": "double:double"}, cwd=tmp_path
    ) as action:
        assert action.init().status == 200
        out, _ = action.text(sentinels=0)
        assert "model loaded" in out
        assert re.search(r"import \d\.\d{3} s, load \d\.\d{3} s, warm-up \d\.\d{3} s, rss ", out)
        assert probe_value(answer(action, {"x": [1, 2]})) == [2.0, 4.0]
        assert action.text()[0].count("model loaded") == 1


def probe_value(result: dict[str, object]) -> object:
    """Return the one value of a result."""
    (value,) = result.values()
    return value


def test_a_model_that_cannot_be_opened_is_told_by_each_call(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(MODEL)
    with served(tmp_path, str(tmp_path)) as action:
        assert action.init().status == 200
        for _ in range(2):
            error = answer(action, {"data": [1]})["error"]
            assert isinstance(error, dict)
            assert error["type"] == "model-unreadable"
            assert "absent.tflite" in error["detail"]
        out, err = action.text(sentinels=2)
        assert "model not opened" in out
        assert "openwhisk model model-unreadable: model: no model found" in err


def test_as_the_stock_runtime_calls_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def double(payload: Payload) -> object:
        asked = payload.json()
        if asked == {}:
            raise InvalidTensor("nothing", field="body")
        return {"twice": asked}

    monkeypatch.setenv("__OW_ACTIVATION_ID", "stock")
    main = Function(double, takes="payload", name="double").openwhisk
    assert main({"a": 1}) == {"twice": {"a": 1}}
    assert "error" in main({})
    assert "error" in main(None)
    out = capsys.readouterr().out
    assert out.count(" info openwhisk double call=stock ") == 3


def test_bytes_for_plain_parameters_are_base64() -> None:
    main = Function(lambda message: Message(b"\xff", "image/png"), takes="message").openwhisk
    assert main({}) == {"result": "/w==", "datacontenttype": "image/png"}
    nothing = Function(lambda message: Message(b""), takes="message").openwhisk
    assert nothing({}) == {}


def test_arrays_in_and_out() -> None:
    main = Function(
        lambda series: series * 2, inputs={"series": TensorSpec("float32", (None,))}
    ).openwhisk
    found = main([1.0, 2.0])
    assert found == [2.0, 4.0]


def test_a_reply_that_is_not_what_it_says_is_text() -> None:
    wrong = Function(lambda message: Message(b"{no json", "application/json"), takes="message")
    assert wrong.openwhisk({}) == {"result": "{no json"}
    web_request = {"__ow_method": "get", "__ow_headers": {}}
    assert wrong.openwhisk(web_request)["body"] == "{no json"  # type: ignore[call-overload]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
SPECIAL = st.sampled_from(
    [
        "__ow_method",
        "__ow_headers",
        "__ow_body",
        "__ow_query",
        "__ow_path",
        "messages",
        "specversion",
        "cloudEventsVersion",
        "id",
        "source",
        "type",
        "data",
        "data_base64",
        "datacontenttype",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(SPECIAL | st.text(max_size=5), JSON, max_size=6) | st.lists(JSON, max_size=3)
)
def test_no_parameters_make_it_raise(parameters: dict[str, object] | list[object]) -> None:
    main = ECHO.openwhisk
    result = main(parameters)
    json.dumps(result)
    assert isinstance(result, dict | list)


ECHO = Function(lambda payload: payload, takes="payload", name="echo")


@pytest.mark.parametrize(
    "parameters",
    [
        {"a": 2**70},
        {"a": "\ud800"},
        [2**70],
        {
            "__ow_method": "post",
            "__ow_headers": {"content-type": "text/plain"},
            "__ow_body": "\ud800",
        },
        {"messages": [{"topic": "t", "value": "\ud800"}]},
        {"__ow_headers": {"ce-specversion": "\ud800", "ce-id": "\ud800"}},
    ],
)
def test_what_only_pythons_json_lets_through(parameters: dict[str, object]) -> None:
    """The stock runtime reads parameters with it."""
    json.dumps(ECHO.openwhisk(parameters))


LONG = 12345678901234567890123


def test_whole_numbers_of_any_size_go_through(probe: Action) -> None:
    assert answer(probe, {"a": [LONG]})["asked"] == {"a": [LONG]}
    assert answer(probe, {**EVENT, "data": {"a": LONG}})["data"] == {
        "asked": {"a": LONG},
        "event": True,
    }
    assert answer(probe, web("application/json", a=LONG))["body"] == {
        "asked": {"a": LONG},
        "event": False,
    }
    raw = base64.b64encode(json.dumps({"a": LONG}).encode()).decode()
    assert answer(probe, web("application/json", __ow_body=raw))["body"] == {
        "asked": {"a": LONG},
        "event": False,
    }


def test_a_plain_call_of_main_keeps_them_too() -> None:
    main = Function(lambda payload: payload.json(), takes="payload").openwhisk
    assert main({"a": LONG, "b": [2**64]}) == {"a": LONG, "b": [2**64]}
    many = Function(many_digits, takes="payload").openwhisk
    assert many({}) == {"a": int("7" * 400)}


def many_digits(_: Payload) -> Payload:
    return Payload(b'{"a":' + b"7" * 400 + b"}", "application/json")
