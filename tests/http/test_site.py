"""Requests below a URL: tokens, certificates, and bodies that go piece by piece."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.http.site import Site, tls_context


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Hand one connection to a function, and give the server's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


def head_of(connection: socket.socket) -> bytes:
    """Read until the end of a request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1 << 16)
    return head


def test_a_server_that_refuses_early_is_listened_to() -> None:
    taken: list[int] = []

    def refuse(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno")
        while data := connection.recv(1 << 20):
            taken.append(len(data))

    with answering(refuse) as url:
        piece = bytes(1 << 20)
        reply = Site(url).send("PUT", "/f", (piece for _ in range(100_000)), 100_000 << 20)
    assert (reply.status, reply.body) == (413, b"no")
    assert sum(taken) < 2 << 30, "it stopped long before the end"


def test_head_and_path(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heads.append(head_of(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with answering(answer) as url:
        site = Site(f"{url}/base/", token="gpfn_x", headers=[("X-A", "b")])
        assert site.ask("POST", "/models", b"").status == 200
    with answering(answer) as url:
        Site(f"{url}/base").send("PUT", "/f", [], 0, [("X-C", "d")])
    assert heads[0].startswith(b"POST /base/models HTTP/1.1\r\n")
    for line in (b"Authorization: Bearer gpfn_x", b"X-A: b", b"Content-Length: 0"):
        assert line + b"\r\n" in heads[0]
    assert b"X-C: d\r\n" in heads[1]
    assert heads[1].count(b"Content-Length: 0") == 1


def test_no_progress_is_told() -> None:
    ended: list[bytes] = []

    def wait(connection: socket.socket) -> None:
        head_of(connection)
        ended.append(connection.recv(1))

    with (
        answering(wait) as url,
        pytest.raises(BackendTimeout, match=r"no progress within 0\.2 s"),
    ):
        Site(url, stall=0.2).receive("/f", 5, bytes)
    assert ended == [b""]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"x",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
    ],
)
def test_what_comes_is_bounded_and_whole(reply: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(reply)

    with answering(answer) as url, pytest.raises(BrokenReply, match=r"http://127\.0\.0\.1"):
        Site(url).receive("/f", 5, bytes)


def test_errors_of_whoever_reads_and_writes_are_their_own() -> None:
    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc")

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    def broken() -> Iterator[bytes]:
        raise OSError(5, "Input/output error")
        yield b""

    with answering(answer) as url, pytest.raises(OSError, match="No space"):
        Site(url).receive("/f", 3, full)
    with answering(answer) as url, pytest.raises(OSError, match="Input/output"):
        Site(url).send("PUT", "/f", broken(), 3)


@pytest.mark.parametrize("token", ["a\r\nX-Y: z", "ä", "\0"])
def test_a_token_that_cannot_be_sent(token: str) -> None:
    with pytest.raises(SetupError) as refused:
        Site("http://h", token=token)
    assert refused.value.field == "token"
    assert token not in str(refused.value)


def test_a_url_that_paths_cannot_stand_behind() -> None:
    for url in ("http://h/a?b=c", "ftp://h", "h:9000"):
        with pytest.raises(SetupError):
            Site(url)
    assert Site("http://u:secret@h/a").shown == "http://h/a"


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        tls_context(key=str(tmp_path / "none"))
    assert refused.value.field == "cert"
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(SetupError):
        tls_context(certificate=str(tmp_path / "bad.pem"))
    assert tls_context(folder=str(tmp_path)).check_hostname
