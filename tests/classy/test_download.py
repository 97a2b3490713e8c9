"""Pictures of real servers on loopback: what comes, what does not and why, and how many at once."""

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gpfn import Function
from gpfn.call.contract import Call
from gpfn.classy.crew import Crew, Errand
from gpfn.classy.download import Downloader
from gpfn.classy.source import DownloadSettings
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, Overloaded, SetupError, TooLarge
from gpfn.graphpipe.encode import encode_request, encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse
from gpfn.message import Message
from gpfn.scope import SCOPE, CallScope
from tests.classy.pictures import Pictures, ask, downloader, picture, pictures

JPEG, PNG, GIF = picture("JPEG"), picture("PNG"), picture("GIF")


@pytest.fixture
def server() -> Iterator[Pictures]:
    with pictures() as running:
        yield running


def problem(server: Pictures, url: str | bytes, **settings: object) -> str:
    """Return why nothing comes of one address."""
    images, problems = ask(downloader(server, **settings), url)
    assert images == [b""]
    assert problems[0]
    return problems[0]


def test_addresses_and_files_come_back_in_their_order(server: Pictures) -> None:
    other = picture(shade=200)
    urls = server.put("/a.jpg", JPEG), server.put("/b.jpg", other)
    loud = urls[1].replace("http://", "HTTP://")
    images, problems = ask(downloader(server), urls[0], PNG, loud, f" {urls[0]}\n", GIF)
    assert images == [JPEG, PNG, other, JPEG, GIF]
    assert problems == [""] * 5


def test_one_that_fails_fails_alone(server: Pictures) -> None:
    good = server.put("/good.jpg", JPEG)
    rows = (good, server.url("/absent"), b"not a picture", b"", "ftp://example.com/a.jpg", PNG)
    images, problems = ask(downloader(server), *rows)
    assert images == [JPEG, b"", b"", b"", b"", PNG]
    assert problems[0] == problems[5] == ""
    assert problems[1] == "answered with status 404"
    assert problems[2].startswith("not an image")
    assert problems[3] == "it is empty"
    assert problems[4] == "only http and https are fetched"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("data:image/png;base64,iVBORw0KGgo=", "only http and https"),
        ("http://[::ffff:127.0.0.1]:{port}/a.jpg", "port|not a public address"),
        ("http://[::ffff:127.0.0.1]/a.jpg", "not a public address"),
        ("http://2130706433/a.jpg", "not a public address"),
        ("http://0177.0.0.1/a.jpg", "not a public address"),
        ("http://0x7f.1/a.jpg", "not a public address"),
        ("http://127.0.0.1/a.jpg", "not a public address"),
        ("http://user:secret@127.0.0.1:{port}/a.jpg", "credentials"),
        ("http://169.254.169.254/latest/meta-data/", "not a public address"),
        ("http://" + "x" * 100_000, "at most 8000"),
        ("http://ä.example/", "escaped"),
        ("http://[", "not a URL"),
        ("https:", "no host"),
    ],
)
def test_what_leads_inside_is_refused(server: Pictures, url: str, reason: str) -> None:
    server.put("/a.jpg", JPEG)
    told = problem(server, url.replace("{port}", str(server.port)))
    assert any(words in told for words in reason.split("|")), told
    assert len(told) <= 300
    assert not server.asked


def test_a_redirect_inside_is_refused(server: Pictures) -> None:
    hosts = {"hosts": (f"127.0.0.1:{server.port}",), "ports": (80, server.port)}
    moved = server.redirect("/moved.jpg", "http://169.254.169.254/a.jpg")
    assert "169.254.169.254 is not a public address" in problem(server, moved, **hosts)
    server.put("/a.jpg", JPEG)
    other = server.redirect("/other.jpg", server.url("/a.jpg", "localhost"))
    assert "localhost is not a public address" in problem(server, other, **hosts)
    assert server.asked["/a.jpg"] == 0
    same = server.redirect("/same.jpg", "/a.jpg")
    assert ask(downloader(server, **hosts), same) == ([JPEG], [""])
    endless = server.redirect("/endless.jpg", "/endless.jpg")
    assert problem(server, endless, **hosts) == "more than 3 redirects"


