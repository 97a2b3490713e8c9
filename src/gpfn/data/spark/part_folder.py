"""A folder of part files that Spark writes, which is there whole or not at all.

On this machine's file system it is written under another name and renamed. At a URL, such as
``hdfs://``, Spark's own way counts: the folder is whole when ``_SUCCESS`` is in it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from gpfn.data.whole_file import cannot_write
from gpfn.errors import SetupError

__all__ = ["PartFolder", "is_remote"]


def is_remote(path: str) -> bool:
    """Tell a URL from a path of this machine."""
    return "://" in path


class PartFolder:
    """A folder that is being written, at ``place``; as a context manager it is renamed at the end.

    Raises SetupError for one that is there already, unless it is to be done ``again``: then the
    new one takes its place.
    """

    def __init__(self, path: str, *, again: bool = False) -> None:
        self._path = path
        self._again = again
        self._remote = is_remote(path)
        self._whole = Path(os.path.abspath(path))
        self._part = self._whole.with_name(f".{self._whole.name}.part-{os.getpid()}")
        if self._remote:
            return
        if self._whole.exists() and not self._whole.is_dir():
            raise SetupError("a file; Spark writes a folder of part files", field=path)
        if self._whole.exists() and any(self._whole.iterdir()) and not again:
            raise SetupError("is there already; --again writes it anew", field=path)
        if again and self._whole.exists() and not self._is_ours():
            told = "has other files than Spark's parts, so it is not replaced; remove it yourself"
            raise SetupError(told, field=path)

    def _is_ours(self) -> bool:
        known = ("part-", "_SUCCESS", ".part-", "._SUCCESS")
        return all(found.name.startswith(known) for found in self._whole.iterdir())

    @property
    def place(self) -> str:
        """Where Spark writes it."""
        return self._path if self._remote else f"file://{self._part}"

    @property
    def mode(self) -> str:
        """What Spark does with a folder that is there; at a path it is one of ours, and empty."""
        return "errorifexists" if self._remote and not self._again else "overwrite"

    def check(self, rows: int) -> None:
        """Raise SetupError where the parts that are here have not as many rows as were written.

        Then workers have written into folders of their own machines.
        """
        if self._remote:
            return
        import pyarrow.parquet as pq

        found = sum(pq.read_metadata(part).num_rows for part in self._part.glob("part-*"))
        if found != rows:
            told = (
                f"{rows} rows were written, and {found} of them are here; name a folder that all "
                "machines share, or a URL such as hdfs://"
            )
            raise SetupError(told, field=self._path)

    def __enter__(self) -> Self:
        if not self._remote:
            try:
                self._whole.parent.mkdir(parents=True, exist_ok=True)
                self._part.mkdir()
            except OSError as error:
                raise cannot_write(self._path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._remote:
            return
        try:
            if kind is None:
                self._rename()
        except OSError as failure:
            raise cannot_write(self._path, failure) from failure
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def _rename(self) -> None:
        old = self._part.with_name(f"{self._part.name}-old")
        replaced = self._whole.exists()
        if replaced:
            self._whole.rename(old)
        try:
            self._part.rename(self._whole)
        except OSError:
            if replaced:
                old.rename(self._whole)
            raise
        if replaced:
            shutil.rmtree(old, ignore_errors=True)
