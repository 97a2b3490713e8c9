"""The bounds of a repository in a server, and the record of who has changed what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from gpfn.log import Log

__all__ = ["Audit", "RepositorySettings", "VetBounds"]


class VetBounds(NamedTuple):
    """What the process may cost that tries a model: bytes and seconds."""

    memory: int = 4 << 30
    seconds: float = 60.0


class RepositorySettings(NamedTuple):
    """Where a repository lies, and its bounds.

    ``place`` is a folder or the URL of an object store, whose files are kept in ``cache``.
    ``max_open`` models are open at once. An upload has at most ``max_upload`` bytes, comes
    within ``upload_seconds``, and its model is tried within ``vet``; one user sends
    ``uploads_each`` at once. A row that names no model goes to ``default``. ``base`` is put
    before all paths; ``rate`` is such as ``100-S``. With ``preload`` every model is opened
    at the start. Deleted versions are collected after ``trash_days``.
    """

    place: str = ""
    cache: str = ""
    max_open: int = 32
    max_upload: int = 1 << 30
    upload_seconds: float = 3600.0
    uploads_each: int = 16
    vet: VetBounds = VetBounds()
    default: str = ""
    preload: bool = False
    base: str = ""
    rate: str = ""
    audit: str = ""
    trash_days: float = 30.0


class Audit:
    """A file of JSON lines: who has uploaded, tagged, deleted and restored what, and when."""

    def __init__(self, path: Path | None, log: Log) -> None:
        """Without a path, the lines are records of the log."""
        self._path = path
        self._log = log

    def note(self, event: str, model: str, who: str, **more: object) -> None:
        """Write a line: whole, whatever else is written at the same time."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told = {"time": when, "event": event, "model": model, "who": who, **more}
        line = orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
        if self._path is None:
            self._log.info(f"audit {line.decode().rstrip()}")
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError as error:
            self._log.warning(f"not in the audit log ({error.strerror}): {line.decode().rstrip()}")
