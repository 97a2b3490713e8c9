"""The loop's client against servers that behave and servers that do not, on real sockets."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gpfn.errors import BackendError, BackendTimeout, BrokenReply, CannotConnect, TooLarge
from gpfn.http.address import parse_url, request_head
from gpfn.http.loop.client import LoopClient
from gpfn.http.response import HttpResponse
from tests.graphpipe.scripted import Script, Seen, read_request, scripted

Came = HttpResponse | BackendError | TooLarge
LIMIT = 1 << 20


async def ask(client: LoopClient, body: bytes = b"x", seconds: float = 5.0) -> Came:
    """Send one request and return what the callback was told, which has to be once."""
    told: asyncio.Future[Came] = asyncio.get_running_loop().create_future()
    head = request_head("POST", client.address, None, ())
    client.send(head, body, seconds, told.set_result)
    return await told


def run(
    script: Script, work: Callable[[LoopClient, Seen], Awaitable[None]], **more: object
) -> Seen:
    """Run ``work`` with a client of a server that follows a script."""
    with scripted(script) as server:

        async def main() -> None:
            client = LoopClient(parse_url(server.url), limit=LIMIT, **more)  # type: ignore[arg-type]
            try:
                async with asyncio.timeout(20):
                    await work(client, server)
            finally:
                client.close()

        asyncio.run(main())
        return server


def replies(*parts: bytes, pause: float = 0.0) -> Script:
    """A server that answers every request with these bytes, one after the other."""

    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock, seen)
            for part in parts:
                sock.sendall(part)
                time.sleep(pause)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello"


def test_a_connection_is_kept_and_the_body_goes_as_it_is() -> None:
    async def work(client: LoopClient, seen: Seen) -> None:
        for body in (b"", b"abc", bytes(300_000)):
            came = await ask(client, body)
            assert isinstance(came, HttpResponse)
            assert (came.status, bytes(came.body), came.headers["x-a"]) == (200, b"hello", "1, 2")
            assert seen.requests[-1][1] == body

    assert run(replies(OK), work).connections == 1


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([OK[:20], OK[20:60], OK[60:]], b"hello"),
        ([bytes([byte]) for byte in OK], b"hello"),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                b"lo\r\n",
                b"0\r\n\r\n",
            ],
            b"hello",
        ),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"hello"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + bytes(400_000), bytes(500_000)],
            bytes(900_000),
        ),
    ],
    ids=["pieces", "bytes", "chunks", "interim", "nothing", "large"],
)
def test_a_response_in_pieces(parts: list[bytes], body: bytes) -> None:
    async def work(client: LoopClient, _: Seen) -> None:
        for _again in range(2):
            came = await ask(client)
            assert isinstance(came, HttpResponse)
            assert bytes(came.body) == body

    seen = run(replies(*parts, pause=0.002), work)
    assert seen.connections == 1


def test_a_response_that_ends_with_the_connection() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async def work(client: LoopClient, _: Seen) -> None:
        for _again in range(2):
            came = await ask(client)
            assert isinstance(came, HttpResponse)
            assert bytes(came.body) == b"all of it"

    assert run(script, work).connections == 2


BAD = {
    "not HTTP": (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "two lengths",
    ),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not a length"),
    "over the limit": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", "the limit is"),
    "folded": (b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "not a header"),
    "encoded": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        "content-encoding",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_right_is_told_and_the_connection_is_given_up(name: str) -> None:
    reply, told = BAD[name]

    async def work(client: LoopClient, seen: Seen) -> None:
        for _again in range(2):
            came = await ask(client)
            assert isinstance(came, TooLarge if name == "over the limit" else BrokenReply)
            assert told in str(came)
            assert seen.url in str(came)

    assert run(replies(reply), work).connections == 2


def test_a_body_without_end_is_given_up_at_the_limit() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    async def work(client: LoopClient, _: Seen) -> None:
        came = await ask(client)
        assert isinstance(came, TooLarge)
        assert str(LIMIT) in str(came)

    run(script, work)


def test_a_server_that_closes_is_told_and_asked_anew() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        if seen.connections > 1:
            sock.sendall(OK)
            read_request(sock, seen)

    async def work(client: LoopClient, _: Seen) -> None:
        came = await ask(client)
        assert isinstance(came, BrokenReply)
        assert isinstance(await ask(client), HttpResponse)

    run(script, work)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_connection_of_a_server_that_failed_is_not_kept(status: int) -> None:
    async def work(client: LoopClient, _: Seen) -> None:
        for _again in range(3):
            came = await ask(client)
            assert isinstance(came, HttpResponse)
            assert came.status == status

    seen = run(replies(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status), work)
    assert seen.connections == 3


def test_no_answer_ends_in_time_and_others_go_on() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock, seen)
            if seen.requests[-1][1] == b"slow":
                time.sleep(1.0)
            sock.sendall(OK)

    async def work(client: LoopClient, _: Seen) -> None:
        began = time.monotonic()
        slow = asyncio.create_task(ask(client, b"slow", 0.2))
        await asyncio.sleep(0.01)
        assert isinstance(await ask(client, b"quick"), HttpResponse)
        came = await slow
        assert isinstance(came, BackendTimeout)
        assert 0.2 <= time.monotonic() - began < 0.8

    run(script, work)


def test_no_more_connections_than_allowed_and_all_are_answered() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock, seen)
            time.sleep(0.005)
            sock.sendall(OK)

    async def work(client: LoopClient, _: Seen) -> None:
        came = await asyncio.gather(*[ask(client) for _ in range(60)])
        assert all(isinstance(one, HttpResponse) for one in came)

    assert run(script, work, connections=4).connections == 4


def test_nothing_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def main() -> None:
        client = LoopClient(parse_url(f"http://127.0.0.1:{port}"), limit=LIMIT)
        came = await asyncio.gather(*[ask(client) for _ in range(5)])
        assert all(isinstance(one, CannotConnect) for one in came)
        assert "nothing listens there" in str(came[0])
        client.close()

    asyncio.run(main())


def test_closing_tells_who_is_under_way() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        time.sleep(2.0)

    async def work(client: LoopClient, _: Seen) -> None:
        waiting = asyncio.create_task(ask(client))
        await asyncio.sleep(0.05)
        client.close()
        assert isinstance(await waiting, BackendError)

    run(script, work)


def test_what_comes_unasked_ends_the_connection() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(OK)
        time.sleep(0.05)
        sock.sendall(OK)
        time.sleep(0.5)

    async def work(client: LoopClient, _: Seen) -> None:
        assert isinstance(await ask(client), HttpResponse)
        await asyncio.sleep(0.15)
        came = await ask(client, seconds=0.3)
        assert isinstance(came, HttpResponse)

    assert run(script, work).connections == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of another host, with its key behind it."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=elsewhere", "-addext", "subjectAltName=DNS:elsewhere"]
    key = path.with_suffix(".key")
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


def test_a_certificate_of_another_host_is_refused(certificate: Path) -> None:
    async def main() -> None:
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(certificate)
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0, ssl=server_side)
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=str(certificate))
        client = LoopClient(parse_url(f"https://127.0.0.1:{port}"), limit=LIMIT, context=context)
        came = await ask(client)
        assert isinstance(came, CannotConnect)
        assert "CERTIFICATE_VERIFY_FAILED" in str(came) or "certificate" in str(came)
        client.close()
        server.close()

    asyncio.run(main())


def test_a_server_without_tls_is_told() -> None:
    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async def main() -> None:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = LoopClient(parse_url(f"https://127.0.0.1:{port}"), limit=LIMIT)
        came = await ask(client)
        assert isinstance(came, CannotConnect)
        assert "TLS: the server speaks none; with http:// instead of https://" in str(came)
        client.close()
        server.close()

    asyncio.run(main())
