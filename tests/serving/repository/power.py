"""A disk that loses power: what of a folder is there afterwards, as POSIX promises it.

Only what was synced stays for certain: the content of a file at its last fsync, the names of a
folder at its last fsync. Of the rest any part may have come to the disk on its own, a name
without the content of its file as well. :class:`Disk` watches a folder while it is changed;
each call by which something changes or is synced is a moment, at which the power may go.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = ["Disk", "Killed", "Moment", "Tree", "tree_of", "write_tree"]

_CHANGES = ("link", "rename", "replace", "mkdir", "unlink", "rmdir", "open")
_ROOT = 0


class Killed(BaseException):
    """The process ends here; raised by whatever it calls next as well."""


class Moment(NamedTuple):
    """What is where: by number of a file its content, by number of a folder its names."""

    contents: Mapping[int, bytes]
    folders: Mapping[int, Mapping[str, int]]


class Disk:
    """Watches a folder. Numbers stand for files and folders, and are given once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moments: list[tuple[Moment, Moment]] = []  # what was seen, and what was synced
        self.dies_at = -1  # the number of the moment at which the process is killed
        self._numbers: dict[int, int] = {}
        self._held: list[int] = []  # open files, so that no inode comes again
        seen = self._look()
        self._synced = Moment(dict(seen.contents), dict(seen.folders))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note a moment before and after each call that changes something."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _CHANGES:
                patch.setattr(os, name, self._noting(getattr(os, name)))
            patch.setattr(os, "fsync", self._syncing(os.fsync))
            patch.setattr(os, "sync", self._sync_all)
            try:
                yield
                self._note()
            except Killed:
                pass

    def close(self) -> None:
        """Let go of what was seen."""
        while self._held:
            os.close(self._held.pop())

    def _noting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **more: Any) -> Any:
            if call is not _open or args[1] & os.O_CREAT:
                self._note()
            return call(*args, **more)

        return noting

    def _syncing(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def syncing(handle: int) -> None:
            self._note()
            number = self._numbers.get(os.fstat(handle).st_ino, -1)  # which is outside
            seen = self.moments[-1][0]
            contents, folders = dict(self._synced.contents), dict(self._synced.folders)
            if number in seen.folders:
                folders[number] = seen.folders[number]
            elif number in seen.contents:
                contents[number] = seen.contents[number]
            self._synced = Moment(contents, folders)

        return syncing

    def _sync_all(self) -> None:
        self._note()
        self._synced = self.moments[-1][0]

    def _note(self) -> None:
        if 0 <= self.dies_at <= len(self.moments):
            raise Killed
        self.moments.append((self._look(), self._synced))

    def _look(self) -> Moment:
        contents: dict[int, bytes] = {}
        folders: dict[int, dict[str, int]] = {}
        folders[_ROOT] = self._names(self.root, contents, folders)
        self._numbers[os.stat(self.root).st_ino] = _ROOT
        return Moment(contents, folders)

    def _names(
        self, folder: Path, contents: dict[int, bytes], folders: dict[int, dict[str, int]]
    ) -> dict[str, int]:
        found = {}
        for entry in os.scandir(folder):
            number = found[entry.name] = self._number(entry)
            if entry.is_dir():
                folders[number] = self._names(Path(entry.path), contents, folders)
            else:
                contents[number] = Path(entry.path).read_bytes()
        return found

    def _number(self, entry: "os.DirEntry[str]") -> int:
        if entry.inode() not in self._numbers:
            self._numbers[entry.inode()] = len(self._numbers) + 1
            self._held.append(_open(entry.path, os.O_RDONLY))
        return self._numbers[entry.inode()]


_open = os.open


Tree = Mapping[str, "bytes | None"]
"""What lies where: the content of a file, None for a folder."""


def tree_of(moment: tuple[Moment, Moment], chance: random.Random | None) -> Tree:
    """Return what is there after the power has gone at a moment.

    Without ``chance`` it is only what was synced, else any part of the rest as well.
    """
    return dict(_parts("", _ROOT, *moment, chance))


def write_tree(place: Path, tree: Tree) -> None:
    """Make files and folders as they lie in a tree."""
    place.mkdir()
    for path, content in tree.items():
        if content is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(content)


def _parts(
    prefix: str, number: int, seen: Moment, synced: Moment, chance: random.Random | None
) -> Iterator[tuple[str, bytes | None]]:
    old, new = synced.folders.get(number, {}), seen.folders.get(number, {})
    for name in sorted({*old, *new}):
        found = old.get(name) if chance is None or chance.random() < 0.5 else new.get(name)
        if found is None:
            continue
        if found in seen.folders or found in synced.folders:
            yield prefix + name, None
            yield from _parts(f"{prefix}{name}/", found, seen, synced, chance)
        else:
            yield prefix + name, _content(found, seen, synced, chance)


def _content(number: int, seen: Moment, synced: Moment, chance: random.Random | None) -> bytes:
    kept = synced.contents.get(number, b"")
    new = seen.contents.get(number, kept)
    if chance is None or new == kept:
        return kept
    return chance.choice((kept, new, new[: len(new) // 2], bytes(len(new))))
