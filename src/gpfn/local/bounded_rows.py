"""A table of the state whose oldest rows go when there are too many, too large or too old ones."""

from __future__ import annotations

from typing import NamedTuple

from gpfn.local.state import State

__all__ = ["BoundedRows", "RowBounds"]


class RowBounds(NamedTuple):
    """A table's name, the columns that say how many bytes a row counts for and when it began.

    Rows are removed ``slack`` at a time, so that not each new one has to remove another.
    """

    table: str
    size: str
    began: str
    most: int
    most_bytes: int
    slack: int = 0


class BoundedRows:
    """How many rows a table with a column ``number`` has, and their bytes."""

    def __init__(self, state: State, bounds: RowBounds) -> None:
        """Count what is there."""
        self._state = state
        self._bounds = bounds
        self._summed = f"SELECT count(*), coalesce(sum({bounds.size}), 0) FROM {bounds.table}"  # noqa: S608
        self._count, self._bytes = state.connection.execute(self._summed).fetchone()

    def added(self, rows: int, size: int) -> None:
        """Count new rows, or the bytes by which one has grown."""
        self._count += rows
        self._bytes += size

    def shorten(self) -> None:
        """Remove the oldest, as far as there are too many or too large ones; one stays."""
        bounds = self._bounds
        if self._count <= bounds.most and self._bytes <= bounds.most_bytes:
            return
        count, size, last = self._count, self._bytes, 0
        query = f"SELECT number, {bounds.size} FROM {bounds.table} ORDER BY number"  # noqa: S608
        oldest = self._state.connection.execute(query)
        for number, bytes_of_it in oldest:
            enough = count <= bounds.most - min(bounds.slack, bounds.most // 2)
            if (enough and size <= bounds.most_bytes) or count == 1:
                break
            count, size, last = count - 1, size - bytes_of_it, number
        oldest.close()
        self._remove("number <= ?", last)

    def remove_before(self, moment: float) -> None:
        """Remove those that began before a moment."""
        self._remove(f"{self._bounds.began} < ?", moment)

    def _remove(self, where: str, value: float) -> None:
        delete = f"DELETE FROM {self._bounds.table} WHERE {where}"  # noqa: S608
        with self._state.transaction() as connection:
            count, size = connection.execute(f"{self._summed} WHERE {where}", (value,)).fetchone()
            if count:
                connection.execute(delete, (value,))
        self.added(-count, -size)
