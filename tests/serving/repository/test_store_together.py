"""Many that change one store at once: threads, processes, and locks that do nothing."""

import fcntl
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from gpfn.repository.documents import Manifest, encode_manifest, read_manifest
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.pushing import fill_folder, keep_ahead
from gpfn.serving.repository.receiving import RawReceiver
from gpfn.serving.repository.store import VersionStore
from tests.serving.repository.stored import (
    commit,
    contents_of,
    draft_of,
    folder_of,
    held,
    open_store,
)

CONTENTS = {"model.tflite": b"x" * 5000, "labels.txt": b"a\nb\n"}
TIMES = 100


def no_sync(handle: int) -> None:
    """Do nothing: what is on the disk after a power cut is another test's question."""


def make_versions(place: Path, writer: int, times: int, locked: bool = True) -> None:
    """Make versions that no other writer makes, and move a tag of one's own to each."""
    os.fsync = no_sync
    if not locked:
        fcntl.flock = lambda *_: None
    store = open_store(place)
    for number in range(times):
        manifest, existed = commit(store, "model", {"model.tflite": b"%d %d" % (writer, number)})
        assert not existed
        if number % 10 == 9:
            store.tag("model", f"writer-{writer}", manifest.version, who="test")


def together(work: Callable[..., None], *orders: tuple[object, ...]) -> None:
    """Run a function in several processes at once; each has to end well."""
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=work, args=order) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_twenty_threads_that_upload_the_same_make_one_version(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    start = threading.Barrier(20)

    def upload() -> tuple[int, bool]:
        folder = folder_of(store.objects, CONTENTS)
        start.wait()
        manifest, existed = store.commit(draft_of("model", CONTENTS), folder, who="test")
        return manifest.version, existed

    with ThreadPoolExecutor(20) as pool:
        found = [each.result() for each in [pool.submit(upload) for _ in range(20)]]
    assert sorted(found) == [(1, False), *[(1, True)] * 19]
    assert set(open_store(tmp_path).shelf("model").versions) == {1}
    assert [*(tmp_path / ".incoming").iterdir()] == []


def test_two_processes_that_make_versions_of_one_name_lose_none(tmp_path: Path) -> None:
    open_store(tmp_path)
    together(make_versions, (tmp_path, 1, TIMES), (tmp_path, 2, TIMES))
    (model,) = held(open_store(tmp_path)).values()
    assert [*sorted(model.versions)] == [*range(1, 2 * TIMES + 1)], "no gap"
    made = {one["model.tflite"] for one in model.versions.values()}
    assert made == {b"%d %d" % (w, n) for w in (1, 2) for n in range(TIMES)}
    for writer in (1, 2):
        last = model.versions[model.tags[f"writer-{writer}"]]["model.tflite"]
        assert last == b"%d %d" % (writer, TIMES - 1), "no change of tags was lost"


def test_locks_that_do_nothing_lose_nothing(tmp_path: Path) -> None:
    open_store(tmp_path)
    together(make_versions, *((tmp_path, writer, 20, False) for writer in range(8)))
    (model,) = held(open_store(tmp_path)).values()
    assert [*sorted(model.versions)] == [*range(1, 161)]
    made = {one["model.tflite"] for one in model.versions.values()}
    assert made == {b"%d %d" % (w, n) for w in range(8) for n in range(20)}
    for writer in range(8):
        last = model.versions[model.tags[f"writer-{writer}"]]["model.tflite"]
        assert last == b"%d 19" % writer
    assert [*(tmp_path / ".incoming").iterdir()] == []


def upload_the_same(place: Path, count: int) -> None:
    """Upload what others upload at the same time, to names of one's own and to one of all."""
    fcntl.flock = lambda *_: None
    store = open_store(place)
    for number in range(count):
        contents = {"model.tflite": b"%d" % number * 20_000}
        for name in ("all", f"own-{os.getpid()}"):
            manifest, _ = commit(store, name, contents)
            assert contents_of(store, manifest) == contents


def test_writers_of_the_same_files_without_locks_mix_nothing(tmp_path: Path) -> None:
    open_store(tmp_path)
    together(upload_the_same, *[(tmp_path, 5)] * 8)
    found = held(open_store(tmp_path))
    assert len(found) == 9
    for name, model in found.items():
        if name != "all":
            contents = [one["model.tflite"][:1] for _, one in sorted(model.versions.items())]
            assert contents == [b"0", b"1", b"2", b"3", b"4"]
    assert [*(tmp_path / ".incoming").iterdir()] == []


@pytest.mark.parametrize("ahead", [False, True])
def test_a_push_that_takes_orphaned_files_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """A collector runs all the time, and takes whatever is old and in no version."""
    monkeypatch.setattr(os, "fsync", no_sync)
    stop = threading.Event()
    collected: list[str] = []

    def collect() -> None:
        store = open_store(tmp_path)
        while not stop.is_set():
            collected.extend(store.collect(0))

    store = open_store(tmp_path)
    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(100):
            contents = {"model.tflite": b"%d" % (number % 4) * 100}
            let_all_be_old(tmp_path)
            if ahead:
                manifest = push_ahead(store, contents)
            else:
                manifest, _ = commit(store, "model", contents)
            assert contents_of(store, manifest) == contents
            store.delete("model")
    finally:
        stop.set()
        collector.join()
    assert collected


def let_all_be_old(place: Path) -> None:
    """Let a collector take whatever is kept now, unless a version has it."""
    for entry in (place / "files").iterdir():
        with suppress(FileNotFoundError):  # it has just been taken
            os.utime(entry, (0, 0))


def push_ahead(store: VersionStore, contents: dict[str, bytes]) -> Manifest:
    """Send a file, and then make a version of it."""
    (data,) = contents.values()
    receiver = RawReceiver(store.objects.incoming, 1 << 20, 60)
    receiver.feed(data)
    received = receiver.received()
    keep_ahead(store, received, received.files[0].sha256)
    draft = draft_of("model", contents)
    folder = store.objects.incoming()
    fill_folder(store, draft.files, folder)
    manifest, _ = store.commit(draft, folder, who="test")
    return manifest


def test_a_collector_leaves_what_was_kept_a_moment_ago(tmp_path: Path) -> None:
    """Files that are sent again count from then on, also for a collector that has begun."""
    store = open_store(tmp_path)
    manifest, _ = commit(store, "model", CONTENTS)
    store.delete("model")
    place = tmp_path / "files" / manifest.digest
    os.utime(place, (0, 0))
    digests = store.objects.digests

    def kept_meanwhile() -> list[tuple[str, float]]:
        found = digests()
        store.objects.keep(manifest.digest, folder_of(store.objects, CONTENTS), manifest.files)
        return found

    store.objects.digests = kept_meanwhile  # type: ignore[method-assign]
    assert store.collect(0) == []
    assert contents_of(store, manifest) == CONTENTS


def test_a_reader_never_sees_part_of_a_document(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    stop = threading.Event()
    seen: set[str] = set()
    wrong: list[object] = []

    def read() -> None:
        while not stop.is_set():
            for key in objects.keys("models/"):
                data = objects.read(key)
                try:
                    assert data is not None
                    read_manifest(data)
                except Exception as error:
                    wrong.append((key, data, error))
                    return
                seen.add(key)

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", no_sync)
        for number in range(1, 1001):
            draft = draft_of("model", CONTENTS)._replace(
                version=number, when="2026-11-29T03:00:00Z", notes=("x" * 2000,) * 20
            )
            assert objects.create(f"models/m{number % 7}/versions/{number}.json",
                                  encode_manifest(draft))  # fmt: skip
    stop.set()
    reader.join()
    assert wrong == []
    assert seen
