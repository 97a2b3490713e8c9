"""Only public http(s) URLs are fetched, whatever tricks they play, and within bounds."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import SetupError, TooLarge
from gpfn.http.fetch import FetchPolicy, UrlRefused, fetch, fetch_page, parse_hosts
from gpfn.scope import SCOPE, CallScope

PUBLIC = FetchPolicy(max_bytes=1000)


@contextlib.contextmanager
def origin(*replies: bytes, drip: float = 0.0, hold: float = 0.0) -> Iterator[int]:
    """A real server on loopback that gives one reply a connection, in order."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for reply in replies:
            with contextlib.suppress(OSError):
                sock, _ = listening.accept()
                with sock:
                    sock.recv(65536)
                    if drip:
                        for byte in reply:
                            sock.sendall(bytes([byte]))
                            time.sleep(drip)
                    else:
                        sock.sendall(reply)
                    time.sleep(hold)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def local(port: int, **changes: object) -> FetchPolicy:
    """The policy of a test whose origin is on loopback."""
    values: dict[str, object] = {"max_bytes": 1000, "ports": (port,), "allowed": lambda _: True}
    return FetchPolicy(**(values | changes))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("ftp://example.com/", "only http and https"),
        ("gopher://example.com/", "only http and https"),
        ("data:text/plain,hello", "only http and https"),
        ("http:///nohost", "no host"),
        ("http://user:secret@example.com/", "credentials"),
        ("http://example.com:22/", "port 22"),
        ("http://example.com:99999/", "not a URL"),
        ("http://127.0.0.1/", "not a public address"),
        ("http://localhost/", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("http://10.0.0.1/", "not a public address"),
        ("http://192.168.1.1/", "not a public address"),
        ("http://169.254.169.254/latest/meta-data/", "not a public address"),
        ("http://0.0.0.0/", "not a public address"),
        ("http://2130706433/", "not a public address"),
        ("http://0x7f.1/", "not a public address"),
        ("http://017700000001/", "not a public address"),
        ("http://[::ffff:127.0.0.1]/", "not a public address"),
        ("http://[64:ff9b::7f00:1]/", "not a public address"),
        ("http://[2002:7f00:1::]/", "not a public address"),
        ("http://[fd00::1]/", "not a public address"),
        ("http://[fe80::1]/", "not a public address"),
        ("http://224.0.0.1/", "not a public address"),
        ("http://[::127.0.0.1]/", "not a public address"),
        ("http://[::ffff:0:7f00:1]/", "not a public address"),
        ("http://[64:ff9b:1::7f00:1]/", "not a public address"),
        ("http://[fec0::1]/", "not a public address"),
        ("http://127.1/", "not a public address"),
        ("http://0177.0.0.1/", "not a public address"),
        ("http://127.0.0.1./", "not a public address|not known"),
        ("http://localhost./", "not a public address|not known"),
        ("http://[fe80::1%25lo]/", "not a name and not an IP address|not a URL"),
        ("http://127.0.0.1:0/", "port 0"),
        ("http://@127.0.0.1/", "credentials"),
        ("http://example.com\\@127.0.0.1/", "credentials"),
        ("http://127.0.0.1\\.example.com/", "not a name"),
        (f"http://{'a' * 64}.example/", "not the name of a host"),
        ("http://a..b/", "not the name of a host"),
        ("http://example.com\x7f/", "escaped"),
        ("http://example.com/" + "x" * 9000, "at most 8000"),
        ("http://no-such-host.invalid/", "not known"),
        ("http://exa mple.com/", "escaped"),
        ("http://example.com/\r\nhost: inside", "escaped"),
    ],
)
def test_such_urls_are_refused(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason) as caught:
        fetch(url, PUBLIC, NEVER, field="image")
    assert caught.value.field == "image"
    assert "secret" not in str(caught.value)


