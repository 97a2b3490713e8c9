"""Records are found among what a function prints, and a person reads them as text."""

import json

import pytest

from gpfn.call.contract import Reply
from gpfn.errors import InvalidTensor
from gpfn.hosts.log import listening_url, readable, records, start_seconds
from gpfn.log import Log
from gpfn.message import Message

GOOD = Reply(Message(b"xy"), stages=(("decode", 0.0001), ("predict", 0.0029)))
BAD = Reply(Message(b""), 400, error=InvalidTensor("no", field="data[3]"))


def written(form: str) -> str:
    """Return a log with every kind of record, at one time that stands for all."""
    parts: list[bytes] = []
    log = Log("http", "f", form=form, sink=lambda data, _failure: parts.append(data))
    log.info("hello\nworld", call="a b")
    log.listening("http://127.0.0.1:8080")
    log.ready({"import": 0.25, "load": 0.5}, " (m)")
    log.call("1", GOOD, 0.003214, 5, 2, trace="4bf92f3577b34da6a3ce929d0e0e4736")
    log.call("2", BAD, 0.001, 5, 2)
    try:
        raise KeyError("ours")
    except KeyError as error:
        log.failure(error, call="3")
    return b"".join(parts).decode()


def without_time_and_memory(text: str) -> list[str]:
    return [line[24:].partition(" rss ")[0] for line in text.splitlines()]


def test_json_lines_made_readable_are_the_text_form() -> None:
    text = readable(written("json"))
    assert without_time_and_memory(text) == without_time_and_memory(written("text"))


def test_what_a_person_may_ask_for() -> None:
    log = "printed\n" + written("json")
    assert readable(log, "json") == log
    quiet = readable(log, "quiet").splitlines()
    assert quiet[0] == "printed"
    assert all(" error http f call=3 " in line for line in quiet[1:])


def test_records_are_found_among_other_lines() -> None:
    line = json.dumps(
        {"time": "t", "level": "info", "message": "m", "ms": 1}, separators=(",", ":")
    )
    log = f'hello\n{line}\n{{"other": 1}}\n{{"time":5}}\n{{"time":"half\n{line}'
    assert [record["ms"] for record in records(log)] == [1, 1]


def test_what_hosts_ask_a_log_for() -> None:
    log = written("json")
    assert listening_url(log) == "http://127.0.0.1:8080"
    assert start_seconds(log) == {"import": 0.25, "load": 0.5}
    assert (listening_url(""), start_seconds("printed\n")) == ("", {})


@pytest.mark.parametrize("text", ["", "a", "a\n", '{"time":\n', "\r\n"])
def test_what_is_no_record_stays_as_it_is(text: str) -> None:
    assert readable(text) == text


@pytest.mark.parametrize(
    "line",
    [
        '{"time":"t","level":"info"}',
        '{"time":"t","level":7,"message":"m"}',
        '{"time":"t","level":"info","status":200}',
        '{"time":"t","level":"info","status":200,"ms":"x","stages_ms":[]}',
        '{"time":"t","level":"info","message":"m","seconds":5}',
        '{"time":"t","level":"info","message":"m","seconds":{"load":"x"}}',
        '{"time":"t","level":"info","message":"m","url":5}',
        '{"time":' + "[" * 100_000,
    ],
)
def test_json_that_the_function_prints_of_its_own_stays_as_it_is(line: str) -> None:
    for form in ("text", "json", "quiet"):
        assert readable(f"{line}\n", form) == f"{line}\n"
    assert start_seconds(line) == {}
    assert listening_url(line) == ""
