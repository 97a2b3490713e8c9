"""The power goes at any moment of a change: the store shows what was before, or what is now."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gpfn.serving.library import UnknownModel
from gpfn.serving.repository.store import VersionStore
from tests.serving.repository.power import Disk, Tree, tree_of, write_tree
from tests.serving.repository.stored import Held, commit, held, open_store

TRIES = 8  # of what may be there of what was not synced
FIRST = {"model.tflite": b"first" * 100, "assets/labels.txt": b"a\nb\n"}
SECOND = {"model.tflite": b"second" * 100}

CHANGES: dict[str, Callable[[VersionStore], object]] = {
    "upload": lambda store: commit(store, "model", SECOND | FIRST),
    "upload of a new model": lambda store: commit(store, "new", SECOND),
    "upload of files that are there": lambda store: commit(store, "new", FIRST),
    "tag": lambda store: store.tag("model", "next", 1, who="test"),
    "first tag": lambda store: store.tag("other", "next", 1, who="test"),
    "tag taken away": lambda store: store.tag("model", "stable", None, who="test"),
    "delete": lambda store: store.delete("model", 2),
    "restore": lambda store: store.restore("model", 3),
}
NAMES = ("model", "other", "new")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: what is synced there is watched, and need not be waited for."""
    with TemporaryDirectory(dir="/dev/shm", prefix="gpfn-power-") as folder:
        yield Path(folder)


@pytest.fixture
def place(memory: Path) -> Path:
    """A store with a bit of everything, all of it synced."""
    place = memory / "store"
    store = open_store(place)
    commit(store, "other", FIRST)
    for contents in (FIRST, SECOND, {"model.tflite": b"third"}):
        commit(store, "model", contents)
    store.tag("model", "stable", 2, who="test")
    store.delete("model", 3)
    return place


def state(place: Path) -> dict[str, Held]:
    return held(open_store(place), NAMES)


def state_of(tree: Tree, memory: Path) -> dict[str, Held]:
    """Return what a store shows that lies so."""
    place = memory / "cut"
    write_tree(place, tree)
    try:
        return state(place)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_there_or_not(place: Path, memory: Path, change: str) -> None:
    before = state(place)
    disk = Disk(place)
    with disk.watched():
        CHANGES[change](open_store(place))
    now = state(place)
    assert now != before
    assert len(disk.moments) > 5
    chance = random.Random(12)
    seen: set[frozenset[tuple[str, bytes | None]]] = set()
    for number, moment in enumerate(disk.moments):
        for find in (None, *[chance] * TRIES):
            tree = tree_of(moment, find)
            if frozenset(tree.items()) not in seen:
                seen.add(frozenset(tree.items()))
                assert state_of(tree, memory) in (before, now), number
    assert state_of(tree_of(disk.moments[-1], None), memory) == now, "it was done"
    disk.close()


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("next_", ["the same", "upload of a new model", "first tag"])
def test_what_is_done_after_a_kill_stays(place: Path, memory: Path, first: str, next_: str) -> None:
    """A process was killed, so some of what it did was not synced; the next one builds on it."""
    number, killed = 0, True
    while killed:
        again = memory / "again"
        shutil.copytree(place, again)
        disk = Disk(again)
        disk.dies_at = number
        with disk.watched():
            CHANGES[first](open_store(again))
        killed = len(disk.moments) == number
        disk.dies_at = -1
        with disk.watched(), suppress(UnknownModel):
            CHANGES[first if next_ == "the same" else next_](open_store(again))
        found = state_of(tree_of(disk.moments[-1], None), memory)
        assert found == state(again), number
        disk.close()
        shutil.rmtree(again)
        number += 1
    assert number > 5
