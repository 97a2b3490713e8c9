"""What goes over the wire to a function, and which addresses an event may choose."""

import asyncio
import json
import socket

import pytest

from gpfn.bridge.answers import Answer, judge
from gpfn.bridge.destinations import open_destination
from gpfn.errors import CannotConnect, GpfnError, InvalidEvent, SetupError
from gpfn.events import Event
from gpfn.events.modes import write
from gpfn.limits import Limits
from gpfn.message import Message
from tests.graphpipe.scripted import Script, Seen, read_request, scripted

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = Event(type="t", source="/s", id="7", data=b"[1]", datacontenttype="application/json",
              extensions={"traceparent": PARENT})  # fmt: skip


def answering(reply: bytes = ACCEPTED) -> Script:
    """A server that answers every request with these bytes."""

    def script(sock: socket.socket, seen: Seen) -> None:
        while True:
            read_request(sock, seen)
            sock.sendall(reply)

    return script


def ask(
    call: str,
    event: Event = EVENT,
    *,
    message: Message | None = None,
    seconds: float = 5.0,
    **more: object,
) -> Answer:
    """Call a destination once."""

    async def main() -> Answer:
        destination = open_destination(call, **more)  # type: ignore[arg-type] # named by the test
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            sent = message or write((event,), "binary")
            destination.call(sent, event, seconds, told.set_result)
            async with asyncio.timeout(20):
                return await told
        finally:
            destination.close()

    return asyncio.run(main())


def test_a_function_gets_the_event_with_its_source_and_id() -> None:
    with scripted(answering()) as server:
        came = ask(f"{server.url}/t/models/forecast?a=1", headers=(("Authorization", "Bearer x"),))
        assert isinstance(came, tuple)
        assert came[0] == 202
        head, body = server.requests[0]
        assert head.startswith(b"POST /t/models/forecast?a=1 HTTP/1.1\r\n")
        assert body == b"[1]"
        found = {name: server.header(name) for name in ("ce-source", "ce-id", "content-type")}
        assert found == {"ce-source": "/s", "ce-id": "7", "content-type": "application/json"}
        assert server.header("authorization") == "Bearer x"
        assert server.header("traceparent") == PARENT


def test_user_and_password_of_the_address_go_along_and_are_not_shown() -> None:
    with scripted(answering()) as server:
        url = server.url.replace("//", "//user:s%20cret@")
        ask(f"{url}/f?key=hush")
        assert server.header("authorization") == "Basic dXNlcjpzIGNyZXQ="
        shown = open_destination(f"{url}/f?key=hush").shown
        assert shown == f"{server.url}/f?…"


def test_an_action_of_openwhisk_is_waited_for_and_gets_the_event_as_parameters() -> None:
    with scripted(answering()) as server:
        url = server.url.replace("//", "//uuid:key@")
        ask(f"{url}/api/v1/namespaces/_/actions/forecast")
        head, body = server.requests[0]
        target = b"/api/v1/namespaces/_/actions/forecast?blocking=true&result=true"
        assert head.startswith(b"POST " + target + b" HTTP/1.1\r\n")
        assert server.header("content-type") == "application/json"
        assert server.header("authorization") == "Basic dXVpZDprZXk="
        assert server.header("ce-id") is None
        document = json.loads(body)
        assert (document["id"], document["source"], document["data"]) == ("7", "/s", [1])


def test_invoke_of_fn_gets_the_event_whole_for_it_passes_no_headers_on() -> None:
    with scripted(answering()) as server:
        ask(f"{server.url}/invoke/01ABC")
        assert str(server.header("content-type")).startswith("application/cloudevents+json")
        assert json.loads(server.requests[0][1])["id"] == "7"


@pytest.mark.parametrize(
    "message",
    [
        Message(b"1", "application/cloudevents+json; a=b\r\n\r\nGET / HTTP/1.1"),
        Message(b"1", "text/plain", (("ce-x", "1\r\nauthorization: Bearer y"),)),
        Message(b"1", "text/plain", (("ce-x", "1\0"),)),
        Message(b"1", "text/plain; a=ä"),
    ],
)
def test_nothing_of_an_event_ends_the_head(message: Message) -> None:
    with scripted(answering()) as server:
        came = ask(server.url, message=message)
        assert isinstance(came, InvalidEvent)
        assert judge(came, Limits()).kind == "dead"
        assert not server.requests


LISTED = ("http://127.0.0.1:{port}/public/*", "http://127.0.0.1:{port}/one")


@pytest.mark.parametrize(
    "path", ["/public/f", "/public/", "/public/a/b?c=d", "/one", "/public/a..b"]
)
def test_an_address_on_the_list_is_called(path: str) -> None:
    with scripted(answering()) as server:
        event = Event(type="t", source="/s", id="1", extensions={"destination": server.url + path})
        allow = [text.format(port=server.port) for text in LISTED]
        came = ask("destination", event, allow=allow)
        assert isinstance(came, tuple)
        assert server.requests[0][0].startswith(f"POST {path} HTTP/1.1\r\n".encode())


