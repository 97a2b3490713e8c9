"""The routes of a bridge's file, and the secrets that it names.

Where a value is a secret, it is not written into the file: ``env:NAME`` is an environment
variable's, ``secret:NAME`` a mounted secret's and ``file:PATH`` a file's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

from gpfn.bridge.destinations import CHOSEN
from gpfn.bridge.lanes import ORDERS
from gpfn.bridge.matching import filter_of
from gpfn.bridge.retrying import RetryPolicy
from gpfn.bridge.spec import FOREVER, Batch, CircuitSpec, Mode, RouteSpec
from gpfn.errors import SetupError
from gpfn.http.address import parse_url
from gpfn.models.toml_table import Table
from gpfn.secrets import read_secret, read_setting

__all__ = [
    "MOST",
    "Secrets",
    "check_routes",
    "ended",
    "path_in",
    "read_route",
    "texts_of",
    "values_of",
]

_T = TypeVar("_T")

_MODES = ("same", "binary", "structured")
_OURS = frozenset(
    {
        *("connection", "content-length", "content-type", "expect", "host", "keep-alive", "te"),
        *("traceparent", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that frame a request or carry the event: nobody else may write them."""
_DAY = 86400.0
MOST = 1_000_000
"""The largest number that any count in the file may be."""


class Secrets:
    """Where secrets are."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder

    @staticmethod
    def is_one(text: str) -> bool:
        """Say whether a value of the file stands for another one."""
        return text.startswith(("env:", "file:", "secret:"))

    def value(self, text: str, field: str) -> str:
        """Return what a value of the file stands for; SetupError when it is not there."""
        kind, _, rest = text.partition(":")
        if not self.is_one(text):
            return text
        if kind == "env":
            if not self._environ.get(rest):
                raise SetupError(f"the variable {rest} is not set", field=field)
            return read_setting(rest, environ=self._environ)
        if kind == "secret":
            return read_secret(rest, field=field, environ=self._environ)
        try:
            return (self._folder / rest).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise SetupError(f"{rest} cannot be read: {reason}", field=field) from None


def read_route(table: Table, secrets: Secrets, folder: Path) -> RouteSpec:
    """Return a route of the file. Raises SetupError with the place of what is wrong."""
    call = _call(table, secrets, folder)
    match = table.optional("match")
    where = table.place_of("match")
    reply = table.optional("reply")
    batch = table.optional("batch")
    topic, mode = ("", "same") if reply is None else _reply(reply)
    chosen = call == CHOSEN
    return ended(
        table,
        RouteSpec(
            name=table.text("name", "") or _name_of(call),
            matches=filter_of({} if match is None else match.rest(), where),
            call=call,
            reply=topic,
            reply_mode=cast("Mode", mode),
            send=cast("Mode", table.one_of("send", _MODES, "same")),
            order=cast("Literal['key', 'partition', 'none']", table.one_of("order", ORDERS, "key")),
            in_flight=table.count("in_flight", 1, 10_000) or 64,
            timeout=table.duration("timeout", 0.001, _DAY, 30.0),
            retry=_retry(table.optional("retry")),
            circuit=_circuit(table.optional("circuit")),
            batch=None if batch is None else _batch(batch),
            max_age=table.duration("max_age", 0.001, 366 * _DAY, FOREVER),
            headers=_headers(table, secrets),
            allow=_allowed(table) if chosen else (),
            config={} if chosen or "://" in call else _config(table, secrets),
        ),
    )


def check_routes(routes: Sequence[RouteSpec]) -> None:
    """Raise SetupError when two routes have one name, or want one variable to be two things."""
    names: set[str] = set()
    variables: dict[str, str] = {}
    for n, route in enumerate(routes):
        if route.name in names:
            raise SetupError(
                f"another route is called {route.name!r} too", field=f"route[{n}].name"
            )
        names.add(route.name)
        for name, value in route.config.items():
            if variables.setdefault(name, value) != value:
                told = "another route sets it to something else, and they share a process"
                raise SetupError(told, field=f"route[{n}].config.{name}")


def _call(table: Table, secrets: Secrets, folder: Path) -> str:
    """Return what a route calls; a path is from the file's folder."""
    written, field = table.text("call"), table.place_of("call")
    call = secrets.value(written, field)
    if secrets.is_one(written) and "://" not in call:  # a path would be told in messages
        raise SetupError("expected a URL there", field=field)
    return call if call == CHOSEN or "://" in call else path_in(folder, call, field)


