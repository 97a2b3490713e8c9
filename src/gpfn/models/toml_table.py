"""A TOML file read key by key: every value is checked, and every mistake names its place.

A reader asks a `Table` for each value by its type, and ends with :meth:`Table.end`, which
refuses the keys that were not asked for. An error is a SetupError whose ``field`` is the
path of the key, such as ``models.digits.image.height``, and whose text names the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError
from gpfn.settings import parse_duration, parse_size

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Scalar", "Table", "read_toml", "toml_text"]

Scalar = bool | int | float | str
"""A single value of TOML that is no date or time."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML writes without quotes."""
_MOST_BYTES = 1 << 62
_MOST_FILE = 16 << 20


def toml_text(value: str) -> str:
    """Return a text as TOML spells it, in quotes and on one line.

    That is JSON's spelling but for DEL. Half a character, as of a file's name that is no text,
    becomes a question mark: TOML has none.
    """
    import json

    whole = value.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(path: Path) -> Table:
    """Return the top of a TOML file. Raises SetupError when it cannot be read."""
    import tomllib

    try:
        if path.exists() and not path.is_file():  # a pipe may never end
            raise SetupError("cannot be read: no file", field=str(path))
        with path.open("rb") as file:
            data = file.read(_MOST_FILE + 1)
        if len(data) > _MOST_FILE:
            raise SetupError(f"has over {_MOST_FILE >> 20} MiB", field=str(path))
        return Table(tomllib.loads(data.decode()), origin=str(path))
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}", field=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(path)) from None


