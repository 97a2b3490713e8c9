"""https, and proxies as the environment names them."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from gpfn.deadline import Deadline
from gpfn.errors import BackendTimeout, CannotConnect, DeadlineExceeded, SetupError
from gpfn.graphpipe import Client, remote
from gpfn.http.address import parse_url
from gpfn.http.connection import connect
from gpfn.scope import SCOPE, CallScope
from tests.graphpipe.scripted import (
    ARRAY,
    ECHO,
    Script,
    Seen,
    echo,
    http,
    read_request,
    scripted,
)
from tests.graphpipe.strategies import same_arrays

HOST = "model.test"
"""A host that only the proxies of these tests know."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the tests' hosts, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:{HOST},DNS:localhost"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={HOST}", "-addext", names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """A client's context that trusts the certificate."""
    return ssl.create_default_context(cafile=str(certificate[0]))


def over_tls(certificate: tuple[Path, Path], script: Script) -> Script:
    """Return ``script`` behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def encrypted(sock: socket.socket, seen: Seen) -> None:
        with suppress(OSError), context.wrap_socket(sock, server_side=True) as wrapped:
            script(wrapped, seen)

    return encrypted


def test_https(certificate: tuple[Path, Path], trusting: ssl.SSLContext) -> None:
    large = np.arange(3_000_000, dtype=np.float64)
    with scripted(over_tls(certificate, ECHO)) as server:
        with Client(f"https://localhost:{server.port}", ssl_context=trusting) as client:
            for array in (ARRAY, ARRAY + 1, large[:600_000], ARRAY):
                assert same_arrays(client.infer(array), (array,))
        assert server.connections == 1
        with Client(f"https://localhost:{server.port}/", ssl_context=trusting) as client:
            assert same_arrays(client.infer({"a": large[:100], "b": ARRAY}), (large[:100], ARRAY))


def test_a_kept_https_connection_that_was_closed_is_replaced(
    certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    def one(sock: socket.socket, seen: Seen) -> None:
        sock.sendall(http(echo(read_request(sock, seen))))

    def one_and_goodbye(sock: socket.socket, seen: Seen) -> None:
        one(sock, seen)
        with suppress(OSError):
            sock.unwrap()

    for script in (one, one_and_goodbye):
        with scripted(over_tls(certificate, script)) as server:
            client = Client(f"https://localhost:{server.port}", ssl_context=trusting)
            for _ in range(4):
                assert same_arrays(client.infer(ARRAY), (ARRAY,))
                time.sleep(0.02)
            client.close()
            assert server.connections == 4


def test_a_certificate_that_is_not_trusted_is_refused(certificate: tuple[Path, Path]) -> None:
    with scripted(over_tls(certificate, ECHO)) as server:
        with pytest.raises(CannotConnect, match="TLS: self-signed certificate"):
            remote(f"https://localhost:{server.port}", ARRAY)
        assert not server.requests


def test_a_certificate_of_another_host_is_refused(
    certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    with scripted(over_tls(certificate, ECHO)) as server:
        client = Client(f"https://127.0.0.1:{server.port}", ssl_context=trusting)
        with pytest.raises(CannotConnect, match="TLS: IP address mismatch"):
            client.infer(ARRAY)
        assert not server.requests


def test_a_server_without_tls_is_told() -> None:
    with (
        scripted(lambda sock, seen: sock.sendall(http(b"plain"))) as server,
        pytest.raises(CannotConnect, match="TLS: the server speaks none; with http:// instead"),
    ):
        remote(f"https://localhost:{server.port}", ARRAY)


def test_a_handshake_that_hangs_ends_at_the_deadline() -> None:
    with scripted(lambda sock, seen: sock.recv(1 << 20) and sock.recv(1)) as server:
        begun = time.monotonic()
        with pytest.raises(BackendTimeout, match="no connection within"):
            remote(f"https://localhost:{server.port}", ARRAY, timeout=0.3)
        assert time.monotonic() - begun < 1.5


def test_https_that_dribbles_ends_at_the_deadline(
    certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    def dribble(sock: socket.socket, seen: Seen) -> None:
        for byte in http(echo(read_request(sock, seen)) + bytes(100)):
            sock.sendall(bytes([byte]))
            time.sleep(0.02)

    with scripted(over_tls(certificate, dribble)) as server:
        client = Client(f"https://localhost:{server.port}", ssl_context=trusting, timeout=0.3)
        begun = time.monotonic()
        with pytest.raises(BackendTimeout, match="no answer within"):
            client.infer(ARRAY)
        assert time.monotonic() - begun < 1.5


class Proxy:
    """A forward proxy that sends every host to one port of this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.asked: list[bytes] = []

    def __call__(self, sock: socket.socket, seen: Seen) -> None:
        """Serve one client: a tunnel, or plain requests in absolute form."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        self.asked.append(data.partition(b"\r\n\r\n")[0])
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            if data.startswith(b"CONNECT "):
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                first, _, rest = data.partition(b"\r\n")
                method, url, version = first.split(b" ")
                path = b"/" + url.split(b"/", 3)[3]
                server.sendall(b"%b %b %b\r\n%b" % (method, path, version, rest))
            back = threading.Thread(target=pump, args=(server, sock), daemon=True)
            back.start()
            pump(sock, server)
            back.join(5)

    def header(self, name: bytes) -> bytes | None:
        """Return a header of the last request to the proxy."""
        for line in self.asked[-1].split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(script: Script) -> Iterator[tuple[Proxy, Seen, str]]:
    """Serve ``script`` behind a proxy; gives the proxy, the server and the proxy's address."""
    with scripted(script) as server:
        proxy = Proxy(server.port)
        with scripted(proxy) as front:
            yield proxy, server, f"127.0.0.1:{front.port}"


