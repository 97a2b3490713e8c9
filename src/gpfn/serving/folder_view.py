"""What lies in a models folder, each entry judged before anything is done with it.

Native libraries trust a model's file, and a Python file is a program, so who may put one there
may do what this process may. An entry is refused

- that a symbolic link takes out of the folder. A link to a place within is followed, however
  many there are on the way: Kubernetes mounts its volumes so.
- that is neither a regular file nor a folder, such as a pipe, which would be waited for.
- of an owner other than root, this process's user and the owner of the folder itself: whoever
  names a folder trusts its owner, also when that is a user of the host outside of a container.
- that every user of the machine may write. The folder itself may be so, because Kubernetes
  makes the root of a volume so: what somebody else puts there has the wrong owner. A group may
  write, as files are made so where each user has a group.

The checks hold for those who may not write there already: who may can change a file after it
was looked at. Names of temporary files are passed over without a word.
"""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from gpfn.errors import ModelUnreadable, SetupError

__all__ = ["Entry", "FolderView", "is_passing"]

_MOST = 10_000
"""Entries of one folder, and of a version with all folders in it."""
_MOST_IN_ALL = 200_000
_DEEPEST = 16
_PASSING_NAMES = ("lost+found", "__pycache__")
_PASSING_STARTS = (".", "~", "#")
_PASSING_ENDS = ("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp")


class Entry(NamedTuple):
    """A file or a folder: what is at the end of its links.

    ``mark`` (when it was written in ns, its size, its inode) changes with its content,
    ``changed`` (ns) whenever anything about it does. ``wrong`` says why it is not to be used.
    """

    path: str
    folder: bool = False
    mark: tuple[int, int, int] = (0, 0, 0)
    changed: int = 0
    wrong: str = ""


class FolderView:
    """One look at a folder. Raises SetupError when there is no such folder."""

    def __init__(self, folder: str) -> None:
        try:
            self._real = os.path.realpath(folder, strict=True)
            status = os.stat(self._real)
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            told = getattr(error, "strerror", None) or error
            raise SetupError(f"{told}: {folder}", field="models-dir") from None
        if not stat.S_ISDIR(status.st_mode):
            raise SetupError(f"not a folder: {folder}", field="models-dir")
        self._owners = {0, os.geteuid(), status.st_uid}
        self._seen = 0

    def entries(self, path: str) -> dict[str, Entry]:
        """Return what lies in a folder, by name; nothing when it has vanished.

        Raises ModelUnreadable when it cannot be read or holds over 10,000 entries, SetupError
        when over 200,000 were looked at.
        """
        return {name: each for name, each in self._listed(path).items() if not is_passing(name)}

    def _listed(self, path: str) -> dict[str, Entry]:
        found = {}
        try:
            with os.scandir(path) as listed:
                for number, each in enumerate(listed, 1):
                    self._count(number)
                    if (entry := self._judged(each)) is not None:
                        found[each.name] = entry
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ModelUnreadable(f"cannot be read: {error.strerror}") from None
        return dict(sorted(found.items()))

    def files(self, path: str) -> tuple[dict[str, Entry], int]:
        """Return all files below a folder, by their names as seen from it, and the last change.

        Temporary files are not among them, but count for the change (ns): who writes them is
        not done yet. Raises ModelUnreadable for an entry that is refused, and for a tree too
        large or too deep.
        """
        found: dict[str, Entry] = {}
        changed = 0
        for name, entry in self._walk(path, "", ()):
            changed = max(changed, entry.changed)
            if not is_passing(name.rpartition("/")[2]):
                found[name] = entry
            if len(found) > _MOST:
                raise ModelUnreadable(f"more than {_MOST:,} files")
        return found, changed

    def _walk(
        self, path: str, inside: str, above: tuple[tuple[int, int, int], ...]
    ) -> Iterator[tuple[str, Entry]]:
        if len(above) > _DEEPEST:
            raise ModelUnreadable(f"folders more than {_DEEPEST} deep")
        for name, entry in self._listed(path).items():
            if is_passing(name):
                if not (entry.folder or entry.wrong):
                    yield inside + name, entry
            elif entry.wrong:
                raise ModelUnreadable(f"{inside}{name}: {entry.wrong}")
            elif not entry.folder:
                yield inside + name, entry
            elif entry.mark in above:
                raise ModelUnreadable(f"{inside}{name}: a link to a folder that it lies in")
            else:
                yield from self._walk(entry.path, f"{inside}{name}/", (*above, entry.mark))

    def _count(self, number: int) -> None:
        self._seen += 1
        if self._seen > _MOST_IN_ALL:
            raise SetupError(f"more than {_MOST_IN_ALL:,} entries", field="models-dir")
        if number > _MOST:
            raise ModelUnreadable(f"more than {_MOST:,} entries")

    def _judged(self, found: "os.DirEntry[str]") -> Entry | None:
        """Return an entry with what is wrong with it; None when it has vanished meanwhile."""
        link = found.is_symlink()
        try:
            status = found.stat()
            wrong = self._way(found.path) if link else ""
        except FileNotFoundError:
            return Entry(found.path, wrong="a link that leads nowhere") if link else None
        except OSError as error:
            return Entry(found.path, wrong=f"cannot be read: {error.strerror}")
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        folder = stat.S_ISDIR(status.st_mode)
        wrong = wrong or self._refusal(status)
        return Entry(found.path, folder, mark, status.st_ctime_ns, wrong)

    def _way(self, link: str) -> str:
        """Say what is wrong with where a link leads, and with the folders on the way there."""
        real = os.path.realpath(link, strict=True)
        if os.path.commonpath((self._real, real)) != self._real:
            return "a link out of the models folder"
        at = os.path.dirname(real)
        while len(at) > len(self._real):
            if wrong := self._refusal(os.stat(at)):
                return f"the folder that it leads to: {wrong}"
            at = os.path.dirname(at)
        return ""

    def _refusal(self, status: os.stat_result) -> str:
        mode = status.st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return "neither a regular file nor a folder"
        if status.st_uid not in self._owners:
            return f"it belongs to user {status.st_uid}, who does not own the models folder"
        return "every user may write it: chmod o-w" if mode & stat.S_IWOTH else ""


def is_passing(name: str) -> bool:
    """Say whether a file called so is on its way to another name, or hidden."""
    return (
        name in _PASSING_NAMES
        or name.startswith(_PASSING_STARTS)
        or name.lower().endswith(_PASSING_ENDS)
    )
