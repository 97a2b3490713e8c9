"""What a model gives goes on to the next server, and that one's answer is the answer.

Who says where is either the deployer (``--next``), or the caller in the ``config`` of a
GraphPipe request: the URL of the next stage, bare as graphpipe's own demonstration sends it, or
as JSON, ``{"next": URL}`` or ``{"next": [URL, URL]}`` for a longer way. A caller's URL is only
called when its host is on the server's list: a stranger must not have us call whom he likes.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from threading import Semaphore
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidMessage, Overloaded, SetupError
from gpfn.models.pipeline.executor import Pipeline
from gpfn.models.pipeline.stage import Stage

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.serving.engine.engine import Engine
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "FIELD",
    "BoundedModel",
    "Bounds",
    "Next",
    "Onward",
    "chained",
    "check_hosts",
    "config_for",
    "is_allowed",
    "parse_config",
]

FIELD = "infer_request.config"
_LONGEST = 8192
_MOST_STAGES = 16
_MOST_ENGINES = 64
_MOST_CALLS = 512
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|[0-9A-Fa-f:]+|\[[0-9A-Fa-f:]+\](:[0-9]+)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SEPARATORS = re.compile(r"[\s\\\x00-\x1f\x7f]")


class Next(NamedTuple):
    """Where a request goes on to, and what is sent there as its ``config``."""

    url: str
    config: str = ""


def chained(name: str, model: Model, to: Next, bounds: Bounds, *, owned: bool = False) -> Pipeline:
    """Return a model and the server behind it as one, which closes the model if it is ``owned``.

    The model keeps its ``bounds``: rows of one call, and calls at once.
    """
    local = Stage(name, BoundedModel(model, bounds), max_batch=bounds.rows, owned=owned)
    behind = "next" if name != "next" else "next server"
    stages = [local, Stage(behind, to.url, config=to.config)]
    return Pipeline(stages, name=model.name)


class Bounds(NamedTuple):
    """How many ``rows`` one call of a model may have, 0 for any; ``calls`` lets calls in."""

    rows: int
    calls: Semaphore


class BoundedModel:
    """A model that computes no more calls at once than it may, whoever they are for."""

    def __init__(self, model: Model, bounds: Bounds) -> None:
        self.model = model
        self.bounds = bounds
        self._calls = bounds.calls
        self.name = model.name
        self.backend = model.backend
        self.waits = getattr(model, "waits", False)
        self.close = model.close

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        return self.model.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        return self.model.outputs

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        """Compute when it is its turn; see `gpfn.models.Model`."""
        left = None if deadline is NEVER else deadline.remaining()
        if not self._calls.acquire(timeout=left):
            raise DeadlineExceeded("the time was up before it was computed")
        try:
            return self.model(inputs, outputs=outputs, deadline=deadline)
        finally:
            self._calls.release()


def parse_config(config: str, hosts: Sequence[str]) -> Next | None:
    """Return where a caller's ``config`` sends a request on to; None when it says nothing of that.

    Raises InvalidMessage for what is neither a URL nor JSON, and for a host that is not on the
    list.
    """
    text = config.strip()
    if not text:
        return None
    if len(text) > _LONGEST:
        raise InvalidMessage(f"more than {_LONGEST} characters", field=FIELD)
    urls = [text] if _URL.match(text) else _urls(text)
    if not urls:
        return None
    first, *rest = urls
    if not is_allowed(first, hosts):
        told = f"{first[:200]!r} is not on this server's list of next stages (--allow-next)"
        raise InvalidMessage(told, field=FIELD)
    return Next(first, config_for(rest))


def _urls(text: str) -> list[str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        told = f"expected the URL of the next stage, or JSON with it as next, got {text[:80]!r}"
        raise InvalidMessage(told, field=FIELD)
    named = document.get("next", [])
    urls = [named] if isinstance(named, str) else named
    if not isinstance(urls, list) or not all(isinstance(url, str) and url for url in urls):
        raise InvalidMessage("expected a URL or a list of URLs", field=f"{FIELD}.next")
    if len(urls) > _MOST_STAGES:
        raise InvalidMessage(f"more than {_MOST_STAGES} stages", field=f"{FIELD}.next")
    return urls


def config_for(urls: Sequence[str]) -> str:
    """Return the ``config`` that sends a request on to these, as `parse_config` reads it.

    One URL is bare: every server reads that.
    """
    if len(urls) < 2:
        return "".join(urls)
    return json.dumps({"next": [*urls]})


def is_allowed(url: str, hosts: Sequence[str]) -> bool:
    """Say whether a URL's host is on a list: HOST, HOST:PORT, or a network of addresses.

    Only a host that is spelled in its one canonical way is: an address in another notation
    (decimal, octal, IPv4 in IPv6) is on no list, and a name is never looked up for this.
    """
    if not url.isascii() or _SEPARATORS.search(url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return False
    shown = f"[{host}]" if ":" in host else host
    if parts.netloc.lower() not in (shown, f"{shown}:{port}"):
        return False
    port = {"http": 80, "https": 443}[parts.scheme] if port is None else port
    return any(_matches(entry.lower(), host, port) for entry in hosts)


def check_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of a list. Raises SetupError for one that would match nothing."""
    for host in hosts:
        try:
            usable = bool(ip_network(host)) if "/" in host else bool(_HOST.fullmatch(host))
        except ValueError as error:
            raise SetupError(f"{error}", field="--allow-next") from None
        if not usable:
            told = f"expected HOST, HOST:PORT or a network such as 10.0.0.0/8, got {host!r:.99}"
            raise SetupError(told, field="--allow-next")
    return tuple(hosts)


