"""Hostile, slow and many clients; and the way out."""

import contextlib
import http.client
import socket
import threading
import time

import numpy as np
import pytest

from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.serving import Server, ServerSettings

from .serving import Doubler, message, response, running

X = np.array([[1, 2]], np.float32)


def raw(port: int, data: bytes, timeout: float = 10) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        sock.sendall(data)
        received = b""
        while piece := sock.recv(65536):
            received += piece
        return received


def test_a_connection_is_kept_for_the_next_request() -> None:
    with running(Doubler()) as run:
        connection = run.connect()
        for _ in range(3):
            connection.request("POST", "/", message(X))
            np.testing.assert_array_equal(
                response(connection.getresponse().read()).tensors[0], X * 2
            )
        assert run.service.client_count() == 1
        connection.close()


def test_a_body_over_the_limit_is_413_before_it_is_sent() -> None:
    with running(Doubler(), limits=Limits(body_bytes=1000)) as run:
        reply = raw(run.port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n")
        assert b" 413 " in reply.split(b"\r\n")[0]
        reply = raw(
            run.port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000000000000000\r\n\r\n"
        )
        assert reply.split(b"\r\n")[0].split()[1] in (b"413", b"400")


def test_a_large_refused_body_still_gets_its_reply() -> None:
    with running(Doubler(), limits=Limits(body_bytes=1000)) as run:
        status, _, _ = run.ask("POST", body=bytes(1 << 20))
        assert status == 413


def test_headers_are_limited() -> None:
    with running(Doubler(), limits=Limits(header_bytes=1000, headers=10)) as run:
        many = b"".join(b"x%d: y\r\n" % number for number in range(20))
        assert b" 431 " in raw(run.port, b"GET / HTTP/1.1\r\n" + many + b"\r\n").split(b"\r\n")[0]
        long = b"x: " + b"y" * 2000 + b"\r\n"
        assert b" 431 " in raw(run.port, b"GET / HTTP/1.1\r\n" + long + b"\r\n").split(b"\r\n")[0]


def test_garbage_is_400() -> None:
    with running(Doubler()) as run:
        assert b" 400 " in raw(run.port, b"GET nonsense\r\n\r\n").split(b"\r\n")[0]


def test_a_client_that_drips_is_cut_off() -> None:
    with running(Doubler(), request_seconds=0.5) as run:
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", run.port), timeout=10) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
            with contextlib.suppress(OSError):  # the server closes, as it should
                for _ in range(100):
                    sock.sendall(b"x")
                    time.sleep(0.05)
            assert time.monotonic() - started < 4
        assert run.ask("GET", "/control/is_alive")[0] == 200


def test_a_silent_client_is_closed_without_a_word() -> None:
    with running(Doubler(), idle_seconds=0.2) as run:
        assert raw(run.port, b"") == b""


def test_idle_connections_give_way_to_new_ones() -> None:
    with running(Doubler(), connections=2) as run:
        held = [run.connect() for _ in range(2)]
        for connection in held:
            connection.request("GET", "/control/is_alive")
            connection.getresponse().read()
        np.testing.assert_array_equal(run.infer(X), X * 2)
        assert held[0].sock.recv(1) == b"", "the one that was idle for longest"
        for connection in held:
            connection.close()


def test_a_full_house_answers_only_what_is_vital() -> None:
    inside, release = threading.Semaphore(0), threading.Event()

    def hold(_: np.ndarray) -> None:
        inside.release()
        release.wait(10)

    with running(Doubler(hold), connections=2) as run:
        busy = [threading.Thread(target=run.infer, args=(X,)) for _ in range(2)]
        for thread in busy:
            thread.start()
            assert inside.acquire(timeout=5)
        try:
            assert run.ask("GET", "/control/is_alive")[0] == 200
            status, headers, _ = run.ask("POST", body=message(X))
            assert (status, headers["retry-after"]) == (503, "1")
        finally:
            release.set()
            for thread in busy:
                thread.join()


def test_a_full_queue_is_503_with_retry_after() -> None:
    inside, release = threading.Semaphore(0), threading.Event()

    def hold(_: np.ndarray) -> None:
        inside.release()
        release.wait(10)

    with running(Doubler(hold), threads=1, queue=0) as run:
        first = threading.Thread(target=run.infer, args=(X,))
        first.start()
        assert inside.acquire(timeout=5)
        status, headers, _ = run.ask("POST", body=message(X))
        release.set()
        first.join()
        assert (status, headers["retry-after"]) == (503, "1")


def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    inside, release = threading.Semaphore(0), threading.Event()

    def hold(_: np.ndarray) -> None:
        inside.release()
        release.wait(10)

    with running(Doubler(hold)) as run:
        idle = run.connect()
        idle.request("GET", "/control/is_alive")
        idle.getresponse().read()
        results = []
        busy = threading.Thread(target=lambda: results.append(run.infer(X)))
        busy.start()
        assert inside.acquire(timeout=5)
        threading.Thread(target=run.server.stop).start()
        time.sleep(0.6)  # a moment in which callers may still hear that there is an end
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", run.port), timeout=5)
        with pytest.raises((http.client.HTTPException, OSError)):
            _ask_again(idle)
        release.set()
        busy.join(5)
        run.thread.join(5)
        assert not run.thread.is_alive()
        np.testing.assert_array_equal(results[0], X * 2)


def _ask_again(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/control/is_alive")
    connection.getresponse()


def test_a_taken_port_and_an_open_shutdown_are_refused_clearly() -> None:
    with running(Doubler()) as run:
        settings = ServerSettings(port=run.port)
        with pytest.raises(SetupError, match=f"cannot listen on 127.0.0.1:{run.port}"):
            Server({}, settings)
    open_to_all = ServerSettings(host="0.0.0.0", port=0, allow_shutdown=True)
    with pytest.raises(SetupError, match="loopback"):
        Server({}, open_to_all)