def test_the_content_comes_back() -> None:
    with origin(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello") as port:
        assert fetch(f"http://127.0.0.1:{port}/a?b", local(port), NEVER) == b"hello"


def test_a_redirect_is_judged_like_any_url() -> None:
    inside = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/secret\r\ncontent-length: 0\r\n\r\n"
    with origin(inside) as port:
        policy = local(port, ports=(port, 80), allowed=lambda address: address == "127.0.0.1")
        with pytest.raises(UrlRefused, match=r"127\.0\.0\.2 is not a public address"):
            fetch(f"http://127.0.0.1:{port}/", policy, NEVER)
    with (
        origin(b"HTTP/1.1 301 Moved\r\nlocation: file:///etc/passwd\r\n\r\n") as port,
        pytest.raises(UrlRefused, match="only http"),
    ):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


def test_a_redirect_is_followed_but_not_for_ever() -> None:
    again = b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"
    done = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"
    with origin(again, done) as port:
        assert fetch(f"http://127.0.0.1:{port}/", local(port), NEVER) == b"done"
    with (
        origin(*[again] * 5) as port,
        pytest.raises(UrlRefused, match="more than 3 redirects"),
    ):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


def test_a_name_that_resolves_anew_between_check_and_connect_gains_nothing() -> None:
    """The address that was judged is the one connected to: the name is asked once."""
    judged: list[str] = []

    def once(address: str) -> bool:
        judged.append(address)
        return True

    with origin(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as port:
        assert fetch(f"http://localhost:{port}/", local(port, allowed=once), NEVER) == b"ok"
    assert judged[-1] == "127.0.0.1"  # the peer itself, after connecting


def test_the_peer_is_judged_again_after_connecting() -> None:
    verdicts = iter([True, False])
    with origin(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as port:
        policy = local(port, allowed=lambda _: next(verdicts))
        with pytest.raises(UrlRefused, match="not a public address"):
            fetch(f"http://127.0.0.1:{port}/", policy, NEVER)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n"
        + b"x" * 1001
        + b"\r\n0\r\n\r\n",
    ],
)
def test_too_much_is_refused(reply: bytes) -> None:
    with origin(reply) as port, pytest.raises(TooLarge):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "broke|cannot be fetched"),
        (b"not http at all", "cannot be fetched"),
        (b"", "cannot be fetched"),
    ],
)
def test_other_answers_are_refused(reply: bytes, reason: str) -> None:
    with origin(reply) as port, pytest.raises(UrlRefused, match=reason):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 500,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 500,
        b"HTTP/1.0 200 OK\r\n\r\n" + b"y" * 500,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 500\r\n\r\n" + b"y" * 500,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 100,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 200,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 80,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 302 Found\r\nLocation: /" + b"y" * 500,
    ],
    ids=["head", "body", "close", "1.0", "sized", "chunks", "size", "trailers", "interim", "moved"],
)
def test_a_server_that_drips_cannot_outlast_the_time(reply: bytes) -> None:
    with origin(reply, drip=0.05) as port:
        started = time.monotonic()
        with pytest.raises(UrlRefused, match="took too long"):
            fetch(f"http://127.0.0.1:{port}/", local(port, seconds=1.0), NEVER)
        assert time.monotonic() - started < 3


def test_a_handshake_that_never_ends_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(UrlRefused, match="took too long"):
            fetch(f"https://127.0.0.1:{port}/", local(port, seconds=0.3), NEVER)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "http://[::1",
        "//[x]/",
        "http://h:port/",
        "http://127.0.0.1:99999/",
        "http:",
        "//",
    ],
)
def test_where_no_redirect_can_lead_is_refused(location: str) -> None:
    moved = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    with origin(moved) as port, pytest.raises(UrlRefused) as caught:
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER, field="image")
    assert caught.value.field == "image"


def test_the_body_of_a_redirect_is_not_waited_for() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 99999999\r\n\r\n"
    done = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"
    with origin(moved, done) as port:
        assert fetch(f"http://127.0.0.1:{port}/", local(port), NEVER) == b"done"


def test_the_callers_deadline_counts_as_well() -> None:
    with origin(b"HTTP/1.1 200 OK\r\n", hold=3) as port:
        started = time.monotonic()
        with pytest.raises(UrlRefused, match="took too long"):
            fetch(f"http://127.0.0.1:{port}/", local(port), Deadline.after(0.3))
        assert time.monotonic() - started < 2


