"""Versions, tags and the trash of a repository in a folder."""

from pathlib import Path

import pytest

from gpfn.errors import InvalidRequest, SetupError
from gpfn.repository.documents import Manifest, StoredFile, content_digest
from gpfn.repository.tags import MOST_TAGS, TagChange, encode_tag_change
from gpfn.serving.library import UnknownModel
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.store import VersionStore


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> VersionStore:
    return VersionStore(FolderObjects(tmp_path), clock=clock)


def put(store: VersionStore, content: bytes, name: str = "m") -> tuple[int, bool]:
    """Commit a version of one file; its number, and whether it was there."""
    import hashlib

    folder = store.objects.incoming()
    (folder / "m.tflite").write_bytes(content)
    file = StoredFile("m.tflite", len(content), hashlib.sha256(content).hexdigest())
    draft = Manifest(name, 1, content_digest([file]), (file,), "m.tflite", "litert")
    manifest, existed = store.commit(draft, folder, who="me")
    return manifest.version, existed


def content_of(store: VersionStore, reference: str = "") -> bytes:
    manifest = store.shelf("m").find(reference)
    return (store.objects.place(manifest.digest, manifest.files) / "m.tflite").read_bytes()


def test_versions_count_up_and_the_same_bytes_again_are_the_same_version(
    store: VersionStore,
) -> None:
    assert put(store, b"one") == (1, False)
    assert put(store, b"one") == (1, True)
    assert put(store, b"two") == (2, False)
    assert put(store, b"one") == (3, False), "what was uploaded last is the latest"
    assert content_of(store) == b"one"
    assert content_of(store, "2") == b"two"


def test_another_store_over_the_folder_sees_what_was_made(
    store: VersionStore, tmp_path: Path
) -> None:
    put(store, b"one")
    other = VersionStore(FolderObjects(tmp_path))
    other.look()
    assert content_of(other) == b"one"
    put(other, b"two")
    store.tag("m", "stable", 1, who="me")  # looks as well
    assert content_of(store) == b"two"
    assert content_of(store, "stable") == b"one"


def test_tags_move_with_their_history(store: VersionStore) -> None:
    put(store, b"one")
    put(store, b"two")
    store.tag("m", "stable", 1, who="me")
    store.tag("m", "stable", 2, who="you")
    store.tag("m", "old", 1, who="me")
    shelf = store.tag("m", "old", None, who="me")
    assert shelf.tags == {"stable": 2}
    told = [(change.tag, change.version, change.who) for change in shelf.changes.values()]
    assert told == [
        ("stable", 1, "me"), ("stable", 2, "you"), ("old", 1, "me"), ("old", None, "me")
    ]  # fmt: skip
    assert shelf.find("latest").version == 2


@pytest.mark.parametrize(("tag", "version"), [("latest", 1), ("7", 1), ("..", 1), ("a/b", 1)])
def test_what_can_be_no_tag(store: VersionStore, tag: str, version: int) -> None:
    put(store, b"one")
    with pytest.raises(InvalidRequest):
        store.tag("m", tag, version, who="me")


def test_deleted_and_restored_it_is_as_it_was(store: VersionStore) -> None:
    put(store, b"one")
    put(store, b"two")
    store.tag("m", "stable", 2, who="me")
    assert store.delete("m", 2) == [2]
    assert content_of(store) == b"one"
    with pytest.raises(UnknownModel):
        store.shelf("m").find("stable")
    store.restore("m", 2)
    assert content_of(store) == content_of(store, "stable") == b"two"
    assert store.delete("m") == [1, 2]
    assert store.shelves() == []
    assert put(store, b"new") == (3, False), "a number is never given twice"


@pytest.mark.parametrize("name", ["none", "../m", "", ".", "m/versions"])
def test_what_is_not_there_is_not_deleted(store: VersionStore, name: str) -> None:
    put(store, b"one")
    with pytest.raises((UnknownModel, InvalidRequest)):
        store.delete(name)
    assert content_of(store) == b"one"


