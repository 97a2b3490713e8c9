"""The client of picture pipelines: files and addresses in, names of classes out, in their order.

A file is sent as its bytes and an address as its text, in one array of strings, so many
pictures a call and so many calls at a time. No more than the files of those calls are in
memory, however many pictures there are. What goes wrong with a picture is told for it alone.

A stage's answer over GraphPipe has no names, and the names that a server tells are those of
its own stage, not of the last. So outputs are known by what they are: the first array of
numbers has the scores, and arrays of strings the problems, those of later stages first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendError,
    CallerError,
    CannotConnect,
    InvalidImage,
    ModelFailed,
    Overloaded,
    SetupError,
    printable,
)
from gpfn.scope import SCOPE, CallScope, Took

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np

    from gpfn.models.model import Model

    _Array = np.ndarray[Any, Any]

__all__ = [
    "Ask",
    "ClassyClient",
    "ImageClass",
    "ImageResult",
    "asked_model",
    "asked_server",
    "is_url",
]

_FIELD = "images"
_MOST_BYTES = 64 << 20
"""Of one file, and of the files of one request: a batch of large ones is several requests."""
_SHOWN = 300
_BACKGROUND = "background"

Ask = Callable[["_Array", Deadline], Sequence["_Array"]]
"""What computes: an array of strings to the outputs, in their order."""


class ImageClass(NamedTuple):
    """A class of a picture; ImageNet's background class is not counted, it would be -1."""

    number: int
    name: str
    probability: float


class ImageResult(NamedTuple):
    """What became of one picture: its classes, the best first, or what is wrong with it."""

    position: int
    source: str
    classes: tuple[ImageClass, ...] = ()
    problem: str = ""


def asked_server(url: str, next_url: str) -> tuple[Ask, Callable[[], None]]:
    """Return what asks a GraphPipe server, told where to go on to, and what closes it."""
    from gpfn.graphpipe.client import Client
    from gpfn.limits import REPLY_LIMITS

    client = Client(url, timeout=float("inf"), limits=REPLY_LIMITS)

    def ask(images: _Array, deadline: Deadline) -> Sequence[_Array]:
        return client.infer({_FIELD: images}, config=next_url, deadline=deadline)

    return ask, client.close


def asked_model(model: Model) -> tuple[Ask, Callable[[], None]]:
    """Return what asks a model of this process, such as a pipeline, and what closes it."""

    def ask(images: _Array, deadline: Deadline) -> Sequence[_Array]:
        found = model({_FIELD: images}, deadline=deadline)
        return [each for name, each in found.items() if each.dtype.kind != "O" or "problem" in name]

    return ask, model.close