def test_nobody_listening_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UrlRefused, match="refused"):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


def test_a_resolver_that_hangs_cannot_outlast_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is replaced: a real one cannot be made to hang."""
    released = threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: str, *more: Any, flags: int = 0, **rest: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            released.wait(30)
        return look_up(host, *more, flags=flags, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(UrlRefused, match="took too long"):
        fetch("http://example.com/", FetchPolicy(1000, seconds=0.2), NEVER)
    assert time.monotonic() - began < 5
    released.set()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_a_host_of_ones_own_network_may_be_allowed() -> None:
    with origin(OK) as port:
        policy = FetchPolicy(1000, hosts=(f"127.0.0.1:{port}",))
        assert fetch(f"http://127.0.0.1:{port}/", policy, NEVER) == b"ok"
    with origin(OK) as port:
        policy = FetchPolicy(1000, ports=(port,), hosts=("localhost",))
        assert fetch(f"http://LocalHost:{port}/", policy, NEVER) == b"ok"


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "127.0.0.2", "localhost"],
)
def test_only_in_the_one_spelling(host: str) -> None:
    with origin(OK) as port:
        policy = FetchPolicy(1000, ports=(port,), hosts=("127.0.0.1",))
        with pytest.raises(UrlRefused, match="not a public address"):
            fetch(f"http://{host}:{port}/", policy, NEVER)
        exactly = FetchPolicy(1000, hosts=(f"127.0.0.1:{port}",))
        with pytest.raises(UrlRefused, match=f"port {port} is not fetched from"):
            fetch(f"http://{host}:{port}/", exactly, NEVER)


def test_a_port_is_allowed_for_its_host_alone() -> None:
    policy = FetchPolicy(1000, hosts=("127.0.0.1:8123",))
    with pytest.raises(UrlRefused, match="port 8124 is not fetched from"):
        fetch("http://127.0.0.1:8124/", policy, NEVER)
    with pytest.raises(UrlRefused, match="not a public address"):
        fetch("http://127.0.0.1/", policy, NEVER)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/", "169.254.169.254 is not a public address"),
        ("http://2130706433/", "not a public address"),
        ("//127.0.0.2/", "not a public address"),
        ("http://127.0.0.1:1/", "port 1 is not fetched from"),
        ("file:///etc/passwd", "only http and https"),
        ("http://a@127.0.0.1/", "credentials"),
    ],
)
def test_an_allowed_host_may_not_lead_anywhere(location: str, reason: str) -> None:
    moved = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    with origin(moved) as port:
        policy = FetchPolicy(1000, hosts=(f"127.0.0.1:{port}",))
        with pytest.raises(UrlRefused, match=reason):
            fetch(f"http://127.0.0.1:{port}/", policy, NEVER)


def test_the_list_of_hosts() -> None:
    given = "Pictures.Internal, 127.0.0.1:8123 ::1,[0:0::1]:80,"
    hosts = parse_hosts(given, field="HOSTS")
    assert hosts == ("pictures.internal", "127.0.0.1:8123", "[::1]", "[::1]:80")
    assert parse_hosts("", field="HOSTS") == ()
    for bad in ("2130706433", "127.1", "0x7f.1", "a:0", "a:65536", "http://a", "a/b", "u@a",
                "*", "[::1", "[a.b]", "fe80::1%lo", "a:b", ":80", "ä"):  # fmt: skip
        with pytest.raises(SetupError, match="expected hosts with commas") as caught:
            parse_hosts(bad, field="HOSTS")
        assert caught.value.field == "HOSTS"


def test_what_comes_with_the_content() -> None:
    again = b"HTTP/1.1 302 Found\r\nlocation: /b?c\r\ncontent-length: 0\r\n\r\n"
    last = OK.replace(b"\r\n\r\n", b"\r\ncontent-type: Image/PNG; a=b\r\n\r\n")
    with origin(again, last) as port:
        page = fetch_page(f"http://127.0.0.1:{port}/a", local(port), NEVER)
    assert page == (b"ok", "image/png", f"http://127.0.0.1:{port}/b?c", True)
    kept = OK.replace(b"\r\n\r\n", b"\r\ncache-control: public, No-Store\r\n\r\n")
    with origin(kept) as port:
        page = fetch_page(f"http://127.0.0.1:{port}/", local(port), NEVER)
    assert (page.media_type, page.may_keep) == ("", False)


@pytest.mark.parametrize("coding", ["gzip", "br", "x-nothing", "gzip, identity"])
def test_a_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    coded = OK.replace(b"\r\n\r\n", f"\r\ncontent-encoding: {coding}\r\n\r\n".encode())
    with (
        origin(coded) as port,
        pytest.raises(UrlRefused, match=f"content-encoding '{coding}', which was not asked for"),
    ):
        fetch(f"http://127.0.0.1:{port}/", local(port), NEVER)


def test_what_is_asked_for_is_the_content_as_it_is() -> None:
    """The request itself, as a server gets it."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            sock, _ = listening.accept()
            with sock:
                asked.append(sock.recv(65536))
                sock.sendall(OK)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        assert fetch(f"http://127.0.0.1:{port}/x", local(port), NEVER) == b"ok"
        thread.join()
    head = asked[0].decode().lower()
    assert head.startswith("get /x http/1.1\r\n")
    assert "\r\naccept-encoding: identity\r\n" in head
    assert "cookie" not in head
    assert "authorization" not in head


