"""The cache folder, the mirror, and several who want the same file at once."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.errors import DownloadFailed
from gpfn.models.catalogue import default_catalogue
from gpfn.models.description import ModelFile
from gpfn.models.download import Terms
from gpfn.models.files import cache_folder, cached_path, lock_folder
from gpfn.models.store import fetch_url, obtain
from tests.models.fileserver import FileServer, file_server

BODY = b"a model" * 500
SHA = hashlib.sha256(BODY).hexdigest()
ONCE = Terms(attempts=1, connect=1.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that does not exist yet, and no mirror."""
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("GPFN_MODEL_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def wanted(server: FileServer, **rule: object) -> ModelFile:
    """Put the model on the server and return it as a catalogue would name it."""
    return ModelFile("m.tflite", SHA, len(BODY), server.put("/m.tflite", BODY, **rule))


def nowhere() -> ModelFile:
    """A file whose address nobody answers."""
    return ModelFile("m.tflite", SHA, len(BODY), "http://127.0.0.1:9/m.tflite")


def test_a_file_is_fetched_once(server: FileServer, cache: Path) -> None:
    file = wanted(server)
    assert cached_path(file) is None
    path = obtain(file)
    assert path == obtain(file) == cached_path(file)
    assert path.read_bytes() == BODY
    assert path.name == "m.tflite"
    assert path.is_relative_to(cache)
    assert len(server.requests) == 1


def test_a_mirror_folder_comes_first(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.tflite").write_bytes(BODY)
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(tmp_path))
    seen: list[tuple[str, int, int | None]] = []
    assert obtain(wanted(server), progress=lambda *s: seen.append(s)).read_bytes() == BODY
    assert seen == [("m.tflite", len(BODY), len(BODY))]
    assert server.requests == []


def test_a_mirror_url_comes_first(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put("/mirror/m.tflite", BODY)
    monkeypatch.setenv("GPFN_MODEL_MIRROR", f"{server.url}/mirror/")
    obtain(wanted(server))
    assert [request.path for request in server.requests] == ["/mirror/m.tflite"]


@pytest.mark.parametrize("content", [None, b"", b"another model", bytes(len(BODY))])
def test_a_mirror_without_the_right_file_is_passed_by(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(tmp_path))
    if content is not None:
        (tmp_path / "m.tflite").write_bytes(content)
    path = obtain(wanted(server))
    assert path.read_bytes() == BODY
    assert sorted(item.name for item in path.parent.iterdir()) == [".lock", "m.tflite"]


def test_a_wrong_mirror_url_is_passed_by(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_MODEL_MIRROR", server.url + "/mirror")
    server.put("/mirror/m.tflite", bytes(len(BODY)), etag='"other"', breaks_after=[50])
    assert obtain(wanted(server), terms=ONCE).read_bytes() == BODY
    assert [r.path for r in server.requests] == ["/mirror/m.tflite", "/m.tflite"]


def test_without_network_and_mirror_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DownloadFailed) as caught:
        obtain(nowhere(), terms=ONCE)
    says = str(caught.value)
    assert "cannot fetch http://127.0.0.1:9/m.tflite: Connection refused" in says
    assert "set GPFN_MODEL_MIRROR to a folder or a URL that has m.tflite" in says
    by_hand = Path(says.rpartition("put the file at ")[2])
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DownloadFailed, match=r"the mirror .*/mirror has no m\.tflite; cannot"):
        obtain(nowhere(), terms=ONCE)
    by_hand.write_bytes(BODY)
    assert obtain(nowhere()) == by_hand


def test_a_bundled_file_is_not_fetched() -> None:
    file = ModelFile("not-there.tflite", SHA, len(BODY))
    with pytest.raises(DownloadFailed, match=r"not-there\.tflite should have come with gpfn"):
        obtain(file)


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadFailed, match="GPFN_CACHE_DIR names another one"):
        obtain(nowhere())


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPFN_CACHE_DIR")
    monkeypatch.setenv("HOME", "/somebody")
    assert cache_folder() == Path("/somebody/.cache/gpfn")


