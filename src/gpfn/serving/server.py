"""A model server in this process, for embedding and for tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from gpfn import __version__
from gpfn.errors import GpfnError, SetupError
from gpfn.log import Log
from gpfn.serving.keeper import Keeper
from gpfn.serving.library import Library
from gpfn.serving.loop import ServingLoop
from gpfn.serving.opener import Opener, Target
from gpfn.serving.service import Service
from gpfn.serving.settings import ServerSettings
from gpfn.serving.statistics import Slots, new_metrics
from gpfn.serving.wanted import Wanted

if TYPE_CHECKING:
    from gpfn.metrics import Metrics

__all__ = ["Server", "assemble"]

_READY_SECONDS = 600.0


class Server:
    """Serves models by all protocols, on a free port, while its block runs.

    ``models`` are by name what ``open_model`` opens, open models (which stay open), or plain
    functions. Settings with another port, or several processes, are as they are.

    >>> from gpfn.serving import Server  # doctest: +SKIP
    >>> with Server({"forecast": "models/forecast.tflite"}) as server:  # doctest: +SKIP
    ...     print(server.url)
    """

    def __init__(
        self,
        models: Mapping[str, Target],
        settings: ServerSettings | None = None,
        *,
        log: Log | None = None,
    ) -> None:
        settings = settings or ServerSettings(port=0)
        if settings.processes != 1:
            raise SetupError("a server in this process is one process", field="processes")
        log = log or Log("serve")
        self._opener = Opener(
            models,
            replicas=settings.threads,
            next_url=settings.next_url,
            max_batch=settings.max_batch,
            waiting=settings.waiting,
            limits=settings.limits,
            log=log,
        )
        self._wanted = Wanted()
        self._wanted.replace(self._opener.sources())
        self.service = assemble(self._wanted, self._opener, settings, log, new_metrics())
        self._loop = ServingLoop(settings)
        self.thread: threading.Thread | None = None
        self._failure: GpfnError | None = None

    @property
    def url(self) -> str:
        """Its address as a client writes it."""
        return self._loop.url

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on."""
        return self._loop.address

    @property
    def grpc_port(self) -> int:
        """The port at which it answers gRPC; 0 without."""
        return self._loop.grpc_port

    def put(self, name: str, target: Target) -> None:
        """Serve another model by a name, in place of what was served by it, once it is open."""
        self._opener.put(name, target)
        self._wanted.replace(self._opener.sources())

    def begin(self) -> None:
        """Serve in a thread, whether the models are open yet or not."""
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            self._loop.serve(self.service)
        except GpfnError as error:  # such as a repository that cannot be opened
            self._failure = error
            self.service.keeper.on_ready()

    def start(self) -> None:
        """Serve in a thread; returns when all models are open.

        Raises what opening one of them raises.
        """
        done = threading.Event()
        self.service.keeper.on_ready = done.set
        self.service.keeper.named = [source.name for source in self._opener.sources()]
        self.begin()
        done.wait(_READY_SECONDS)
        if self._failure is not None:
            self.stop()
            raise self._failure
        for name in self.service.library.names():
            failure = self.service.library.failure(name)
            if failure is not None:
                self.stop()
                raise failure

    def stop(self) -> None:
        """Let running requests finish, and end."""
        self._loop.stop()
        if self.thread is not None:
            self.thread.join()
        self._loop.close()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def assemble(
    wanted: Wanted, opener: Opener, settings: ServerSettings, log: Log, metrics: Metrics
) -> Service:
    """Return a service of everything that is wanted; nothing is opened yet."""
    library = Library()
    service, slots = Service, Slots
    if settings.otlp:
        from gpfn.serving.tracing import TracedService, TracedSlots

        service, slots = TracedService, TracedSlots
    keeper = Keeper(library, wanted, slots(metrics), settings, opener=opener, log=log)
    made = service(settings, library, keeper, version=__version__, log=log, metrics=metrics)
    if settings.repository is not None:
        from gpfn.serving.repository.opening import make_repository

        made.use(make_repository(settings.repository, wanted, library, keeper, log))
    return made
