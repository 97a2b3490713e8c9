"""Hostile requests to all four servers, whole and byte by byte, against one table of answers.

A request that is taken for two, or for another one, is worse than one that is refused
(RFC 9112, 11): so each server's function writes down what it was called with, and that has to
be what the table says and nothing besides.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.limits import Limits
from tests.e2e.framing import CASES, Case, rendered
from tests.http.feeding import outcome, pieces
from tests.platforms.fn.container import container
from tests.platforms.http.served import served as served_http
from tests.platforms.openwhisk.served import served as served_action

SECONDS = 30
TOLD = re.compile(rb'\{"error":\{"status":(\d+)')
SECTION = re.compile(r"(6585|911[0-3]) \d+(\.\d+)*")

BODIES = {
    "one": b"<the first body>",
    "two": b"<the second body>",
    "last": b"<a call behind the case>",
    "after": b"<a call on a fresh connection>",
    "wrapped": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhidden",
}
NAMES = {body: name for name, body in BODIES.items()}

WRITE_DOWN = """
import os

SEEN = os.open({seen!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def write_down(body):
    os.write(SEEN, bytes(body).hex().encode() + b"\\n")
"""
FUNCTION = f"""{WRITE_DOWN}

from gpfn import Function


def echo(payload):
    write_down(payload.data)
    return payload


function = Function(echo, takes="payload")
handler, app = function.fn, function.asgi
"""
ACTION = f"""{WRITE_DOWN}

def main(args):
    write_down(args["body"].encode())
    return args
"""
MODEL = f"""{WRITE_DOWN}

def model(x):
    write_down(x)
    return x
"""


class Server(NamedTuple):
    """A running server: where it takes calls, how a body is written for it, and read back."""

    path: str
    connect: Callable[[], socket.socket]
    body: Callable[[str], bytes]
    read: Callable[[bytes], bytes]
    seen: Path

    def calls(self) -> list[str]:
        """Return the names of the bodies that its function was called with."""
        bodies = [bytes.fromhex(line) for line in self.seen.read_text().split()]
        return [NAMES.get(body, repr(body)) for body in bodies]

    def call(self, name: str) -> bytes:
        """Return a good call that ends the connection."""
        start = b"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: "
        data = start + f"{{{name}.len}}\r\n\r\n{{{name}}}".encode()
        return rendered(data, self.path, self.body)


def plain(name: str) -> bytes:
    """Return a body for a function of payloads."""
    return BODIES[name]


def parameters(name: str) -> bytes:
    """Return a body for /run."""
    return json.dumps({"value": {"body": BODIES[name].decode()}}).encode()


def question(name: str) -> bytes:
    """Return a body for a model server."""
    request = InferRequest(tensors=(np.frombuffer(BODIES[name], np.uint8),))
    return b"".join(encode_request(request))


def as_it_is(body: bytes) -> bytes:
    """Read an answer of a function of payloads."""
    return body


def result(body: bytes) -> bytes:
    """Read an answer of /run."""
    text: str = json.loads(body)["body"]
    return text.encode()


def inference(body: bytes) -> bytes:
    """Read an answer of a model server."""
    return bytes(decode_response(body, Limits()).tensors[0].tobytes())


def tcp(port: int) -> Callable[[], socket.socket]:
    """Return what connects to a port of this machine."""

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return connect


def written(folder: Path, source: str) -> tuple[Path, Path]:
    """Write a function's file; return it and the file in which its calls are written down."""
    file, seen = folder / "func.py", folder / "seen"
    folder.mkdir()
    seen.touch()
    file.write_text(source.replace("{seen!r}", repr(str(seen))))
    return file, seen


@contextmanager
def fn(folder: Path) -> Iterator[Server]:
    """Run ``gpfn run fn``."""
    file, seen = written(folder, FUNCTION)
    environ = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with container(file, environ=environ) as started:
        yield Server("/call", started.connect, plain, as_it_is, seen)


@contextmanager
def http(folder: Path) -> Iterator[Server]:
    """Run ``gpfn run http``."""
    file, seen = written(folder, FUNCTION)
    with served_http(file, folder / "log") as process:
        yield Server("/", tcp(process.port), plain, as_it_is, seen)


@contextmanager
def openwhisk(folder: Path) -> Iterator[Server]:
    """Run ``gpfn run openwhisk``, and send /init."""
    file, seen = written(folder, ACTION)
    with served_action(folder / "streams") as action:
        assert action.init(file.read_text()).status == 200
        yield Server("/run", tcp(action.port), parameters, result, seen)


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run ``gpfn serve``."""
    file, seen = written(folder, MODEL)
    log = folder / "log"
    command = [sys.executable, "-m", "gpfn", "serve", "-m", "func:model", "-l", "127.0.0.1:0"]
    environ = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stderr=output, env=environ, cwd=file.parent)
    try:
        yield Server("/", tcp(_port(process, log)), question, inference, seen)
    finally:
        process.kill()
        process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text())
        if found and " ready: " in log.read_text():
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    raise AssertionError(log.read_text())


SERVERS = {"fn": fn, "http": http, "openwhisk": openwhisk, "serve": serve}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """All four, running."""
    folder = tmp_path_factory.mktemp("framing")
    with ExitStack() as stack:
        yield {name: stack.enter_context(start(folder / name)) for name, start in SERVERS.items()}


class Answer(NamedTuple):
    """One response."""

    status: int
    closes: bool
    body: bytes


def exchange(connection: socket.socket, parts: Sequence[bytes], *, half: bool) -> bytes:
    """Send the parts and return all that comes until the server closes."""
    with connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may refuse before the end
            for part in parts:
                connection.sendall(part)
            if half:
                connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionResetError):  # behind the last answer; a lost one is missed
            while piece := connection.recv(1 << 16):
                received += piece
        return received


def answers(received: bytes, *, head: bool) -> list[Answer]:
    """Read responses; each has to be framed by its length."""
    found = []
    while received:
        start, blank, received = received.partition(b"\r\n\r\n")
        assert blank, start
        first, *lines = start.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        status = int(first.removeprefix("http/1.1 ")[:4])
        if status == 100:
            continue
        size = 0 if head else int(fields["content-length"])
        assert len(received) >= size, "the body is cut off"
        body = received[:size]
        told = TOLD.match(body)  # Fn's agent takes 200, 502 and 504 alone
        status = int(told[1] if told else fields.get("fn-http-status", status))
        found.append(Answer(status, fields.get("connection") == "close", body))
        received = received[size:]
    return found


def check(server: Server, case: Case, parts: Sequence[bytes]) -> None:
    """Send a case in parts; compare the answers, and what the function was called with."""
    before = len(server.calls())
    received = exchange(server.connect(), parts, half=case.half)
    found = answers(received, head=case.head)
    expected = [*case.answers, "last"] if case.keeps else [*case.answers]
    assert [answer.status for answer in found] == [
        one if isinstance(one, int) else 200 for one in expected
    ], received[:2000]
    if not case.half:
        assert [answer.closes for answer in found] == [False] * (len(found) - 1) + [True]
    called = [one for one in expected if isinstance(one, str)]
    after = answers(exchange(server.connect(), [server.call("after")], half=False), head=False)
    assert [answer.status for answer in after] == [200]
    assert server.calls()[before:] == [*called, "after"]
    for name, answer in zip(expected, found, strict=True):
        if isinstance(name, str):
            assert server.read(answer.body) == BODIES[name]


def whole(server: Server, case: Case) -> bytes:
    """Return a case's bytes, with a call behind it unless the client's side ends."""
    sent = rendered(case.sent, server.path, server.body)
    return sent if case.half else sent + server.call("last")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", SERVERS)
def test_answer(servers: dict[str, Server], name: str, case: str) -> None:
    server, row = servers[name], CASES[case]
    data = whole(server, row)
    check(server, row, [data])
    if len(data) < 20_000:
        check(server, row, pieces(data, 1))


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_for_nobody_is_no_request(
    servers: dict[str, Server], name: str, framing: str
) -> None:
    """A server may answer 404 before the body has come; then it closes, or has to pass it over."""
    server = servers[name]
    start = b"POST /missing HTTP/1.1\r\nHost: a\r\n"
    hidden = server.call("one")
    asked = start + b"Content-Length: %d\r\n\r\n%b" % (len(hidden), hidden)
    if framing == "chunks":
        asked = start + b"Transfer-Encoding: chunked\r\n\r\n"
        asked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
    for size in (1, 7, len(asked)):
        parts = [*pieces(asked, size), server.call("last")]
        before = len(server.calls())
        found = answers(exchange(server.connect(), parts, half=False), head=False)
        statuses = [answer.status for answer in found]
        assert statuses in ([404], [404, 200])
        assert server.calls()[before:] == ["last"] * (len(found) - 1)


@pytest.mark.parametrize("case", CASES)
def test_the_reader_sees_the_same_in_pieces(case: str) -> None:
    data = rendered(CASES[case].sent, "/call", plain)
    expected = outcome([data])
    for size in (1, 2, 3, 64):
        assert outcome(pieces(data, size)) == expected


def test_the_table_is_large_and_says_where_its_answers_come_from() -> None:
    assert len(CASES) >= 100
    assert all(SECTION.fullmatch(case.rule) for case in CASES.values())
    for case in CASES.values():
        refused = [one for one in case.answers if isinstance(one, int)]
        assert case.keeps or case.half or not refused or refused == [*case.answers][-1:]
