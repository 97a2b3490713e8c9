"""Parameters of the action, its package and the trigger, which come mixed with the caller's."""

import pytest

from gpfn import Function, TensorSpec
from gpfn.call.contract import Call
from gpfn.call.payload import Payload
from gpfn.events import Event

OWN: dict[str, object] = {"API_HOST": "h", "apikey": "k", "retries": 5, "nested": {"a": [1]}}
EVENT: dict[str, object] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
OLDEST = {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"}
HEADERS = {f"ce-{name}": value for name, value in EVENT.items()}
WEB: dict[str, object] = {"__ow_method": "post", "__ow_headers": {}}
ROW: list[object] = [[1.0, 2.0]]


def mean(series: "object", call: Call) -> dict[str, object]:
    return {"mean": series.mean().item(), "host": call.parameters.get("API_HOST")}  # type: ignore[attr-defined]


main = Function(mean, inputs={"series": TensorSpec("float32", (None, 2))}, name="mean").openwhisk
RIGHT = {"mean": 1.5, "host": "h"}


def answered(parameters: dict[str, object]) -> object:
    """Return what the function answered, however it was wrapped."""
    found = main(parameters)
    for name in ("body", "data", "body", "data"):
        if isinstance(found, dict) and name in found and "mean" not in found:
            found = found[name]
    return found


V2 = {"name": "series", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


@pytest.mark.parametrize(
    "sent",
    [
        {"series": ROW},
        {"series": {"shape": [1, 2], "data": [1, 2]}},
        {"shape": [1, 2], "data": [1, 2]},
        {"shape": [1, 2], "data": [1, 2], "dtype": "float64"},
        {"id": "7", "inputs": [V2]},
        {"series": ROW, "inputs": "of the action", "shape": 3, "data": 4},
        {**EVENT, "data": ROW},
        {**EVENT, "data": {"series": ROW}},
        {**OLDEST, "data": ROW},
        {**EVENT, "specversion": "0.3", "data": ROW},
        {**WEB, "series": ROW},
        {**WEB, **EVENT, "data": ROW},
        {**WEB, "__ow_body": ROW},
        {**WEB, "__ow_body": "W1sxLDJdXQ==", "__ow_headers": {"content-type": "application/json"}},
        {**WEB, "__ow_headers": HEADERS, "series": ROW},
        {**WEB, "__ow_headers": HEADERS, "__ow_body": ROW},
        {"__ow_headers": HEADERS, "series": ROW},
        {"__ow_headers": {"x-a": "1"}, **EVENT, "data": ROW},
    ],
    ids=str,
)
def test_they_are_set_aside_and_told_to_who_asks(sent: dict[str, object]) -> None:
    assert answered({**OWN, **sent}) == RIGHT
    assert answered(sent) == {"mean": 1.5, "host": None}


def test_an_array_and_messages_of_the_feed() -> None:
    assert main(ROW) == {"mean": 1.5, "host": None}
    message = {"topic": "t", "value": {"series": ROW}}
    assert main({"messages": [message], **OWN}) == {"results": [RIGHT]}
    message["value"] = {"series": ROW, "API_HOST": "h"}  # nobody mixes anything in there
    [refused] = main({"messages": [message], **OWN})["results"]  # type: ignore[index]
    assert refused["error"]["field"] == "body.API_HOST"


def test_what_is_missing_is_still_named() -> None:
    for parameters in (OWN, {"serie": ROW, **OWN}, {}):
        error = main(parameters)["error"]  # type: ignore[index]
        assert (error["status"], error["detail"], error["field"]) == (400, "missing", "body.series")


def test_data_that_nothing_is_mixed_into_stay_strict() -> None:
    error = main({**EVENT, "data": {"series": ROW, "API_HOST": "h"}})["error"]  # type: ignore[index]
    assert error["field"] == "data.API_HOST"


def extensions(event: Event) -> dict[str, object]:
    return dict(event.extensions)


def test_an_event_has_the_extensions_that_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Function(extensions, takes="event", name="ask").openwhisk
    known = {"traceparent": "00-a-b-01", "partitionkey": "p", "sampledrate": 3, "dtype": "int8"}
    sent = {**EVENT, **known, "tenant": "me", **OWN}
    assert ask(sent)["data"] == known  # type: ignore[index]
    monkeypatch.setenv("GPFN_EXTENSIONS", "tenant, shard")
    assert ask(sent)["data"] == {**known, "tenant": "me"}  # type: ignore[index]


def test_an_event_keeps_all_of_its_extensions_where_nothing_is_mixed_in() -> None:
    ask = Function(extensions, takes="event", name="ask").openwhisk
    assert ask({**OLDEST, "extensions": {"tenant": "me"}, **OWN})["data"] == {"tenant": "me"}  # type: ignore[index]
    headers = {**HEADERS, "ce-tenant": "me"}
    found = ask({"__ow_headers": headers, **OWN})
    assert found == {"tenant": "me"}
    assert ask([{**EVENT, "tenant": "me"}])[0]["data"] == {"tenant": "me"}  # type: ignore[index]


def test_a_function_of_payloads_has_all_of_them() -> None:
    def asked(payload: Payload, call: Call) -> object:
        return [payload.json(), dict(call.parameters)]

    ask = Function(asked, takes="payload", name="asked").openwhisk
    plain = {"a": 1, **OWN}
    assert ask(plain) == {"result": [plain, plain]}
    found = ask({**EVENT, "data": {"a": 1}, **OWN})
    assert found["data"] == [{"a": 1}, {**EVENT, "data": {"a": 1}, **OWN}]  # type: ignore[index]
    found = ask({**WEB, "__ow_body": [1], **OWN})
    assert found["body"] == [[1], OWN]  # type: ignore[index]


def test_an_event_among_the_data_of_an_event_is_whole() -> None:
    ask = Function(lambda payload: payload.json(), takes="payload", name="ask").openwhisk
    wrapped = {**EVENT, "tenant": "me"}
    assert ask({"__ow_headers": HEADERS, **wrapped}) == wrapped


def test_a_function_of_messages_gets_an_event_that_can_be_read() -> None:
    ask = Function(lambda message: message, takes="message", name="ask").openwhisk
    assert ask({**EVENT, "data": 1, **OWN}) == {**EVENT, "data": 1}
