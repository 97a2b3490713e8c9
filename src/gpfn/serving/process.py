"""A model server as one call: listen, open and warm the model up, serve, drain."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from gpfn import __version__
from gpfn.call.contract import Opened
from gpfn.call.opening import Opening
from gpfn.errors import SetupError
from gpfn.log import Log
from gpfn.metrics import Metrics
from gpfn.serving.inference import Pace
from gpfn.serving.server import Server
from gpfn.serving.service import Service
from gpfn.serving.settings import ServerSettings

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.serving.rowstore import RowStore

__all__ = ["CacheSettings", "pace_of", "serve"]


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where computed rows are kept, and how many bytes of them."""

    folder: Path
    max_bytes: int = 1 << 30


def serve(
    target: "str | Model | Callable[[np.ndarray], np.ndarray]",
    settings: ServerSettings | None = None,
    *,
    threads: int | Literal["auto"] = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    cache: CacheSettings | None = None,
    log: Log | None = None,
    on_ready: "Callable[[Model, str], None]" = lambda _model, _url: None,
) -> int:
    """Serve a model until SIGTERM or SIGINT, then let running requests finish.

    Args:
        target: A URI for ``open_model``, an open Model (which stays open), or a plain
            function of one array.
        settings: How to listen; 127.0.0.1:9000 when None.
        threads: For one inference of a model opened here, as ``open_model`` takes them.
        inputs: Names for requests that leave theirs out; the model's own when empty.
        outputs: The same for outputs.
        cache: Keep computed rows; only right for models whose rows are independent.
        log: Where records go; standard error in the form that GPFN_LOG names when None.
        on_ready: Called with the model and the URL once requests are answered.

    Returns the exit code: 1 when one of several processes could not be set up.

    Raises:
        SetupError: The address cannot be listened on, or the cache not be used.
        GpfnError: The model cannot be opened.
    """
    settings, log = settings or ServerSettings(), log or Log("serve", _name(target))
    opener = _Opener(target, threads, inputs, outputs, log)
    return _Served(opener, settings, cache, log, on_ready).run()


class _Served:
    """One model and how it is served; opened in the process that serves it."""

    def __init__(
        self,
        opener: "_Opener",
        settings: ServerSettings,
        cache: CacheSettings | None,
        log: Log,
        on_ready: "Callable[[Model, str], None]",
    ) -> None:
        self._opener = opener
        self._settings = settings
        self._cache = cache
        self._log = log
        self._on_ready = on_ready

    def run(self) -> int:
        """Serve in this process or by several; returns the exit code."""
        count = self._settings.processes
        metrics = Metrics(count)
        service = Service(self._settings, version=__version__, log=self._log, metrics=metrics)
        server = Server(service, self._settings)
        unknown = not (self._settings.unix or self._settings.port)
        self._log.listening(server.url, always=unknown)
        try:
            if count == 1:
                self._serve(service, server)
                return 0
            from gpfn.http.loop.workers import Workers

            def work(number: int) -> None:
                metrics.begin(number)
                self._serve(service, server)

            if self._opener.survives_fork:
                self._opener.open()  # once, and shared by all of them
            return Workers(count, work, self._log, self._settings.drain_seconds + 5).run()
        finally:
            server.close()

    def _serve(self, service: Service, server: Server) -> None:
        if self._cache is not None:
            service.keep_rows(_row_store(self._opener.target, self._cache, self._log))
        opening = Opening(lambda: self._get_ready(service, server), self._log, log_failures=False)

        def stop_if_it_failed() -> None:
            if opening.failure is not None:
                server.stop()

        try:
            server.serve(lambda: opening.begin(stop_if_it_failed), signals=True)
        finally:
            service.close()
        if opening.failure is not None:
            raise opening.failure
        self._opener.close()

    def _get_ready(self, service: Service, server: Server) -> Opened:
        """Open the model, in a thread: the server says meanwhile that it is not ready."""
        model, opened = self._opener.open()
        service.ready(model, pace_of(model))
        self._on_ready(model, server.url)
        return opened


class _Opener:
    """Opens the model once, and closes it if it was opened here."""

    def __init__(
        self,
        target: "str | Model | Callable[[np.ndarray], np.ndarray]",
        threads: int | Literal["auto"],
        inputs: Sequence[str],
        outputs: Sequence[str],
        log: Log,
    ) -> None:
        self.target = target
        self._threads = threads
        self._names = (inputs, outputs)
        self._log = log
        self._opened: tuple[Model, Opened] | None = None

    @property
    def survives_fork(self) -> bool:
        """Whether a model of that kind may be opened before processes part."""
        from gpfn.models.open import backend_of

        target = self.target
        return isinstance(target, str) and self._threads == 1 and backend_of(target).survives_fork

    def open(self) -> "tuple[Model, Opened]":
        """Return the model, and how long opening it took."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Close what was opened here."""
        if self._opened is not None and isinstance(self.target, str):
            self._opened[0].close()

    def _open(self) -> "tuple[Model, Opened]":
        from gpfn.models.cache import warm_up
        from gpfn.models.open import open_model
        from gpfn.models.python import PythonModel

        target = self.target
        began = time.perf_counter()
        if isinstance(target, str):
            inputs, outputs = self._names
            model = open_model(target, threads=self._threads, inputs=inputs, outputs=outputs)
        elif hasattr(target, "inputs"):
            return cast("Model", target), Opened()
        else:
            return PythonModel(target), Opened()
        loaded = time.perf_counter()
        warmth = warm_up(model)
        if warmth.error is not None:
            self._log.warning(f"not warmed up: {warmth.error}")
        warm = time.perf_counter() - loaded
        return model, Opened(loaded - began, warm, f"{model.name}, {model.backend}")


def pace_of(model: "Model") -> Pace:
    """Return how long a warm inference takes, for a backend that computes and does not wait."""
    from gpfn.models.backends import BACKENDS
    from gpfn.models.cache import warm_up, zeros

    if model.backend not in [row.runtime for row in BACKENDS if row.computes_here]:
        return Pace()
    warmths = [warm_up(model) for _ in range(3)]
    if any(warmth.error is not None for warmth in warmths):
        return Pace()
    size = sum(zeros(spec).nbytes for spec in model.inputs)
    return Pace(min(warmth.seconds for warmth in warmths), max(1, size))


def _name(target: object) -> str:
    """Return what the model is called in the log: a file by its name without folders."""
    if isinstance(target, str):
        return target.partition("#")[0].rstrip("/").rpartition("/")[2]
    return str(getattr(target, "name", getattr(target, "__name__", "")))


def _row_store(target: object, cache: CacheSettings, log: Log) -> "RowStore":
    from hashlib import sha256

    from gpfn.models.open import split_uri
    from gpfn.models.parts import model_digest
    from gpfn.serving.rowstore import RowStore

    place, signature, _ = split_uri(target) if isinstance(target, str) else ("", "", "")
    if not place or not Path(place).exists():
        raise SetupError("the row cache needs a model file to tell models apart", field="cache")
    name = model_digest(place)
    if signature:  # another signature gives other rows
        name = sha256(f"{name}\0{signature}".encode()).hexdigest()
    try:
        return RowStore(cache.folder / f"{name}.rows", cache.max_bytes, log)
    except OSError as error:
        raise SetupError(f"cannot use {cache.folder}: {error.strerror}", field="cache") from error
