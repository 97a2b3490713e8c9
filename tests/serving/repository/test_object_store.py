"""The repository in an object store, against a real S3 server with conditional writes.

The server is versitygw 1.8.0 (Apache-2.0), built by ``.ci/s3-server`` from its Go module, with
objects in a folder; see ``s3.py``. Two ``ObjectStore``s stand for two model servers.
"""

import hashlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gpfn.errors import GpfnError, SetupError, TooLarge
from gpfn.repository.documents import MANIFEST_BYTES, StoredFile, content_digest
from gpfn.repository.names import check_path
from gpfn.serving.repository.object_store import ObjectStore, open_objects
from gpfn.serving.repository.objects import (
    Objects,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
)
from tests.serving.repository.s3 import (
    ACCESS,
    SECRET,
    Relay,
    S3Server,
    environment,
    forget_conditions,
    s3_server,
)

MIB = 1 << 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, with the environment set for it; started again when a test has ended it."""
    running.restart()
    use(monkeypatch, running.endpoint)
    return running


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in environment(endpoint).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def url(server: S3Server, request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"s3://models/{hashlib.md5(request.node.name.encode()).hexdigest()}"


def store(url: str, cache: Path, **options: float) -> ObjectStore:
    return ObjectStore(url, cache, **options)  # type: ignore[arg-type]


def version(folder: Path, **contents: bytes) -> tuple[str, list[StoredFile]]:
    """Write a version's files; returns its digest and what they are."""
    files = []
    for name, data in contents.items():
        path = name.replace("__", "/").replace("_dot_", ".")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        files.append(StoredFile(path, len(data), hashlib.sha256(data).hexdigest()))
    return content_digest(files), files


def test_documents(url: str, tmp_path: Path) -> None:
    one, other = store(url, tmp_path / "1"), store(url, tmp_path / "2")
    key = "models/a.b_c-d/versions/1.json"
    assert one.read(key) is None
    assert one.create(key, b"{}")
    assert not other.create(key, b"{}"), "the same bytes, but not by him"
    assert other.read(key) == b"{}"
    assert other.create("models/a.b_c-d/tags/1.json", b"")
    assert other.create("models/a.b_c-dd/tags/1.json", b"")
    assert one.keys("models/a.b_c-d/") == ["models/a.b_c-d/tags/1.json", key]
    assert one.keys("nothing/") == []
    one.delete(key)
    one.delete(key)
    assert other.read(key) is None
    assert other.create(key, b"again")


def test_nothing_is_remembered_of_what_was_not_there(url: str, tmp_path: Path) -> None:
    one, other = store(url, tmp_path / "1"), store(url, tmp_path / "2")
    assert one.read("models/m/versions/1.json") is None
    assert one.keys("models/") == []
    other.create("models/m/versions/1.json", b"{}")
    assert one.read("models/m/versions/1.json") == b"{}"
    assert one.keys("models/") == ["models/m/versions/1.json"]


def test_a_document_is_small(url: str, server: S3Server, tmp_path: Path) -> None:
    one = store(url, tmp_path)
    with pytest.raises(TooLarge):
        one.create("models/large.json", bytes(MANIFEST_BYTES + 1))
    assert one.create("models/large.json", b"")
    server.path(f"{url.removeprefix('s3://')}/models/large.json").write_bytes(
        bytes(MANIFEST_BYTES + 1)
    )
    with pytest.raises(StoreDamaged) as caught:
        one.read("models/large.json")
    assert caught.value.field == "models/large.json"


def test_of_a_hundred_who_create_one_key_one_wins(url: str, tmp_path: Path) -> None:
    stores = [store(url, tmp_path / "1"), store(url, tmp_path / "2")]
    with ThreadPoolExecutor(100) as pool:
        for number in range(1, 6):
            key = f"models/m/versions/{number}.json"
            together = threading.Barrier(100)

            def create(who: int, key: str = key, together: threading.Barrier = together) -> bool:
                together.wait(60)
                return stores[who % 2].create(key, b"%d" % who)

            won = [who for who, wins in enumerate(pool.map(create, range(100))) if wins]
            assert len(won) == 1
            assert stores[0].read(key) == b"%d" % won[0]


