"""The client against servers that behave and servers that do not."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendTimeout,
    BrokenReply,
    CannotConnect,
    DeadlineExceeded,
    InvalidTensor,
    RefusedByModel,
    SetupError,
)
from gpfn.graphpipe import Client, remote
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from gpfn.limits import Limits
from tests.alone import alone, resident
from tests.graphpipe.scripted import ARRAY, ECHO, Script, Seen, echo, http, read_request, scripted
from tests.graphpipe.strategies import same_arrays

NOTHING: dict[str, str] = {}
"""An environment without proxies."""


def answers(reply: bytes | Callable[[bytes], bytes]) -> Script:
    """Return a script that answers every request with ``reply`` and then closes."""

    def script(sock: socket.socket, seen: Seen) -> None:
        body = read_request(sock, seen)
        sock.sendall(reply if isinstance(reply, bytes) else reply(body))

    return script


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_one_array_in_and_one_out() -> None:
    with scripted(ECHO) as server:
        got = remote(server.url, ARRAY)
    assert same_arrays([got], [ARRAY])
    assert not got.flags.writeable


def test_names_and_config_reach_the_server() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        words = np.array([b"a\0", b"\xff"], object)
        got = client.infer({"x": ARRAY, "words": words}, output_names=["p", "q"], config="{}")
        assert same_arrays(got, (ARRAY, words))
        client.infer([ARRAY, ARRAY])
        client.infer(ARRAY)
        remote(server.url, ARRAY, input_name="i", output_name="o", config="c")
    sent = [decode_request(body)[1:] for _, body in server.requests]
    assert sent == [
        (("x", "words"), ("p", "q"), "{}"),
        ((), (), ""),
        ((), (), ""),
        (("i",), ("o",), "c"),
    ]
    assert len(decode_request(server.requests[1][1]).tensors) == 2
    assert len(decode_request(server.requests[2][1]).tensors) == 1


def test_the_request_is_plain_http() -> None:
    with scripted(ECHO) as server:
        Client(f"{server.url}/models/a%20b?v=1", environ=NOTHING, headers={"X-Id": "7"}).infer(
            ARRAY
        )
    head = server.requests[0][0].decode()
    assert head.startswith("POST /models/a%20b?v=1 HTTP/1.1\r\n")
    assert server.header("host") == f"127.0.0.1:{server.port}"
    assert server.header("content-type") == "application/vnd.graphpipe"
    assert server.header("accept") == "application/vnd.graphpipe, application/octet-stream"
    assert server.header("content-length") == str(len(server.requests[0][1]))
    assert server.header("x-id") == "7"
    assert server.header("authorization") is None


def test_metadata() -> None:
    metadata = MetadataResponse("m", inputs=(IOMetadata("x", "", (-1, 20, 1), Type.FLOAT32),))
    with scripted(answers(http(b"".join(encode_metadata(metadata))))) as server:
        assert Client(server.url, environ=NOTHING).metadata() == metadata
    assert isinstance(decode_request(server.requests[0][1]), MetadataRequest)


def test_a_connection_is_kept_and_shared_by_turns() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        for _ in range(20):
            client.infer(ARRAY)
        assert server.connections == 1
        client.close()
        client.infer(ARRAY)
        assert server.connections == 2


def test_remote_keeps_its_connection() -> None:
    with scripted(ECHO) as server:
        for _ in range(5):
            assert same_arrays([remote(server.url, ARRAY)], [ARRAY])
        assert server.connections == 1


def test_what_nobody_holds_any_more_is_closed() -> None:
    with scripted(ECHO) as server:
        files = len(os.listdir("/proc/self/fd"))
        client = Client(server.url, environ=NOTHING)
        client.infer(ARRAY)
        del client
        time.sleep(0.05)  # the server's side closes, too
        assert len(os.listdir("/proc/self/fd")) <= files
        for number in range(20):
            remote(f"{server.url}/{number}", ARRAY)
        time.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) <= files + 2 * 8


def test_threads_may_share_a_client() -> None:
    failures: list[BaseException] = []
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:

        def ask(value: int) -> None:
            try:
                for step in range(50):
                    sent = np.full(100 + value, value * 1000 + step)
                    assert same_arrays(client.infer(sent), (sent,))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=ask, args=(value,)) for value in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(server.requests) == 400
        assert server.connections <= 8


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda body: http(echo(body), "Connection: close"), id="connection: close"),
        pytest.param(lambda body: http(echo(body), version="1.0"), id="HTTP/1.0"),
        pytest.param(lambda body: http(echo(body)) + b"HTTP/1.1 200 more", id="more than a reply"),
    ],
)
def test_a_connection_is_not_kept_when_it_may_not(reply: Callable[[bytes], bytes]) -> None:
    with scripted(answers(reply)) as server, Client(server.url, environ=NOTHING) as client:
        for _ in range(3):
            assert same_arrays(client.infer(ARRAY), (ARRAY,))
    assert server.connections == 3


def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    """Found closed before anything is sent: nothing is sent twice."""
    with scripted(answers(lambda body: http(echo(body)))) as server:
        client = Client(server.url, environ=NOTHING)
        for _ in range(5):
            client.infer(ARRAY)
            time.sleep(0.02)  # the server's FIN arrives
        assert len(server.requests) == 5


@pytest.mark.parametrize("status", ["500 Oh", "502 Bad Gateway", "504 Gateway Timeout"])
def test_a_connection_is_not_kept_after_a_failure_of_the_server(status: str) -> None:
    """It may close it unannounced, when the next request is on its way already."""

    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(http(b"no", status=status))
        read_request(sock)  # which is lost

    with scripted(script) as server, Client(server.url, environ=NOTHING) as client:
        for _ in range(3):
            with pytest.raises(RefusedByModel, match=status):
                client.infer(ARRAY)
    assert server.connections == 3


def drops_the(number: int) -> Script:
    """Return a script that closes without a reply at that request of all."""

    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            body = read_request(sock, seen)
            if len(seen.requests) == number:
                return
            sock.sendall(http(echo(body)))

    return script


def test_a_request_that_a_kept_connection_took_is_sent_once() -> None:
    """The server may have computed it before it ended."""
    with scripted(drops_the(3)) as server, Client(server.url, environ=NOTHING) as client:
        for number in range(1, 5):
            if number == 3:
                with pytest.raises(BrokenReply, match="closed the connection without a reply"):
                    client.infer(ARRAY)
            else:
                assert same_arrays(client.infer(ARRAY), (ARRAY,))
    assert len(server.requests) == 4
    assert server.connections == 2


def test_a_request_on_a_new_connection_is_never_sent_twice() -> None:
    with scripted(drops_the(1)) as server, Client(server.url, environ=NOTHING) as client:
        with pytest.raises(BrokenReply, match="closed the connection without a reply"):
            client.infer(ARRAY)
        assert len(server.requests) == 1


def test_after_a_byte_of_the_reply_nothing_is_sent_twice() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        sock.sendall(http(echo(read_request(sock, seen))))
        read_request(sock, seen)
        sock.sendall(b"H")

    with scripted(script) as server, Client(server.url, environ=NOTHING) as client:
        client.infer(ARRAY)
        with pytest.raises(BrokenReply, match="closed in the middle of the reply"):
            client.infer(ARRAY)
        assert len(server.requests) == 2


def test_a_refused_connection_is_tried_once_more() -> None:
    port = free_port()
    begun = time.monotonic()
    with pytest.raises(CannotConnect, match="nothing listens there"):
        remote(f"http://127.0.0.1:{port}", ARRAY)
    assert 0.09 < time.monotonic() - begun < 2

    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        late.bind(("127.0.0.1", 0))  # taken, but refuses until it listens

        def listen() -> None:
            time.sleep(0.04)
            late.listen()
            sock, _ = late.accept()
            with sock:
                sock.sendall(http(echo(read_request(sock))))

        thread = threading.Thread(target=listen)
        thread.start()
        assert same_arrays([remote(f"http://127.0.0.1:{late.getsockname()[1]}", ARRAY)], [ARRAY])
        thread.join()


def test_a_forked_process_does_not_use_the_parents_connection() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        client.infer(ARRAY)
        child = os.fork()
        if not child:
            client.infer(ARRAY)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        client.infer(ARRAY)
        assert server.connections == 2


def timed(call: Callable[[], Any], at_most: float, error: type[Exception]) -> str:
    """Return the text of the error that a call raises within a time."""
    begun = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    assert time.monotonic() - begun < at_most
    return str(caught.value)


def hang(sock: socket.socket, seen: Seen) -> None:
    read_request(sock, seen)
    sock.recv(1)  # until the test is over


def dribble(sock: socket.socket, seen: Seen) -> None:
    """A valid reply, a byte every 20 ms: 8 seconds in all."""
    for byte in http(echo(read_request(sock, seen)) + bytes(100)):
        sock.sendall(bytes([byte]))
        time.sleep(0.02)


def dribble_chunks(sock: socket.socket, seen: Seen) -> None:
    read_request(sock, seen)
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"1\r\nx\r\n")
        time.sleep(0.02)


def reads_slowly(sock: socket.socket, seen: Seen) -> None:
    while sock.recv(10_000):
        time.sleep(0.02)


@pytest.mark.parametrize("script", [hang, dribble, dribble_chunks, reads_slowly])
@pytest.mark.parametrize("how", ["timeout", "deadline"])
def test_no_server_can_draw_a_call_out(script: Script, how: str) -> None:
    array = np.zeros(1_000_000) if script is reads_slowly else ARRAY
    with scripted(script) as server:
        client = Client(server.url, environ=NOTHING, timeout=0.3 if how == "timeout" else 60)

        def call() -> None:
            client.infer(array, deadline=Deadline.after(0.3 if how == "deadline" else 60))

        message = timed(call, 1.5, BackendTimeout)
        assert re.fullmatch(rf"{server.url}: no answer within 0\.[3-9]\d* s", message)


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        with pytest.raises(DeadlineExceeded, match=r"passed 1\.\d+ s before http.* was asked"):
            client.infer(ARRAY, deadline=Deadline.after(-1))
        assert server.connections == 0


def test_a_server_that_does_not_accept_costs_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        queue = [socket.socket() for _ in range(4)]
        for waiting in queue:  # the queue is full, further packets are dropped
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        client = Client(f"http://127.0.0.1:{port}", environ=NOTHING, connect_timeout=0.3)
        message = timed(lambda: client.infer(ARRAY), 1.5, BackendTimeout)
        assert re.search(r"no connection within 0\.[3-9]\d* s", message)
        for waiting in queue:
            waiting.close()


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (b"", "without a reply"),
        (b"garbage\r\n", "not HTTP: b'garbage"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP: b'SSH-2.0"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "not HTTP: 'HTTP/1.1 2OO OK'"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP: 'HTTP/2 200'"),
        (b"HTTP/1.1 200 OK\r\n", "closed in the middle"),
        (b"HTTP/1.1 200 OK\r\nX" + b"x" * 70_000, "head of more than 65536 bytes"),
        (http(b"", " folded: x"), "not a header"),
        (http(b"", "novalue"), "not a header: 'novalue'"),
        (http(b"", "Content-Length: 3", "Content-Length: 4"), "two lengths"),
        (http(b"", "Content-Length: -1"), "'-1' is not a length"),
        (http(b"", "Content-Length: 1_0"), "'1_0' is not a length"),
        (http(b"", "Content-Length: " + "9" * 5000), "the limit is 268435456"),
        (http(b"", f"Content-Length: {10**18}"), "a body of 1000000000000000000 bytes"),
        (http(b"abc", "Content-Length: 400000000"), "the limit is 268435456"),
        (http(b"abc", "Content-Length: 200000000"), "199999997 bytes too early"),
        (http(b"abc", "Content-Length: 50"), "closed in the middle"),
        (http(b"abc", "Content-Encoding: gzip"), "content-encoding 'gzip'"),
        (http(b"abc", "Transfer-Encoding: gzip, chunked"), "transfer-encoding 'gzip, chunked'"),
        (http(b"x\r\n", "Transfer-Encoding: chunked"), "'x' is not a length"),
        (http(b"-1\r\n", "Transfer-Encoding: chunked"), "'-1' is not a length"),
        (http(b"\r\n", "Transfer-Encoding: chunked"), "'' is not a length"),
        (http(b"fffffffff\r\n", "Transfer-Encoding: chunked"), "more than 268435456 bytes"),
        (http(b"3\r\nabcde\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), "longer than it said"),
        (http(b"3\r\nab", "Transfer-Encoding: chunked"), "closed in the middle"),
        (http(b"1" * 999, "Transfer-Encoding: chunked"), "more than 256 bytes"),
        (http(b"0\r\n" + b"a: b\r\n" * 999, "Transfer-Encoding: chunked"), "256 trailers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "more than 8 interim replies"),
        (http(b"", status="204 No Content"), "204 No Content; only 200 is an answer"),
        (http(b"", "Location: /x", status="302 Found"), "302 Found; only 200 is an answer"),
        (http(b""), "infer_response: "),
        (http(b"{}"), "infer_response: "),
        (http(b"<html>hello</html>" * 10), "infer_response"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else value[:20],
)
def test_a_broken_reply_is_told(reply: bytes, what: str) -> None:
    with scripted(answers(reply)) as server, Client(server.url, environ=NOTHING) as client:
        begun = time.monotonic()
        with pytest.raises(BrokenReply) as caught:
            client.infer(ARRAY)
        assert str(caught.value).startswith(f"{server.url}: ")
        assert what in str(caught.value)
        assert time.monotonic() - begun < 2


def test_a_broken_reply_leaves_the_client_as_good_as_new() -> None:
    replies = iter([b"garbage", http(b"no"), None])

    def script(sock: socket.socket, seen: Seen) -> None:
        reply = next(replies)
        if reply is None:
            return ECHO(sock, seen)
        read_request(sock, seen)
        return sock.sendall(reply)

    with scripted(script) as server, Client(server.url, environ=NOTHING) as client:
        for _ in range(2):
            with pytest.raises(BrokenReply):
                client.infer(ARRAY)
            time.sleep(0.1)  # until it is known that the server has closed
        assert same_arrays(client.infer(ARRAY), (ARRAY,))


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    lines = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return http(lines + b"0\r\nTrailer: x\r\n\r\n", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("count", [1, 5_000, 300_000])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(http, id="length"),
        pytest.param(lambda body: chunked(body, 7), id="small chunks"),
        pytest.param(lambda body: chunked(body, 100_000), id="large chunks"),
        pytest.param(lambda body: b"HTTP/1.1 200 OK\r\n\r\n" + body, id="until closed"),
        pytest.param(lambda body: b"HTTP/1.0 200\r\n\r\n" + body, id="HTTP/1.0"),
        pytest.param(
            lambda body: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(body), id="interim"
        ),
    ],
)
def test_every_framing_of_a_reply_is_read(frame: Callable[[bytes], bytes], count: int) -> None:
    array = np.arange(count, dtype=np.float64)
    with scripted(answers(lambda body: frame(echo(body)))) as server:
        (got,) = Client(server.url, environ=NOTHING).infer(array)
        assert same_arrays([got], [array])
        assert got.flags.aligned
        if count == 300_000:
            assert got.ctypes.data % 64 == 0


def test_a_reply_in_single_bytes_is_read() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        for byte in chunked(echo(read_request(sock, seen)), 3):
            sock.sendall(bytes([byte]))

    with scripted(script) as server:
        sock_reply = Client(server.url, environ=NOTHING).infer(ARRAY)
        assert same_arrays(sock_reply, (ARRAY,))


def test_the_reply_limit_is_the_callers() -> None:
    small = Limits(body_bytes=1000)
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING, limits=small) as client:
        client.infer(ARRAY)
        with pytest.raises(BrokenReply, match="the limit is 1000"):
            client.infer(np.zeros(1000))
    for frame in (lambda b: chunked(b, 100), lambda b: b"HTTP/1.0 200 OK\r\n\r\n" + b):
        with scripted(answers(lambda body, frame=frame: frame(echo(body)))) as server:
            client = Client(server.url, environ=NOTHING, limits=small)
            with pytest.raises(BrokenReply, match="a body of more than 1000 bytes"):
                client.infer(np.zeros(1000))


FAILED = b"".join(encode_response(InferResponse(errors=(Error(3, "no such\ninput"), Error(4)))))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (http(b"2 inputs sent but 1 are required\n", status="400 Bad Request"),
         "2 inputs sent but 1 are required (400 Bad Request)"),
        (http(FAILED), "no such input; error 4 without a message"),
        (http(FAILED, status="400 Bad Request"),
         "no such input; error 4 without a message (400 Bad Request)"),
        (http(b"", status="503 Service Unavailable"), "503 Service Unavailable"),
        (http(b"\x1b[31m\xff\0red", status="500"), "\ufffd[31m\ufffd\ufffdred (500)"),
        (http(b"x" * 9999, status="500 No"), "x" * 500 + " (500 No)"),
        (http(FAILED[:-9], status="500 No"), None),
    ],
)  # fmt: skip
def test_the_servers_own_error_is_told_in_its_words(reply: bytes, words: str | None) -> None:
    with scripted(answers(reply)) as server, Client(server.url, environ=NOTHING) as client:
        with pytest.raises(RefusedByModel) as caught:
            client.infer(ARRAY)
        assert caught.value.status == 502
        if words is not None:
            assert caught.value.detail == f"{server.url}: {words}"


def test_a_refusal_before_the_body_was_read_is_understood() -> None:
    """A server may answer 413 and stop reading; the rest of the body is not sent."""

    def script(sock: socket.socket, seen: Seen) -> None:
        sock.recv(1000)
        sock.sendall(http(b"too large", status="413 Content Too Large"))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):
            pass

    with scripted(script) as server, pytest.raises(RefusedByModel, match="too large"):
        remote(server.url, np.zeros(4_000_000))


def test_the_number_of_outputs_is_checked() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        with pytest.raises(BrokenReply, match="1 outputs came, 2 were asked for"):
            client.infer(ARRAY, output_names=("a", "b"))
        two = b"".join(encode_response(InferResponse((ARRAY, ARRAY))))
    with (
        scripted(answers(http(two))) as server,
        pytest.raises(BrokenReply, match="2 outputs came; name the one"),
    ):
        remote(server.url, ARRAY)


def test_what_cannot_be_sent_is_the_callers_fault() -> None:
    with scripted(ECHO) as server, Client(server.url, environ=NOTHING) as client:
        with pytest.raises(InvalidTensor, match="no type for complex128"):
            client.infer(np.zeros(2, complex))
        with pytest.raises(InvalidTensor, match="expected a NumPy array, got list"):
            client.infer([[1.0, 2.0]])
        assert server.connections == 0
    with pytest.raises(ValueError, match="line break"):
        Client("http://x", headers={"X": "a\r\nb"})


def test_77_megabytes_go_and_come_back() -> None:
    image = np.ones((128, 224, 224, 3), np.float32)

    def script(sock: socket.socket, seen: Seen) -> None:
        body = read_request(sock)
        request = decode_request(body, Limits(body_bytes=1 << 30, elements=1 << 30))
        assert isinstance(request, InferRequest)
        parts = encode_response(InferResponse(request.tensors))
        sock.sendall(http(b"", f"Content-Length: {sum(map(len, parts))}"))
        for part in parts:
            sock.sendall(part)

    with scripted(script) as server, Client(server.url, environ=NOTHING) as client:
        (got,) = client.infer(image)
        assert got.ctypes.data % 64 == 0
        assert np.array_equal(got, image)


def test_credentials_are_sent_and_never_shown(capfd: pytest.CaptureFixture[str]) -> None:
    secrets = ("user", "p%40ss", "p@ss", "tok123", "dXNlcjpwQHNz")
    texts = []
    with scripted(ECHO) as server:
        url = f"http://user:p%40ss@127.0.0.1:{server.port}/m?key=tok123"
        client = Client(url, environ=NOTHING)
        client.infer(ARRAY)
        assert server.header("authorization") == "Basic dXNlcjpwQHNz"
        texts += [repr(client), str(client), client.url]
    client.close()
    for failing in (url, url.replace("127.0.0.1", "name.invalid")):
        with pytest.raises(CannotConnect) as caught:
            remote(failing, ARRAY, timeout=5)
        chain: BaseException | None = caught.value
        while chain is not None:
            texts += [str(chain), repr(chain)]
            chain = chain.__cause__ or chain.__context__
    for wrong in ("http://user:p@ss@x:99999/", "ftp://user:p@ss@x/", "http://user:p@ss@/ x"):
        with pytest.raises(SetupError) as setup:
            Client(wrong)
        texts.append(str(setup.value))
    texts += capfd.readouterr()
    assert not [secret for secret in secrets for text in texts if secret in text]
    assert f"http://127.0.0.1:{server.port}/m?…" in client.url


def test_a_header_of_the_callers_replaces_ours() -> None:
    with scripted(ECHO) as server:
        url = server.url.replace("//", "//u:p@")
        client = Client(
            url, environ=NOTHING, headers={"authorization": "Bearer t", "ACCEPT": "*/*"}
        )
        client.infer(ARRAY)
    assert server.header("authorization") == "Bearer t"
    assert server.header("accept") == "*/*"
    assert server.requests[0][0].lower().count(b"authorization:") == 1


def test_a_name_that_does_not_exist_cannot_be_connected_to() -> None:
    with pytest.raises(CannotConnect, match=r"http://name\.invalid: name\.invalid: "):
        remote("http://name.invalid", ARRAY, timeout=10)


def test_looking_up_a_name_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one mock here: no real name server can be made to hang."""
    release = threading.Event()
    look_up = socket.getaddrinfo

    def hanging(host: str, *more: Any, flags: int = 0, **rest: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            release.wait(10)
        return look_up(host, *more, flags=flags, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    call = partial(remote, "http://name.invalid", ARRAY, timeout=0.2)
    assert "no connection within 0.2" in timed(call, 1.5, BackendTimeout)
    release.set()


def test_ipv6() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:  # a machine without it: then it cannot be connected to
        with pytest.raises(CannotConnect):
            remote("http://[::1]:9", ARRAY)
        return

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(http(echo(read_request(sock))))

    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://[::1]:{listener.getsockname()[1]}"
        assert same_arrays([remote(url, ARRAY)], [ARRAY])
        thread.join()


def kept_of_failed_calls() -> int:
    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock)
            sock.sendall(http(b"no", status="400 Bad Request"))

    def threads_and_files() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    with scripted(script) as server, Client(server.url, environ=NOTHING) as client:

        def fail(times: int) -> None:
            for _ in range(times):
                with pytest.raises(RefusedByModel):
                    client.infer(ARRAY)

        fail(1000)
        before, held = threads_and_files(), resident()
        fail(9000)
        assert threads_and_files() == before
        return resident() - held


def test_ten_thousand_failed_calls_leave_nothing_behind() -> None:
    assert alone(kept_of_failed_calls) < 1 << 20
