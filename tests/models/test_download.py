"""Downloads against a real HTTP server that breaks off, lies, redirects and dawdles."""

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.errors import DownloadFailed, SetupError
from gpfn.http.address import shown_url
from gpfn.models.download import Terms, download
from tests.models.fileserver import FileServer, file_server

BODY = bytes(range(256)) * 40
SHA = hashlib.sha256(BODY).hexdigest()
ONCE = Terms(attempts=1)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.tflite"


@contextlib.contextmanager
def dripping(reply: bytes, pause: float = 0.05) -> Iterator[str]:
    """A server that gives one reply, byte by byte, and the URL of a file there."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            sock, _ = listening.accept()
            with sock:
                sock.recv(65536)
                for at in range(0, len(reply), 1 if pause else len(reply)):
                    sock.sendall(reply[at : at + 1] if pause else reply)
                    time.sleep(pause)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/m"
    finally:
        listening.close()


def left_over(target: Path) -> set[str]:
    """Return what lies in the folder besides the target."""
    return {path.name for path in target.parent.iterdir()} - {target.name}


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server: FileServer, target: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    download(
        server.put("/m", BODY),
        target,
        sha256=SHA,
        size=len(BODY),
        progress=lambda *step: seen.append(step),
    )
    assert target.read_bytes() == BODY
    assert left_over(target) == set()
    assert seen[-1] == ("m.tflite", len(BODY), len(BODY))
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_broken_transfer_goes_on_where_it_stopped(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY, breaks_after=[1000, 3000])
    download(url, target, sha256=SHA)
    assert target.read_bytes() == BODY
    asked = [request.headers.get("range") for request in server.requests]
    assert asked == [None, "bytes=1000-", "bytes=4000-"]
    assert {r.headers.get("if-range") for r in server.requests[1:]} == {'"v1"'}


def test_a_later_call_goes_on_too(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY, breaks_after=[5000])
    with pytest.raises(DownloadFailed, match="5000 bytes so far are kept"):
        download(url, target, sha256=SHA, terms=ONCE)
    assert not target.exists()
    assert left_over(target) == {"m.tflite.part", "m.tflite.part.validator"}
    download(url, target, sha256=SHA, terms=ONCE)
    assert target.read_bytes() == BODY
    assert server.requests[1].headers["range"] == "bytes=5000-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, target: Path) -> None:
    url = server.put("/m", b"old" * 900, breaks_after=[500])
    with pytest.raises(DownloadFailed):
        download(url, target, terms=ONCE)
    server.put("/m", BODY, etag='"v2"')
    download(url, target, sha256=SHA, terms=ONCE)
    assert target.read_bytes() == BODY


def test_a_server_that_mixes_versions_is_caught_by_the_hash(
    server: FileServer, target: Path
) -> None:
    """The tag is the same, the content is not: the second try starts from the beginning."""
    url = server.put("/m", bytes(len(BODY)), breaks_after=[500])
    with pytest.raises(DownloadFailed):
        download(url, target, terms=ONCE)
    server.put("/m", BODY)
    download(url, target, sha256=SHA, terms=ONCE)
    assert target.read_bytes() == BODY
    assert [r.headers.get("range") for r in server.requests] == [None, "bytes=500-", None]


def test_without_ranges_or_a_tag_it_starts_again(server: FileServer, target: Path) -> None:
    for rule in ({"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}):
        url = server.put("/m", BODY, breaks_after=[700], **rule)
        download(url, target, sha256=SHA)
        assert target.read_bytes() == BODY
        target.unlink()


def test_a_part_longer_than_the_file_is_dropped(server: FileServer, target: Path) -> None:
    target.with_name("m.tflite.part").write_bytes(BODY + b"more")
    target.with_name("m.tflite.part.validator").write_text('"v1"')
    download(server.put("/m", BODY), target, sha256=SHA)
    assert target.read_bytes() == BODY


def test_the_wrong_part_is_refused(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY, breaks_after=[100], content_range="bytes 7-99/100")
    with pytest.raises(DownloadFailed, match="the wrong part"):
        download(url, target, sha256=SHA)


def test_a_wrong_hash_is_not_kept(server: FileServer, target: Path) -> None:
    with pytest.raises(DownloadFailed, match=f"has sha256 {SHA}, expected {'0' * 64}"):
        download(server.put("/m", BODY), target, sha256="0" * 64)
    assert left_over(target) == set()
    assert not target.exists()


@pytest.mark.parametrize("with_length", [True, False])
def test_too_large_is_refused(server: FileServer, target: Path, with_length: bool) -> None:
    url = server.put("/m", BODY, with_length=with_length)
    with pytest.raises(DownloadFailed, match="GPFN_MAX_MODEL_BYTES raises it"):
        download(url, target, terms=Terms(max_bytes=5000))
    with pytest.raises(DownloadFailed, match="5000"):
        download(url, target, size=5000)
    assert left_over(target) == set()


def test_too_small_is_refused(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY)
    with pytest.raises(DownloadFailed, match=f"has {len(BODY)} bytes, expected {len(BODY) + 1}"):
        download(url, target, size=len(BODY) + 1)
    url = server.put("/n", BODY, with_length=False)
    with pytest.raises(DownloadFailed, match=f"could not be fetched|expected {len(BODY) + 1}"):
        download(url, target, size=len(BODY) + 1, terms=ONCE)
    assert not target.exists()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server: FileServer, target: Path, status: int) -> None:
    url = server.put("/m", b"no", status=status)
    with pytest.raises(DownloadFailed, match=f"/m answered {status}"):
        download(url, target)
    assert len(server.requests) == 1
    assert left_over(target) == set()


def test_a_server_in_trouble_is_tried_again(server: FileServer, target: Path) -> None:
    download(server.put("/m", BODY, statuses=[503, 502]), target, sha256=SHA)
    assert target.read_bytes() == BODY
    with pytest.raises(DownloadFailed, match="answered 500"):
        download(server.put("/n", b"", status=500), target, terms=Terms(attempts=2))
    assert len(server.requests) == 5


def test_redirects_are_followed_and_limited(server: FileServer, target: Path) -> None:
    server.put("/m", BODY)
    download(server.put("/a", status=302, location="/m"), target, sha256=SHA)
    assert target.read_bytes() == BODY
    loop = server.put("/loop", status=302, location="/loop")
    with pytest.raises(DownloadFailed, match="redirected more than 5 times"):
        download(loop, target)
    assert [r.path for r in server.requests].count("/loop") == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[broken"])
def test_a_redirect_leads_to_http_only(server: FileServer, target: Path, location: str) -> None:
    url = server.put("/m", status=302, location=location)
    with pytest.raises(DownloadFailed, match="cannot fetch"):
        download(url, target)
    assert not target.exists()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "ftp://h/x", "http:///x", "//h/x"]
)
def test_only_http_is_fetched(target: Path, url: str) -> None:
    with pytest.raises(DownloadFailed, match="no http:// or https:// URL"):
        download(url, target)


def test_an_address_that_cannot_be_read(target: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"its host is wrong"):
        download("http://[broken/m", target)


def test_an_encoded_reply_is_refused(server: FileServer, target: Path) -> None:
    """We asked for the bytes as they are; a part of an encoded body cannot be resumed."""
    with pytest.raises(DownloadFailed, match="encoded as 'gzip'"):
        download(server.put("/m", BODY, encoding="gzip"), target)


def test_a_slow_server_meets_the_total_time(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY, pause=0.05)
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match=r"not complete after 0\.4 s.*are kept"):
        download(url, target, sha256=SHA, terms=Terms(total=0.4))
    assert time.monotonic() - started < 2
    assert 0 < target.with_name("m.tflite.part").stat().st_size < len(BODY)


def test_a_silent_server_meets_the_stall_time(server: FileServer, target: Path) -> None:
    url = server.put("/m", BODY, silence=1.0)
    with pytest.raises(DownloadFailed, match="no answer in time"):
        download(url, target, terms=Terms(stall=0.1, attempts=2))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 500,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 200,
        b"HTTP/1.1 302 Found\r\nLocation: /" + b"y" * 500,
    ],
    ids=["head", "body", "chunk", "moved"],
)
def test_a_server_that_drips_cannot_outlast_the_time(reply: bytes, target: Path) -> None:
    with dripping(reply) as url:
        started = time.monotonic()
        with pytest.raises(DownloadFailed, match=r"not complete after 1 s|in time"):
            download(url, target, terms=Terms(total=1.0))
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("length", "says"),
    [
        ("0" * 5000 + "4", None),
        ("9" * 5000, "GPFN_MAX_MODEL_BYTES"),
        ("4_0", "not a length"),
        ("-4", "not a length"),
        ("4, 5", "not a length"),
    ],
)
def test_an_odd_length(length: str, says: str | None, target: Path) -> None:
    with dripping(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabcd".encode(), 0) as url:
        if says is None:
            download(url, target, terms=ONCE)
            assert target.read_bytes() == b"abcd"
            return
        with pytest.raises(DownloadFailed, match=says):
            download(url, target, terms=ONCE)


def test_what_the_server_calls_its_status_is_printable(target: Path) -> None:
    with dripping(b"HTTP/1.1 404 \x1b[31mred\x9b1m\r\nContent-Length: 0\r\n\r\n", 0) as url:
        with pytest.raises(DownloadFailed, match="404") as caught:
            download(url, target)
        assert str(caught.value).isprintable()


def test_nobody_there(target: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(DownloadFailed, match=f"127.0.0.1:{port}/m: Connection refused"):
            download(f"http://127.0.0.1:{port}/m", target)
    with pytest.raises(DownloadFailed, match=r"cannot fetch http://no-such-host\.invalid/m"):
        download("http://no-such-host.invalid/m", target)


def test_credentials_and_query_are_not_shown(server: FileServer, target: Path) -> None:
    url = server.url.replace("//", "//user:secret@") + "/m?token=secret"
    with pytest.raises(DownloadFailed) as caught:
        download(url, target)
    assert "secret" not in str(caught.value)
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert shown_url("https://u:p@h:8443/a/b?c=d") == "https://h:8443/a/b?…"


def test_a_folder_that_cannot_be_written_is_named(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "absent" / "m"
    with pytest.raises(DownloadFailed, match=f"cannot write {target}: No such file"):
        download(server.put("/m", BODY), target)


def test_the_size_limit_comes_from_the_environment() -> None:
    assert Terms.from_env({}).max_bytes == 4 << 30
    assert Terms.from_env({"GPFN_MAX_MODEL_BYTES": "1000"}, total=60).max_bytes == 1000
    for wrong in ("0", "-1", "1e6", "many"):
        with pytest.raises(SetupError) as caught:
            Terms.from_env({"GPFN_MAX_MODEL_BYTES": wrong})
        assert caught.value.field == "GPFN_MAX_MODEL_BYTES"
