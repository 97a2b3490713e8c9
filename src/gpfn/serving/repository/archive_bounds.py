"""What unpacking an archive may cost: entries, bytes, their ratio to what was sent, time.

Both readers spend from one :class:`ArchiveBudget`, before they do what is paid for. A claim
in a header is refused for what it claims; what is inflated is counted as it comes, whether it
is written somewhere or left out.
"""

from collections.abc import Iterator
from typing import IO, NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidRequest, TooLarge

__all__ = [
    "FIELD",
    "PIECE",
    "ArchiveBounds",
    "ArchiveBudget",
    "ArchiveMember",
    "broken",
    "exactly",
    "refused",
]

FIELD = "bundle"
"""What errors call the archive."""
PIECE = 1 << 18
"""Bytes that are inflated and written at once."""
_HEADERS = 4
"""For a file: its own, a pax header, and both of them for what a Mac puts beside it."""
_FREE = 64 << 20
"""Bytes that may be inflated whatever the ratio: a model of zeros is no attack."""


class ArchiveBounds(NamedTuple):
    """Upper bounds of what an archive unpacks to."""

    files: int = 10_000
    """Files, and the folders that they are in. An archive may have four times as many headers."""
    bytes: int = 4 << 30
    """Bytes of all files together."""
    ratio: int = 200
    """Bytes unpacked for each one sent, beyond the first 64 MiB. Weights come to 10 at most."""


class ArchiveMember(NamedTuple):
    """A file of an archive, or a folder, which has no pieces.

    The pieces come once, before the next member is asked for; they may be left alone.
    """

    name: str
    pieces: Iterator[bytes] | None


class ArchiveBudget:
    """What is left to spend on one archive of ``packed`` bytes."""

    def __init__(self, bounds: ArchiveBounds, packed: int, deadline: Deadline = NEVER) -> None:
        self._bounds = bounds
        self._deadline = deadline
        self._most = min(bounds.bytes, max(_FREE, bounds.ratio * packed))
        self._headers = 0
        self._bytes = 0

    def add_headers(self, count: int = 1) -> None:
        """Spend headers, of whatever kind; raises TooLarge or DeadlineExceeded."""
        self.check_time()
        self._headers += count
        if self._headers > _HEADERS * self._bounds.files:
            raise self._too_many()

    def check_names(self, count: int) -> None:
        """Refuse more files and folders than are allowed."""
        if count > self._bounds.files:
            raise self._too_many()

    def check_claim(self, size: int, name: str) -> None:
        """Refuse a size that a header claims before anything of it is read."""
        if size > self._most - self._bytes:
            raise self._too_large(name)

    def add_bytes(self, size: int, name: str) -> None:
        """Spend bytes that were unpacked; raises TooLarge or DeadlineExceeded."""
        self.check_time()
        self._bytes += size
        if self._bytes > self._most:
            raise self._too_large(name)

    def check_time(self) -> None:
        """Raise DeadlineExceeded when the time is up."""
        self._deadline.check("the archive was unpacked")

    def _too_many(self) -> TooLarge:
        told = f"the archive has more than {self._bounds.files} files and folders"
        return TooLarge(told, field=FIELD)

    def _too_large(self, name: str) -> TooLarge:
        if self._most < self._bounds.bytes:
            told = f"to over {self._bounds.ratio} times its size"
        else:
            told = f"to over {self._bounds.bytes} bytes"
        return TooLarge(f"the archive unpacks {told}, at {name!r:.99}", field=FIELD)


def broken(what: str) -> InvalidRequest:
    """Return the error for an archive that cannot be read."""
    return InvalidRequest(f"broken archive: {what}", field=FIELD)


def refused(what: str, name: str, help_: str = "") -> InvalidRequest:
    """Return the error for a member that is not unpacked, and what helps."""
    told = f"{what}: {name!r:.99}" + (f"; {help_}" if help_ else "")
    return InvalidRequest(told, field=FIELD)


def exactly(file: IO[bytes], size: int, what: str) -> bytes:
    """Read that many bytes, which are few; raises InvalidRequest when the file ends before."""
    data = file.read(size)
    if len(data) != size:
        raise broken(f"cut off in {what}")
    return data
