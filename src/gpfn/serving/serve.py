"""A GraphPipe model server as one call: open, warm up, serve, drain."""

import hashlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from gpfn import __version__
from gpfn.errors import SetupError
from gpfn.serving.server import Server
from gpfn.serving.service import ServerSettings, Service

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.serving.rowstore import RowStore

__all__ = ["CacheSettings", "model_digest", "serve"]

_log = logging.getLogger("gpfn.serve")


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
    on_ready: "Callable[[Model, tuple[str, int]], None]" = lambda _model, _address: None,
) -> None:
    """Serve a model until SIGTERM or SIGINT, then let running requests finish.

    Args:
        target: A URI for ``open_model``, an open Model (which stays open), or a plain
            function of one array.
        settings: How to listen; 127.0.0.1:9000 when None.
        threads: For one inference of a model opened here, as ``open_model`` takes them.
        inputs: Names for requests that leave theirs out; the model's own when empty.
        outputs: The same for outputs.
        cache: Keep computed rows; only right for models whose rows are independent.
        on_ready: Called with the model and the address once requests are answered.

    Raises:
        SetupError: The address cannot be listened on, or the cache not be used.
        GpfnError: The model cannot be opened.
    """
    settings = settings or ServerSettings()
    store = None if cache is None else _row_store(target, cache)
    try:
        service = Service(settings, version=__version__, store=store)
        server = Server(service, settings)
        loading = _Loading(lambda: _open(target, threads, inputs, outputs), service, server)
        with _stopped_by_signals(server):
            loading.start(on_ready)
            server.serve()
        loading.finish(close=isinstance(target, str))
    finally:
        if store is not None:
            store.close()


@contextmanager
def _stopped_by_signals(server: Server) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    woken = signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
    handlers = [signal.signal(number, lambda *_: server.stop()) for number in numbers]
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        server.close()


class _Loading:
    """Opens and warms the model while the server answers that it is not ready yet."""

    def __init__(self, load: "Callable[[], Model]", service: Service, server: Server) -> None:
        self._load = load
        self._service = service
        self._server = server
        self._model: Model | None = None
        self._error: BaseException | None = None

    def start(self, on_ready: "Callable[[Model, tuple[str, int]], None]") -> None:
        threading.Thread(target=self._run, args=(on_ready,), name="load", daemon=True).start()

    def finish(self, *, close: bool) -> None:
        """Raise what kept the model from being opened; close it if it is ours."""
        if self._error is not None:
            raise self._error
        if self._model is not None and close:
            self._model.close()

    def _run(self, on_ready: "Callable[[Model, tuple[str, int]], None]") -> None:
        try:
            self._model = self._load()
            self._service.ready(self._model)
            on_ready(self._model, self._server.address)
        except BaseException as error:  # noqa: BLE001 - raised again by finish()
            self._error = error
            self._server.stop()


def _open(
    target: "str | Model | Callable[[np.ndarray], np.ndarray]",
    threads: int | Literal["auto"],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> "Model":
    from gpfn.models.cache import warm_up
    from gpfn.models.open import open_model
    from gpfn.models.python import PythonModel

    if isinstance(target, str):
        model = open_model(target, threads=threads, inputs=inputs, outputs=outputs)
    elif hasattr(target, "inputs"):
        return cast("Model", target)
    else:
        return PythonModel(target)
    warmth = warm_up(model)
    if warmth.error is not None:
        _log.warning("not warmed up: %s", warmth.error)
    return model


def _row_store(target: object, cache: CacheSettings) -> "RowStore":
    from gpfn.serving.rowstore import RowStore

    path = Path(target.partition("#")[0]) if isinstance(target, str) else None
    if path is None or not path.exists():
        raise SetupError("the row cache needs a model file to tell models apart", field="cache")
    try:
        return RowStore(cache.folder / f"{model_digest(path)}.rows", cache.max_bytes)
    except OSError as error:
        raise SetupError(f"cannot use {cache.folder}: {error.strerror}", field="cache") from error


def model_digest(path: Path) -> str:
    """Return a SHA-256 over a model file, or over the names and contents of its folder."""
    if path.is_file():
        return _file_digest(path)
    whole = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        whole.update(f"{file.relative_to(path)}\0{_file_digest(file)}\n".encode())
    return whole.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
