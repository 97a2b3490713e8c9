"""The log: one line a record, as text and as JSON, whatever stands in it."""

import json
import mmap
import os
import re
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.call.contract import Reply
from gpfn.errors import (
    GpfnError,
    InvalidTensor,
    ModelFailed,
    Overloaded,
    SetupError,
    error_document,
)
from gpfn.log import (
    Log,
    call_text,
    error_text,
    format_text,
    resident,
    timestamp,
    trace_id,
    write_stderr,
)
from gpfn.log_json import call_fields, format_json
from gpfn.message import Message

TIME = "2026-11-28T17:52:01.123Z"
HEAD = (TIME, "info", "fn", "forecast", "01ABC", "4bf92f3577b34da6a3ce929d0e0e4736")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STAGES = (("decode", 0.0001), ("predict", 0.0029))

any_text = st.text(st.characters(codec=None), max_size=60)
heads = st.tuples(*[any_text] * 3).map(lambda words: (TIME, "info", "fn", *words))


class Lines(list[tuple[str, bool]]):
    """A sink that keeps what is written, and whether it tells of a failure."""

    def __call__(self, data: bytes, failure: bool) -> None:
        self.append((data.decode(), failure))


def reply(**more: object) -> Reply:
    return Reply(Message(b"x" * 120), stages=STAGES)._replace(**more)  # type: ignore[arg-type]


def logged(form: str, tell: Callable[[Log], object]) -> list[tuple[str, bool]]:
    lines = Lines()
    tell(Log("fn", "forecast", form=form, sink=lines))
    return lines


@given(heads, any_text)
def test_a_text_record_is_one_printable_line(head: tuple[str, ...], text: str) -> None:
    line = format_text(head, text).decode()  # type: ignore[arg-type]
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert line.startswith(f"{TIME} info fn ")


@given(
    heads,
    st.dictionaries(
        any_text,
        any_text | st.integers() | st.floats() | st.booleans() | st.none(),
        max_size=5,
    ),
)
def test_a_json_record_is_one_line_of_valid_json(
    head: tuple[str, ...], fields: dict[str, object]
) -> None:
    fields = {f"_{name}": value for name, value in fields.items()}
    line = format_json(head, fields).decode()  # type: ignore[arg-type]
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    found = json.loads(line, parse_constant=pytest.fail)
    assert found["time"] == TIME
    assert len([name for name in found if name.startswith("_")]) == len(fields)


@given(any_text.filter(lambda text: text.isprintable() or text.isascii()))
def test_a_json_record_says_the_text_as_it_is(text: str) -> None:
    assert json.loads(format_json(HEAD, {"message": text}))["message"] == text


def test_a_call_as_text_and_as_json() -> None:
    sizes = (669, 120, 43_600_000, 100_000)
    line = format_text(HEAD, call_text(reply(), 0.003214, sizes)).decode()
    assert line == (
        f"{TIME} info fn forecast call=01ABC trace={HEAD[5]} 200 3.214 ms"
        " (decode 0.100, predict 2.900) 669 B in 120 B out rss 43.6 MB +0.1\n"
    )
    bad = reply(status=400, error=InvalidTensor("no", field="data"), memory=(("decode", 7),))
    assert json.loads(format_json(HEAD, call_fields(bad, 0.003214, sizes, error_text(bad)))) == {
        "time": TIME,
        "level": "info",
        "where": "fn",
        "function": "forecast",
        "call": "01ABC",
        "trace_id": HEAD[5],
        "status": 400,
        "ms": 3.214,
        "stages_ms": {"decode": 0.1, "predict": 2.9},
        "bytes_in": 669,
        "bytes_out": 120,
        "rss": 43_600_000,
        "rss_change": 100_000,
        "stages_rss": {"decode": 7},
        "error": "invalid-tensor: data: no",
    }


def test_ids_with_spaces_stay_one_word() -> None:
    head = (TIME, "info", "fn", "my function", "a b", "")
    assert b" fn my\\x20function call=a\\x20b 200\n" in format_text(head, "200")


