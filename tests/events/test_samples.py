"""Every file in ce_samples/: what made it, what it is read as, and what the forecast says."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from gpfn import Limits, TensorSpec
from gpfn.call.contract import Call, Reply
from gpfn.events import Event, Message, read
from gpfn.function.function import Function
from gpfn.platforms.load import load_function
from gpfn.tensors import decode_bytes, decode_json
from tests.conftest import ROOT
from tests.events.asking import one

FOLDER = ROOT / "ce_samples"
SERIES = TensorSpec("float32", (None, 20, 1), "series")
EVENTS = ["forecast.json", "ce.json", "forecast-0.3.json", "forecast-0.1.json"]
OTHERS = ["forecast-binary.json", "forecast-base64.json", "forecast.binpb"]


@pytest.fixture(scope="module")
def forecast() -> Function:
    """The function forecast, opened."""
    function = load_function(str(ROOT / "functions" / "forecast"))
    function.open()
    return function


def message(name: str) -> Message:
    """Return a sample as ``fn invoke`` sends it, or in binary mode with its headers."""
    body = (FOLDER / name).read_bytes()
    if name.endswith(".binpb"):  # the one that has to say what it is
        return Message(body, "application/cloudevents+protobuf")
    if not name.startswith("forecast-binary"):
        return Message(body, "text/plain")
    lines = (FOLDER / "forecast-binary.headers").read_text().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    content_type = headers.pop("content-type")
    return Message(body, content_type, tuple(headers.items()))


def arrays(event: Event) -> np.ndarray:
    """Return the windows in an event's data."""
    if event.datacontenttype == "application/octet-stream":
        attributes = {name: str(value) for name, value in event.extensions.items()}
        data, kind = event.data or b"", "application/octet-stream"
        found = decode_bytes(data, kind, [SERIES], Limits(), attributes=attributes)
    else:
        found = decode_json(event.json(), [SERIES], Limits())
    return found["series"]


def test_the_files_are_what_make_py_makes() -> None:
    made = runpy.run_path(str(FOLDER / "make.py"))["samples"]()
    others = {"make.py", "README.md"}
    assert {name: (FOLDER / name).read_bytes() for name in made} == made
    listed = (FOLDER / "README.md").read_text()
    assert [name for name in made if f"`{name}`" not in listed] == []
    assert not others & made.keys()


def test_ce_json_is_the_first() -> None:
    assert (FOLDER / "ce.json").read_bytes() == (FOLDER / "forecast.json").read_bytes()


def test_the_window_is_the_one_on_the_models_card() -> None:
    card = json.loads((ROOT / "models" / "forecast.json").read_text())
    shown = np.array(card["example"]["series"], np.float32)
    assert arrays(one(message("forecast.json"))).ravel().tolist() == shown.tolist()


@pytest.mark.parametrize("name", [*EVENTS, *OTHERS])
def test_one_event_in_every_dress(name: str) -> None:
    event, first = one(message(name)), one(message("forecast.json"))
    assert event.id == "series-2024-12"
    assert event.type == "com.example.forecast"
    assert event.time == "2025-01-01T00:00:00Z"
    assert event.extensions["traceparent"] == first.extensions["traceparent"]
    assert np.array_equal(arrays(event), arrays(first))


def test_batch_and_128() -> None:
    received = read(message("forecast-batch.json"))
    assert received is not None
    assert received.mode == "batch"
    assert [event.id for event in received.events] == ["series-2024-11", "series-2024-12"]
    many = arrays(one(message("forecast-128.json")))
    assert many.shape == (128, 20, 1)
    assert np.array_equal(many[-1:], arrays(one(message("forecast.json"))))
    assert np.array_equal(many[1:, 0], many[:-1, 1])  # each window begins a month later


def test_an_event_a_line() -> None:
    lines = (FOLDER / "forecasts.jsonl").read_bytes().splitlines()
    events = [one(Message(line, "application/cloudevents+json")) for line in lines]
    assert [event.id for event in events] == [f"series-2024-{month}" for month in (10, 11, 12)]
    assert {event.extensions["destination"] for event in events} == {"forecast"}
    assert {event.extensions["partitionkey"] for event in events} == {"monthly"}
    assert np.array_equal(arrays(events[-1]), arrays(one(message("forecast.json"))))


def answer(function: Function, name: str) -> Reply:
    """Return what the function answers to a sample."""
    return function.answer(message(name), Call())


@pytest.mark.parametrize("name", [*EVENTS, *OTHERS])
def test_every_dress_gets_the_same_forecast(forecast: Function, name: str) -> None:
    card = json.loads((ROOT / "models" / "forecast.json").read_text())
    reply = answer(forecast, name)
    assert reply.status == 200
    event = one(reply.message)
    assert event.type == "com.example.forecast.response"
    assert event.extensions["causationid"] == "series-2024-12"
    assert np.allclose(arrays(event).ravel(), card["example"]["forecast"], atol=1e-3)


def test_many_windows_get_many_forecasts(forecast: Function) -> None:
    one_by_one = arrays(one(answer(forecast, "forecast.json").message))
    many = arrays(one(answer(forecast, "forecast-128.json").message))
    assert many.shape == (128, 20, 1)
    assert np.allclose(many[-1:], one_by_one, atol=1e-4)
    received = read(answer(forecast, "forecast-batch.json").message)
    assert received is not None
    assert np.allclose(arrays(received.events[1]), one_by_one, atol=1e-4)
    plain = json.loads(bytes(answer(forecast, "window.json").message.body))
    assert np.allclose(plain, one_by_one, atol=1e-4)


BROKEN = re.findall(
    r"^\| `(broken-[^`]+)` \| (.+?) \| `(.+?)` \|$", (FOLDER / "README.md").read_text(), re.M
)


@pytest.mark.parametrize(("name", "detail", "field"), BROKEN)
def test_broken_ones_get_the_error_that_the_readme_says(
    forecast: Function, name: str, detail: str, field: str
) -> None:
    reply = answer(forecast, name)
    assert reply.status == 400
    error = json.loads(bytes(reply.message.body))["error"]
    assert (error["detail"], error["field"]) == (detail, field)
    assert answer(forecast, "forecast.json").status == 200


def test_every_broken_one_is_in_the_readme() -> None:
    assert sorted(Path(name).name for name, _, _ in BROKEN) == sorted(
        path.name for path in FOLDER.glob("broken-*")
    )
