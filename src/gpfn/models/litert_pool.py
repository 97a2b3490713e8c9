"""A pool of LiteRT interpreters of one model, each kept at the input shapes it last had.

An interpreter serves one thread and one set of shapes; making and resizing one cost more
than a call. So interpreters of the last few shapes are kept, and the oldest is resized.
"""

import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from numpy import dtype

from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, ModelFailed, TooLarge
from gpfn.models.litert_graph import Graph, new_interpreter
from gpfn.models.signature import Array
from gpfn.models.threads import available_cpus

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

__all__ = ["Bound", "Pool", "Prepared", "ResizeError", "Shapes"]

Shapes = tuple[tuple[int, ...], ...]


class ResizeError(Exception):
    """The graph cannot be resized; the text is LiteRT's."""


class Bound(NamedTuple):
    """The most bytes that a tensor may take, besides the ``constants`` (their indexes).

    ``rows`` is what the rows take by the graph.
    """

    most: int
    rows: int
    constants: frozenset[int]


class Prepared:
    """One interpreter at one set of input shapes; for one thread at a time.

    ``takes`` is about what its tensors take in bytes, where that was bounded.
    """

    __slots__ = ("_graph", "_index", "_interpreter", "_runner", "shapes", "takes")

    def __init__(self, graph: Graph, interpreter: "Interpreter") -> None:
        self._graph = graph
        self._index = {end.spec.name: end.tensor for end in graph.outputs}
        self._interpreter = interpreter
        self._runner = (
            self._interpreter.get_signature_runner(graph.signature) if graph.signature else None
        )
        self.shapes: Shapes = ()
        self.takes = 0

    def resize(self, shapes: Shapes, bound: Bound | None = None) -> None:
        """Prepare for inputs of these shapes. Raises ResizeError, or TooLarge over ``bound``."""
        try:
            if self._runner is None:
                for end, shape in zip(self._graph.inputs, shapes, strict=True):
                    self._interpreter.resize_tensor_input(end.tensor, shape)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError, OverflowError) as error:
            raise ResizeError(str(error)) from None
        except MemoryError as error:
            raise ModelFailed(f"no memory for inputs of the shapes {shapes}") from error
        self.takes = 0 if bound is None else max(bound.rows, self._largest(bound))
        self.shapes = shapes

    def _largest(self, bound: Bound) -> int:
        if self._runner is not None:  # it resizes when it runs
            return 0
        details = self._interpreter.get_tensor_details()
        largest: int = max(
            prod(map(int, each["shape"])) * dtype(each["dtype"]).itemsize
            for each in details
            if each["index"] not in bound.constants
        )
        if largest > bound.most:
            raise TooLarge(
                f"a tensor of the model would take {largest} bytes; the limit is {bound.most}"
                " (GPFN_MAX_CALL_BYTES)"
            )
        return largest

    def run(self, arrays: Sequence[Array], names: Sequence[str]) -> list[Array]:
        """Return the outputs ``names``. Raises RuntimeError or ValueError as LiteRT does."""
        interpreter = self._interpreter
        if self._graph.resets:
            interpreter.reset_all_variables()  # no state of the call before
        if self._runner is not None:
            inputs = {e.spec.name: a for e, a in zip(self._graph.inputs, arrays, strict=True)}
            given = self._runner(**inputs)
            return [given[name] for name in names]
        for end, array in zip(self._graph.inputs, arrays, strict=True):
            interpreter.set_tensor(end.tensor, array)
        interpreter.invoke()
        return [interpreter.get_tensor(self._index[name]) for name in names]


class Pool:
    """At most ``kept`` engines more than there are processors; the first is made of ``first``.

    While ``kept`` engines and one are idle, the oldest is resized and none is made anew, so
    that one caller after another does not fill the pool. ``bound`` says what shapes that
    are new may take.
    """

    def __init__(
        self,
        graph: Graph,
        first: "Interpreter",
        *,
        threads: int,
        kept: int,
        name: str,
        bound: Callable[[Shapes], Bound | None],
    ) -> None:
        self._graph, self._threads, self._name, self._bound = graph, threads, name, bound
        self._kept, self._size = kept, available_cpus() + kept
        self._idle = [Prepared(graph, first)]  # the one used last stands last
        self._made = 1
        self._closed = False
        self._changed = threading.Condition()

    @property
    def made(self) -> int:
        """How many engines exist."""
        return self._made

    def keep(self, count: int) -> None:
        """Keep that many engines more than there are processors, if that is more than before."""
        with self._changed:
            self._kept = max(self._kept, count)
            self._size = available_cpus() + self._kept
            self._changed.notify_all()

    def take(self, shapes: Shapes, deadline: Deadline) -> Prepared:
        """Return an engine at these shapes; give it back, or :meth:`drop` it.

        Raises ResizeError, TooLarge over the bound, DeadlineExceeded when all were busy
        until then, ModelFailed after :meth:`close`.
        """
        engine = self._idle_or_place(shapes, deadline)
        if engine is not None and engine.shapes == shapes:
            return engine
        try:
            engine = engine or Prepared(
                self._graph, new_interpreter(self._graph.content, self._threads)
            )
            engine.resize(shapes, self._bound(shapes))
        except BaseException:
            self.drop()
            raise
        return engine

    def give(self, engine: Prepared) -> None:
        """Put an engine back."""
        with self._changed:
            if self._closed:
                self._made -= 1
            else:
                self._idle.append(engine)
            self._changed.notify()

    def drop(self) -> None:
        """Forget an engine that was taken: after an error its state is unknown."""
        with self._changed:
            self._made -= 1
            self._changed.notify()

    def close(self) -> None:
        """Free the idle engines now and those at work when they are given back."""
        with self._changed:
            self._closed = True
            self._made -= len(self._idle)
            self._idle.clear()
            self._changed.notify_all()

    def _idle_or_place(self, shapes: Shapes, deadline: Deadline) -> Prepared | None:
        with self._changed:
            while True:
                if self._closed:
                    raise ModelFailed(f"{self._name} is closed")
                for position in range(len(self._idle) - 1, -1, -1):
                    if self._idle[position].shapes == shapes:
                        return self._idle.pop(position)
                if self._idle and (self._is_full() or not self._idle[0].shapes):
                    return self._idle.pop(0)
                if self._made < self._size:
                    self._made += 1
                    return None
                self._wait(deadline)

    def _is_full(self) -> bool:
        return self._made >= self._size or len(self._idle) > self._kept

    def _wait(self, deadline: Deadline) -> None:
        left = deadline.remaining()
        if not self._changed.wait(None if left == float("inf") else left) and deadline.expired():
            raise DeadlineExceeded(f"all {self._size} interpreters of {self._name} were busy")
