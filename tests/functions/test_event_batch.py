"""Batches of events for functions with real models: answers as event by event, in fewer calls."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn import Function
from gpfn.call import together
from gpfn.events import Event, read
from gpfn.function import load_function
from gpfn.message import Message
from tests.conftest import ROOT
from tests.platforms.http.served import Process, served, write_function

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"
BOUNDS = {
    "forecast.tflite": 0.0,
    "digits.tflite": 0.0,
    "forecast.onnx": 0.0,
    "forecast_savedmodel": 1e-5,
    "rnn_ts_model.pb": 1e-5,
}
"""How far an answer may be from that of the event alone, as a part of its largest value: as in
tests/serving/test_rows.py, where it was measured."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no moment in which this process had to wait decide how many are asked together."""
    monkeypatch.setattr(together, "_SECONDS", float("inf"))
    monkeypatch.setattr(together, "_PATIENCE", float("inf"))
    monkeypatch.delenv("GP_SERVER_URL", raising=False)


def samples() -> list[dict[str, Any]]:
    """Return 64 events like the two of the sample, each with other numbers."""
    given = json.loads((ROOT / "ce_samples" / "forecast-batch.json").read_text())
    assert len(given) == 2
    random = np.random.default_rng(3)
    return [
        {
            **given[number % 2],
            "id": f"window-{number}",
            "data": (np.array(given[number % 2]["data"]) + random.normal(0, 3, 20)[:, None])
            .round(2)
            .tolist(),
        }
        for number in range(64)
    ]


