"""What the C++ client does where there is no answer, or a bad one."""

import json
import struct
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clients.building import Built, run
from tests.clients.capture import Reply, capturing, free_port


def error(text: str) -> bytes:
    """Return an error document as TFaaS and gpfn send it."""
    return json.dumps({"error": text}).encode()


ANSWERS = {
    "unknown": (Reply(404, error('no model is called "luca"')), 404, 'no model is called "luca"'),
    "limited": (Reply(429, b"Limit exceeded\n"), 429, "Limit exceeded"),
    "problem": (
        Reply(400, b'{"type": "x", "title": "Bad", "status": 400, "detail": "42 values"}'),
        400,
        "42 values",
    ),
    "empty": (Reply(503, b""), 503, ""),
    "page": (Reply(200, b"<html>\n<p>hello"), 200, "failed to parse input buffer: <html> <p>hello"),
    "json": (Reply(200, b"[0.5]\n"), 200, "failed to parse input buffer: [0.5]"),
    "steers": (Reply(500, error("a\n\x1b[2J\x9bb")), 500, "a  [2J b"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_is_an_exception_with_its_status(built: Built, name: str) -> None:
    reply, status, detail = ANSWERS[name]
    with capturing({"/proto": reply}) as server:
        done = run([built.ask, server.url(), 1])
    assert done.returncode == 1
    assert done.stdout == f"{status}|{detail}\n"
    assert done.stderr.splitlines()[-1] == f"POST {server.url()}: {status} {detail}".rstrip("\n")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_old_program_goes_on_with_an_empty_result(built: Built, name: str) -> None:
    reply, status, detail = ANSWERS[name]
    with capturing({"/proto": reply}) as server:
        done = run([built.old_program, server.url(), "luca"])
    assert done.returncode == 0
    assert done.stdout == "0 of an empty row\n"
    assert done.stderr.count(f"POST {server.url()}: {status} {detail}\n") == 3


HOW = {
    "cut": (Reply(how="cut"), "Empty reply from server"),
    "short": (Reply(how="short"), "transfer closed with 1 bytes remaining to read"),
    "lying": (Reply(200, b"x", {"Content-Length": "-1"}), "Invalid Content-Length: value"),
    "ftp": (Reply(307, b"", {"Location": "ftp://127.0.0.1/x"}), "ftp"),
    "file": (Reply(307, b"", {"Location": "file:///etc/passwd"}), "file"),
}


@pytest.mark.parametrize("name", HOW)
def test_no_answer_is_told(built: Built, name: str) -> None:
    reply, text = HOW[name]
    with capturing({"/proto": reply}) as server:
        done = run([built.ask, server.url(), 1])
    assert done.returncode == 1
    assert text in done.stdout


def test_nobody_there_is_told_on_stderr_and_is_no_crash(built: Built) -> None:
    url = f"http://127.0.0.1:{free_port()}/proto"
    done = run([built.old_program, url, "luca"])
    assert (done.returncode, done.stdout) == (0, "0 of an empty row\n")
    assert f"POST {url}: Couldn't connect to server" in done.stderr


def test_a_server_that_never_answers_is_given_up(built: Built) -> None:
    with capturing({"/proto": Reply(how="hang")}) as server:
        done = run([built.ask, server.url(), 1, "total=200"])
        by_variable = run([built.old_program, server.url(), "luca"], TFCLIENT_TIMEOUT="0.2")
    assert done.returncode == 1
    assert "Timeout was reached" in done.stdout
    assert by_variable.stderr.count("Timeout was reached") == 3


@pytest.mark.parametrize("seconds", ["soon", "-1", "0", "nan", "inf", "1e99", "1x"])
def test_a_bad_time_is_told(built: Built, seconds: str) -> None:
    with capturing() as server:
        done = run([built.old_program, server.url(), "luca"], TFCLIENT_TIMEOUT=seconds)
    assert f"TFCLIENT_TIMEOUT is no number of seconds: {seconds}" in done.stderr
    assert server.seen == []


def test_an_answer_has_a_limit(built: Built) -> None:
    with capturing({"/proto": Reply(200, b"\x0a" * 100_000)}) as server:
        done = run([built.ask, server.url(), 1, "most=65536"])
    assert done.stdout == "200|the answer has more than 65536 bytes\n"


def test_a_token_that_would_be_two_headers_is_not_sent(built: Built) -> None:
    with capturing() as server:
        done = run([built.ask, server.url(), 1], GPFN_TOKEN="a\r\nX-Evil: 1")
    assert done.stdout == "0|the token has a forbidden character\n"
    assert server.seen == []


def test_a_password_is_not_told(built: Built) -> None:
    for path in ("/x", "?y", ""):
        url = f"http://me:secret@127.0.0.1:{free_port()}{path}"
        done = run([built.ask, url, 1])
        assert "secret" not in done.stderr
        assert f"POST {url.replace('me:secret@', '')}: " in done.stderr


@pytest.mark.parametrize("url", ["", "nonsense://x", "file:///etc/passwd", "http://", "h"])
def test_an_address_that_is_none_is_a_failure(built: Built, url: str) -> None:
    done = run([built.ask, url, 1, "total=5000"])
    assert done.returncode == 1
    assert done.stdout.startswith("0|")


def test_the_benchmark_counts_what_failed(built: Built) -> None:
    with capturing({"/proto": Reply(404, error("none"))}) as server:
        done = run([built.benchmark, server.url(), "luca", 3])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "7 of 7 calls brought no prediction"


@pytest.mark.parametrize("calls", ["0", "x", "10001"])
def test_the_benchmark_has_bounds(built: Built, calls: str) -> None:
    assert run([built.benchmark, "http://localhost/proto", "luca", calls]).returncode == 2
    assert run([built.benchmark, "http://localhost/proto", "luca", 1, calls]).returncode == 2


@pytest.fixture(scope="module")
def details(built: Built) -> Iterator[subprocess.Popen[bytes]]:
    """A program that says what is told of a body, under the sanitizers."""
    pipe = subprocess.PIPE
    with subprocess.Popen([built.details], stdin=pipe, stdout=pipe) as process:
        yield process
    assert process.returncode == 0


def told(process: subprocess.Popen[bytes], body: bytes) -> str:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(struct.pack("<I", len(body)) + body)
    stdin.flush()
    return _piece(stdout).decode(errors="replace")


def _piece(stdout: IO[bytes]) -> bytes:
    (length,) = struct.unpack("<I", stdout.read(4))
    return stdout.read(length)


def one_line(text: str) -> str:
    """Return what people see of a text."""
    return "".join(" " if ord(each) < 32 or 127 <= ord(each) < 160 else each for each in text)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    before=st.dictionaries(TEXT, VALUE, max_size=3),
    name=st.sampled_from(["detail", "error", "title"]),
    text=TEXT.filter(bool),
    after=st.dictionaries(TEXT, VALUE, max_size=3),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
)
def test_the_text_of_an_error_document_is_found(
    details: subprocess.Popen[bytes],
    before: dict[str, object],
    name: str,
    text: str,
    after: dict[str, object],
    ascii_only: bool,
    indent: int | None,
) -> None:
    others = {"detail", "error", "title"}
    rest = [{key: value for key, value in d.items() if key not in others} for d in (before, after)]
    document = {**rest[0], name: text, **rest[1]}
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert told(details, body) == one_line(text).rstrip(" ")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600) | st.text('{}[]":,\\u0d8\x00 ab', max_size=60).map(str.encode))
def test_any_body_is_told_as_one_short_line(details: subprocess.Popen[bytes], body: bytes) -> None:
    line = told(details, body)
    assert len(line.encode()) <= 4 * 400
    assert not any(ord(each) < 32 or ord(each) == 127 for each in line)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"title": "T", "error": "E", "detail": "D"}', "D"),
        (b'{"title": "T", "error": {"detail": "no"}}', "T"),
        (b'{"error": "\\ud83d\\ude00\\ud800\\u00e9\\/"}', "\U0001f600?é/"),
        (b'{"error": "x"', '{"error": "x"'),
        (b'{"error": "x"}', "x"),
        (b'{"error": ""}', '{"error": ""}'),
        (b"{}", "{}"),
        (b"[" * 100_000, "[" * 400 + "…"),
        (b'{"a":' + b"[" * 100_000 + b'"error": "x"', '{"a":' + "[" * 395 + "…"),
        ("é".encode() * 300, "é" * 199 + "…"),
        (b'{"error": "a\\u0000b"}', "a b"),
        (b"", ""),
    ],
)
def test_these_bodies_are_told(details: subprocess.Popen[bytes], body: bytes, line: str) -> None:
    assert told(details, body) == line