class _Listening:
    """A server on one address of loopback that counts who connects."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.socket = socket.create_server((address, port))
        self.port: int = self.socket.getsockname()[1]
        self.connected = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end of the test
            while True:
                sock, _ = self.socket.accept()
                self.connected += 1
                with sock:
                    sock.recv(65536)
                    sock.sendall(OK)


def _answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> list[str]:
    """Let a name have other addresses at each look-up; return the names that were asked for."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def instead(host: str, port: int, *more: Any, flags: int = 0, **rest: Any) -> Any:
        if host != "rebinding.example" or flags & socket.AI_NUMERICHOST:
            return look_up(host, port, *more, flags=flags, **rest)
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [found for each in addresses for found in look_up(each, port, type=rest["type"])]

    monkeypatch.setattr(socket, "getaddrinfo", instead)
    return asked


def test_a_name_that_changes_its_answer_never_leads_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """127.0.0.3 stands for a public address, 127.0.0.2 for one of ours."""
    inside = _Listening("127.0.0.2")
    outside = _Listening("127.0.0.3", inside.port)
    policy = local(inside.port, allowed=lambda address: address == "127.0.0.3")
    url = f"http://rebinding.example:{inside.port}/"
    asked = _answering(monkeypatch, ("127.0.0.3",), ("127.0.0.2",))
    assert fetch(url, policy, NEVER) == b"ok"
    assert len(asked) == 1, "one look-up for the check and the connection"
    for answer in (("127.0.0.2",), ("127.0.0.3", "127.0.0.2"), ("127.0.0.2", "127.0.0.3")):
        _answering(monkeypatch, answer)
        with pytest.raises(UrlRefused, match=r"rebinding\.example is not a public address"):
            fetch(url, policy, NEVER)
    assert (inside.connected, outside.connected) == (0, 1)
    inside.socket.close()
    outside.socket.close()


def test_what_nobody_waits_for_any_more_is_broken_off() -> None:
    """A host that says nothing and one that drips end with the call that wanted them."""

    def silent(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.settimeout(10)
        with suppress(OSError):
            while connection.recv(4096):
                pass

    for drips in (False, True):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()

            def answer(listener: socket.socket = listener, drips: bool = drips) -> None:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    if drips:
                        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")
                    silent(connection)

            threading.Thread(target=answer, daemon=True).start()
            port = listener.getsockname()[1]
            policy = FetchPolicy(1 << 20, ports=(port,), allowed=lambda _: True)
            scope = CallScope()
            threading.Timer(0.3, scope.cancel).start()
            token = SCOPE.set(scope)
            began = time.monotonic()
            try:
                with pytest.raises(UrlRefused):
                    fetch(f"http://127.0.0.1:{port}/", policy, Deadline.after(5))
            finally:
                SCOPE.reset(token)
            assert time.monotonic() - began < 1.5