def test_files(url: str, tmp_path: Path) -> None:
    one, other = store(url, tmp_path / "1"), store(url, tmp_path / "2")
    contents = {"m_dot_tflite": b"model", "a__b__c+d @e_dot_txt": b"labels\n", "empty": b""}
    digest, files = version(tmp_path / "given", **contents)
    one.keep(digest, tmp_path / "given", files)
    assert not (tmp_path / "given").exists(), "it was given away"
    placed = other.place(digest, files)
    assert (placed / "m.tflite").read_bytes() == b"model"
    assert (placed / "a/b/c+d @e.txt").read_bytes() == b"labels\n"
    assert (placed / "empty").read_bytes() == b""
    assert placed.is_absolute()
    (found,) = other.digests()
    assert found[0] == digest
    assert abs(found[1] - time.time()) < 600
    one.drop(digest)
    assert other.digests() == []
    assert one.keys("files/") == []
    third = store(url, tmp_path / "3")
    with pytest.raises(StoreDamaged, match="nothing"):
        third.place(digest, files)
    again, _ = version(tmp_path / "given", **contents)
    assert again == digest
    one.keep(digest, tmp_path / "given", files)
    third.place(digest, files)


def test_the_server_that_took_an_upload_does_not_fetch_it(
    url: str, server: S3Server, tmp_path: Path
) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x" * 1000)
    one.keep(digest, tmp_path / "given", files)
    server.kill()
    assert (one.place(digest, files) / "model").read_bytes() == b"x" * 1000


def test_a_file_of_one_and_of_five_parts_is_the_same(
    url: str, server: S3Server, tmp_path: Path
) -> None:
    data = os.urandom(5 * MIB) * 4 + b"end"
    tags = []
    for number, piece in enumerate((64 * MIB, 5 * MIB)):
        place = f"{url}/{number}"
        digest, files = version(tmp_path / "given", m_dot_tflite=data)
        one = store(place, tmp_path / f"a{number}", piece_bytes=piece)
        one.keep(digest, tmp_path / "given", files)
        meta = one._bucket._obstore.head(one._bucket._files, f"files/{digest}/m.tflite")
        tags.append(meta["e_tag"])
        placed = store(place, tmp_path / f"b{number}").place(digest, files)
        assert (placed / "m.tflite").read_bytes() == data
    assert tags[0] != tags[1], "or this tests nothing"
    assert tags[1].strip('"').endswith("-5")


def test_what_is_there_is_not_sent_again(url: str, server: S3Server, tmp_path: Path) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x" * 1000)
    path = server.path(f"{url.removeprefix('s3://')}/files/{digest}/model")
    one.keep(digest, tmp_path / "given", files)
    written = path.stat().st_mtime_ns, path.stat().st_ino
    ((_, before),) = one.digests()
    version(tmp_path / "given", model=b"x" * 1000)
    one.keep(digest, tmp_path / "given", files)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    ((_, after),) = one.digests()
    assert after >= before


def test_a_damaged_object_is_told_and_healed(url: str, server: S3Server, tmp_path: Path) -> None:
    """Its size is right, and its ETag is the one that the store has always had."""
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"right", labels=b"a\n")
    one.keep(digest, tmp_path / "given", files)
    path = server.path(f"{url.removeprefix('s3://')}/files/{digest}/model")
    path.write_bytes(b"wrong")
    other = store(url, tmp_path / "2")
    with pytest.raises(StoreDamaged) as caught:
        other.place(digest, files)
    assert caught.value.field == f"files/{digest}/model"
    for text in (hashlib.sha256(b"wrong").hexdigest(), hashlib.sha256(b"right").hexdigest()):
        assert text in caught.value.detail
    assert list((tmp_path / "2" / "coming").iterdir()) == []
    assert list((tmp_path / "2" / "files").iterdir()) == []
    path.write_bytes(b"longer")
    with pytest.raises(StoreDamaged, match="6 bytes, expected 5"):
        other.place(digest, files)
    one.delete(f"files/{digest}/model")
    one._bucket.write(f"files/{digest}/model", b"wrong")  # as another program does: no mark
    version(tmp_path / "given", model=b"right", labels=b"a\n")
    one.keep(digest, tmp_path / "given", files)
    assert (other.place(digest, files) / "model").read_bytes() == b"right"