@pytest.mark.parametrize("kind", ["image/jpeg", "image/jpg", "IMAGE/JPEG; q=1", "", None,
                                  "application/octet-stream", "binary/octet-stream"])  # fmt: skip
def test_types_that_agree(server: Pictures, kind: str | None) -> None:
    assert ask(downloader(server), server.put("/a", JPEG, kind)) == ([JPEG], [""])


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (JPEG, "text/html", "its type is 'text/html', but its bytes are a JPEG image"),
        (JPEG, "image/png", "its type is 'image/png', but its bytes are a JPEG image"),
        (PNG, "image/jpeg", "its type is 'image/jpeg', but its bytes are a PNG image"),
        (JPEG, "x" * 900, "but its bytes are a JPEG image"),
        (b"<!DOCTYPE html>", "image/jpeg", "its type is 'image/jpeg', but this is an HTML page"),
        (b"just text", "text/plain", "its type is 'text/plain', but not an image"),
        (b"just text", None, "not an image that can be read"),
        (b"", "image/jpeg", "its type is 'image/jpeg', but it is empty"),
    ],
)
def test_types_that_do_not(server: Pictures, content: bytes, kind: str | None, told: str) -> None:
    said = problem(server, server.put("/a", content, kind))
    assert told in said
    assert len(said) <= 300


def test_no_content_coding_is_undone(server: Pictures) -> None:
    url = server.put("/a.jpg", gzip.compress(JPEG), Content_Encoding="gzip")
    assert "content-encoding 'gzip', which was not asked for" in problem(server, url)


def test_fifty_megabytes_are_refused_before_they_come(server: Pictures) -> None:
    url = server.put("/large.jpg", JPEG + bytes(50 << 20))
    began = time.monotonic()
    assert "the limit is 16777216 (GPFN_DOWNLOAD_BYTES)" in problem(server, url)
    assert time.monotonic() - began < 2
    assert "at most 16777216 (GPFN_DOWNLOAD_BYTES)" in problem(server, JPEG + bytes(50 << 20))


def test_a_call_has_so_many_bytes_in_all(server: Pictures) -> None:
    large = JPEG + bytes(1000 - len(JPEG))
    urls = [server.put(f"/{number}.jpg", large) for number in range(5)]
    handler = downloader(server, total=3500, parallel=1)
    images, problems = ask(handler, large, *urls)
    assert images == [large] * 3 + [b""] * 3
    assert problems[3:] == ["over the 3500 bytes of a call (GPFN_MAX_BODY_BYTES)"] * 3
    images, problems = ask(handler, *[urls[0]] * 4)  # once fetched, but four times answered
    assert images == [b""] * 4
    assert ask(handler, *[urls[0]] * 3) == ([large] * 3, [""] * 3)