REFUSED = {
    "another path": "http://127.0.0.1:{port}/private",
    "the folder itself": "http://127.0.0.1:{port}/public",
    "behind one that is exact": "http://127.0.0.1:{port}/one/more",
    "a query of one that is exact": "http://127.0.0.1:{port}/one?x=1",
    "going up": "http://127.0.0.1:{port}/public/../private",
    "going up at the end": "http://127.0.0.1:{port}/public/..",
    "going up in disguise": "http://127.0.0.1:{port}/public/%2e%2e/private",
    "half a disguise": "http://127.0.0.1:{port}/public/.%2E/private",
    "a slash in disguise": "http://127.0.0.1:{port}/public/..%2fprivate",
    "a backslash": "http://127.0.0.1:{port}/public/..\\private",
    "a backslash in disguise": "http://127.0.0.1:{port}/public/..%5Cprivate",
    "here": "http://127.0.0.1:{port}/public/./x",
    "another host": "http://localhost:{port}/public/x",
    "another name of the host": "http://127.1:{port}/public/x",
    "a host that begins so": "http://127.0.0.1.example.com:{port}/public/x",
    "the host as a user": "http://127.0.0.1:{port}@example.com/public/x",
    "with a user": "http://user:password@127.0.0.1:{port}/public/x",
    "with no user": "http://@127.0.0.1:{port}/public/x",
    "another port": "http://127.0.0.1:1/public/x",
    "no port": "http://127.0.0.1/public/x",
    "another scheme": "https://127.0.0.1:{port}/public/x",
    "a file": "file:///etc/passwd",
    "no scheme": "//127.0.0.1:{port}/public/x",
    "a name": "forecast",
    "nothing": "",
    "a space": "http://127.0.0.1:{port}/public/x HTTP/1.1",
    "brackets that do not close": "http://[::1/public/x",
    "a port that is none": "http://127.0.0.1:99999/public/x",
    "metadata of a cloud": "http://169.254.169.254/latest/meta-data/",
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_address_that_is_not_on_the_list_is_never_called(name: str) -> None:
    with scripted(answering()) as server:
        url = REFUSED[name].format(port=server.port)
        allow = [text.format(port=server.port) for text in LISTED]
        event = Event(type="t", source="/s", id="1", extensions={"destination": url})
        came = ask("destination", event, allow=allow)
        assert isinstance(came, InvalidEvent), came
        assert came.field == "destination"
        assert "password" not in str(came)
        assert judge(came, Limits()).kind == "dead", "trying again cannot help"
        assert server.connections == 0


def test_an_event_without_a_destination_calls_nobody() -> None:
    for extensions in ({}, {"destination": 5}):
        event = Event(type="t", source="/s", id="1", extensions=extensions)
        came = ask("destination", event, allow=("http://127.0.0.1:1/*",))
        assert isinstance(came, InvalidEvent)
        assert came.field == "destination"


def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    with scripted(answering(moved)) as server:
        came = ask(server.url)
        assert isinstance(came, tuple)
        assert came[0] == 307
        assert judge(came, Limits()).kind == "dead"


@pytest.mark.parametrize(
    "reply", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b""]
)
def test_an_answer_that_breaks_off_is_tried_again(reply: bytes) -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(reply)

    with scripted(script) as server:
        came = ask(server.url)
        assert isinstance(came, GpfnError)
        verdict = judge(came, Limits())
        assert (verdict.kind, verdict.counts) == ("retry", True)


def test_an_answer_that_drips_for_ever_ends_with_the_routes_time() -> None:
    def script(sock: socket.socket, seen: Seen) -> None:
        read_request(sock, seen)
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        sock.settimeout(0.02)
        while True:
            sock.sendall(b"1\r\nx\r\n")
            try:
                if not sock.recv(1):
                    return
            except TimeoutError:
                pass

    with scripted(script) as server:
        verdict = judge(ask(server.url, seconds=0.5), Limits())
        assert verdict.kind == "retry"


def test_nobody_listens_is_no_attempt() -> None:
    came = ask("http://127.0.0.1:1/")
    assert isinstance(came, CannotConnect)
    verdict = judge(came, Limits())
    assert (verdict.kind, verdict.counts, verdict.down) == ("retry", False, True)


@pytest.mark.parametrize("call", ["ftp://user:secret@x/", "destination", "/nowhere/func.py"])
def test_what_cannot_be_called(call: str) -> None:
    with pytest.raises(SetupError) as caught:
        open_destination(call)
    assert "secret" not in str(caught.value)
