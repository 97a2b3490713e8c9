"""Documents that are damaged: who needs one is told which, and everything else goes on."""

import os
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.serving.library import UnknownModel
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.objects import StoreDamaged, StoreUnavailable
from gpfn.serving.repository.store import VersionStore
from tests.serving.repository.stored import commit, contents_of, open_store

DAMAGES = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: b"",
    "zeros": lambda text: bytes(len(text)),
    "garbage": lambda _: os.urandom(300),
    "a list": lambda _: b"[]",
    "of a newer format": lambda text: text.replace(b'"format": 1', b'"format": 2'),
    "of another model": lambda text: text.replace(b'"model"', b'"else"'),
    "of another number": lambda text: text.replace(b'"version": 2', b'"version": 1'),
    "too long": lambda text: text + b" " * (16 << 20),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store of two models, of three versions each."""
    store = open_store(tmp_path)
    for number in (1, 2, 3):
        for name in ("model", "other"):
            commit(store, name, {"m.tflite": b"%d" % number})
            store.tag(name, "stable", number, who="test")
    return tmp_path


def damage(document: Path, kind: str) -> None:
    document.write_bytes(DAMAGES[kind](document.read_bytes()))


@pytest.mark.parametrize("kind", DAMAGES)
def test_one_version_is_damaged_and_all_others_go_on(place: Path, kind: str) -> None:
    store = open_store(place)
    damage(place / "models/model/versions/2.json", kind)
    store.look()
    fresh = open_store(place)
    assert set(store.shelf("model").versions) == {1, 2, 3}, "what was read stays"
    shelf = fresh.shelf("model")
    assert set(shelf.versions) == {1, 3}
    assert set(fresh.shelf("other").versions) == {1, 2, 3}
    with pytest.raises(StoreDamaged) as told:
        shelf.find("2")
    assert "models/model/versions/2.json" in str(told.value)
    assert contents_of(fresh, shelf.find()) == {"m.tflite": b"3"}
    assert commit(fresh, "model", {"m.tflite": b"4"})[0].version == 4, "no number comes twice"


def test_the_latest_version_is_damaged(place: Path) -> None:
    """It is not as if it had never been: its number is not given again, and it may be mended."""
    document = place / "models/model/versions/3.json"
    text = document.read_bytes()
    damage(document, "cut")
    store = open_store(place)
    with pytest.raises(StoreDamaged):
        store.shelf("model").find("3")
    with pytest.raises(StoreDamaged):
        store.shelf("model").find("stable")
    with pytest.raises(StoreDamaged):
        store.delete("model", 3)
    assert commit(store, "model", {"m.tflite": b"4"})[0].version == 4
    document.write_bytes(text)
    store.look("model")
    assert store.shelf("model").find("3").version == 3


def test_all_versions_are_damaged_and_the_model_is_not_gone(place: Path) -> None:
    for number in (1, 2, 3):
        damage(place / f"models/model/versions/{number}.json", "empty")
    store = open_store(place)
    with pytest.raises(StoreDamaged):
        store.shelf("model").find()
    assert commit(store, "model", {"m.tflite": b"4"})[0].version == 4


def test_files_of_a_damaged_version_are_not_collected(place: Path) -> None:
    """Nobody knows which they are: so nothing is collected before that is mended."""
    damage(place / "models/model/versions/2.json", "cut")
    damage(place / "models/other/versions/2.json", "cut")
    for entry in (place / "files").iterdir():
        os.utime(entry, (0, 0))
    store = open_store(place)
    with pytest.raises(StoreDamaged):
        store.collect(0)
    assert len([*(place / "files").iterdir()]) == 3


@pytest.mark.parametrize("kind", ["cut", "empty", "garbage"])
@pytest.mark.parametrize("number", [2, 3])
def test_a_change_of_tags_is_damaged(place: Path, kind: str, number: int) -> None:
    """The last one says what the tags are: without it nobody knows, until there is a new one."""
    damage(place / f"models/model/tags/{number}.json", kind)
    store = open_store(place)
    assert set(store.shelf("other").versions) == {1, 2, 3}
    assert store.shelf("other").tags == {"stable": 3}
    if number == 2:
        assert store.shelf("model").tags == {"stable": 3}
    else:
        assert store.shelf("model").tags == {}
        with pytest.raises(StoreDamaged, match=r"models/model/tags/3\.json"):
            store.shelf("model").find("stable")
    assert store.shelf("model").find().version == 3
    assert store.tag("model", "next", 1, who="test").tags["next"] == 1
    assert (place / "models/model/tags/4.json").exists()
    assert open_store(place).shelf("model").tags["next"] == 1


def test_a_damaged_document_of_the_trash(place: Path) -> None:
    store = open_store(place)
    store.delete("model", 2)
    damage(place / "models/model/trash/2.json", "cut")
    store = open_store(place)
    assert set(store.shelf("model").versions) == {1, 3}
    with pytest.raises(StoreDamaged):
        store.restore("model", 2)


def test_a_restored_document_that_was_left_in_the_trash_is_no_old_deletion(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore was cut off long ago; what is deleted today stays for as long as any other."""
    now = 1_800_000_000.0
    store = VersionStore(FolderObjects(place), clock=lambda: now)
    store.delete("model", 2)
    with monkeypatch.context() as patch:
        patch.setattr(FolderObjects, "delete", _killed)
        with pytest.raises(KeyboardInterrupt):
            store.restore("model", 2)
    later = VersionStore(FolderObjects(place), clock=lambda: now + 40 * 86_400)
    later.look()
    assert set(later.shelf("model").versions) == {1, 2, 3}
    later.delete("model", 2)
    assert later.shelf("model").trash[2].deleted == "2027-02-24T08:00:00Z"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_file_is_gone_or_cut(place: Path) -> None:
    store = open_store(place)
    shelf = store.shelf("model")
    one, two = (shelf.versions[number] for number in (1, 2))
    (place / "files" / one.digest / "m.tflite").unlink()
    (place / "files" / two.digest / "m.tflite").write_bytes(b"")
    for manifest in (one, two):
        with pytest.raises(StoreDamaged, match=manifest.digest):
            store.objects.place(manifest.digest, manifest.files)
    commit(store, "again", {"m.tflite": b"1"})
    assert contents_of(store, one) == {"m.tflite": b"1"}, "sent again, it is whole again"
    commit(store, "again", {"m.tflite": b"2"})
    assert contents_of(store, two) == {"m.tflite": b"2"}