@pytest.mark.parametrize("count", [1, 4, 50])
def test_what_fills_a_call_fits_into_the_next_servers_body(server: Pictures, count: int) -> None:
    most = 64 << 10
    large = [JPEG + bytes(most // count - len(JPEG) - less) for less in (0, 40, 400)]
    for each in large:
        urls = [server.put(f"/{number}.jpg", each) for number in range(count)]
        images, problems = ask(downloader(server, total=most), *urls)
        arrays = [np.array(images, object), np.array([p.encode() for p in problems], object)]
        onward = InferRequest((arrays[0],), ("images",), (), "http://127.0.0.1:7002")
        assert sum(map(len, encode_request(onward))) <= most
        assert sum(map(len, encode_response(InferResponse((arrays[0], arrays[1]))))) <= most
    assert problems == [""] * count


def test_one_address_is_asked_once(server: Pictures) -> None:
    url = server.put("/a.jpg", JPEG)
    images, _ = ask(downloader(server), *[url] * 50)
    assert images == [JPEG] * 50
    assert server.asked["/a.jpg"] == 1


def test_drips_and_silence_end_in_time(server: Pictures) -> None:
    server.put("/slow.jpg", JPEG, wait=3)
    good = server.put("/good.jpg", JPEG)
    began = time.monotonic()
    images, problems = ask(
        downloader(server, seconds=0.4),
        server.drip("/drip.jpg", 0.02),
        server.url("/slow.jpg"),
        good,
    )
    assert time.monotonic() - began < 2
    assert images == [b"", b"", JPEG]
    assert problems == ["took too long", "took too long", ""]


def test_the_calls_deadline_ends_what_waits(server: Pictures) -> None:
    slow = [server.put(f"/{number}.jpg", JPEG, wait=0.3) for number in range(20)]
    began = time.monotonic()
    images, problems = ask(
        downloader(server, parallel=2), *slow, call=Call(deadline=Deadline.after(0.8))
    )
    assert 0.7 < time.monotonic() - began < 2
    come = images.count(JPEG)
    assert 2 <= come <= 6
    assert sum(text.startswith("took too long") for text in problems) == 20 - come
    time.sleep(0.5)
    assert sum(server.asked.values()) <= 8, "what was dropped is never asked for"


def test_so_many_at_a_time_and_so_many_of_a_host(server: Pictures) -> None:
    rows = []
    for number in range(20):
        server.put(f"/{number}.jpg", JPEG, wait=0.1)
        rows.append(server.url(f"/{number}.jpg", ("127.0.0.1", "localhost")[number % 2]))
    handler = downloader(server, parallel=10)
    began = time.monotonic()
    assert ask(handler, *rows)[1] == [""] * 20
    assert time.monotonic() - began < 1
    assert 6 < server.most["all"] <= 10
    assert server.most["127.0.0.1"] <= 6
    assert server.most["localhost"] <= 6
    assert ask(handler, *rows[::2])[1] == [""] * 10, "of one host"
    assert server.most["127.0.0.1"] == 6


def test_a_slow_host_holds_up_no_other() -> None:
    crew, done = Crew(parallel=4, per_host=2), []
    slow = [Errand("slow", lambda: time.sleep(0.3)) for _ in range(8)]
    began = time.monotonic()
    quick = [Errand("quick", lambda: done.append(time.monotonic() - began)) for _ in range(50)]
    crew.do([*slow, *quick], NEVER)
    assert len(done) == 50
    assert max(done) < 0.3
    assert time.monotonic() - began > 1.1


def test_what_a_job_raises_is_raised() -> None:
    crew = Crew(2, 2)
    with pytest.raises(ZeroDivisionError):
        crew.do([Errand("a", lambda: None), Errand("a", lambda: [1 // 0])], NEVER)  # type: ignore[arg-type]
    crew.do([], NEVER)
    crew.do([Errand("a", lambda: None)], NEVER)


def test_a_caller_who_leaves_is_asked_for_no_more(server: Pictures) -> None:
    slow = [server.put(f"/{number}.jpg", JPEG, wait=2.0) for number in range(40)]
    scope, seen = CallScope(), list[CallScope | None]()
    token = SCOPE.set(scope)
    try:
        Crew().do([Errand("h", lambda: seen.append(SCOPE.get()))], NEVER)
        threading.Timer(0.2, scope.cancel).start()
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="nobody waits"):
            ask(downloader(server, per_host=3), *slow)
        assert time.monotonic() - began < 1.5, "those under way are not waited for"
        with pytest.raises(DeadlineExceeded, match="nobody waits"):  # it has left before
            ask(downloader(server, per_host=3), server.url("/later.jpg"))
    finally:
        SCOPE.reset(token)
    time.sleep(0.5)
    assert set(server.asked) <= {"/0.jpg", "/1.jpg", "/2.jpg", "/later.jpg"}
    assert seen == [scope], "what an errand asks of others ends with the call"
    assert ask(downloader(server), server.put("/soon.jpg", JPEG)) == ([JPEG], [""])


def test_how_many_pictures_a_call_may_have(server: Pictures) -> None:
    with pytest.raises(TooLarge, match="10000 pictures; at most 1000") as caught:
        ask(downloader(server), *["http://example.com/a.jpg"] * 10_000)
    assert caught.value.field == "images"
    with pytest.raises(InvalidTensor, match="empty; expected at least one") as empty:
        ask(downloader(server))
    assert empty.value.field == "images"


def test_a_thousand_pictures(server: Pictures) -> None:
    urls = [server.put(f"/{number}.jpg", picture(shade=number % 256)) for number in range(1000)]
    images, problems = ask(downloader(server), *urls)
    assert problems == [""] * 1000
    assert images == [picture(shade=number % 256) for number in range(1000)]


def test_it_is_a_whole_function(server: Pictures) -> None:
    function = Function(downloader(server), name="download")
    url = server.put("/a.jpg", JPEG)
    answer = function({"images": np.array([url.encode(), PNG], object)})
    assert answer["images"].tolist() == [JPEG, PNG]  # type: ignore[index]
    reply = function.answer(Message(b'{"images": []}', "application/json"))
    assert reply.status == 400
    assert b"empty" in reply.message.body


def test_settings_are_read_when_it_opens(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name, bad in {
        "GPFN_DOWNLOAD_HOSTS": "http://a",
        "GPFN_DOWNLOAD_PORTS": "80;443",
        "GPFN_DOWNLOAD_SECONDS": "soon",
        "GPFN_DOWNLOAD_BYTES": "many",
        "GPFN_DOWNLOAD_CACHE": str(tmp_path / "a-file" / "below"),
    }.items():
        (tmp_path / "a-file").touch()
        with monkeypatch.context() as patch:
            patch.setenv(name, bad)
            with pytest.raises(SetupError) as caught:
                Downloader().open()
        assert caught.value.field == name
    monkeypatch.setenv("GPFN_DOWNLOAD_HOSTS", "Pictures.internal, [::1]:8080")
    monkeypatch.setenv("GPFN_DOWNLOAD_PORTS", "80,8080")
    monkeypatch.setenv("GPFN_DOWNLOAD_BYTES", "1MiB")
    found = DownloadSettings.from_env()
    assert found.hosts == ("pictures.internal", "[::1]:8080")
    assert found.ports == (80, 8080)
    assert found.image_bytes == 1 << 20


def test_without_any_thread_a_call_is_refused(
    server: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread:
        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    url, handler = server.put("/a.jpg", JPEG), downloader(server)
    with monkeypatch.context() as patch:
        patch.setattr("gpfn.classy.crew.Thread", NoThread)
        with pytest.raises(Overloaded, match="no more threads"):
            ask(handler, url)
    assert ask(handler, url) == ([JPEG], [""])


FORKED = """
import os
from gpfn.classy.crew import Errand, shared_crew
from gpfn.deadline import Deadline
crew, done = shared_crew(), []
assert crew is shared_crew()
crew.do([Errand("a", lambda: done.append(1))], Deadline.after(9))
if not os.fork():
    assert shared_crew() is not crew
    shared_crew().do([Errand("a", lambda: done.append(2))], Deadline.after(9))
    os._exit(done != [1, 2])
raise SystemExit(os.wait()[1])
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False)
    assert ended.returncode == 0


def test_importing_it_loads_no_numpy() -> None:
    code = "import gpfn.classy.download, gpfn.classy.prepare, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"numpy", "PIL", "ssl", "hashlib", "asyncio"}.intersection(run.stdout.split())