class Table:
    """A table of a TOML file; ``path`` leads to it, ``origin`` is the file.

    Each method takes a value out. With a ``default`` a key may be absent; without one
    that is an error like a value of another type.
    """

    def __init__(self, values: object, path: str = "", origin: str = "") -> None:
        self.path = path
        self.origin = origin
        self.asked: set[str] = set()
        self._absent: set[str] = set()
        if not isinstance(values, Mapping):
            raise self.wrong("expected a table")
        self._values = dict(values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        """Give the keys that were not taken out yet, in their order."""
        return iter([*self._values])

    def is_table(self, key: str) -> bool:
        """Say whether there is a table under ``key``."""
        return isinstance(self._values.get(key), Mapping)

    def is_list(self, key: str) -> bool:
        """Say whether there is a list under ``key``."""
        return isinstance(self._values.get(key), list)

    def given(self, keys: Iterable[str]) -> dict[str, Any]:
        """Take those of some keys that are there, as TOML has them; who asks checks them."""
        self.asked.update(keys)
        return {key: self._values.pop(key) for key in keys if key in self}

    def rest(self) -> dict[str, Any]:
        """Take all that is left, as TOML has it."""
        taken, self._values = self._values, {}
        return taken

    def place_of(self, key: str) -> str:
        """Return the path of a key, for an error."""
        return self._at(key)

    def table(self, key: str) -> Table:
        """Return the table under ``key``, which has to be there."""
        return Table(self._taken(key), self._at(key), self.origin)

    def optional(self, key: str) -> Table | None:
        """Return the table under ``key``, or None when there is none."""
        self.asked.add(key)
        return self.table(key) if key in self else None

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """Give the tables under ``key`` by their names; nothing when the key is absent."""
        group = self.optional(key)
        if group is not None:
            for name in list(group._values):
                yield name, group.table(name)

    def listed(self, key: str) -> list[Table]:
        """Return the tables of the list under ``key``; none when the key is absent."""
        value = self._taken(key, [])
        if not isinstance(value, list):
            raise self.wrong("expected a list of tables", key)
        at = self._at(key)
        return [Table(item, f"{at}[{n}]", self.origin) for n, item in enumerate(value)]

    def names(self, key: str) -> Iterator[tuple[str, int]]:
        """Give the whole numbers above 0 under ``key`` by their names; there may be none."""
        group = self.optional(key)
        if group is not None:
            for name in list(group._values):
                yield name, group.whole(name)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty, or the default."""
        value = self._taken(key, default)
        if isinstance(value, str) and (value or key in self._absent):
            return value
        raise self.wrong("expected text", key)

    def match(self, key: str, form: re.Pattern[str], told: str, default: str | None = None) -> str:
        """Return a text of a form, which ``told`` puts into words, or the default."""
        value = self._taken(key, default)
        if isinstance(value, str) and (form.fullmatch(value) or key in self._absent):
            return value
        raise self.wrong(f"expected {told}", key)

    def matches(self, key: str, form: re.Pattern[str], told: str) -> tuple[str, ...]:
        """Return a list of different texts of a form; empty when the key is absent."""
        value = self._taken(key, [])
        texts = [item for item in _items(value) if isinstance(item, str) and form.fullmatch(item)]
        if isinstance(value, list) and len(set(texts)) == len(value):
            return tuple(texts)
        raise self.wrong(f"expected a list of {told}, each of them once", key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts that are not empty; empty when the key is absent."""
        value = self._taken(key, [])
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        raise self.wrong("expected a list of texts", key)

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number above 0, or the default."""
        value = self._taken(key, default)
        if type(value) is int and (value > 0 or key in self._absent):
            return value
        raise self.wrong("expected a whole number above 0", key)

    def count(self, key: str, least: int, most: int) -> int | None:
        """Return a whole number from ``least`` to ``most``; None when the key is absent."""
        value = self._taken(key)
        if key in self._absent or (type(value) is int and least <= value <= most):
            return value  # type: ignore[return-value]
        raise self.wrong(f"expected a whole number from {least} to {most}", key)

    def seconds(self, key: str, least: float, most: float) -> float | None:
        """Return seconds from ``least`` to ``most``; None when the key is absent."""
        value = self._taken(key)
        if key in self._absent:
            return None
        if type(value) in (int, float) and least <= value <= most:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise self.wrong(f"expected seconds from {least:g} to {most:g}", key)

    def duration(self, key: str, least: float, most: float, default: float) -> float:
        """Return seconds from ``least`` to ``most``: a number, or text with a unit (``5m``)."""
        value = self._taken(key, default)
        if key in self._absent:
            return default
        seconds = value if type(value) in (int, float) else -1.0
        if isinstance(value, str):
            with suppress(SetupError):  # what is no duration is told below, with its file
                seconds = parse_duration(value, field=key, most=most)
        if least <= seconds <= most:  # type: ignore[operator] # a number
            return float(seconds)  # type: ignore[arg-type] # the same
        told = 'a number or text such as "30s"'
        raise self.wrong(f"expected seconds from {least:g} to {most:g}, {told}", key)

    def size(self, key: str, default: int) -> int:
        """Return bytes above 0: a whole number, or text with a unit (``64MiB``)."""
        value = self._taken(key, default)
        if isinstance(value, str):
            with suppress(SetupError):  # the same
                value = parse_size(value, field=key)
        if type(value) is int and 0 < value < _MOST_BYTES:
            return value
        raise self.wrong('expected bytes above 0, a whole number or text such as "64MiB"', key)

    def choice(self, key: str) -> bool | None:
        """Return true or false; None when the key is absent."""
        return self.flag(key) if key in self else self._taken(key)  # type: ignore[return-value]

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._taken(key)
        if isinstance(value, bool):
            return value
        raise self.wrong("expected true or false", key)

    def scalar(self, key: str) -> Scalar | None:
        """Return a text, number or boolean; None when the key is absent."""
        value = self._taken(key)
        if key in self._absent or isinstance(value, Scalar):
            return value  # type: ignore[return-value]
        raise self.wrong("expected text, a number, true or false", key)

    def number(self, key: str, least: float, most: float, default: float) -> float:
        """Return a number from ``least`` to ``most``, or the default."""
        value = self._taken(key, default)
        if type(value) in (int, float) and least <= value <= most:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise self.wrong(f"expected a number from {least:g} to {most:g}", key)

    def one_of(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return one of ``choices``, or the default."""
        value = self._taken(key, default)
        if isinstance(value, str) and value in choices:
            return value
        raise self.wrong(f"expected one of {', '.join(choices)}", key)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return a list of ``count`` numbers; an absent list is an empty one."""
        value = self._taken(key, [])
        numbers = [float(item) for item in _items(value) if type(item) in (int, float)]
        if isinstance(value, list) and len(numbers) == len(value) == count:
            return tuple(numbers)
        raise self.wrong(f"expected a list of {count} numbers", key)

    def sizes(self, key: str) -> tuple[int | None, ...] | None:
        """Return a shape, None for each -1 in it; None when the key is absent."""
        value = self._taken(key)
        sizes = [item for item in _items(value) if type(item) is int and (item == -1 or item > 0)]
        if key in self._absent:
            return None
        if isinstance(value, list) and len(sizes) == len(value):
            return tuple(None if size == -1 else size for size in sizes)
        raise self.wrong("expected a list of sizes above 0, or -1 for any size", key)

    def end(self) -> None:
        """Raise SetupError when there is a key that was not asked for."""
        for key in self._values:
            known = ", ".join(sorted(self.asked))
            raise self.wrong(f"unknown key; known: {known}", key)

    def wrong(self, told: str, key: str = "") -> SetupError:
        """Return the error for a value of this table, or for the table itself."""
        where = f", in {self.origin}" if self.origin else ""
        return SetupError(f"{told}{where}", field=self._at(key))

    def _taken(self, key: str, default: object = None) -> object:
        self.asked.add(key)
        if key not in self:
            self._absent.add(key)
        return self._values.pop(key, default)

    def _at(self, key: str) -> str:
        shown = key if not key or _BARE.fullmatch(key) else f'"{key}"'
        return f"{self.path}.{shown}".strip(".")


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
