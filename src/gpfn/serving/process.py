"""A model server as one call: listen, open and warm the model up, serve, drain."""

import hashlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from gpfn import __version__
from gpfn.call.contract import Opened
from gpfn.call.opening import Opening
from gpfn.errors import SetupError
from gpfn.log import Log
from gpfn.serving.server import Server
from gpfn.serving.service import ServerSettings, Service

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.serving.rowstore import RowStore

__all__ = ["CacheSettings", "model_digest", "serve"]


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
        log: Where records go; standard error in the form that GPFN_LOG names when None.
        on_ready: Called with the model and the address once requests are answered.

    Raises:
        SetupError: The address cannot be listened on, or the cache not be used.
        GpfnError: The model cannot be opened.
    """
    settings, log = settings or ServerSettings(), log or Log("serve", _name(target))
    store = None if cache is None else _row_store(target, cache, log)
    opened: list[Model] = []

    def opener() -> Opened:
        model, times = _open(target, threads, inputs, outputs, log)
        opened.append(model)
        service.ready(model)
        on_ready(model, server.address)
        return times

    try:
        service = Service(settings, version=__version__, store=store, log=log)
        server = Server(service, settings)
        opening = Opening(opener, log, log_failures=False)
        with _stopped_by_signals(server):
            log.listening(server.url, always=settings.port == 0)
            opening.begin(lambda: server.stop() if opening.failure else None)
            server.serve()
        if opening.failure is not None:
            raise opening.failure
        if opened and isinstance(target, str):
            opened[0].close()
    finally:
        if store is not None:
            store.close()


def _name(target: object) -> str:
    """Return what the model is called in the log: a file by its name without folders."""
    if isinstance(target, str):
        return target.partition("#")[0].rstrip("/").rpartition("/")[2]
    return str(getattr(target, "name", getattr(target, "__name__", "")))


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


def _open(
    target: "str | Model | Callable[[np.ndarray], np.ndarray]",
    threads: int | Literal["auto"],
    inputs: Sequence[str],
    outputs: Sequence[str],
    log: Log,
) -> "tuple[Model, Opened]":
    from gpfn.models.cache import warm_up
    from gpfn.models.open import open_model
    from gpfn.models.python import PythonModel

    began = time.perf_counter()
    if isinstance(target, str):
        model = open_model(target, threads=threads, inputs=inputs, outputs=outputs)
    elif hasattr(target, "inputs"):
        return cast("Model", target), Opened()
    else:
        return PythonModel(target), Opened()
    loaded = time.perf_counter()
    warmth = warm_up(model)
    if warmth.error is not None:
        log.warning(f"not warmed up: {warmth.error}")
    warm = time.perf_counter() - loaded
    return model, Opened(loaded - began, warm, f"{model.name}, {model.backend}")


def _row_store(target: object, cache: CacheSettings, log: Log) -> "RowStore":
    from gpfn.serving.rowstore import RowStore

    path = Path(target.partition("#")[0]) if isinstance(target, str) else None
    if path is None or not path.exists():
        raise SetupError("the row cache needs a model file to tell models apart", field="cache")
    try:
        return RowStore(cache.folder / f"{model_digest(path)}.rows", cache.max_bytes, log)
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