@pytest.mark.parametrize("size", [1000, 12 * MIB])
def test_a_file_that_is_not_what_was_said_does_not_come_in(
    url: str, server: S3Server, tmp_path: Path, size: int
) -> None:
    one = store(url, tmp_path / "1", piece_bytes=5 * MIB)
    digest, files = version(tmp_path / "given", model=bytes(size))
    (tmp_path / "given" / "model").write_bytes(bytes(size - 1) + b"x")
    with pytest.raises(StoreDamaged) as caught:
        one.keep(digest, tmp_path / "given", files)
    assert caught.value.field == "model"
    assert one.read(f"files/{digest}/model") is None
    assert (tmp_path / "given" / "model").exists()
    (tmp_path / "given" / "model").write_bytes(bytes(size))
    one.keep(digest, tmp_path / "given", files)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.from_regex(r"[A-Za-z0-9_@+ -][A-Za-z0-9_.@+ -]{0,9}", fullmatch=True),
        min_size=1, max_size=8,
    ),
    st.binary(max_size=100),
)  # fmt: skip
@example([" "], b"")
@example(["a.", "b ", "+", "c..d", "-", "@", "e%20f".replace("%", "@"), " ."], b"x")
def test_any_path_that_a_version_may_have(
    server: S3Server, tmp_path: Path, parts: list[str], data: bytes
) -> None:
    path = check_path("/".join(parts))
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "given" / path).parent.mkdir(parents=True)
    (folder / "given" / path).write_bytes(data)
    files = [StoredFile(path, len(data), hashlib.sha256(data).hexdigest())]
    digest, place = content_digest(files), f"s3://models/paths-{folder.name}"
    store(place, folder / "1").keep(digest, folder / "given", files)
    other = store(place, folder / "2")
    assert (other.place(digest, files) / path).read_bytes() == data
    assert f"files/{digest}/{path}" in other.keys("files/")
    other.drop(digest)
    assert other.keys("files/") == []


@pytest.mark.parametrize("wrong", ["absent", "link"])
def test_a_file_that_is_not_there_to_be_sent(url: str, tmp_path: Path, wrong: str) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x")
    (tmp_path / "given" / "model").rename(tmp_path / "elsewhere")
    if wrong == "link":
        (tmp_path / "given" / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable) as caught:
        one.keep(digest, tmp_path / "given", files)
    assert str(tmp_path) not in str(caught.value)
    assert one.read(f"files/{digest}/model") is None


def test_a_full_disk(server: S3Server, url: str, small_disk: Path, tmp_path: Path) -> None:
    """What is fetched does not fit; nothing half stays, and there is room again."""
    digest, files = version(tmp_path / "given", model=os.urandom(6 * MIB))
    store(url, tmp_path / "1").keep(digest, tmp_path / "given", files)
    one = store(url, small_disk / "cache")
    with pytest.raises(StoreFull, match="No space left") as caught:
        one.place(digest, files)
    assert caught.value.status == 507
    assert list((small_disk / "cache" / "coming").iterdir()) == []
    small, few = version(tmp_path / "given", model=os.urandom(2 * MIB))
    one.keep(small, tmp_path / "given", few)
    assert one.place(small, few).is_dir()


def test_what_others_put_there_is_not_ours(url: str, tmp_path: Path) -> None:
    one = store(url, tmp_path / "1")
    one.create("files/README", b"x")
    one.create("files/other/x", b"x")
    assert one.digests() == []


def test_files_that_do_not_belong_together(url: str, tmp_path: Path) -> None:
    one = store(url, tmp_path)
    files = [StoredFile("a", 1, "0" * 64)]
    for call in (
        lambda: one.place("1" * 64, files),
        lambda: one.keep("1" * 64, tmp_path, files),
    ):
        with pytest.raises(StoreDamaged) as caught:
            call()
        assert caught.value.field == f"files/{'1' * 64}"
        assert content_digest(files) in caught.value.detail
    assert one.keys("files/") == []


