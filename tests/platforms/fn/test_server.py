"""The served socket: connections, framing, signals, all with a real process."""

import contextlib
import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from gpfn.errors import error_document
from tests.http.feeding import pieces
from tests.http.test_reader import recordings
from tests.platforms.fn.container import (
    FDK,
    LATER,
    Container,
    call_bytes,
    container,
    read_reply,
    trigger,
)
from tests.residue import processor_seconds

FILES = Path(__file__).parent / "files"
MIRROR = FILES / "mirror.py"
WRITTEN = b"2026-11-21T08:09:06Z"  # in the recordings; long past


@pytest.fixture(scope="module")
def mirror() -> "object":
    with container(MIRROR) as running:
        yield running


def test_what_a_real_fn_server_sent_in_pieces_of_every_size(
    mirror: Container, shared: Path
) -> None:
    bodies = [b'{"a":1}\n', b"", b"x" * 100_000, b"abc", b"", b"[1,2]"]
    for raw, body in zip(recordings(shared).values(), bodies, strict=True):
        data = raw.replace(WRITTEN, LATER.encode())
        assert len(data) == len(raw)
        sizes = range(1, len(data) + 1) if len(data) < 1000 else (1, 7, 1000, 3916, 32768, 65536)
        with mirror.connect() as connection:
            for size in sizes:
                for piece in pieces(data, size):
                    connection.sendall(piece)
                reply = read_reply(connection)
                assert (reply.status, reply.body) == (200, body), size


def test_a_call_that_comes_late_is_dropped(mirror: Container, shared: Path) -> None:
    for case, raw in recordings(shared).items():
        reply = mirror.call(raw)
        if case.startswith("trigger"):
            assert (reply.status, reply.header("fn-http-status")) == (200, "504")
        else:
            assert reply.status == 504
        assert b"deadline-exceeded" in reply.body


def test_a_connection_is_kept_and_each_call_is_its_own(mirror: Container) -> None:
    with mirror.connect() as connection:
        for number in range(50):
            connection.sendall(call_bytes(b"%d" % number))
            reply = read_reply(connection)
            assert reply.body == b"%d" % number
            assert reply.header("connection") is None
            assert reply.header("fn-call-id") is None
            assert reply.header("transfer-encoding") is None


def test_connection_close_is_honoured(mirror: Container) -> None:
    with mirror.connect() as connection:
        connection.sendall(call_bytes(b"x", "Connection: close"))
        assert read_reply(connection).header("connection") == "close"
        assert connection.recv(1) == b""


def test_http_1_0_ends_with_its_reply(mirror: Container) -> None:
    with mirror.connect() as connection:
        connection.sendall(b"POST /call HTTP/1.0\r\nContent-Length: 2\r\n\r\nab")
        assert read_reply(connection).body == b"ab"
        assert connection.recv(1) == b""


def test_idle_connections_come_and_go(mirror: Container) -> None:
    for _ in range(20):
        mirror.connect().close()
        assert mirror.call(call_bytes(b"x")).body == b"x"


def test_a_second_connection_is_not_starved(mirror: Container) -> None:
    with mirror.connect() as idle, mirror.connect() as half, mirror.connect() as busy:
        half.sendall(call_bytes(b"half")[:-3])
        for _ in range(3):
            busy.sendall(call_bytes(b"busy"))
            assert read_reply(busy).body == b"busy"
        idle.sendall(call_bytes(b"idle"))
        assert read_reply(idle).body == b"idle"
        half.sendall(call_bytes(b"half")[-3:])
        assert read_reply(half).body == b"half"


def test_more_connections_than_there_is_room_for(mirror: Container) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(mirror.connect())
        assert mirror.call(call_bytes(b"x")).body == b"x"
    descriptors = Path(f"/proc/{mirror.process.pid}/fd")
    assert len(list(descriptors.iterdir())) < 100


def test_pipelined_calls_are_answered_in_their_order(mirror: Container) -> None:
    with mirror.connect() as connection:
        connection.sendall(b"".join(call_bytes(b"%d" % number) for number in range(20)))
        data = b""
        while not data.endswith(b"\r\n\r\n19"):
            data += connection.recv(65536)
        bodies = [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 ")[1:]]
        assert bodies == [b"%d" % number for number in range(20)]


def test_expect_continue_is_answered(mirror: Container) -> None:
    data = call_bytes(b"x" * 10, "Expect: 100-continue")
    cut = data.index(b"\r\n\r\n") + 4
    with mirror.connect() as connection:
        connection.sendall(data[:cut])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data[cut:])
        assert read_reply(connection).body == b"x" * 10


def test_large_bodies_both_ways(mirror: Container) -> None:
    body = os.urandom(3 << 20)
    sized = b"POST /call HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert mirror.call(call_bytes(body)).body == body
    assert mirror.call(sized + body).body == body


@pytest.mark.parametrize(
    ("start", "status"), [("POST / HTTP/1.1", 404), ("GET /call HTTP/1.1", 405)]
)
def test_anything_but_post_call_is_the_callers_fault(
    mirror: Container, start: str, status: int
) -> None:
    reply = mirror.call(call_bytes(start=start))
    assert reply.status == 200
    assert b'"status":%d' % status in reply.body


