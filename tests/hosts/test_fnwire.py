"""The bytes an Fn server sends, compared with those that a real one sent."""

import base64
import json
import re
import time
from pathlib import Path

import pytest

from gpfn.hosts.fn import call_id, unwrap_trigger
from gpfn.hosts.fn_request import encode_request
from gpfn.hosts.host import Invocation, InvocationResult

BODIES = {
    "invoke, 8 byte body": b'{"a":1}\n',
    "invoke, empty body": b"",
    "invoke, 100000 byte body": b"x" * 100_000,
}


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, bytes]:
    lines = (shared / "reference" / "wire" / "fn-socket.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    return {
        case["case"]: base64.b64decode(case["raw_base64"]) for case in cases if "raw_base64" in case
    }


def timeless(data: bytes) -> bytes:
    """Blank out the call's id and its deadline."""
    data = re.sub(rb"(Fn-Call-Id: )\w{26}\r\n", rb"\1ID\r\n", data)
    return re.sub(rb"(Fn-Deadline: )[-0-9]+T[:0-9]+Z\r\n", rb"\1TIME\r\n", data)


@pytest.mark.parametrize("case", BODIES)
def test_an_invocation_is_what_a_real_server_sent(recorded: dict[str, bytes], case: str) -> None:
    sent = encode_request(Invocation(BODIES[case]), call_id())
    assert timeless(sent) == timeless(recorded[case])


def test_headers_of_an_invocation_are_what_a_real_server_sent(recorded: dict[str, bytes]) -> None:
    headers = (
        ("User-Agent", "curl/7.88.1"),
        ("Accept", "*/*"),
        ("ce-id", "42"),
        ("ce-specversion", "1.0"),
        ("x-a", "1"),
        ("X-A", "2"),
    )
    request = Invocation(b"abc", "application/octet-stream", headers)
    case = "invoke endpoint by curl with ce-* headers and a repeated header"
    expected = timeless(recorded[case]).split(b"\r\n")
    sent = timeless(encode_request(request, call_id())).split(b"\r\n")
    # curl asked for no compression, so Go did, behind all others; Fn's own client asks itself
    assert sorted(sent) == sorted(expected)


def test_a_trigger_wraps_headers_as_a_real_server_did(recorded: dict[str, bytes]) -> None:
    headers = (
        ("Accept", "*/*"),
        ("Authorization", "Bearer q"),
        ("Ce-Id", "42"),
        ("Ce-Source", "/s"),
        ("Ce-Specversion", "1.0"),
        ("Ce-Type", "t"),
        ("Cookie", "a=b"),
        ("User-Agent", "curl/7.88.1"),
        ("X-A", "1"),
        ("X-A", "2"),
    )
    request = Invocation(b"[1,2]", "application/json", headers, as_trigger=True)
    case = "trigger, PUT with ce-*, cookie, authorization and a repeated header"
    expected = timeless(recorded[case]).replace(b"Method: PUT", b"Method: POST")
    expected = re.sub(rb"(Request-Url: )\S+", rb"\1URL", expected)
    sent = re.sub(rb"(Request-Url: )\S+", rb"\1URL", timeless(encode_request(request, call_id())))
    assert sent == expected


def test_call_ids_are_like_those_of_fn() -> None:
    first = call_id()
    time.sleep(0.002)
    second = call_id()
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", first)
    assert first < second


def test_the_answer_of_a_trigger_is_unwrapped() -> None:
    answer = InvocationResult(
        200,
        b"x",
        (
            ("content-type", "text/plain"),
            ("fn-http-status", "404"),
            ("fn-http-h-ce-id", "1"),
            ("ce-type", "dropped"),
            ("fn-call-id", "c"),
        ),
    )
    assert unwrap_trigger(answer) == InvocationResult(
        404, b"x", (("content-type", "text/plain"), ("ce-id", "1"), ("fn-call-id", "c"))
    )


@pytest.mark.parametrize("status", ["9" * 5000, "٢٠٠", "20", "abc", ""])
def test_a_status_that_is_none_changes_nothing(status: str) -> None:
    answer = InvocationResult(200, b"x", (("fn-http-status", status),), "c")
    assert unwrap_trigger(answer).status == 200


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_request(Invocation(headers=(("x-a", "1\r\nx-b: 2"),)), call_id())