def test_what_is_kept_anew_is_not_dropped(url: str, tmp_path: Path) -> None:
    """A sweeper has looked; then the same files come in once more."""
    one, other = store(url, tmp_path / "1"), store(url, tmp_path / "2")
    digest, files = version(tmp_path / "given", model=b"x")
    one.keep(digest, tmp_path / "given", files)
    ((_, seen),) = one.digests()
    while other.digests() == [(digest, seen)]:  # until the store's clock has gone on
        version(tmp_path / "given", model=b"x")
        other.keep(digest, tmp_path / "given", files)
    one.drop(digest)
    assert (store(url, tmp_path / "3").place(digest, files) / "model").read_bytes() == b"x"
    one.digests()
    one.drop(digest)
    assert one.digests() == []


def test_who_keeps_waits_for_who_drops(url: str, tmp_path: Path) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x")
    one._bucket.write(f"files/{digest}/.going", b"")
    with ThreadPoolExecutor(1) as pool:
        keeping = pool.submit(one.keep, digest, tmp_path / "given", files)
        while f"files/{digest}/.kept" not in one.keys("files/"):
            pass
        assert not keeping.done()
        one.drop(digest)  # takes the first .kept with it
        keeping.result(60)
    assert f"files/{digest}/.kept" in one.keys("files/")
    assert (one.place(digest, files) / "model").read_bytes() == b"x"


def test_a_removal_that_ended_half_way_is_forgotten(
    url: str, server: S3Server, tmp_path: Path
) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x")
    one._bucket.write(f"files/{digest}/.going", b"")
    going = server.path(f"{url.removeprefix('s3://')}/files/{digest}/.going")
    os.utime(going, (time.time() - 3600,) * 2)
    one.keep(digest, tmp_path / "given", files)
    assert not going.exists()


def test_opening_probes(server: S3Server, url: str, tmp_path: Path) -> None:
    opened = open_objects(url, tmp_path)
    place: Objects = opened
    with place.writing():
        assert list(place.incoming().iterdir()) == []
    assert opened.keys("") == [], "the probe leaves nothing"


