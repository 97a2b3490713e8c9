"""One request as its routes see it, and the table of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gpfn import json_exact
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.refusing import WhiskRefusal, malformed

if TYPE_CHECKING:
    from gpfn.http.loop import Exchange, Response

__all__ = ["MOST_BODY_BYTES", "WhiskRequest", "WhiskRoute", "is_deep"]

MOST_BODY_BYTES = 50 << 20
"""The largest body that the platform takes (``max-content-length``): an action with its code."""

_DEPTH = 200
"""Levels of JSON that are read: as many are written again with room for what is around them."""

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class WhiskRequest(NamedTuple):
    """A request that was let in.

    ``names`` are those of the route's pattern, decoded; ``query`` has the first of each key, and
    ``raw_query`` all as it came. ``headers`` are in lower case. ``transaction`` is its id, which
    goes back as X-Request-ID. ``trusted`` says that it came with the guest's key; only routes
    that need none ever see it false. ``exchange.gone`` tells later that the caller has left.
    """

    method: str
    target: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    transaction: str
    trusted: bool
    exchange: Exchange

    @property
    def ref(self) -> EntityRef:
        """The path of what is asked for: ``namespace``, ``package`` and ``name`` of the names."""
        names = self.names
        return EntityRef(names.get("package", ""), names["name"], names["namespace"])

    def header(self, name: str) -> str:
        """Return the first header of that name, in lower case; "" without one."""
        return next((value for key, value in self.headers if key == name), "")

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a parameter of the query that is true or false. Raises WhiskRefusal (400)."""
        text = self.query.get(key, "")
        if not text:
            return default
        if text.lower() not in _FLAGS:
            said = f"'{text:.99}' is not a valid Boolean value"
            raise WhiskRefusal(400, f"The query parameter '{key}' was malformed:\n{said}")
        return _FLAGS[text.lower()]

    def json_object(self, *, needed: bool = False) -> dict[str, Any]:
        """Return the body, a JSON object; an empty one if there is none and none is ``needed``.

        Raises WhiskRefusal: 415 for another media type than application/json, 400 for what is no
        object, too deep, or no JSON.
        """
        self._check_media_type()
        if not self.body:
            if needed:
                raise WhiskRefusal(400, "Request entity expected but not supplied")
            return {}
        try:
            value = json_exact.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise malformed(f"the body is no JSON: {error}") from None
        if is_deep(value):
            raise malformed(f"the body is nested more than {_DEPTH} levels deep")
        if not isinstance(value, dict):
            raise malformed("Object expected in field 'exec'" if needed else "JSON object expected")
        return value

    def _check_media_type(self) -> None:
        stated = self.header("content-type")
        if not stated and not self.body:
            return
        stated = stated or "application/octet-stream"
        if stated.partition(";")[0].strip().lower() != "application/json":
            said = f"The request's Content-Type [{stated:.99}] is not supported."
            raise WhiskRefusal(415, f"{said} Expected:\napplication/json")


class WhiskRoute(NamedTuple):
    """What answers ``method`` on a ``pattern`` as `gpfn.serving.routing` has them.

    Names ``namespace``, ``package`` and ``name`` of a pattern are checked, and ``_`` is the
    caller's namespace; other names are decoded and left as they are. ``answer`` returns the
    answer, or what it will come from later; it raises WhiskRefusal, and whatever else it raises
    is logged and is a 500. ``public`` routes need no key: they look at ``trusted``. A ``shared``
    route may be asked for other namespaces. A body over ``most`` bytes is refused before it is
    read.
    """

    method: str
    pattern: str
    answer: Callable[[WhiskRequest], Response | Awaitable[Response]]
    public: bool = False
    shared: bool = False
    most: int = MOST_BODY_BYTES


def is_deep(value: object) -> bool:
    """Say whether a value has more levels than are read; does not recurse."""
    level = [value]
    for _ in range(_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else _items(outer))
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
