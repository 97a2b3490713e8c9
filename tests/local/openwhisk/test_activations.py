"""Records of activations: what they show, which are listed, and how long they are kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from gpfn.local.openwhisk.activations import WhiskActivation, WhiskActivations
from gpfn.local.openwhisk.results import SUCCESS, ActivationResponse, whisk_error
from gpfn.local.state import State

NOW = 1_700_000_000


def activation(number: int, name: str = "a", package: str = "", **more: Any) -> WhiskActivation:
    path = f"{package}/{name}" if package else name
    start = 1000 * NOW + number
    response = ActivationResponse(SUCCESS, {"n": number}, 7)
    known = (("kind", "blackbox"), ("path", f"guest/{path}"))
    one = WhiskActivation(
        f"{number:032x}", path, name, "0.0.1", start, response, start + 5, 5, known
    )
    return one._replace(**more)


def kept(**bounds: Any) -> WhiskActivations:
    return WhiskActivations(State(), clock=lambda: NOW + 1.0, **bounds)


def ids(texts: Any) -> list[int]:
    return [int(json.loads(text)["activationId"], 16) for text in texts]


def test_a_record_is_there_when_it_is_over() -> None:
    activations = kept()
    activations.begin(activation(1))
    assert activations.get(f"{1:032x}") is None
    activations.put(activation(1, logs=("one",)))
    assert activations.get(f"{1:032x}") == {
        "namespace": "guest",
        "name": "a",
        "version": "0.0.1",
        "subject": "guest",
        "activationId": f"{1:032x}",
        "start": 1000 * NOW + 1,
        "end": 1000 * NOW + 6,
        "duration": 5,
        "response": {"status": "success", "success": True, "result": {"n": 1}, "size": 7},
        "logs": ["one"],
        "annotations": [
            {"key": "kind", "value": "blackbox"},
            {"key": "path", "value": "guest/a"},
        ],
        "publish": False,
    }


def test_a_list_has_summaries() -> None:
    activations = kept()
    activations.put(activation(1, cause="c" * 32))
    [text] = activations.list()
    assert json.loads(text) == {
        "namespace": "guest",
        "name": "a",
        "version": "0.0.1",
        "activationId": f"{1:032x}",
        "cause": "c" * 32,
        "start": 1000 * NOW + 1,
        "end": 1000 * NOW + 6,
        "duration": 5,
        "statusCode": 0,
        "annotations": [
            {"key": "kind", "value": "blackbox"},
            {"key": "path", "value": "guest/a"},
        ],
        "publish": False,
    }


def test_what_a_trigger_was_has_no_end() -> None:
    activations = kept()
    activations.put(activation(1, end=0, duration=0))
    document = activations.get(f"{1:032x}")
    assert document is not None
    [text] = activations.list()
    for each in (document, json.loads(text)):
        assert not {"end", "duration", "statusCode"}.intersection(each)


def test_a_list_is_the_newest_first_and_in_pages() -> None:
    activations = kept()
    for number in (3, 1, 2, 5, 4):
        activations.put(activation(number))
    assert ids(activations.list(limit=2)) == [5, 4]
    assert ids(activations.list(limit=2, skip=2)) == [3, 2]
    assert ids(activations.list(limit=9, skip=4)) == [1]


def test_a_list_is_of_a_name_and_of_a_time_with_both_ends() -> None:
    activations = kept()
    for number in range(1, 5):
        activations.put(activation(number, package="p" if number % 2 else ""))
    begin = 1000 * NOW
    assert ids(activations.list(path="a")) == [4, 2]
    assert ids(activations.list(path="p/a")) == [3, 1]
    assert ids(activations.list(since=begin + 2, upto=begin + 3)) == [3, 2]
    assert activations.count(path="p/a") == 2
    assert activations.count(since=begin + 2) == 3
    assert activations.count(skip=3) == 1
    assert activations.count(skip=9) == 0


def test_records_are_bounded_by_their_number() -> None:
    activations = kept(most=3)
    for number in range(1, 6):
        activations.put(activation(number))
    assert ids(activations.list()) == [5, 4, 3]
    assert activations.get(f"{2:032x}") is None


def test_records_are_bounded_by_their_bytes() -> None:
    activations = kept(most_bytes=10_000)
    for number in range(1, 6):
        activations.put(activation(number, logs=("x" * 3000,)))
    assert ids(activations.list()) == [5, 4]
    activations.put(activation(6, logs=("x" * 20_000,)))
    assert ids(activations.list()) == [6]  # what was just acknowledged is always there


def test_records_are_bounded_by_their_age() -> None:
    now = [float(NOW)]
    activations = WhiskActivations(State(), age_seconds=60.0, clock=lambda: now[0])
    activations.put(activation(1))
    now[0] += 61
    activations.put(activation(70_000))
    assert ids(activations.list()) == [70_000]


def test_what_was_counted_is_counted_again_after_a_restart(tmp_path: Path) -> None:
    place = tmp_path / "state"
    state = State(place)
    activations = WhiskActivations(state, most=3, clock=lambda: NOW)
    for number in range(1, 4):
        activations.put(activation(number))
    state.close()
    state = State(place)
    again = WhiskActivations(state, most=3, clock=lambda: NOW)
    again.put(activation(4))
    assert ids(again.list()) == [4, 3, 2]
    state.close()


def test_what_ran_when_the_process_ended_has_a_record_that_says_so(tmp_path: Path) -> None:
    place = tmp_path / "state"
    state = State(place)
    before = WhiskActivations(state, clock=lambda: NOW + 1.0)
    before.begin(activation(1, cause="c" * 32))
    before.begin(activation(2))
    before.put(activation(2))
    before.begin(activation(3))
    before.forget(f"{3:032x}")
    state.close()
    state = State(place)
    after = WhiskActivations(state, clock=lambda: NOW + 9.0)
    document = after.get(f"{1:032x}")
    assert document is not None
    assert document["response"]["status"] == "whisk internal error"
    assert "ended while the action ran" in document["response"]["result"]["error"]
    assert (document["end"], document["cause"]) == (1000 * NOW + 9000, "c" * 32)
    assert {"key": "kind", "value": "blackbox"} in document["annotations"]
    assert after.count() == 2
    state.close()
    state = State(place)
    assert WhiskActivations(state, clock=lambda: NOW).count() == 2
    state.close()


def test_a_record_that_cannot_be_written_leaves_the_rest_as_it_was() -> None:
    activations = kept()
    activations.put(activation(1))
    activations.begin(activation(2))
    with pytest.raises(Exception, match="UNIQUE"):
        activations.put(activation(1, response=whisk_error("again")))
    document = activations.get(f"{1:032x}")
    assert document is not None
    assert document["response"]["success"]
    activations.put(activation(2))
    assert activations.count() == 2