def test_a_proxy_that_forgets_conditions_is_refused(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Relay(server.port) as relay:
        use(monkeypatch, relay.endpoint)
        open_objects(url, tmp_path)
        assert relay.connections
    with Relay(server.port, request=forget_conditions) as relay:
        use(monkeypatch, relay.endpoint)
        with pytest.raises(SetupError, match="ignores conditional writes"):
            open_objects(url, tmp_path)
        assert store(url, tmp_path).keys("") == []


def test_a_lost_answer_is_not_a_lost_write(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The write is done, its answer is cut; the second try is told that it is there already."""
    cut: list[bytes] = []

    def cut_first(data: bytes) -> bytes | None:
        cut.append(data)
        return None if len(cut) == 1 else data

    with Relay(server.port, answer=cut_first) as relay:
        use(monkeypatch, relay.endpoint)
        one = store(url, tmp_path)
        assert one.create("models/m/versions/1.json", b"{}")
        assert cut[0].startswith(b"HTTP/1.1 200")
        assert not one.create("models/m/versions/1.json", b"{}")


def test_a_store_that_is_down(server: S3Server, url: str, tmp_path: Path) -> None:
    one = store(url, tmp_path / "1")
    digest, files = version(tmp_path / "given", model=b"x" * 1000)
    one.keep(digest, tmp_path / "given", files)
    other = store(url, tmp_path / "2")
    server.kill()
    for call in (
        lambda: one.read("models/m.json"),
        lambda: one.create("models/m.json", b"{}"),
        lambda: one.delete("models/m.json"),
        lambda: one.keys("models/"),
        lambda: other.place(digest, files),
        one.digests,
        lambda: one.drop(digest),
        lambda: open_objects(url, tmp_path / "3"),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert caught.value.status == 503
        assert url in caught.value.detail
        assert "cannot be reached" in caught.value.detail
    assert (one.place(digest, files) / "model").is_file(), "what is cached is served"
    server.restart()
    assert one.read("models/m.json") is None
    other.place(digest, files)


def test_a_store_that_does_not_answer(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Relay(server.port) as relay:
        use(monkeypatch, relay.endpoint)
        patient = store(url, tmp_path / "0")
        one = store(url, tmp_path / "1", seconds=2, piece_seconds=2)
        digest, files = version(tmp_path / "given", model=b"x" * 1000)
        assert patient.create("models/m.json", b"{}")
        relay.passing.clear()
        for call in (
            lambda: one.read("models/m.json"),
            lambda: one.create("models/n.json", b"{}"),
            lambda: one.keys("models/"),
            lambda: one.place(digest, files),
            lambda: one.keep(digest, tmp_path / "given", files),
        ):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="no answer"):
                call()
            assert time.monotonic() - began < 60, "it is bounded, on a slow machine as well"
        assert (tmp_path / "given" / "model").exists(), "to try again with"
        relay.passing.set()
        assert patient.read("models/m.json") == b"{}"
        patient.keep(digest, tmp_path / "given", files)


def test_a_connection_that_breaks_in_the_middle(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once it is tried again; when it always breaks, it is told, and nothing half stays."""
    digest, files = version(tmp_path / "given", model=os.urandom(3 * MIB))
    store(url, tmp_path / "1").keep(digest, tmp_path / "given", files)
    passed = [0, 1]

    def cut(data: bytes) -> bytes | None:
        passed[0] += len(data)
        if passed[0] < MIB or not passed[1]:
            return data
        passed[0], passed[1] = 0, passed[1] - 1
        return None

    with Relay(server.port, answer=cut) as relay:
        use(monkeypatch, relay.endpoint)
        other = store(url, tmp_path / "2")
        placed = other.place(digest, files)
        assert hashlib.sha256((placed / "model").read_bytes()).hexdigest() == files[0].sha256
        passed[:] = [0, 1 << 30]
        with pytest.raises(StoreUnavailable):
            store(url, tmp_path / "3").place(digest, files)
    assert list((tmp_path / "3" / "coming").iterdir()) == []
    assert list((tmp_path / "3" / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_SECRET_ACCESS_KEY", "not-the-secret", "credentials"),
        ("AWS_ACCESS_KEY_ID", "nobody", "credentials"),
    ],
)
def test_no_credential_is_told(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    name: str, value: str, reason: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=reason) as caught:
        open_objects(url, tmp_path)
    told = str(caught.value)
    with pytest.raises(SetupError, match=reason):
        store(url, tmp_path).read("models/m.json")  # it is not just absent
    assert not any(word in told for word in (ACCESS, SECRET, value, "Signature"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_bucket_that_is_not_there(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no bucket for s3://elsewhere/x"):
        open_objects("s3://elsewhere/x", tmp_path)
    with pytest.raises(SetupError, match="there is no bucket"):
        store("s3://elsewhere/x", tmp_path).read("models/m.json")


@pytest.mark.parametrize("wrong", [
    "s3://", "s3:///x", "ftp://models/x", "s3://key:secret@models/x", "s3://models/x?secret=1",
    "s3://models#secret", "file:///x",
])  # fmt: skip
def test_urls_that_are_none(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        open_objects(wrong, tmp_path)
    assert caught.value.field == "repository"
    assert "secret" not in caught.value.detail


def test_every_error_has_its_place(server: S3Server, url: str, tmp_path: Path) -> None:
    server.kill()
    with pytest.raises(GpfnError) as caught:
        store(url, tmp_path, seconds=1).read("models/m.json")
    assert caught.value.field == "models/m.json"


def test_a_forked_process_is_told(url: str, tmp_path: Path) -> None:
    """The library's threads stay behind: without the check it would wait for ever."""
    one = store(url, tmp_path)
    assert one.read("models/m.json") is None
    child = os.fork()
    if child == 0:
        try:
            one.read("models/m.json")
        except SetupError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
