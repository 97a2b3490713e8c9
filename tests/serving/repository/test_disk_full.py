"""A disk that is full, and one that is not to be written: told, and nothing is left behind."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.objects import StoreFull, StoreUnavailable
from gpfn.serving.repository.receiving import RawReceiver
from tests.serving.repository.stored import commit, draft_of, folder_of, held, open_store

SMALL = {"model.tflite": b"small"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB; to make one takes the rights of root, which CI has."""
    place = tmp_path / "disk"
    place.mkdir()
    assert os.geteuid() == 0, "a disk of its own is mounted here: run this as root"
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "gpfn-test", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    filler = disk / "filler"
    room = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize)
    return filler


def test_an_upload_that_does_not_fit_leaves_nothing(disk: Path) -> None:
    store = open_store(disk)
    commit(store, "model", SMALL)
    receiver = RawReceiver(store.objects.incoming, 1 << 30, 60)
    with pytest.raises(StoreFull) as told:
        receiver.feed(bytes(10_000_000))
    assert told.value.status == 507
    assert "/" not in str(told.value), "no path of this machine"
    receiver.abandon()
    assert [*(disk / ".incoming").iterdir()] == []
    assert commit(store, "model", {"model.tflite": b"other"})[0].version == 2


@pytest.mark.parametrize("change", ["upload", "tag", "delete"])
def test_a_change_without_room_is_told_and_nothing_has_changed(disk: Path, change: str) -> None:
    store = open_store(disk)
    for number in range(2):
        commit(store, "model", {"model.tflite": b"%d" % number})
    folder = folder_of(store.objects, SMALL)
    before = held(open_store(disk))
    filler = fill(disk)
    changes = {
        "upload": lambda: store.commit(draft_of("other", SMALL), folder, who="test"),
        "tag": lambda: store.tag("model", "stable", 1, who="test"),
        "delete": lambda: store.delete("model", 1),
    }
    with pytest.raises(StoreFull):
        changes[change]()
    assert held(open_store(disk)) == before
    filler.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    assert [*(disk / ".incoming").iterdir()] == []
    assert commit(store, "other", SMALL)[0].version == 1
    assert store.tag("model", "stable", 1, who="test").tags == {"stable": 1}


def test_a_collector_makes_room_on_a_full_disk(disk: Path) -> None:
    store = open_store(disk)
    manifest, _ = commit(store, "model", {"model.tflite": bytes(500_000)})
    store.delete("model")
    os.utime(disk / "files" / manifest.digest, (0, 0))
    fill(disk)
    assert store.collect(0) == [manifest.digest]
    assert [*(disk / ".incoming").iterdir()] == []
    assert commit(store, "model", {"model.tflite": bytes(400_000)})[0].version == 2


def test_a_full_disk_serves_what_it_has(disk: Path) -> None:
    commit(open_store(disk), "model", SMALL)
    fill(disk)
    assert held(open_store(disk))["model"].versions == {1: SMALL}


def test_a_disk_that_is_not_to_be_written(disk: Path) -> None:
    store = open_store(disk)
    commit(store, "model", SMALL)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    assert held(open_store(disk))["model"].versions == {1: SMALL}, "it may be read"
    with pytest.raises(StoreUnavailable, match="Read-only"):
        commit(store, "model", {"model.tflite": b"other"})
    with pytest.raises(StoreUnavailable, match="Read-only"):
        store.tag("model", "stable", 1, who="test")
    with pytest.raises(StoreUnavailable, match="Read-only"):
        FolderObjects(disk / "new")
