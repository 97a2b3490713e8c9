"""A model repository: versions that are made once, tags that move, a trash.

Everything is in documents that are made once (`gpfn.serving.repository.objects`), so readers
need no lock: what they see is a state that was. A number is claimed by making the document of
that number. Who finds it taken looks again, and takes the next one.

The documents that were read are kept, as they never change. What another process or another
server has made is seen with the next look.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from threading import RLock

import orjson

from gpfn.errors import InvalidRequest, SetupError
from gpfn.repository.documents import (
    FORMAT,
    Manifest,
    encode_manifest,
    read_manifest,
)
from gpfn.repository.names import check_model_name, check_tag, is_model_name
from gpfn.repository.tags import MOST_TAGS, TagChange, encode_tag_change, read_tag_change
from gpfn.serving.repository.objects import Objects, StoreDamaged
from gpfn.serving.repository.shelf import Shelf
from gpfn.serving.repository.shelf_reader import (
    ShelfReader,
    document_key,
    document_place,
)

__all__ = ["VersionStore"]

_MARK = "repository.json"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_GRACE_SECONDS = 3600.0
"""How long files stay that no version has: somebody may be about to make one."""


class VersionStore:
    """The models of a repository. Methods block, and may be called in any thread."""

    def __init__(self, objects: Objects, *, clock: Callable[[], float] = time.time) -> None:
        """Raises SetupError for a place that another gpfn wrote, StoreUnavailable."""
        self.objects = objects
        self._clock = clock
        self._reader = ShelfReader(objects)
        self._guard = RLock()
        self._shelves: dict[str, Shelf] = {}
        self._check_format()

    # questions

    def shelves(self) -> list[Shelf]:
        """Return all models that have a version, by name, as they were at the last look."""
        return [shelf for shelf in self.all_shelves() if shelf.versions]

    def all_shelves(self) -> list[Shelf]:
        """Return those as well of which only the trash has versions."""
        return [self._shelves[name] for name in sorted(self._shelves)]

    def shelf(self, name: str) -> Shelf:
        """Return a model as it was at the last look; an empty one when there is none."""
        return self._shelves.get(name) or Shelf(name)

    def look(self, name: str = "") -> None:
        """Look at what is there now, at all models or at one."""
        if name and not is_model_name(name):
            return
        below = f"models/{name}/" if name else "models/"
        found: dict[str, dict[str, set[int]]] = {name: {}} if name else {}
        for key in self.objects.keys(below):
            place = document_place(key)
            if place is not None:
                model, kind, number = place
                found.setdefault(model, {}).setdefault(kind, set()).add(number)
        with self._guard:
            gone = () if name else self._shelves.keys() - found
            for model in (*found, *gone):
                self._shelve(self._reader.read_shelf(self.shelf(model), found.get(model, {})))

    # changes

    def commit(self, draft: Manifest, folder: Path | None, *, who: str) -> tuple[Manifest, bool]:
        """Make a version of files; returns it, and whether it was the latest one already.

        ``draft`` says all but number and time; ``folder`` has its files and is given away,
        None when they are kept already. Raises StoreUnavailable.
        """
        check_model_name(draft.name)
        with self.objects.writing():
            self.look(draft.name)
            latest = self.shelf(draft.name).latest
            if latest is not None and _same(latest, draft):
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)  # given away, and not needed
                return latest, True
            if folder is not None:
                self.objects.keep(draft.digest, folder, draft.files)
            return self._claim(draft._replace(who=who, when=self._now()))

    def tag(self, name: str, tag: str, version: int | None, *, who: str) -> Shelf:
        """Let a tag lead to a version, or to none; returns the model after that.

        Raises UnknownModel, InvalidRequest for what can be no tag.
        """
        check_tag(tag, field="tag")
        with self.objects.writing():
            self.look(name)
            while True:
                shelf = self.shelf(name)
                shelf.find("" if version is None else str(version))
                if shelf.all_tags.get(tag) == version:
                    return shelf
                self._change_tags(shelf, tag, version, who)

    def _change_tags(self, shelf: Shelf, tag: str, version: int | None, who: str) -> None:
        """Make the next change of tags, or take note of the one that another one has made."""
        tags = {each: number for each, number in shelf.all_tags.items() if each != tag}
        if version is not None:
            tags[tag] = version
        if len(tags) > MOST_TAGS:
            told = f"{shelf.name} has {MOST_TAGS} tags, which are all that a model may have"
            raise InvalidRequest(told, field="tag", status=409)
        change = TagChange(tag, version, who, self._now(), dict(sorted(tags.items())))
        number = shelf.last_change + 1
        key = document_key(shelf.name, "tags", number)
        if not self.objects.create(key, encode_tag_change(change)):
            other = self._reader.read(key, read_tag_change)
            if other is None:  # it is there, and not to be seen yet
                return
            change = other
        with self._guard:
            changes = {**self.shelf(shelf.name).changes, number: change}
            self._shelves[shelf.name] = self.shelf(shelf.name)._replace(changes=changes)

    def delete(self, name: str, version: int | None = None) -> list[int]:
        """Move a version to the trash, or all of them; returns which. Raises UnknownModel."""
        with self.objects.writing():
            self.look(name)
            shelf = self.shelf(name)
            shelf.find("" if version is None else str(version))
            chosen = sorted(shelf.versions) if version is None else [version]
            for number in chosen:
                self._discard(shelf.versions[number])
            self.look(name)
        return chosen

    def _discard(self, manifest: Manifest) -> None:
        key = document_key(manifest.name, "trash", manifest.version)
        text = encode_manifest(manifest._replace(deleted=self._now()))
        if not self.objects.create(key, text) and self._was_left(key):
            self.objects.delete(key)  # the version itself is live still
            self.objects.create(key, text)
        self.objects.delete(document_key(manifest.name, "versions", manifest.version))

    def _was_left(self, key: str) -> bool:
        """Say whether a document of the trash is what a change has left that was cut off.

        Its time would have the files collected too early. One of a moment ago is from another
        one who deletes the same.
        """
        try:
            found = self._reader.read(key, read_manifest)
        except StoreDamaged:
            return True
        return found is not None and self._clock() - _epoch(found.deleted) > _GRACE_SECONDS

    def restore(self, name: str, version: int) -> Manifest:
        """Take a version out of the trash again.

        Raises UnknownModel when it is not there, InvalidRequest (410) when its files are not.
        """
        with self.objects.writing():
            self.look(name)
            shelf = self.shelf(name)
            shelf.check("trash", version)
            found = shelf.trash.get(version) or shelf.find(str(version))
            if found.digest not in dict(self.objects.digests()):
                told = f"the files of {name} {version} were removed for good"
                raise InvalidRequest(told, field="version", status=410)
            self.objects.place(found.digest, found.files)
            self.objects.release(found.digest)
            manifest = found._replace(deleted="")
            self.objects.create(document_key(name, "versions", version), encode_manifest(manifest))
            self.objects.delete(document_key(name, "trash", version))
            self.look(name)
        return manifest

    def collect(self, seconds: float) -> list[str]:
        """Remove the files of what has been in the trash for so long; returns their digests.

        The documents stay: a number is never given twice. Raises StoreDamaged when a document
        cannot be read, which may be of files that are used.
        """
        now = self._clock()
        self.look()
        used = set(self._used(now - seconds))
        found = []
        for digest, when in self.objects.digests():
            if now - when < _GRACE_SECONDS or digest in used:
                continue
            with self.objects.writing():  # nobody makes a version of them meanwhile
                self.look()
                kept = dict(self.objects.digests()).get(digest, now)  # again, for all we know
                if now - kept >= _GRACE_SECONDS and digest not in set(self._used(now - seconds)):
                    self.objects.drop(digest)
                    found.append(digest)
        return found

    # parts

    def _used(self, since: float) -> Iterator[str]:
        for shelf in self._shelves.values():
            for kind in ("versions", "trash"):
                for number in shelf.damaged.get(kind, ()):
                    shelf.check(kind, number)
            yield from (manifest.digest for manifest in shelf.versions.values())
            for manifest in shelf.trash.values():
                if _epoch(manifest.deleted) > since:
                    yield manifest.digest

    def _claim(self, manifest: Manifest) -> tuple[Manifest, bool]:
        """Give a version the next number, unless another one has just made the same."""
        number = 0
        while True:
            number = max(number, self.shelf(manifest.name).highest) + 1
            numbered = manifest._replace(version=number)
            key = document_key(manifest.name, "versions", number)
            if self.objects.create(key, encode_manifest(numbered)):
                self._note(numbered)
                return numbered, False
            other = self._reader.read(key, read_manifest)  # a list may not have it yet
            if other is not None:
                self._note(other)
                if _same(other, manifest):
                    return other, True

    def _note(self, manifest: Manifest) -> None:
        """Take note of a version that was just made."""
        with self._guard:
            shelf = self.shelf(manifest.name)
            versions = {**shelf.versions, manifest.version: manifest}
            self._shelves[manifest.name] = shelf._replace(versions=versions)

    def _shelve(self, shelf: Shelf) -> None:
        if shelf == self._shelves.get(shelf.name):
            return  # what others have made of the one that is there stays true
        if shelf.highest or shelf.changes:
            self._shelves[shelf.name] = shelf
        else:
            self._shelves.pop(shelf.name, None)

    def _check_format(self) -> None:
        found = self.objects.read(_MARK)
        if found is None:
            text = orjson.dumps({"format": FORMAT}, option=orjson.OPT_APPEND_NEWLINE)
            found = text if self.objects.create(_MARK, text) else self.objects.read(_MARK)
        try:
            number = orjson.loads(found or b"")["format"]
        except (ValueError, KeyError, TypeError):
            raise SetupError("not the mark of a repository", field=_MARK) from None
        if number != FORMAT:
            told = f"format {number!r:.20} is not known here: another gpfn wrote it"
            raise SetupError(told, field=_MARK)

    def _now(self) -> str:
        return time.strftime(_TIME, time.gmtime(self._clock()))


def _same(one: Manifest, other: Manifest) -> bool:
    """Say whether two versions are opened from the same files in the same way."""
    return (one.digest, one.model, one.labels, one.params) == (
        other.digest,
        other.model,
        other.labels,
        other.params,
    )


def _epoch(when: str) -> float:
    return datetime.fromisoformat(when.replace(":60", ":59")).timestamp()
