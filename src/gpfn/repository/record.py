"""A JSON object read member by member: every value is checked, every mistake names its place.

As `gpfn.models.toml_table` is for files that people write, this is for documents that programs
send: what is not asked for is passed over, for a later version may say more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gpfn import json_exact
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.tensors.shapes import what
from gpfn.timestamps import is_timestamp

__all__ = ["JsonRecord", "parse_object"]


def parse_object(data: bytes | memoryview, most: int, *, field: str = "") -> JsonRecord:
    """Return the object that JSON text of at most ``most`` bytes holds.

    Raises TooLarge, or InvalidRequest for what is no object.
    """
    if len(data) > most:
        raise TooLarge(f"{len(data)} bytes; at most {most} are read", field=field or None)
    try:
        value = json_exact.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: {error}", field=field or None) from None
    return JsonRecord(value, field)


class JsonRecord:
    """A JSON object; ``path`` leads to it."""

    __slots__ = ("path", "values")

    def __init__(self, value: object, path: str = "") -> None:
        if type(value) is not dict:
            raise InvalidRequest(f"expected an object, got {what(value)}", field=path or None)
        self.path = path
        self.values: dict[str, Any] = value

    def at(self, key: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str) -> Any:
        """Return a member as it is; None when there is none."""
        return self.values.get(key)

    def text(self, key: str, most: int = 200, *, default: str | None = None) -> str:
        """Return a text of at most ``most`` characters, all of them printable.

        Without a default it has to be there.
        """
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        if len(value) > most:
            told = f"{len(value)} characters; at most {most} are read"
            raise InvalidRequest(told, field=self.at(key))
        if not value.isprintable():
            raise self.wrong(key, "printable text")
        return value

    def moment(self, key: str) -> str:
        """Return a date and time of RFC 3339."""
        value = self.text(key, 40)
        if not is_timestamp(value):
            raise self.wrong(key, "a date and time of RFC 3339")
        return value

    def whole(self, key: str, most: int) -> int:
        """Return a whole number from 0 to ``most``."""
        value = self.values.get(key)
        if type(value) is not int or not 0 <= value <= most:
            raise self.wrong(key, f"a whole number from 0 to {most}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def items(self, key: str, most: int) -> list[Any]:
        """Return a list of at most ``most`` values; an absent one is empty."""
        value = self.values.get(key, [])
        if type(value) is not list:
            raise self.wrong(key, "a list")
        if len(value) > most:
            raise TooLarge(f"{len(value)} entries; at most {most} are read", field=self.at(key))
        return value

    def records(self, key: str, most: int) -> Iterator[JsonRecord]:
        """Give the objects of a list of at most ``most``."""
        for index, item in enumerate(self.items(key, most)):
            yield JsonRecord(item, f"{self.at(key)}[{index}]")

    def mapping(self, key: str, most: int) -> JsonRecord:
        """Return the object under a key, of at most ``most`` members; an absent one is empty."""
        found = JsonRecord(self.values.get(key, {}), self.at(key))
        if len(found.values) > most:
            told = f"{len(found.values)} members; at most {most} are read"
            raise TooLarge(told, field=self.at(key))
        return found

    def wrong(self, key: str, told: str) -> InvalidRequest:
        """Return the error for a member that is not what was expected."""
        if key not in self.values:
            return InvalidRequest("missing", field=self.at(key))
        return InvalidRequest(f"expected {told}, got {what(self.values[key])}", field=self.at(key))