@given(st.integers(0, 4_102_444_800_000))
def test_timestamps(milliseconds: int) -> None:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    expected = f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"
    assert timestamp(milliseconds * 1_000_000) == expected


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (PARENT, True),
        ("cc" + PARENT[2:] + "-more", True),
        (PARENT + "-more", False),
        ("cc" + PARENT[2:] + "more", False),
        ("ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        (PARENT[:-1], False),
        (PARENT.replace("-", "_"), False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{PARENT[3:35]}-{'0' * 16}-01", False),
        (PARENT.replace("4bf9", "4bg9"), False),
        ("", False),
    ],
)
def test_a_trace_id_is_taken_from_a_valid_traceparent_only(text: str, valid: bool) -> None:
    expected = "4bf92f3577b34da6a3ce929d0e0e4736" if valid else ""
    assert trace_id([("host", "h"), ("traceparent", text)]) == expected
    assert trace_id([("ce-traceparent", text)]) == expected


@given(any_text)
def test_any_traceparent_is_looked_at(text: str) -> None:
    assert trace_id([("traceparent", text)]) in ("", text[3:35])


def test_the_requests_own_header_comes_before_the_events() -> None:
    other = PARENT.replace("4bf9", "0000")
    assert trace_id([("ce-traceparent", other), ("traceparent", PARENT)]).startswith("4bf9")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_structured_events_trace_is_told_unless_the_request_had_its_own(form: str) -> None:
    other = "0af7651916cd43dd8448eb211c80319c"
    bad = reply(status=500, error=ValueError("no"), trace=PARENT[3:35])
    for trace, expected in (("", PARENT[3:35]), (other, other)):
        lines = logged(form, lambda log, trace=trace: log.call("1", bad, 1, 1, 1, trace=trace))
        assert len(lines) > 1
        for line, _ in lines:
            named = json.loads(line)["trace_id"] if form == "json" else line.partition("trace=")[2]
            assert named[:32] == expected


def test_a_bug_is_told_with_its_trace_and_each_line_has_the_calls_id() -> None:
    def tell(log: Log) -> None:
        try:
            raise KeyError("ours")
        except KeyError as error:
            log.call("01ABC", reply(status=500, error=error), 0.001, 5, 120)

    (trace, failure), (line, ordinary) = logged("text", tell)
    assert (failure, ordinary) == (True, False)
    start = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z error fn forecast call=01ABC ")
    lines = trace.splitlines()
    assert all(start.match(each) for each in lines)
    assert lines[0].endswith("Traceback (most recent call last):")
    assert lines[-1].endswith("KeyError: 'ours'")
    assert " call=01ABC 500 KeyError; 1.000 ms (" in line

    (trace, _), (line, _) = logged("json", tell)
    record = json.loads(trace)
    assert record["trace"].startswith("Traceback (most recent call last):\n")
    assert record["message"] == "KeyError: 'ours'"
    assert record["call"] == "01ABC"
    assert record["level"] == "error"
    assert json.loads(line)["error"] == "KeyError"


def test_what_the_caller_or_the_load_is_to_blame_for_is_no_failure() -> None:
    for error in (InvalidTensor("no"), Overloaded("full")):
        lines = logged("text", lambda log, e=error: log.call("", reply(error=e), 0, 0, 0))  # type: ignore[misc]
        assert len(lines) == 1
    ours = ModelFailed("the library says no")
    lines = logged("quiet", lambda log: log.call("", reply(failures=(ours,)), 0, 0, 0))
    assert [line.split(" ", 1)[1] for line, _ in lines] == [
        "error fn forecast model-failed: the library says no\n"
    ]


def test_an_exception_that_cannot_be_printed_costs_nothing() -> None:
    class Unprintable(GpfnError):
        def __str__(self) -> str:
            raise RuntimeError

    for form in ("text", "json", "quiet"):
        for error in (Unprintable("x"), SetupError("\ud800\n\x1b[2J\u2028")):
            lines = logged(form, lambda log, e=error: log.call("1", reply(error=e), 0, 0, 0))  # type: ignore[misc]
            assert lines
            assert all(one.isprintable() for line, _ in lines for one in line[:-1].split("\n"))


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "text", ["x" * 5_000_000, "\x1b[31m" * 100_000, "a\n" * 500_000, "\U0001f600" * 99_999]
)
def test_nothing_makes_a_record_long(form: str, text: str) -> None:
    bug = ValueError(text)
    ours = SetupError("cannot be imported")
    ours.__cause__ = bug
    batch = reply(status=400, failures=[InvalidTensor(text, field=text)] * 1000)
    for tell in (
        lambda log: log.error(text),
        lambda log: log.info("short", call=text),
        lambda log: log.call(
            "id", reply(status=400, error=InvalidTensor(text, field=text)), 1, 1, 1
        ),
        lambda log: log.call("id", batch, 1, 1, 1),
    ):
        for line, _ in logged(form, tell):
            assert len(line.encode()) < 40_000, line[:200]
            assert line[:-1].isprintable()
    for error in (bug, ours, ModelFailed(text)):
        lines = logged(form, lambda log, error=error: log.failure(error))
        assert sum(len(line.encode()) for line, _ in lines) < 300_000
        assert len(lines) <= 301


