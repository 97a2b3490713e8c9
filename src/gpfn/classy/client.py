"""The client of picture pipelines: files and addresses in, names of classes out, in their order.

A file is sent as its bytes and an address as its text, in one array of strings, so many
pictures a call and so many calls at a time. No more than the files of those calls are in
memory, however many pictures there are. What goes wrong with a picture is told for it alone.

A server that has too much to do is asked again a little later, within the time that a call has.
When servers go away in the middle, what they have answered stays, and the rest is asked for all
the same: they may come back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.classy.answers import ImageClass, Row, read_answer
from gpfn.classy.asked import Ask, is_url
from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendError,
    CallerError,
    CannotConnect,
    GpfnError,
    InvalidImage,
    Overloaded,
    RefusedByModel,
)
from gpfn.scope import SCOPE, CallScope, Took

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np

    _Array = np.ndarray[Any, Any]

__all__ = ["ClassyClient", "ImageResult"]

_FIELD = "images"
_MOST_BYTES = 48 << 20
"""Of one file, and of the files of one request: a batch of large ones is several requests.

Servers of pictures take bodies of 64 MiB, which have more than files in them."""
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0, 4.0)
"""Seconds before a server that has too much to do is asked again."""
_BUSY = 503


class ImageResult(NamedTuple):
    """What became of one picture: its classes, the best first, or what is wrong with it."""

    position: int
    source: str
    classes: tuple[ImageClass, ...] = ()
    problem: str = ""


class ClassyClient:
    """Classifies pictures by what ``ask`` computes.

    Args:
        ask: See `gpfn.classy.asked`.
        labels: The names of the classes, in the order of the scores.
        topk: How many classes each picture gets.
        batch: Pictures a call.
        jobs: Calls at a time.
        seconds: How long a call may take.
        timed: Told what each call took, and its stages, from the threads of the calls.
    """

    def __init__(
        self,
        ask: Ask,
        labels: Sequence[str],
        *,
        topk: int = 1,
        batch: int = 16,
        jobs: int = 4,
        seconds: float = 60.0,
        timed: Callable[[Sequence[Took]], object] | None = None,
    ) -> None:
        self._ask = ask
        self._labels = labels
        self._topk = topk
        self._batch = batch
        self._jobs = jobs
        self._seconds = seconds
        self._timed = timed

    def classify(self, sources: Iterable[str]) -> Iterator[ImageResult]:
        """Give the results in the order of the pictures, each as soon as those before it are there.

        A source is a file's path or an address. Raises CannotConnect when nobody listens: at
        once when nobody has answered yet, and behind the last result when somebody has, while
        that is what is wrong with some pictures. Raises SetupError when the labels do not fit
        the scores. Whoever stops early ends the calls.
        """
        from concurrent.futures import ThreadPoolExecutor

        whole = CallScope()
        pool = ThreadPoolExecutor(self._jobs, "gpfn classy")
        try:
            yield from _results(self._batches(sources, pool, whole), self._jobs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            whole.cancel()
            pool.shutdown()

    def _batches(
        self, sources: Iterable[str], pool: ThreadPoolExecutor, whole: CallScope
    ) -> Iterator[_Batch]:
        """Give what became of each batch, in their order; so many are asked at a time."""
        numbered = iter(enumerate(sources))
        waiting: deque[Future[_Batch]] = deque()
        while batch := list(islice(numbered, self._batch)):
            waiting.append(pool.submit(self._classified, batch, whole))
            if len(waiting) == self._jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _classified(self, sources: Sequence[tuple[int, str]], whole: CallScope) -> _Batch:
        """Return what became of one batch. Files are read here, so that few are in memory."""
        batch = _Batch(sources)
        rows: dict[int, bytes] = {}
        for index, source in sources:
            try:
                rows[index] = _content(source)
            except InvalidImage as error:
                batch.put(index, problem=error.detail)
            if sum(map(len, rows.values())) > _MOST_BYTES:
                last = rows.popitem()
                self._answer(batch, rows, whole)
                rows = dict([last])
        self._answer(batch, rows, whole)
        return batch

    def _answer(self, batch: _Batch, rows: Mapping[int, bytes], whole: CallScope) -> None:
        """Ask for some pictures of a batch."""
        if not rows:
            return
        found: list[Row]
        try:
            outputs = self._asked([*rows.values()], whole)
            found = read_answer(outputs, len(rows), self._labels, self._topk)
        except (CallerError, BackendError, Overloaded) as error:
            found = [((), str(error))] * len(rows)
            batch.failed(error)
        else:
            batch.heard = True
        for index, (classes, problem) in zip(rows, found, strict=True):
            batch.put(index, classes, problem)

    def _asked(self, contents: Sequence[bytes], whole: CallScope) -> Sequence[_Array]:
        import numpy as np

        images = np.empty(len(contents), object)
        images[:] = contents
        timings: list[Took] | None = None if self._timed is None else []
        scope, began = CallScope(timings), time.perf_counter()
        whole.watch(scope.cancel)
        token = SCOPE.set(scope)
        try:
            return self._patiently(images, scope)
        finally:
            SCOPE.reset(token)
            whole.forget(scope.cancel)
            if self._timed is not None and timings is not None:
                self._timed([*timings, Took("call", time.perf_counter() - began)])

    def _patiently(self, images: _Array, scope: CallScope) -> Sequence[_Array]:
        """Ask, and again after a while when there was too much to do, as long as there is time."""
        deadline = Deadline.after(self._seconds)
        for pause in _PAUSES:
            try:
                return self._ask(images, deadline)
            except (Overloaded, RefusedByModel) as error:
                if not _is_busy(error) or deadline.remaining() <= pause:
                    raise
                _sleep(pause, scope)
                if scope.cancelled:
                    raise
        return self._ask(images, deadline)


class _Batch:
    """What became of pictures that were asked for together, or of their requests.

    ``heard`` is whether anybody has answered, ``lost`` why nobody has.
    """

    __slots__ = ("_done", "_sources", "heard", "lost")

    def __init__(self, sources: Sequence[tuple[int, str]]) -> None:
        self._sources = dict(sources)
        self._done: dict[int, ImageResult] = {}
        self.heard = False
        self.lost: CannotConnect | None = None

    def put(self, index: int, classes: tuple[ImageClass, ...] = (), problem: str = "") -> None:
        self._done[index] = ImageResult(index, self._sources[index], classes, problem)

    def failed(self, error: GpfnError) -> None:
        if isinstance(error, CannotConnect):
            self.lost = self.lost or error
        else:
            self.heard = True

    def results(self) -> list[ImageResult]:
        return [self._done[index] for index in self._sources]


def _results(batches: Iterable[_Batch], patience: int) -> Iterator[ImageResult]:
    """Give the results of batches; see `ClassyClient.classify`.

    When nobody was there, they are held until somebody has answered, or so many are.
    """
    held: list[_Batch] = []
    lost: CannotConnect | None = None
    heard = False
    for batch in batches:
        held.append(batch)
        lost, heard = lost or batch.lost, heard or batch.heard
        if lost is not None and not heard:
            if len(held) >= patience:
                raise lost
            continue
        for each in held:
            yield from each.results()
        held = []
    if lost is not None:
        raise lost


def _is_busy(error: Overloaded | RefusedByModel) -> bool:
    return isinstance(error, Overloaded) or error.code == _BUSY


def _sleep(seconds: float, scope: CallScope) -> None:
    """Wait, but no longer than the call is wanted."""
    ended = Event()
    scope.watch(ended.set)
    ended.wait(seconds)
    scope.forget(ended.set)


def _content(source: str) -> bytes:
    """Return what is sent for a source. Raises InvalidImage for a file that cannot be."""
    from gpfn.images.kinds import kind_of

    if is_url(source):
        return source.encode("utf-8", "surrogateescape")
    try:
        with open(source, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InvalidImage(f"cannot be read: {reason}") from None
    if len(content) > _MOST_BYTES:
        raise InvalidImage(f"cannot be sent: more than {_MOST_BYTES >> 20} MiB")
    kind_of(content, _FIELD)  # a text that begins like an address would be taken for one
    return content