@pytest.mark.parametrize("mark", [b"", b"{}", b"[1]", b'{"format": 2}', b'{"format": "1"}'])
def test_a_place_that_another_gpfn_wrote_is_left_alone(place: Path, mark: bytes) -> None:
    (place / "repository.json").write_bytes(mark)
    with pytest.raises(SetupError, match=r"repository\.json"):
        VersionStore(FolderObjects(place))


def test_a_place_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises((SetupError, StoreUnavailable)):
            FolderObjects(place)


def test_what_is_no_document_of_ours_is_passed_over(place: Path) -> None:
    for key in (
        "models/model/versions/01.json",
        "models/model/versions/4.json~",
        "models/model/versions/sub/5.json",
        "models/.hidden/versions/1.json",
        "models/model/notes.txt",
        "models/file",
    ):
        (place / key).parent.mkdir(parents=True, exist_ok=True)
        (place / key).write_bytes(b"{}")
    (place / "models/model/versions/6.json").symlink_to("/etc/passwd")
    store = open_store(place)
    assert [shelf.name for shelf in store.shelves()] == ["model", "other"]
    assert set(store.shelf("model").versions) == {1, 2, 3}
    assert not any(store.shelf("model").damaged.values())
    with pytest.raises(UnknownModel):
        store.shelf("model").find("4")


def test_a_folder_where_a_document_should_be_is_told(place: Path) -> None:
    (place / "models/model/versions/4.json").mkdir()
    store = open_store(place)
    assert set(store.shelf("model").versions) == {1, 2, 3}
    with pytest.raises((StoreDamaged, StoreUnavailable)) as told:
        commit(store, "model", {"m.tflite": b"4"})
    assert "models/model/versions/4.json" in str(told.value)
