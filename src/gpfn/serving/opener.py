"""What the models of a server are opened from: files, addresses, open models, functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Literal, cast

from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.log import Log
from gpfn.models.model import Model
from gpfn.serving.wanted import ModelSource

if TYPE_CHECKING:
    from gpfn.serving.rowstore import RowStore

__all__ = ["CacheSettings", "Opener", "Target"]

Target = str | Model | Callable[..., Any]
"""What ``open_model`` opens, an open model, or a plain function of arrays."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where computed rows are kept, and how many bytes of them."""

    folder: Path
    max_bytes: int = 1 << 30


class Opener:
    """Opens what sources name, in whichever thread.

    Args:
        targets: By name of the model. What is open already, or a function, is not closed.
        threads: For one inference, as ``open_model`` takes them.
        inputs: Names for requests that leave theirs out; the model's own when empty.
        outputs: The same for outputs.
        cache: Keep computed rows; only right for models whose rows are independent.
        replicas: Processes of a model that is served by processes, unless it says how many.
        next_url: The server that what models give goes on to.
        max_batch: Rows of one call at most, whatever a model says.
        waiting: Calls at once of a model that waits for others, unless it says how many.
        limits: On what comes from the cache.
        log: Where records go.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        threads: int | Literal["auto"] = 1,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        cache: CacheSettings | None = None,
        replicas: int = 1,
        next_url: str = "",
        max_batch: int | None = None,
        waiting: int = 64,
        limits: Limits | None = None,
        log: Log | None = None,
    ) -> None:
        self._targets = dict(targets)
        self._stamps: dict[str, str] = {}
        self._puts = 0
        self._threads = threads
        self._names = (tuple(inputs), tuple(outputs))
        self._cache = cache
        self._replicas = replicas
        self._next_url, self._max_batch = next_url, max_batch
        self._waiting = waiting
        self._log = log or Log("serve")
        self._limits = limits or Limits()

    def put(self, name: str, target: Target) -> None:
        """Open another target by that name from now on."""
        self._targets[name] = target
        self._puts += 1
        self._stamps[name] = str(self._puts)

    def sources(self) -> list[ModelSource]:
        """Return the targets as version 1 of a model each; a file with its labels.

        Raises SetupError for a model.toml beside a file that is wrong.
        """
        return [self._source(name, target) for name, target in self._targets.items()]

    def open(self, source: ModelSource) -> Model:
        """Open a source's model; raises as ``open_model`` does."""
        model = self._open(source)
        if not (self._next_url or getattr(model, "waits", False)):
            return model
        from gpfn.serving.described import DescribedModel

        if not self._next_url:
            return DescribedModel(model)
        from gpfn.serving.onward import BoundedModel, Bounds, Next, chained
        from gpfn.serving.version import calls_of, max_batch_of

        calls = calls_of(model, source, self._replicas, self._waiting)
        bounds = Bounds(max_batch_of(model, source, self._max_batch), Semaphore(calls))
        to, owned = Next(self._next_url), bool(source.uri)
        whole = chained(source.name, model, to, bounds, owned=owned)
        return DescribedModel(whole, BoundedModel(model, bounds))

    def _open(self, source: ModelSource) -> Model:
        target = self._targets.get(source.name)
        model = self._open_uri(source) if source.uri else _as_model(target)
        if self._cache is None:
            return model
        from gpfn.serving.rowcache import CachedModel

        try:
            return CachedModel(model, _row_store(source.uri, self._cache, self._log), self._limits)
        except BaseException:
            model.close()
            raise

    def _source(self, name: str, target: Target) -> ModelSource:
        inputs, outputs = self._names
        if not isinstance(target, str):
            target = ""
        stamp = self._stamps.get(name, "")
        source = ModelSource(name, "1", target, stamp, inputs=inputs, outputs=outputs)
        described = _description(target) if target else None
        return source if described is None else source._replace(**described)

    def _open_uri(self, source: ModelSource) -> Model:
        from gpfn.models.open import open_model

        threads = source.serving.threads or self._threads
        names: dict[str, Any] = {"inputs": source.inputs, "outputs": source.outputs}
        if source.vet:
            from gpfn.models.vet import vet_model

            vet_model(source.uri, threads=threads, **names)
        if source.serving.processes:
            return self.in_processes(source)
        return open_model(source.uri, threads=threads, **names)

    def in_processes(self, source: ModelSource) -> Model:
        """Open a source in processes of its own, as many as it has replicas."""
        from gpfn.serving.replicas import replicas_of

        threads = source.serving.threads or self._threads
        return replicas_of(source, count=source.serving.replicas or self._replicas, threads=threads)


def _as_model(target: object) -> Model:
    if hasattr(target, "inputs"):
        return cast("Model", target)
    from gpfn.models.python import PythonModel

    return PythonModel(cast("Callable[..., Any]", target))


def _description(uri: str) -> dict[str, Any] | None:
    """Return the labels and the way of serving that a model.toml beside a file tells."""
    from gpfn.models.description import description_beside
    from gpfn.models.labels import described_classes
    from gpfn.models.open import split_uri

    place = split_uri(uri)[0]
    found = None if "://" in place else description_beside(place)
    if found is None:
        return None
    folder = Path(place).parent
    warmup = tuple(str(folder / name) for name in found.serving.warmup)
    return {
        "labels": described_classes(found, str(folder)),
        "serving": found.serving._replace(warmup=warmup),
    }


def _row_store(uri: str, cache: CacheSettings, log: Log) -> RowStore:
    from gpfn.models.open import split_uri
    from gpfn.models.parts import model_digest
    from gpfn.serving.rowstore import RowStore

    place, signature, _ = split_uri(uri)
    if not place or not Path(place).exists():
        raise SetupError("the row cache needs a model file to tell models apart", field="cache")
    name = model_digest(place)
    if signature:  # another signature gives other rows
        name = sha256(f"{name}\0{signature}".encode()).hexdigest()
    try:
        return RowStore(cache.folder / f"{name}.rows", cache.max_bytes, log)
    except OSError as error:
        raise SetupError(f"cannot use {cache.folder}: {error.strerror}", field="cache") from error
