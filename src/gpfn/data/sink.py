"""What all writers of files share: the part, its name at the end, and one kind of error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from gpfn.data.seam import Array, Mask
from gpfn.data.whole_file import WholeFile, cannot_write

__all__ = ["PartSink"]

_ARROWS = (ValueError, TypeError, NotImplementedError)


class PartSink(ABC):
    """The frame of a `gpfn.data.seam.ColumnSink`.

    A format has ``_append``, which writes rows, ``_finish``, which ends the file that is at
    ``_part``, and ``_abandon``, which lets go of it. What they raise as OSError, and Arrow as
    `_ARROWS`, is told as a SetupError with the file's name, and the part is
    removed.
    """

    def __init__(self, path: str) -> None:
        self._file = WholeFile(path)
        self._part = str(self._file.part)
        self._path = path
        self._open = True

    def write(self, columns: Mapping[str, Array], missing: Mapping[str, Mask] = {}) -> None:
        """Append rows; see `gpfn.data.seam.ColumnSink`."""
        try:
            self._append(columns, missing)
        except (OSError, *_ARROWS) as error:
            self.discard()
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Finish the file and give it its name."""
        if not self._open:
            return
        try:
            self._finish()
        except (OSError, *_ARROWS) as error:
            self.discard()
            raise cannot_write(self._path, error) from error
        self._open = False
        self._file.commit()

    def discard(self) -> None:
        """Remove what was written; harmless after `close`."""
        if self._open:
            self._open = False
            with suppress(Exception):  # what it says of a file that is removed is nobody's
                self._abandon()
            self._file.discard()

    @abstractmethod
    def _append(self, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> None:
        """Write rows."""

    @abstractmethod
    def _finish(self) -> None:
        """End the file."""

    @abstractmethod
    def _abandon(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