def _matches(entry: str, host: str, port: int) -> bool:
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry) and str(ip_address(host)) == host
        except ValueError:
            return False
    shown = f"[{host}]" if ":" in host else host
    return entry in (host, shown, f"{shown}:{port}")


class Onward:
    """The engines of one version whose callers say where its outputs go on to.

    ``where`` is a URL that they go to, which is told what the caller said, or "", and the hosts
    that callers may name. ``make`` makes an engine. All methods are for the loop's thread.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        where: tuple[str, Sequence[str]],
        bounds: Bounds,
        make: Callable[[Model], Engine],
    ) -> None:
        self._name = name
        self._model = model
        self._bounds = bounds
        self._next_url, self._hosts = where
        self._make = make
        self._engines: OrderedDict[str, tuple[Engine, Pipeline]] = OrderedDict()

    def engine(self, config: str) -> Engine | None:
        """Return what computes a request with that ``config``; None for a usual one.

        Raises InvalidMessage, and Overloaded when too many next stages are being called.
        """
        found = self._engines.get(config)
        if found is None:
            to = self._next(config)
            if to is None:
                return None
            self._make_room()
            found = self._engines[config] = self._made(to)
        if sum([engine.load for engine, _ in self._engines.values()]) >= _MOST_CALLS:
            raise Overloaded(f"{_MOST_CALLS} calls go on to next stages already")
        self._engines.move_to_end(config)
        return found[0]

    def _made(self, to: Next) -> tuple[Engine, Pipeline]:
        try:
            pipeline = chained(self._name, self._model, to, self._bounds)
        except SetupError as error:  # such as a server of another protocol
            raise InvalidMessage(error.detail, field=FIELD) from None
        return self._make(pipeline), pipeline

    def _next(self, config: str) -> Next | None:
        if not self._next_url:
            return parse_config(config, self._hosts)
        if len(config) > _LONGEST:
            raise InvalidMessage(f"more than {_LONGEST} characters", field=FIELD)
        return Next(self._next_url, config)

    def _make_room(self) -> None:
        if len(self._engines) < _MOST_ENGINES:
            return
        idle = next(
            (config for config, (engine, _) in self._engines.items() if not engine.load), None
        )
        if idle is None:
            raise Overloaded(f"{_MOST_ENGINES} next stages are being called")
        _close(*self._engines.pop(idle))

    async def drain(self) -> None:
        """Return when nothing waits or is being computed."""
        for engine, _ in [*self._engines.values()]:
            await engine.drain()

    def close(self) -> None:
        """Let go of all of them, once they have drained; from any thread."""
        while self._engines:
            _close(*self._engines.popitem()[1])


def _close(engine: Engine, pipeline: Pipeline) -> None:
    engine.close()
    pipeline.close()