def counted(function: Function, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the rows of each call of the function's model."""
    contract = function.contract
    rows: list[int] = []
    predict = contract.predict

    def counting(value: Any, deadline: Any) -> object:
        named = value.values() if isinstance(value, dict) else value
        (array,) = (named,) if isinstance(named, np.ndarray) else named
        rows.append(len(array))
        return predict(value, deadline)

    monkeypatch.setattr(contract, "predict", counting)
    monkeypatch.setattr(contract, "joint", None)  # a file is loaded once for all tests
    return rows


def answers(function: Function, message: Message) -> Sequence[Event]:
    reply = function.answer(message)
    assert reply.status == 200, reply.message.body
    found = read(reply.message)
    assert found is not None
    return found.events


def singly(function: Function, events: Sequence[dict[str, Any]]) -> list[Event]:
    """Return what each event is answered in a message of its own."""
    return [answers(function, Message(json.dumps(e).encode(), STRUCTURED))[0] for e in events]


def in_a_batch(function: Function, events: Sequence[dict[str, Any]]) -> Sequence[Event]:
    return answers(function, Message(json.dumps(events).encode(), BATCH))


def test_64_windows_are_one_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    forecast = load_function(str(ROOT / "functions" / "forecast" / "func.py"))
    rows = counted(forecast, monkeypatch)
    events = samples()
    alone = singly(forecast, events)
    assert rows == [1] * 64
    rows.clear()
    in_a_batch(forecast, events[:2])
    rows.clear()
    joint = in_a_batch(forecast, events)
    assert rows == [64]
    for one, other in zip(joint, alone, strict=True):
        assert one.data == other.data, "to the last digit"
        assert one.attribute("causationid") == other.attribute("causationid")
        assert (one.type, one.subject) == (other.type, other.subject)
        assert one.attribute("traceparent") == other.attribute("traceparent")
    assert len({one.data for one in joint}) == 64


def test_a_window_too_short_and_one_that_is_late_fail_among_63(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forecast = load_function(str(ROOT / "functions" / "forecast" / "func.py"))
    rows = counted(forecast, monkeypatch)
    events = samples()
    alone = singly(forecast, events)
    in_a_batch(forecast, events[:2])
    events[5]["data"] = events[5]["data"][0][:19]
    events[40]["expirytime"] = "2001-01-01T00:00:00Z"
    events[41]["data"] = [[[1.0]] * 40]  # two windows in one
    rows.clear()
    joint = in_a_batch(forecast, events)
    assert rows == [63], "61 of one window, one of two"
    for number, (one, other) in enumerate(zip(joint, alone, strict=True)):
        if number in (5, 40):
            assert one.type == "com.example.forecast.error"
            assert one.attribute("causationid") == f"window-{number}"
        elif number == 41:
            assert np.shape(one.json()) == (2, 20, 1)
        else:
            assert one.data == other.data


@pytest.mark.parametrize("name", BOUNDS)
def test_every_kind_of_model_answers_as_event_by_event(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ROOT / "models" / name
    path = found if found.exists() else shared / "data" / "models" / name
    function = Function(model=str(path))
    calls = counted(function, monkeypatch)
    spec = function.contract.specs[0]
    assert spec.shape is not None
    random = np.random.default_rng(5)
    shape = [size or 1 for size in spec.shape[1:]]

    def rows(number: int) -> "np.ndarray[Any, Any]":
        size = (1 + number % 3, *shape)
        if spec.dtype == "uint8":
            return random.integers(0, 256, size)
        return random.normal(0, 10.0 ** (number % 4 - 1), size)

    events = [
        {
            "specversion": "1.0",
            "id": str(number),
            "source": "/s",
            "type": "t",
            "data": rows(number).tolist(),
        }
        for number in range(20)
    ]
    alone = singly(function, events)
    in_a_batch(function, events[:2])
    calls.clear()
    joint = in_a_batch(function, events)
    assert sum(calls) == sum(1 + number % 3 for number in range(20))
    assert len(calls) == 1
    for one, other in zip(joint, alone, strict=True):
        if not BOUNDS[name]:
            assert one.data == other.data, "to the last digit"
            continue
        array, want = np.array(one.json()), np.array(other.json())
        assert np.abs(array - want).max() <= BOUNDS[name] * np.abs(want).max()


def test_a_function_may_say_that_its_events_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(ROOT / "models" / "forecast.tflite")
    apart = Function(model=path, together=False)
    rows = counted(apart, monkeypatch)
    events = samples()[:5]
    assert len(in_a_batch(apart, events)) == len(in_a_batch(apart, events)) == 5
    assert rows == [1] * 10


COUNTING = """
import json
from gpfn.function import load_function

app = load_function({path!r}).asgi
contract = app.function.contract
predict, calls = contract.predict, []


def counting(value, deadline):
    (array,) = value if isinstance(value, tuple) else (value,)
    calls.append(len(array))
    with open({out!r}, "w") as file:
        json.dump(calls, file)
    return predict(value, deadline)


contract.predict = counting
"""


def asked(process: Process, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = process.ask(body=json.dumps(events).encode(), headers={"content-type": BATCH})
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == BATCH
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


def test_a_batch_for_a_real_process_over_http(tmp_path: Path) -> None:
    out = tmp_path / "calls.json"
    path = str(ROOT / "functions" / "forecast" / "func.py")
    file = write_function(tmp_path, COUNTING.format(path=path, out=str(out)))
    events = samples()
    forecast = load_function(path)
    want = [json.loads(one.data or b"") for one in singly(forecast, events)]
    events[7] = {**events[7], "data": [[[1.0]] * 19]}
    with served(file, tmp_path / "log", GPFN_THREADS="1") as process:
        for _ in range(3):
            found = asked(process, events)
            assert [e["causationid"] for e in found] == [e["id"] for e in events]
            assert found[7]["data"]["error"]["type"] == "invalid-tensor"
            assert [e["data"] for n, e in enumerate(found) if n != 7] == [
                data for n, data in enumerate(want) if n != 7
            ]
        calls = json.loads(out.read_text())
        assert sum(calls) == 3 * 63
        assert len(calls) < 20, f"63 events are a few calls, not one for each: {calls}"
        assert process.logged("window-7") or process.logged("expected 20 numbers")
        single = process.ask(
            body=json.dumps(events[0]).encode(), headers={"content-type": STRUCTURED}
        )
        assert json.loads(single.body)["data"] == want[0]


@pytest.mark.timing
def test_a_batch_is_faster_than_its_events() -> None:
    """By far: on any machine, and with whatever else it does."""
    forecast = load_function(str(ROOT / "functions" / "forecast" / "func.py"))
    events = samples()
    message = Message(json.dumps(events).encode(), BATCH)
    messages = [Message(json.dumps(e).encode(), STRUCTURED) for e in events]

    def took(way: Sequence[Message]) -> float:
        began = time.process_time()
        for one in way:
            forecast.answer(one)
        return time.process_time() - began

    took([message])
    joint = min(took([message]) for _ in range(9))
    alone = min(took(messages) for _ in range(9))
    assert alone > 1.3 * joint
