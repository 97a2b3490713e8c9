"""Outputs that appear whole or not at all: written under another name, then renamed.

The other name is ``.NAME.part-HOST-PID`` in the same folder, so that renaming is one step of the
file system, and machines that share the folder never write into each other's. What a killed
process left is removed by the next one of the same machine that writes the same file.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["WholeFile", "cannot_write", "remove_leftovers"]

_HOST = re.sub(r"[^A-Za-z0-9_.]", "_", os.uname().nodename)[:64]
_PART = f".part-{_HOST}-"


class WholeFile:
    """A file that is being written: at ``part`` until `commit` gives it its name.

    Raises SetupError when its folder cannot be made or written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(f".{self.path.name}{_PART}{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)
            self.part.write_bytes(b"")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def commit(self) -> None:
        """Give it its name. Raises SetupError when that fails, and then removes it."""
        try:
            self.part.replace(self.path)
        except OSError as error:
            self.discard()
            raise cannot_write(self.path, error) from error

    def discard(self) -> None:
        """Remove what was written; harmless after `commit`."""
        with suppress(OSError):  # the next one that writes this file removes it
            self.part.unlink(missing_ok=True)


def cannot_write(path: str | os.PathLike[str], error: Exception) -> SetupError:
    """Return the error that says why a file was not written."""
    told = getattr(error, "strerror", "") or str(error)
    number = getattr(error, "errno", 0)
    if number and os.strerror(number) in str(error):  # Arrow's own words are longer
        told = os.strerror(number)
    return SetupError(f"cannot write it: {told}", field=os.fspath(path))


def remove_leftovers(path: Path) -> None:
    """Remove parts of a file whose processes are gone, on this machine."""
    name = re.compile(re.escape(f".{path.name}{_PART}") + r"(\d+)")
    with suppress(OSError):  # of another user, or gone by now: they are in nobody's way
        for found in os.scandir(path.parent):
            match = name.fullmatch(found.name)
            if match and not _lives(int(match[1])):
                os.unlink(found.path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