BROKEN = {
    "no http": b"\x16\x03\x01\0\0",
    "two lengths": call_bytes(b"", "Content-Length: 1"),
    "a bad chunk": call_bytes(b"abc").replace(b"\r\n3\r\n", b"\r\nx\r\n"),
    "too many headers": call_bytes(b"x", *(f"X-{number}: 1" for number in range(300))),
    "a long header": call_bytes(b"x", "X: " + "x" * 70_000),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_request_is_answered_and_ends_the_connection(
    mirror: Container, case: str
) -> None:
    with mirror.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(BROKEN[case])
        reply = read_reply(connection)
        assert reply.status == 200
        assert reply.header("content-type") == "application/problem+json"
        assert reply.header("connection") == "close"
        assert connection.recv(1) == b""
    assert mirror.call(call_bytes(b"good")).body == b"good"


@pytest.mark.parametrize("by_trigger", [False, True])
def test_a_body_over_the_limit_is_refused_early_and_read_to_its_end(by_trigger: bool) -> None:
    zeros = bytes(1 << 20)
    with container(MIRROR) as running, running.connect() as connection:
        before = running.resident()
        headers = trigger() if by_trigger else []
        head = call_bytes(b"x", *headers)
        connection.sendall(head[: head.index(b"\r\n\r\n") + 4])
        for _ in range(100):  # 100 MB against 6 MiB, and no write fails
            connection.sendall(b"%x\r\n%b\r\n" % (len(zeros), zeros))
        connection.sendall(b"0\r\n\r\n")
        reply = read_reply(connection)
        assert reply.status == 200
        assert b'"status":413' in reply.body
        assert b"GPFN_MAX_BODY_BYTES" in reply.body
        assert reply.header("fn-http-status") == ("413" if by_trigger else None)
        assert running.resident() - before < 20e6
        assert running.call(call_bytes(b"good")).body == b"good"


def test_the_limit_is_the_environments() -> None:
    with container(MIRROR, environ={"GPFN_MAX_BODY_BYTES": "10"}) as running:
        assert running.call(call_bytes(b"x" * 10)).body == b"x" * 10
        assert b'"status":413' in running.call(call_bytes(b"x" * 11)).body


def test_the_agent_going_away_within_a_request_costs_nothing(mirror: Container) -> None:
    with mirror.connect() as connection:
        connection.sendall(call_bytes(b"abc")[:-7])
    assert mirror.call(call_bytes(b"good")).body == b"good"


def test_the_agent_going_away_before_the_reply_costs_nothing() -> None:
    with container(MIRROR, "sleeps") as running:
        with running.connect() as connection:
            connection.sendall(call_bytes(b"0.3"))
            time.sleep(0.1)
        assert running.call(call_bytes(b"0")).body == b"woken"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_process(number: int) -> None:
    with container(MIRROR) as running, running.connect() as connection:
        connection.sendall(call_bytes(b"x"))
        read_reply(connection)
        assert running.stop(number) == 0
        assert not os.path.lexists(running.listener)
        assert not os.path.lexists(running.phony)


def test_sigterm_lets_the_running_call_finish() -> None:
    with container(MIRROR, "sleeps") as running, running.connect() as connection:
        connection.sendall(call_bytes(b"0.7"))
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        assert read_reply(connection).body == b"woken"
        assert running.process.wait(10) == 0
        assert not os.path.lexists(running.listener)
        assert not os.path.lexists(running.phony)


def test_a_second_signal_does_not_wait() -> None:
    with container(MIRROR, "sleeps") as running, running.connect() as connection:
        connection.sendall(call_bytes(b"20"))
        time.sleep(0.3)
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert running.process.poll() is None
        assert running.stop(signal.SIGINT) == 1
        assert not os.path.lexists(running.listener)


def test_after_sigkill_the_next_process_starts(tmp_path: Path) -> None:
    listener = Path(os.path.realpath(tmp_path)) / "l.sock"
    if len(str(listener)) > 100:
        listener = Path("/tmp") / f"gpfn-{os.getpid()}.sock"
    with container(MIRROR, "pid", listener=listener) as first:
        first.stop(signal.SIGKILL)
        assert os.path.lexists(listener)
        with container(MIRROR, "pid", listener=listener, wait=False) as second:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                with contextlib.suppress(OSError, AssertionError):
                    assert second.call(call_bytes()).body == b"%d" % second.process.pid
                    break
                time.sleep(0.01)
            else:
                pytest.fail(second.log)
            assert second.stop() == 0
    assert not os.path.lexists(listener)


def test_an_error_document_is_what_all_platforms_answer(mirror: Container) -> None:
    import orjson

    from gpfn.errors import InvalidRequest

    error = InvalidRequest("only /call is served", field="target", status=404)
    reply = mirror.call(call_bytes(start="POST /x HTTP/1.1"))
    assert orjson.loads(reply.body) == error_document(error)


def test_stock_fdk_fails_where_we_do_not() -> None:
    """Show that the tests above test something: the peer loses pipelined calls."""
    with container(MIRROR, "handler", command=FDK) as running, running.connect() as connection:
        connection.settimeout(1.0)
        connection.sendall(b"".join(call_bytes(b"%d" % number) for number in range(5)))
        data = b""
        with contextlib.suppress(socket.timeout):
            while part := connection.recv(65536):
                data += part
        assert data.count(b"HTTP/1.1 200") < 5


def test_a_crowd_that_says_nothing_where_files_are_few() -> None:
    with container(MIRROR) as running:
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (24, 24))
        crowd = [running.connect() for _ in range(60)]
        for _ in range(3):
            assert running.call(call_bytes(b"abc")).body == b"abc"
        before = processor_seconds(running.process.pid)
        time.sleep(0.5)
        assert processor_seconds(running.process.pid) - before < 0.1, "it does not spin"
        assert running.log.count("cannot accept a connection: Too many open files") == 1
        for connection in crowd:
            connection.close()