class ClassyClient:
    """Classifies pictures by what ``ask`` computes.

    Args:
        ask: See `asked_server` and `asked_model`.
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

        A source is a file's path or an address. Raises CannotConnect when nobody listens, and
        SetupError when the labels do not fit the scores. Whoever stops early ends the calls.
        """
        from concurrent.futures import ThreadPoolExecutor

        numbered, whole = iter(enumerate(sources)), CallScope()
        pool = ThreadPoolExecutor(self._jobs, "gpfn classy")
        waiting: deque[Future[list[ImageResult]]] = deque()
        try:
            while batch := list(islice(numbered, self._batch)):
                waiting.append(pool.submit(self._classified, batch, whole))
                if len(waiting) == self._jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            whole.cancel()
            pool.shutdown()

    def _classified(self, batch: Sequence[tuple[int, str]], whole: CallScope) -> list[ImageResult]:
        """Return the results of one batch. Files are read here, so that few are in memory."""
        done: dict[int, ImageResult] = {}
        rows: dict[int, bytes] = {}
        for index, source in batch:
            try:
                rows[index] = _content(source)
            except InvalidImage as error:
                done[index] = ImageResult(index, source, problem=error.detail)
            if sum(map(len, rows.values())) > _MOST_BYTES:
                last = rows.popitem()
                done |= self._answered(rows, batch, whole)
                rows = dict([last])
        done |= self._answered(rows, batch, whole)
        return [done[index] for index, _ in batch]

    def _answered(
        self, rows: Mapping[int, bytes], batch: Sequence[tuple[int, str]], whole: CallScope
    ) -> dict[int, ImageResult]:
        if not rows:
            return {}
        sources = dict(batch)
        try:
            found = self._results(self._asked([*rows.values()], whole), len(rows))
        except CannotConnect:
            raise  # for all of them
        except (CallerError, BackendError, Overloaded) as error:
            found = [((), str(error))] * len(rows)
        return {
            index: ImageResult(index, sources[index], classes, problem)
            for index, (classes, problem) in zip(rows, found, strict=True)
        }

    def _asked(self, contents: Sequence[bytes], whole: CallScope) -> Sequence[_Array]:
        import numpy as np

        images = np.empty(len(contents), object)
        images[:] = contents
        timings: list[Took] | None = None if self._timed is None else []
        scope, began = CallScope(timings), time.perf_counter()
        whole.watch(scope.cancel)
        token = SCOPE.set(scope)
        try:
            return self._ask(images, Deadline.after(self._seconds))
        finally:
            SCOPE.reset(token)
            whole.forget(scope.cancel)
            if self._timed is not None and timings is not None:
                self._timed([*timings, Took("call", time.perf_counter() - began)])

    def _results(
        self, outputs: Sequence[_Array], count: int
    ) -> list[tuple[tuple[ImageClass, ...], str]]:
        """Return classes or a problem for each row. Raises ModelFailed when there are no scores."""
        numbers = [each for each in outputs if each.dtype.kind in "uif" and each.ndim > 1]
        if not numbers or len(numbers[0]) != count:
            given = ", ".join([f"{each.dtype} {each.shape}" for each in outputs])
            raise ModelFailed(f"expected scores of shape ({count}, classes), got {given}")
        scores = _probabilities(numbers[0].reshape(count, -1))
        names, uncounted = _names(self._labels, scores.shape[1])
        problems = _problems(outputs, count)
        best = (-scores).argsort(axis=1, kind="stable")[:, : self._topk]
        return [
            ((), problem)
            if problem
            else (
                tuple([ImageClass(n - uncounted, names[n], float(row[n])) for n in map(int, top)]),
                "",
            )
            for row, top, problem in zip(scores, best, problems, strict=True)
        ]


def is_url(source: str) -> bool:
    """Say whether a source is an address, which is sent as its text."""
    return source[:8].lower().startswith(("http://", "https://"))


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


def _probabilities(scores: _Array) -> _Array:
    """Return what a softmax gives as numbers from 0 to 1.

    A quantised one has the scale 1/256, and the zero point 0 or -128, by LiteRT's specification
    of quantisation.
    """
    if scores.dtype.name == "uint8":
        return scores / 256
    if scores.dtype.name == "int8":
        return (scores.astype("float64") + 128) / 256
    return scores.astype("float64")


def _names(labels: Sequence[str], classes: int) -> tuple[Sequence[str], int]:
    """Return a name for each score, and how many in front are not counted. Raises SetupError."""
    background = [*labels[:1]] == [_BACKGROUND]
    if len(labels) == classes:
        return labels, int(background)
    if background and len(labels) == classes + 1:
        return labels[1:], 0
    if not background and len(labels) == classes - 1 == 1000:
        return (_BACKGROUND, *labels), 1
    raise SetupError(f"{len(labels)} names for {classes} classes", field="labels")


def _problems(outputs: Sequence[_Array], count: int) -> list[str]:
    """Return what is wrong with each row, as the first of the stages says that says anything."""
    found = [""] * count
    for each in outputs:
        if each.dtype.kind == "O" and each.shape == (count,):
            for row, text in enumerate(each.tolist()):
                told = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
                found[row] = printable(told, _SHOWN) or found[row]
    return found