def _config(table: Table, secrets: Secrets) -> dict[str, str]:
    """Return the variables of a route's function."""
    config = values_of(table, "config", secrets)
    for name, value in config.items():
        field = f"{table.place_of('config')}.{name}"
        if not name.isidentifier() or not name.isascii():
            raise SetupError("expected a variable's name", field=field)
        if "\0" in value:
            raise SetupError("a variable holds no NUL", field=field)
    return config


def _name_of(call: str) -> str:
    return call.partition("?")[0].rstrip("/").removesuffix("/func.py").rpartition("/")[2] or "route"


def _reply(table: Table) -> tuple[str, str]:
    return ended(table, (table.text("topic"), table.one_of("mode", _MODES, "same")))


def _batch(table: Table) -> Batch:
    events = table.count("events", 2, 1000) or 64
    return ended(table, Batch(events, table.number("wait_ms", 0.0, 60_000.0, 5.0) / 1000))


def _retry(table: Table | None) -> RetryPolicy:
    if table is None:
        return RetryPolicy()
    policy = RetryPolicy(
        attempts=table.count("attempts", 1, MOST) or RetryPolicy().attempts,
        first=table.duration("first", 0.001, _DAY, RetryPolicy().first),
        factor=table.number("factor", 1.0, 100.0, RetryPolicy().factor),
        most=table.duration("most", 0.001, _DAY, RetryPolicy().most),
    )
    return ended(table, policy)


def _circuit(table: Table | None) -> CircuitSpec:
    if table is None:
        return CircuitSpec()
    circuit = CircuitSpec(
        failures=table.count("failures", 1, MOST) or CircuitSpec().failures,
        first=table.duration("first", 0.001, _DAY, CircuitSpec().first),
        most=table.duration("most", 0.001, _DAY, CircuitSpec().most),
    )
    return ended(table, circuit)


def _headers(table: Table, secrets: Secrets) -> tuple[tuple[str, str], ...]:
    """Return the headers of a route's calls, with its bearer token among them."""
    found: list[tuple[str, str]] = []
    group = table.optional("headers")
    for name, value in {} if group is None else group.rest().items():
        field = f"{table.place_of('headers')}.{name}"
        if not isinstance(value, str) or not name.replace("-", "").isalnum() or not name.isascii():
            raise SetupError("expected a header's name and text", field=field)
        if name.lower() in _OURS or name.lower().startswith("ce-"):
            raise SetupError("this header is the bridge's own", field=field)
        found.append((name, _line(secrets.value(value, field), field)))
    token = table.text("token", "")
    if token:
        field = table.place_of("token")
        if any(name.lower() == "authorization" for name, _ in found):
            raise SetupError("Authorization stands in headers already", field=field)
        found.append(("Authorization", f"Bearer {_line(secrets.value(token, field), field)}"))
    return tuple(found)


def _line(value: str, field: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise SetupError("a header's value is printable ASCII on one line", field=field)
    return value


def _allowed(table: Table) -> tuple[str, ...]:
    allowed = texts_of(table, "allow")
    field = table.place_of("allow")
    if not allowed:
        raise SetupError("expected URLs, or beginnings of URLs that end in *", field=field)
    for url in allowed:
        parse_url(url.removesuffix("*"), field=field)
        if "*" in url[:-1]:
            raise SetupError("a star stands at the end only", field=field)
    return allowed


def path_in(folder: Path, text: str, field: str) -> str:
    """Return a path of the file, which is from the file's folder."""
    if "\0" in text:
        raise SetupError("a path holds no NUL", field=field)
    return str(folder / text)


def values_of(table: Table, key: str, secrets: Secrets) -> dict[str, str]:
    """Return a table of values as text, the way libraries and variables take them."""
    group = table.optional(key)
    found: dict[str, str] = {}
    if group is None:
        return found
    for name, value in group.rest().items():
        if isinstance(value, bool):
            found[name] = str(value).lower()
        elif isinstance(value, str | int | float):
            found[name] = secrets.value(str(value), group.place_of(name))
        else:
            raise group.wrong("expected text, a number, or true or false", name)
    return found


def texts_of(table: Table, key: str) -> tuple[str, ...]:
    """Return a list of texts, each of them once."""
    values = table.texts(key)
    if len(set(values)) != len(values):
        raise table.wrong("a value stands there twice", key)
    return values


def ended(table: Table, value: _T) -> _T:
    """Return what was read of a table, once nothing in it is unknown."""
    table.end()
    return value
