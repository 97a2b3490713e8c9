"""A GraphPipe model server as one call: open, warm up, serve, drain."""

import hashlib
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpfn import __version__
from gpfn.errors import GpfnError, SetupError
from gpfn.graphpipe.server import Server, ServerSettings, Service

if TYPE_CHECKING:
    import numpy as np

    from gpfn.graphpipe.server.rowstore import RowStore
    from gpfn.models.model import Model

__all__ = ["CacheSettings", "model_digest", "serve"]

_log = logging.getLogger("gpfn.serve")
_PIECE = 1 << 20


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
    on_listening: Callable[[str, int], None] = lambda _host, _port: None,
) -> int:
    """Serve a model until SIGTERM or SIGINT, then let running requests finish.

    Args:
        target: A URI for ``open_model``, an open Model, or a plain function of one array.
        settings: How to listen; 127.0.0.1:9000 when None.
        threads: For one inference of a model opened here, as ``open_model`` takes them.
        inputs: Names for requests that leave theirs out; the model's own when empty.
        outputs: The same for outputs.
        cache: Keep computed rows; only right for models whose rows are independent.
        on_listening: Called with the address once clients can connect.

    Returns:
        0 after an orderly end, 1 when the model could not be opened.

    Raises:
        SetupError: The address cannot be listened on.
    """
    settings = settings or ServerSettings()
    store = None if cache is None else _row_store(target, cache)
    service = Service(settings, version=__version__, store=store)
    server = Server(service, settings)
    loading = _Loading(lambda: _open(target, threads, inputs, outputs), service, server)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in handlers:
        signal.signal(number, lambda _number, _frame: server.stop())
    try:
        on_listening(*server.address)
        loading.start()
        server.serve()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        loading.close()
        if store is not None:
            store.close()
    return 1 if loading.failed else 0


class _Loading:
    """Opens and warms the model while the server answers that it is not ready yet."""

    def __init__(self, load: "Callable[[], Model]", service: Service, server: Server) -> None:
        self._load = load
        self._service = service
        self._server = server
        self._model: Model | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.failed = False

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._model is not None:
            self._model.close()

    def _run(self) -> None:
        try:
            self._model = self._load()
            self._service.ready(self._model)
            _log.info("ready: %s", self._model.name)
        except GpfnError as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the process has to end
            _log.debug("loading failed", exc_info=True)
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        _log.error("the model cannot be served: %s", reason)
        self.failed = True
        self._server.stop()


def _open(
    target: "str | Model | Callable[[np.ndarray], np.ndarray]",
    threads: int | Literal["auto"],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> "Model":
    from gpfn.models import open_model, warm_up
    from gpfn.models.python import PythonModel

    if isinstance(target, str):
        model = open_model(target, threads=threads, inputs=inputs, outputs=outputs)
    elif hasattr(target, "inputs"):
        return target
    else:
        return PythonModel(target)
    warm_up(model)
    return model


def _row_store(target: object, cache: CacheSettings) -> "RowStore":
    from gpfn.graphpipe.server.rowstore import RowStore

    if not isinstance(target, str) or not Path(target).exists():
        raise SetupError("the row cache needs a model file to tell models apart", field="cache")
    return RowStore(cache.folder / f"{model_digest(Path(target))}.rows", cache.max_bytes)


def model_digest(path: Path) -> str:
    """Return the SHA-256 of a model file, or of all names and contents in a model folder."""
    if path.is_file():
        return _file_digest(path).hexdigest()
    folder = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        folder.update(f"{file.relative_to(path)}\0".encode())
        folder.update(_file_digest(file).digest())
    return folder.hexdigest()


def _file_digest(path: Path) -> "hashlib._Hash":
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest
