"""A bundle that somebody sent: tar, tar in gzip or zip, unpacked into an empty folder.

The file's content says which it is. What comes out is plain files in folders, with modes of
ours (0644, 0755), under names that mean one thing on every machine: relative, of few parts,
in ASCII, none twice, also not in another case. Everything else is refused with the name of
the member, and so is what would cost too much; what a Mac puts beside each file is left out.

`gpfn.platforms.openwhisk.archive` unpacks actions, from memory. Those are programs: their
files may have any name and are executable, and tarfile and zipfile read them, which
:mod:`.tar_members` and :mod:`.zip_members` say why not for models. So the two share nothing.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidRequest, UnsupportedMedia
from gpfn.serving.repository.archive_bounds import (
    FIELD,
    ArchiveBounds,
    ArchiveBudget,
    ArchiveMember,
    refused,
)
from gpfn.serving.repository.tar_members import GZIP, Gunzip, is_tar, tar_members
from gpfn.serving.repository.zip_members import ZIP, zip_members

__all__ = ["Unpacked", "UnpackedFile", "unpack_bundle"]

_PART = re.compile(r"(?!\.)[A-Za-z0-9_.@+ -]{1,100}")
_MOST_PARTS = 8
_BLOCK = 512
_LISTED = 100
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class UnpackedFile(NamedTuple):
    """A file that was written: its path below the root, with slashes, and its size."""

    path: str
    size: int


class Unpacked(NamedTuple):
    """What a bundle held, sorted by path.

    ``top`` is the name of the one folder that all files are in, which is the model's name for
    who packs as TFaaS' users do; "" when there is none. ``root`` is where the files' paths
    begin: that folder, or the one that was unpacked into. ``left_out`` has the names of what
    was not written, the first hundred of them.
    """

    top: str
    root: Path
    files: tuple[UnpackedFile, ...]
    left_out: tuple[str, ...]


def unpack_bundle(
    path: Path,
    folder: Path,
    *,
    bounds: ArchiveBounds = ArchiveBounds(),  # noqa: B008 - a value
    deadline: Deadline = NEVER,
) -> Unpacked:
    """Unpack the archive at ``path`` into ``folder``, which is empty and nobody else's.

    What was written before an error is the caller's to remove.

    Raises:
        UnsupportedMedia: It is neither tar nor zip.
        InvalidRequest: It is damaged, or has a member that is not unpacked.
        TooLarge: It has more files or bytes than ``bounds``, or too many for its own size.
        DeadlineExceeded: The time was up.
        OSError: The disk is full, for example.
    """
    with open(path, "rb") as file:
        budget = ArchiveBudget(bounds, os.fstat(file.fileno()).st_size, deadline)
        names = _Names(budget)
        found = []
        for parts, member in names.wanted(_members(file, budget)):
            if member.pieces is None:
                with _opened(folder, parts):
                    continue
            with _opened(folder, parts[:-1]) as at:
                found.append(UnpackedFile("/".join(parts), _write(at, parts[-1], member.pieces)))
    return _unpacked(folder, sorted(found), names.left_out)


def _members(file: IO[bytes], budget: ArchiveBudget) -> Iterator[ArchiveMember]:
    """Return the members of whichever archive it is."""
    head = file.read(_BLOCK)
    file.seek(0)
    if head.startswith(ZIP):
        return zip_members(file, budget)
    if head.startswith(GZIP):
        if not is_tar(_beginning(Gunzip(file, budget))):
            raise UnsupportedMedia("gzip with something else than a tar file in it", field=FIELD)
        file.seek(0)
        return tar_members(Gunzip(file, budget), budget)
    if is_tar(head):
        return tar_members(file, budget)
    raise UnsupportedMedia("expected a tar file, a tar file in gzip, or a zip file", field=FIELD)


def _beginning(source: Gunzip) -> bytes:
    found = b""
    while len(found) < _BLOCK and (piece := source.read(_BLOCK)):
        found += piece
    return found


class _Names:
    """The names so far: every file and folder, by its name in lower case."""

    def __init__(self, budget: ArchiveBudget) -> None:
        self._budget = budget
        self._seen: dict[str, tuple[str, bool]] = {}
        self.left_out: list[str] = []

    def wanted(
        self, members: Iterable[ArchiveMember]
    ) -> Iterator[tuple[Sequence[str], ArchiveMember]]:
        """Give the members that are written, and the parts of their names."""
        for member in members:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if any(map(_is_of_a_mac, parts)):
                if len(self.left_out) < _LISTED:
                    self.left_out.append(member.name)
            elif parts or member.pieces is not None:
                self._check(parts, member)
                yield parts, member

    def _check(self, parts: Sequence[str], member: ArchiveMember) -> None:
        if not parts or member.name.startswith("/") or ".." in parts or "\\" in member.name:
            help_ = "names are relative, without .. and \\"
            raise refused("the archive reaches out of its folder", member.name, help_)
        if len(parts) > _MOST_PARTS + 1:
            raise refused(f"more than {_MOST_PARTS} folders deep", member.name)
        if not all(map(_PART.fullmatch, parts)):
            help_ = "use letters, digits and _.@+ -, 100 at most, no dot in front"
            raise refused("a name that is not kept", member.name, help_)
        file = member.pieces is not None
        for count in range(1, len(parts) + 1):
            self._add("/".join(parts[:count]), file and count == len(parts))

    def _add(self, name: str, file: bool) -> None:
        other = self._seen.get(name.lower())
        if other is None:
            self._seen[name.lower()] = (name, file)
            self._budget.check_names(len(self._seen))
        elif file or other != (name, file):
            told = "twice in the archive" + ("" if other[0] == name else f", also as {other[0]!r}")
            raise refused(told, name)


def _is_of_a_mac(part: str) -> bool:
    return part in ("__MACOSX", ".DS_Store") or part.startswith("._")


@contextmanager
def _opened(folder: Path, parts: Sequence[str]) -> Iterator[int]:
    """Make and open a folder step by step, following no link; gives its descriptor."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        for part in parts:
            try:
                os.mkdir(part, dir_fd=at)
            except FileExistsError:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=at)
            else:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=at)
                os.fchmod(inner, 0o755)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def _write(folder: int, name: str, pieces: Iterator[bytes]) -> int:
    """Write a file that is not there yet; returns its size."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
    with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        for piece in pieces:
            file.write(piece)
        return file.tell()


def _unpacked(folder: Path, files: Sequence[UnpackedFile], left_out: Sequence[str]) -> Unpacked:
    if not files:
        raise InvalidRequest("the archive has no files", field=FIELD)
    tops = {file.path.partition("/")[0] for file in files}
    top = tops.pop() if len(tops) == 1 and "/" in files[0].path else ""
    if top:
        files = [file._replace(path=file.path[len(top) + 1 :]) for file in files]
    for file in files:
        if file.path.count("/") >= _MOST_PARTS:
            raise refused(f"more than {_MOST_PARTS} folders deep", file.path)
    return Unpacked(top, folder / top, tuple(files), tuple(left_out))
