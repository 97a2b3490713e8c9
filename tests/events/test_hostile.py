"""Bad input at length: it costs little, leaves nothing behind, and the next good call works."""

import gc
import json
import time

import pytest

from gpfn.errors import CallerError, TooLarge
from gpfn.events import Event, Message, read, write
from tests.alone import alone, resident
from tests.events.asking import MINIMAL, STRUCTURED, one, structured

MEGABYTE = 1 << 20
LARGE = 4 * MEGABYTE
HEADERS = tuple((f"ce-{name}", value) for name, value in MINIMAL.items())
HEAD = b'{"specversion":"1.0","id":"1","source":"/s","type":"t",'

BAD = [
    Message(b"", STRUCTURED),
    Message(b"\xff" * 100, STRUCTURED),
    Message(HEAD + b'"id":"2"}', STRUCTURED),
    Message(HEAD + b'"data":' + b"[" * 10_000 + b"]" * 10_000 + b"}", STRUCTURED),
    structured({**MINIMAL, "id": ""}),
    structured({**MINIMAL, "time": "x" * 1000}),
    structured({**MINIMAL, "source": "/" + "x" * 1000 + " "}),
    structured({**MINIMAL, "subject": "a\r\nset-cookie: b"}),
    structured({**MINIMAL, "x" * 1000 + "-": 1}),
    structured({**MINIMAL, "ext": 10**300}),
    structured({**MINIMAL, "data_base64": "?" * 1000}),
    structured({**MINIMAL, "specversion": "9" * 1000}),
    structured([{**MINIMAL, "id": 5}] * 20, "application/cloudevents-batch+json"),
    Message(b"x", "a/b", (*HEADERS, ("ce-subject", "%ff"))),
    Message(b"x", "a/b", (*HEADERS, ("ce-id", "2"))),
    structured({"cloudEventsVersion": "0.1", "eventID": "1", "extensions": {"a": [1]}}),
]


def kept_of_bad_calls() -> int:
    def call(message: Message) -> None:
        with pytest.raises(CallerError):
            read(message)

    for number in range(1000):
        call(BAD[number % len(BAD)])
    gc.collect()
    before = resident()
    for number in range(10_000):
        call(BAD[number % len(BAD)])
    gc.collect()
    assert one(structured(MINIMAL)).id == "1"
    return resident() - before


def test_memory_does_not_grow_over_ten_thousand_bad_calls() -> None:
    assert alone(kept_of_bad_calls) < MEGABYTE


def kept_of_good_calls_that_never_repeat() -> int:
    def call(number: int) -> None:
        event = one(structured({**MINIMAL, "source": f"/{number}/" + "x" * 200, "ext": number}))
        write([event.reply([1], type=f"t{number}", source=f"/{number}")], "structured")

    for number in range(3000):
        call(number)
    gc.collect()
    before = resident()
    for number in range(3000, 9000):
        call(number)
    gc.collect()
    return resident() - before


def test_memory_does_not_grow_over_good_ones_that_never_repeat() -> None:
    assert alone(kept_of_good_calls_that_never_repeat) < MEGABYTE


@pytest.mark.parametrize(
    "body",
    [
        HEAD + b'"data":"' + b":" * LARGE + b'"}',
        HEAD + b'"data":"' + b"\\u003a" * (LARGE // 6) + b'"}',
        HEAD + b'"data":"' + b"\\\\u003a" * (LARGE // 7) + b'"}',
        HEAD + b'"data":{' + b'"a":1,' * (LARGE // 6) + b'"a":1}}',
        HEAD + b'"data":' + b" " * LARGE + b"1}",
        HEAD + b'"data":[' + b'"",' * (LARGE // 3) + b'""]}',
        HEAD + b'"subject":"' + b"x" * LARGE + b'"}',
        HEAD + b'"subject":"' + "é".encode() * (LARGE // 2) + b'"}',
    ],
    ids=range(8),
)
def test_large_events_cost_what_their_size_costs(body: bytes) -> None:
    started = time.perf_counter()
    assert one(Message(body, STRUCTURED)).id == "1"
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    "body",
    [
        HEAD + b'"data_base64":"' + b"A" * LARGE + b'?"}',
        HEAD + b'"source":"' + b"x" * LARGE + b' "}',
        b"{" + b",".join(b'"x%d":1' % number for number in range(200_000)) + b"}",
        HEAD + b'"a":1,"a":1,"data":{' + b'"a":1,' * (LARGE // 6) + b'"a":1}}',
        b'{"specversion":"1.0",' + b'"' + b"\\" * LARGE + b'":1}',
        b'{"specversion' * (LARGE // 13),
    ],
    ids=range(6),
)
def test_large_faults_cost_what_their_size_costs(body: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(CallerError) as caught:
        read(Message(body, STRUCTURED))
    assert time.perf_counter() - started < 3
    assert len(str(caught.value)) < 400


def test_a_hundred_megabytes_are_not_looked_at() -> None:
    message = Message(memoryview(bytes(100 * MEGABYTE)), STRUCTURED)
    started = time.perf_counter()
    with pytest.raises(TooLarge, match="104857600 bytes; at most 6291456"):
        read(message)
    assert time.perf_counter() - started < 0.1


INJECTION = "a\r\nset-cookie: stolen=1\r\n\r\n<html>"


def test_no_attribute_can_end_a_header() -> None:
    for name in ("id", "subject", "type", "ext", "traceparent", "datacontenttype"):
        with pytest.raises(CallerError):
            read(structured({**MINIMAL, name: INJECTION}))
        encoded = "".join(f"%{ord(letter):02x}" for letter in INJECTION)
        headers = tuple(item for item in HEADERS if item[0] != f"ce-{name}")
        with pytest.raises(CallerError):
            read(Message(b"x", "a/b", (*headers, (f"ce-{name}", encoded))))
    with pytest.raises(CallerError):
        read(Message(b"x", f"a/b{INJECTION}", HEADERS))


def test_what_is_written_is_one_line_a_header() -> None:
    event = Event(
        type="t", source="/s", subject='é "x" %0d%0a', extensions={"ext": "  \u2028"}, data=1
    )
    message = write([event], "binary")
    for name, value in (*message.headers, ("content-type", message.content_type)):
        assert (name + value).isascii()
        assert (name + value).isprintable()
    assert one(message).subject == 'é "x" %0d%0a'


def test_an_error_never_holds_the_callers_text_raw() -> None:
    for message in BAD:
        with pytest.raises(CallerError) as caught:
            read(message)
        assert str(caught.value).isprintable()
        assert str(caught.value).isascii()
        assert len(json.dumps(str(caught.value))) < 500
