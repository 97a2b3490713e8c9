"""A model server as one call: listen, open and warm the models up, serve, drain."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpfn.errors import SetupError
from gpfn.log import Log
from gpfn.serving.loop import ServingLoop
from gpfn.serving.opener import CacheSettings, Opener, Target
from gpfn.serving.server import assemble
from gpfn.serving.settings import ServerSettings
from gpfn.serving.statistics import new_metrics
from gpfn.serving.wanted import Wanted

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.serving.service import Service
    from gpfn.serving.supervision import Supervision

__all__ = ["CacheSettings", "model_name", "serve"]

_SWITCH_SECONDS = 0.001
"""How long a model written in Python keeps the interpreter from the loop: usually it is 5 ms."""

_OnReady = Callable[["Model | None", str], None]


def serve(
    target: Target | Mapping[str, Target],
    settings: ServerSettings | None = None,
    *,
    threads: int | Literal["auto"] = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    cache: CacheSettings | None = None,
    log: Log | None = None,
    on_ready: _OnReady = lambda _model, _url: None,
) -> int:
    """Serve models until SIGTERM or SIGINT, then let running requests finish.

    Args:
        target: A URI for ``open_model``, an open Model (which stays open), or a plain
            function of one array; or several by their names.
        settings: How to listen; 127.0.0.1:9000 when None.
        threads: For one inference of a model opened here, as ``open_model`` takes them.
        inputs: Names for requests that leave theirs out; the model's own when empty.
        outputs: The same for outputs.
        cache: Keep computed rows; only right for models whose rows are independent.
        log: Where records go; standard error in the form that GPFN_LOG names when None.
        on_ready: Called with the first model that was named, and the URL, once requests are
            answered.

    Returns the exit code: 1 when one of several processes could not be set up.

    Raises:
        SetupError: The address cannot be listened on, or the cache not be used.
        GpfnError: A model cannot be opened.
    """
    settings = settings or ServerSettings()
    targets = target if isinstance(target, Mapping) else {model_name(target): target}
    log = log or Log("serve", ", ".join(targets))
    opener = Opener(
        targets,
        threads=threads,
        inputs=inputs,
        outputs=outputs,
        cache=cache,
        replicas=settings.threads,
        next_url=settings.next_url,
        max_batch=settings.max_batch,
        waiting=settings.waiting,
        limits=settings.limits,
        log=log,
    )
    return _Serving(opener, settings, log, on_ready).run()


class _Serving:
    """A server's processes, or the one that it is."""

    def __init__(
        self, opener: Opener, settings: ServerSettings, log: Log, on_ready: _OnReady
    ) -> None:
        self._settings = settings
        self._log = log
        self._on_ready = on_ready
        self._metrics = new_metrics(settings.processes)
        self._wanted = Wanted(settings.processes)
        named = opener.sources()
        self._named = [source.name for source in named]
        self._service = assemble(self._wanted, opener, settings, log, self._metrics)
        if settings.models_dir:
            folder = self._service.keeper.look_into(Path(settings.models_dir), named)
            folder.begin()
        else:
            self._wanted.replace(named)
        self._loop = ServingLoop(settings)

    def run(self) -> int:
        """Serve; returns the exit code."""
        settings = self._settings
        unknown = not (settings.unix or settings.port)
        self._log.listening(self._loop.url, always=unknown)
        try:
            if settings.processes == 1 and not settings.supervised:
                self._serve(None)
                return 0
            return self._supervise()
        finally:
            self._loop.close()

    def _supervise(self) -> int:
        from gpfn.serving.supervision import Supervision

        settings = self._settings
        supervision = Supervision(settings.processes, settings.stall_seconds, self._log)

        def work(number: int) -> None:
            self._metrics.begin(number)
            self._wanted.begin(number)
            supervision.board.begin(number)
            self._serve(supervision, number)

        return supervision.run(work, settings.drain_seconds + 5, self._loop.stop_listening)

    def _alive(self) -> list[int]:
        """Return the numbers of the processes that live."""
        return [n for n, row in enumerate(self._metrics.rows) if row[0] and _lives(int(row[0]))]

    def _serve(self, supervision: Supervision | None, number: int = 0) -> None:
        """Serve in this process; raises what opening a model raises."""
        service, failures = self._service, list[BaseException]()
        service.keeper.alive = self._alive
        service.keeper.isolation.supervision = supervision
        again = supervision is not None and supervision.has_begun  # then the others go on
        named = service.keeper.named = () if again else tuple(self._named)

        def opened() -> None:
            failures.extend(_failures(service, named))
            if failures:
                self._loop.stop()
                return
            if supervision is not None:
                supervision.begun()
            if service.repository is not None:
                stored = len(service.library.names())
                self._log.info(f"ready: {stored} models, opened when they are asked for")
            library = service.library
            versions = library.open.get(next(iter(library.sources), ""), {}).values()
            self._on_ready(next((one.model for one in versions), None), self._loop.url)

        def began() -> None:
            if supervision is not None:
                supervision.begin(number)

        service.keeper.on_ready = opened
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            self._loop.serve(service, began, signals=True)
        except SetupError as error:  # such as an address of gRPC that is taken
            failures.append(error)
        finally:
            sys.setswitchinterval(interval)
        if failures and supervision is not None:
            supervision.give_up(failures[0])
        if failures:
            raise failures[0]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _failures(service: Service, names: Iterable[str]) -> list[BaseException]:
    """Return why models that were named at the start cannot be opened."""
    found = [service.library.failure(name) for name in names]
    return [failure for failure in found if failure is not None]


def model_name(target: object) -> str:
    """Return what a model is called that was given no name: a file's, without the suffix."""
    if not isinstance(target, str):
        name = str(getattr(target, "name", getattr(target, "__name__", "model")))
    else:
        name = target
    name = name.partition("#")[0].partition("?")[0].rstrip("/").removesuffix("/func.py")
    name = name.rpartition("/")[2].removesuffix(".pipeline.toml")
    stem, dot, _ = name.rpartition(".")
    words = [c if c.isalnum() or c in "._-" else "_" for c in (stem if dot and stem else name)]
    return "".join(words).lstrip("._-") or "model"