def test_the_trash_is_collected_when_its_time_is_over(store: VersionStore, clock: Clock) -> None:
    put(store, b"one")
    put(store, b"two")
    store.delete("m", 1)
    digest = store.shelf("m").trash[1].digest
    clock.now += 3600 * 24 * 9
    assert store.collect(10 * 86400) == []
    clock.now += 3600 * 24 * 2
    assert store.collect(10 * 86400) == [digest]
    assert content_of(store) == b"two"
    assert put(store, b"three") == (3, False)


def test_a_damaged_document_is_told_and_costs_no_other_version(
    store: VersionStore, tmp_path: Path
) -> None:
    put(store, b"one")
    put(store, b"two")
    (tmp_path / "models/m/versions/2.json").write_bytes(b'{"format": 1, "na')
    other = VersionStore(FolderObjects(tmp_path))
    other.look()
    assert content_of(other) == b"one"
    assert "versions/2.json" in other.shelf("m").damaged["versions"][2]
    assert put(other, b"three") == (3, False)


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repository.json").write_text('{"format": 2}')
    with pytest.raises(SetupError, match="format 2"):
        VersionStore(FolderObjects(tmp_path))


def test_a_model_has_no_more_tags_than_can_be_read_again(store: VersionStore) -> None:
    put(store, b"one")
    tags = {f"t{number}": 1 for number in range(MOST_TAGS)}
    change = TagChange("t0", 1, "me", "2027-01-15T08:00:00Z", tags)
    store.objects.create("models/m/tags/1.json", encode_tag_change(change))
    with pytest.raises(InvalidRequest, match="1000 tags"):
        store.tag("m", "one-more", 1, who="me")
    store.tag("m", "t7", None, who="me")
    store.tag("m", "one-more", 1, who="me")
    store.look()
    assert len(store.shelf("m").tags) == MOST_TAGS
    assert not store.shelf("m").damaged["tags"]


def test_collecting_looks_once_at_what_is_used(tmp_path: Path, clock: Clock) -> None:
    class Counting(FolderObjects):
        looks = 0

        def keys(self, prefix: str) -> list[str]:
            self.looks += 1
            return super().keys(prefix)

    objects = Counting(tmp_path)
    store = VersionStore(objects, clock=clock)
    for number in range(20):
        put(store, b"%d" % number)
    clock.now = 4_000_000_000.0
    objects.looks = 0
    assert store.collect(0) == []
    assert objects.looks == 1


def test_what_was_collected_cannot_be_restored(store: VersionStore, clock: Clock) -> None:
    put(store, b"one")
    put(store, b"two")
    store.delete("m", 1)
    clock.now = 4_000_000_000.0
    assert len(store.collect(0)) == 1
    with pytest.raises(InvalidRequest, match="removed for good") as caught:
        store.restore("m", 1)
    assert caught.value.status == 410
    assert [*store.shelf("m").versions] == [2]


class LateLists(FolderObjects):
    """A place whose lists do not have what was made since the list before."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._told: dict[str, list[str]] = {}

    def keys(self, prefix: str) -> list[str]:
        before = self._told.get(prefix, [])
        self._told[prefix] = super().keys(prefix)
        return before


def test_lists_that_are_late_lose_nothing(tmp_path: Path) -> None:
    """Two servers, each of which hears of the other's versions one look later."""
    stores = [VersionStore(LateLists(tmp_path)) for _ in range(2)]
    for number in range(1, 21):
        assert put(stores[number % 2], b"%d" % number) == (number, False)
        stores[number % 2].tag("m", f"t{number}", number, who="me")
        assert content_of(stores[number % 2]) == b"%d" % number
    seen = VersionStore(FolderObjects(tmp_path))
    seen.look()
    assert [*seen.shelf("m").versions] == [*range(1, 21)]
    assert seen.shelf("m").tags == {f"t{number}": number for number in range(1, 21)}