def test_processes_that_want_the_same_file_fetch_it_once(server: FileServer) -> None:
    file = wanted(server, pause=0.01)
    code = (
        "import json,sys; from gpfn.models.description import ModelFile;"
        "from gpfn.models.store import obtain; print(obtain(ModelFile(*json.loads(sys.argv[1]))))"
    )
    arguments = json.dumps([file.name, file.sha256, file.size, file.url])
    running = [
        subprocess.Popen([sys.executable, "-c", code, arguments], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    outputs = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert len(outputs) == 1
    assert len(server.requests) == 1


def test_a_lock_goes_with_its_process(server: FileServer) -> None:
    """A process killed in the middle of a transfer keeps nobody out, nor its bytes in."""
    file = wanted(server, pause=0.05)
    code = (
        "import json,sys; from gpfn.models.description import ModelFile;"
        "from gpfn.models.store import obtain\n"
        "def progress(name, have, total): print(have, flush=True)\n"
        "obtain(ModelFile(*json.loads(sys.argv[1])), progress=progress)"
    )
    arguments = json.dumps([file.name, file.sha256, file.size, file.url])
    process = subprocess.Popen([sys.executable, "-c", code, arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.kill()
    process.communicate()
    server.rules["/m.tflite"].pause = 0
    assert obtain(file).read_bytes() == BODY
    assert "range" in server.requests[1].headers


def test_waiting_for_another_process_ends(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_folder(tmp_path, 1):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    try:
        with (
            pytest.raises(DownloadFailed, match=r"another process has kept .* locked for 0\.1 s"),
            lock_folder(tmp_path, 0.1),
        ):
            pytest.fail("two are inside")
    finally:
        done.set()
        thread.join()
    with lock_folder(tmp_path, 0.1):
        assert os.access(tmp_path, os.W_OK)


def test_a_url_with_a_hash_is_fetched_once(server: FileServer) -> None:
    url = server.put("/models/squeezenet.pb", BODY)
    path = fetch_url(f"{url}#sha256={SHA.upper()}")
    assert path == fetch_url(f"{url}#sha256={SHA}")
    assert path.name == "squeezenet.pb"
    assert path.read_bytes() == BODY
    assert len(server.requests) == 1
    with pytest.raises(DownloadFailed, match="expected 0000"):
        fetch_url(f"{url}#sha256={'0' * 64}")


def test_a_url_without_a_hash_is_fetched_every_time(server: FileServer) -> None:
    url = server.put("/m.pb", b"first")
    path = fetch_url(url)
    server.put("/m.pb", b"second", etag='"v2"')
    assert fetch_url(url) == path
    assert path.read_bytes() == b"second"
    server.put("/m.pb", b"third and broken", etag='"v3"', breaks_after=[5])
    with pytest.raises(DownloadFailed, match="Give a file that is on this machine"):
        fetch_url(url, terms=ONCE)
    assert path.read_bytes() == b"second"


def test_two_urls_do_not_share_a_place(server: FileServer) -> None:
    first = fetch_url(server.put("/a/m.pb", b"one"))
    second = fetch_url(server.put("/b/m.pb", b"two"))
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "model"),
        ("/x/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("/.hidden", "hidden"),
        ("/%00", "_"),
    ],
)
def test_a_url_makes_a_plain_file_name(
    server: FileServer, cache: Path, path: str, name: str
) -> None:
    found = fetch_url(server.put(path, BODY))
    assert found.name == name
    assert found.resolve().is_relative_to(cache)


@pytest.mark.parametrize("fragment", ["sha256=12", "md5=" + "0" * 32, "main", "sha256=" + "g" * 64])
def test_another_fragment_is_refused(server: FileServer, fragment: str) -> None:
    with pytest.raises(DownloadFailed, match="expected #sha256="):
        fetch_url(f"{server.url}/m.pb#{fragment}")
    assert server.requests == []


def test_the_catalogue_comes_from_the_mirror(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data" / "models"))
    for name in ("mobilenet_v1", "mobilenet_v2"):
        for file in default_catalogue().get(name).files:
            assert obtain(file).stat().st_size == file.size
