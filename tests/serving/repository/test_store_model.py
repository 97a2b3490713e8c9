"""The store against a model of a few lines, whatever is done to it in whatever order."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.repository.documents import content_digest
from gpfn.serving.library import UnknownModel
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.store import VersionStore
from tests.serving.repository.stored import commit, draft_of

DAY = 24 * 3600.0
NAME = st.sampled_from(["a", "b", "-.x"])
NUMBER = st.integers(1, 6)
TAG = st.sampled_from(["stable", "next"])
CONTENTS = st.sampled_from(
    [
        {"m.tflite": b"1"},
        {"m.tflite": b"2"},
        {"n.tflite": b"1"},
        {"m.tflite": b"1", "labels.txt": b"a\nb\n"},
        {"m.tflite": b"1", "labels.txt": b"a\nc\n", "deep/er/file": b""},
    ]
)


class Shelves(RuleBasedStateMachine):
    """What is done to a store is done to dictionaries as well."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp(prefix="gpfn-store-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda handle: None)  # which others test, and which waits
        self.now = 1_800_000_000.0
        self.versions: dict[str, dict[int, dict[str, bytes]]] = {}
        self.trash: dict[str, dict[int, tuple[dict[str, bytes], float]]] = {}
        self.tags: dict[str, dict[str, int]] = {}
        self.collected: set[str] = set()
        self.store = self._open()

    def _open(self) -> VersionStore:
        store = VersionStore(FolderObjects(self.folder), clock=lambda: self.now)
        store.look()
        return store

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    def _highest(self, name: str) -> int:
        return max([*self.versions.get(name, {}), *self.trash.get(name, {})], default=0)

    def _fails(self, kind: type[GpfnError], change: Callable[[], object]) -> None:
        with pytest.raises(kind):
            change()

    @rule()
    def reopen(self) -> None:
        self.store = self._open()

    @rule(days=st.sampled_from([0.01, 1, 20]))
    def wait(self, days: float) -> None:
        self.now += days * DAY

    @rule(name=NAME, contents=CONTENTS)
    def upload(self, name: str, contents: dict[str, bytes]) -> None:
        versions = self.versions.setdefault(name, {})
        latest = versions[max(versions)] if versions else None
        manifest, existed = commit(self.store, name, contents)
        self.collected.discard(manifest.digest)
        assert existed == (latest == contents)
        if existed:
            assert manifest.version == max(versions)
        else:
            assert manifest.version == self._highest(name) + 1
            versions[manifest.version] = contents
        self._touch(manifest.digest)

    def _touch(self, digest: str) -> None:
        """Let a folder be as old as the store's clock says."""
        os.utime(self.folder / "files" / digest, (self.now, self.now))

    @rule(name=NAME, tag=TAG, number=st.none() | NUMBER)
    def move_tag(self, name: str, tag: str, number: int | None) -> None:
        versions = self.versions.get(name, {})
        if not versions or (number is not None and number not in versions):
            self._fails(UnknownModel, lambda: self.store.tag(name, tag, number, who="me"))
            return
        self.store.tag(name, tag, number, who="me")
        tags = self.tags.setdefault(name, {})
        if number is None:
            tags.pop(tag, None)
        else:
            tags[tag] = number

    @rule(name=NAME, number=st.none() | NUMBER)
    def delete(self, name: str, number: int | None) -> None:
        versions = self.versions.get(name, {})
        if not versions or (number is not None and number not in versions):
            self._fails(UnknownModel, lambda: self.store.delete(name, number))
            return
        chosen = sorted(versions) if number is None else [number]
        assert self.store.delete(name, number) == chosen
        for each in chosen:
            self.trash.setdefault(name, {})[each] = (versions.pop(each), self.now)

    @rule(name=NAME, number=NUMBER)
    def restore(self, name: str, number: int) -> None:
        trash, versions = self.trash.get(name, {}), self.versions.get(name, {})
        if number not in trash and number not in versions:
            self._fails(UnknownModel, lambda: self.store.restore(name, number))
            return
        contents = versions[number] if number in versions else trash[number][0]
        if draft_of(name, contents).digest in self.collected:
            self._fails(InvalidRequest, lambda: self.store.restore(name, number))
            return
        assert self.store.restore(name, number).version == number
        trash.pop(number, None)
        self.versions.setdefault(name, {})[number] = contents

    @rule(days=st.sampled_from([0, 2, 30]))
    def collect(self, days: float) -> None:
        used = {
            draft_of(name, contents).digest
            for name, versions in self.versions.items()
            for contents in versions.values()
        }
        used |= {
            draft_of(name, contents).digest
            for name, trash in self.trash.items()
            for contents, when in trash.values()
            if int(when) > self.now - days * DAY
        }
        there = {entry.name: entry.stat().st_mtime for entry in (self.folder / "files").iterdir()}
        gone = {each for each, when in there.items() if self.now - when >= 3600} - used
        assert set(self.store.collect(days * DAY)) == gone
        self.collected |= gone

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        if not hasattr(self, "store"):
            return
        for store in (self.store, self._open()):
            live = {name for name, versions in self.versions.items() if versions}
            assert {shelf.name for shelf in store.shelves()} == live
            for name in {*self.versions, *self.trash}:
                shelf = store.shelf(name)
                assert set(shelf.versions) == set(self.versions.get(name, {}))
                assert set(shelf.trash) == set(self.trash.get(name, {}))
                assert dict(shelf.all_tags) == self.tags.get(name, {})
                for number, manifest in shelf.versions.items():
                    place = store.objects.place(manifest.digest, manifest.files)
                    found = {each.path: (place / each.path).read_bytes() for each in manifest.files}
                    assert found == self.versions[name][number]
                    assert manifest.digest == content_digest(manifest.files)
        assert [*(self.folder / ".incoming").iterdir()] == []


TestShelves = Shelves.TestCase
TestShelves.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