def test_a_long_detail_keeps_its_beginning_and_its_end() -> None:
    error = SetupError(f"no such model {'m' * 9000}; run: gpfn models pull", field="f" * 900)
    assert str(error).startswith("fff")
    assert ": no such model mmm" in str(error)
    assert str(error).endswith("mm; run: gpfn models pull")
    assert len(str(error)) < 2300
    assert len(error_document(error)["error"]["field"]) == 200  # type: ignore[arg-type]


def test_an_errors_text_is_printable_and_keeps_its_lines() -> None:
    assert str(SetupError("a\x1b[31m\nb\x9b1mü", field="\x07")) == "\\x07: a\\x1b[31m\nb\\x9b1mü"


def test_quiet_leaves_failures_and_what_nobody_can_know_otherwise() -> None:
    def tell(log: Log) -> None:
        log.info("a")
        log.warning("b")
        log.ready({"import": 0.1})
        log.call("1", reply(), 0.1, 0, 0)
        log.listening("http://h:1")
        log.listening("http://h:2", always=True)
        log.error("c")

    lines = [line.split(" ", 1)[1] for line, _ in logged("quiet", tell)]
    assert lines == ["info fn forecast listening on http://h:2\n", "error fn forecast c\n"]
    assert len(logged("text", tell)) == 7


def test_a_start_is_told_in_seconds_and_bytes() -> None:
    def tell(log: Log) -> None:
        log.ready({"import": 0.25, "load": 0.5}, " (m.tflite)", {"import": 1})

    ((line, _),) = logged("text", tell)
    assert " ready: import 0.250 s, load 0.500 s, rss " in line
    assert line.endswith(" MB (m.tflite)\n")
    ((line, _),) = logged("json", tell)
    record = json.loads(line)
    assert record["seconds"] == {"import": 0.25, "load": 0.5}
    assert record["stages_rss"] == {"import": 1}
    assert record["rss"] > 1e6


def test_the_form_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_LOG", "json")
    assert Log("fn").form == "json"
    monkeypatch.setenv("GPFN_LOG", "normal")
    with pytest.raises(SetupError, match="GPFN_LOG: expected one of text, json, quiet"):
        Log("fn")


def test_a_record_is_one_write_behind_what_was_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    writes = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (writes.append(fd), real(fd, data))[1])
    Log("fn", form="text").error("x")
    assert writes == [2]
    assert capfd.readouterr().err.endswith(" error fn - x\n")


def test_a_log_that_cannot_be_written_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_fd: int, _data: bytes) -> int:
        raise OSError

    monkeypatch.setattr(os, "write", fails)
    monkeypatch.setattr(sys, "stdout", None)
    write_stderr(b"x\n")


def test_resident_memory() -> None:
    before = resident()
    # fresh pages, touched: an allocator would take them from what it holds already
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    with mmap.mmap(-1, 50_000_000, flags=flags):
        assert 40e6 < resident() - before < 60e6


@pytest.mark.timing
def test_a_calls_line_costs_a_few_microseconds() -> None:
    log = Log("fn", "forecast", form="text", sink=lambda _data, _failure: None)
    answer, best = reply(), 1.0
    for _ in range(50):
        began = time.perf_counter()
        for _ in range(200):
            log.call("01M7YJCV41R00040J6M000001T", answer, 0.003, 669, 120)
        best = min(best, (time.perf_counter() - began) / 200)
    assert best < 12e-6, "twice what is promised: the machine may be shared"