def test_http_goes_through_the_proxy_in_absolute_form() -> None:
    with proxied(ECHO) as (proxy, server, where):
        environ = {"http_proxy": f"http://us%65r:pw@{where}"}
        with Client(f"http://{HOST}:81/m?x=1", environ=environ) as client:
            assert same_arrays(client.infer(ARRAY), (ARRAY,))
        assert proxy.asked[0].startswith(f"POST http://{HOST}:81/m?x=1 HTTP/1.1\r\n".encode())
        assert proxy.header(b"proxy-authorization") == b"Basic dXNlcjpwdw=="
        assert proxy.header(b"host") == f"{HOST}:81".encode()
        assert server.requests[0][0].startswith(b"POST /m?x=1 HTTP/1.1")


def test_https_goes_through_a_tunnel(
    certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    with proxied(over_tls(certificate, ECHO)) as (proxy, server, where):
        environ = {"HTTPS_PROXY": f"http://user:pw@{where}", "http_proxy": "http://127.0.0.1:9"}
        client = Client(f"https://u2:p2@{HOST}/m", environ=environ, ssl_context=trusting)
        for _ in range(3):
            assert same_arrays(client.infer(ARRAY), (ARRAY,))
        client.close()
        assert [line.split(b"\r\n")[0] for line in proxy.asked] == [
            f"CONNECT {HOST}:443 HTTP/1.1".encode()
        ]
        assert proxy.header(b"proxy-authorization") == b"Basic dXNlcjpwdw=="
        assert proxy.header(b"authorization") is None
        assert server.header("authorization") == "Basic dTI6cDI="
        assert server.header("proxy-authorization") is None


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (http(b"", status="407 Proxy Authentication Required"), "407 Proxy Authentication"),
        (http(b"", status="502 Bad Gateway"), "502 Bad Gateway"),
        (b"garbage", "gave no tunnel"),
        (b"x" * 100_000, "gave no tunnel"),
        (b"", "gave no tunnel"),
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_named_without_its_password(
    reply: bytes, what: str
) -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock)
        sock.sendall(reply)

    with scripted(script) as front:
        environ = {"https_proxy": f"http://user:secret@127.0.0.1:{front.port}"}
        with pytest.raises(CannotConnect) as caught:
            Client(f"https://{HOST}", environ=environ).infer(ARRAY)
    assert what in str(caught.value)
    assert f"the proxy http://127.0.0.1:{front.port}" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_proxy_that_wants_a_password_or_is_not_there_is_told() -> None:
    with scripted(lambda sock, seen: sock.sendall(http(b"", status="407 No"))) as front:
        environ = {"http_proxy": f"127.0.0.1:{front.port}"}
        with pytest.raises(CannotConnect, match="the proxy wants a user and password"):
            Client(f"http://{HOST}", environ=environ).infer(ARRAY)
    with pytest.raises(CannotConnect, match=r"refused by the proxy http://127\.0\.0\.1:\d+"):
        Client(f"http://{HOST}", environ=environ).infer(ARRAY)
    with pytest.raises(SetupError, match="http_proxy: only http:// proxies are supported"):
        Client(f"http://{HOST}", environ={"http_proxy": "https://proxy"})


def test_the_process_environment_is_looked_at_when_nothing_else_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxied(ECHO) as (proxy, _, where):
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("ALL_PROXY", where)
        assert same_arrays([remote(f"http://{HOST}", ARRAY)], [ARRAY])
        assert len(proxy.asked) == 1


def test_a_call_that_is_broken_off_sends_nothing_in_the_clear(
    certificate: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    """The socket below TLS is cut, and TLS stays what writes to it."""
    seen: list[bytes] = []
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        listener.listen()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        def accept() -> None:
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as secure:
                held.wait(5)
                with suppress(OSError):
                    seen.append(secure.recv(100))

        held = threading.Event()
        thread = threading.Thread(target=accept)
        thread.start()
        address = parse_url(f"https://localhost:{listener.getsockname()[1]}")
        connection = connect(address, None, trusting, Deadline.after(5))
        connection.abort()
        with suppress(OSError):
            connection.send([b"secret"])
        held.set()
        thread.join()
        connection.reset()
    assert seen == [b"secret"], "through TLS, or not at all"


def test_a_cancelled_call_connects_to_nobody() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        scope = CallScope()
        scope.cancel()
        token = SCOPE.set(scope)
        try:
            client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", environ={})
            with pytest.raises(DeadlineExceeded, match="nobody waits"):
                client.infer(ARRAY)
        finally:
            SCOPE.reset(token)
        with pytest.raises(TimeoutError):
            listener.accept()
