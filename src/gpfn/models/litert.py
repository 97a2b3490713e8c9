"""LiteRT models (.tflite) in this process: the default backend.

How a batch is computed is decided from the graph, never from an agreement of numbers:

- rows that are certainly computed apart (`gpfn.models.litert_rows`): in slices, by resizing
  the graph, because memory grows with the batch and LiteRT gives none of it back;
- other graphs that were made for a batch of 1: row by row;
- other graphs that leave their batch open: as a whole, for the model says so. What that
  takes is estimated first, and refused over a bound.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed, TooLarge
from gpfn.models.litert_graph import Quantization, read_graph
from gpfn.models.litert_pool import Bound, Pool, ResizeError, Shapes
from gpfn.models.litert_rows import bytes_of_row, rows_are_apart
from gpfn.models.signature import Array, arguments, chosen
from gpfn.models.tflite_program import read_program
from gpfn.models.threads import memory_for_a_call
from gpfn.tensors.spec import TensorSpec

__all__ = ["LiteRTModel"]

_SMALL = 16 << 20
"""Up to this file size (bytes), interpreters of shapes used before are kept as well."""
_KEPT_SHAPES = 2
_SLICE_BYTES = 512 << 10
"""What the tensors of a slice may take: more rows at once are no faster, and an interpreter
keeps this for good."""
_KEPT_BYTES = 4 << 20
"""Interpreters of batches whose tensors take more are not kept."""


class _Rows(NamedTuple):
    """Whether rows are computed apart from each other, and the bytes that one takes.

    ``constants`` are the indexes of the tensors whose values are in the file.
    """

    apart: bool
    size: int
    constants: frozenset[int]


class LiteRTModel:
    """A .tflite file; see `gpfn.models.Model`.

    ``quantization`` and ``input_quantization`` are by name how the integers of quantised
    outputs and inputs stand for real numbers. ``threads`` are for one call; calls from
    several threads each get an interpreter, up to two more than there are processors.
    """

    backend = "litert"

    def __init__(
        self,
        path: str,
        *,
        threads: int = 1,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        signature: str = "",
    ) -> None:
        self.name = path
        graph, first = read_graph(
            path, threads=threads, signature=signature, inputs=inputs, outputs=outputs
        )
        kept = _KEPT_SHAPES if len(graph.content) <= _SMALL else 0
        self._pool = Pool(graph, first, threads=threads, kept=kept, name=path, bound=self._bound)
        self.inputs: tuple[TensorSpec, ...] = tuple(end.spec for end in graph.inputs)
        self.outputs: tuple[TensorSpec, ...] = tuple(end.spec for end in graph.outputs)
        self._names = [end.spec.name for end in graph.outputs]
        self.left_out = graph.left_out
        self.quantization: Mapping[str, Quantization] = {
            end.spec.name: end.quantization for end in graph.outputs if end.quantization
        }
        self.input_quantization: Mapping[str, Quantization] = {
            end.spec.name: end.quantization for end in graph.inputs if end.quantization
        }
        self._batched = bool(self.inputs) and all(_open_batch(spec) for spec in self.inputs)
        self._fixed = all(None not in (spec.shape or ()) for spec in self.inputs)
        self._graph = graph
        self._resizes = True

    @property
    def resident_bytes(self) -> int:
        """An estimate: the file, and once more for each interpreter's prepared weights."""
        return len(self._graph.content) * (1 + self._pool.made)

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`."""
        return self.fitted(arguments(inputs, self.inputs), outputs, deadline)

    def fitted(
        self, arrays: list[Array], outputs: Sequence[str], deadline: Deadline
    ) -> dict[str, Array]:
        """Compute from what `arguments` gives: arrays in the model's order, as it takes them."""
        names = self._names
        if outputs:
            names = [spec.name for spec in chosen(outputs, self.outputs, self.left_out)]
        shapes = tuple([array.shape for array in arrays])
        self._check_sizes(shapes)
        deadline.check("inference")
        given = self._batch(arrays, shapes, names, deadline)
        return dict(zip(names, given, strict=True))

    @property
    def rows_are_apart(self) -> bool:
        """Whether the graph certainly computes each row of a batch for itself."""
        return self._batched and self._rows.apart

    def keep_shapes(self, count: int) -> None:
        """Keep interpreters of that many shapes, as the batch sizes of a server."""
        self._pool.keep(count)

    def close(self) -> None:
        """Free the interpreters; calls at work end first."""
        self._pool.close()

    def _check_sizes(self, shapes: Shapes) -> None:
        for spec, shape in zip(self.inputs, shapes, strict=True):
            if 0 in shape:
                raise InvalidTensor(
                    f"LiteRT cannot compute an empty array, shape {shape}", field=spec.name
                )
            if self._graph.single and shape[0] != shapes[0][0]:
                raise InvalidTensor(
                    f"{shape[0]} rows, but {self.inputs[0].name} has {shapes[0][0]}",
                    field=spec.name,
                )

    def _batch(
        self, arrays: list[Array], shapes: Shapes, names: list[str], deadline: Deadline
    ) -> list[Array]:
        rows = self._count_rows(shapes)
        try:
            return self._in_slices(arrays, rows, self._slice(rows), names, deadline)
        except ResizeError as error:
            if rows <= 1:
                raise self._refused(shapes, error) from None
        self._resizes = False
        try:
            return self._in_slices(arrays, rows, 1, names, deadline)
        except ResizeError as error:
            raise self._refused(shapes, error) from None

    def _count_rows(self, shapes: Shapes) -> int:
        """Return how many rows all inputs have; 0 when there is no such number."""
        if not self._batched:
            return 0
        rows = shapes[0][0]
        return rows if len(shapes) == 1 or all(shape[0] == rows for shape in shapes) else 0

    def _slice(self, rows: int) -> int:
        """Return how many of ``rows`` are computed at once. Raises TooLarge."""
        if rows <= 1:
            return rows
        if self._resizes and self._rows.apart:
            return max(1, min(rows, _SLICE_BYTES // self._rows.size))
        if self._graph.single or not self._resizes:
            return 1
        most = memory_for_a_call()
        if rows * self._rows.size > most:
            raise TooLarge(
                f"{rows} rows take about {rows * self._rows.size} bytes in the model, which"
                f" computes them together; the limit is {most} (GPFN_MAX_CALL_BYTES)",
                field=self.inputs[0].name,
            )
        return rows

    @cached_property
    def _rows(self) -> _Rows:
        """What the graph says of its rows; read when there is a batch for the first time."""
        try:
            program = read_program(self._graph.content, self._graph.subgraph)
        except (ValueError, struct.error):  # well-formed for LiteRT, but not for us
            return _Rows(apart=False, size=len(self._graph.content), constants=frozenset())
        constants = frozenset(i for i, tensor in enumerate(program.tensors) if tensor.constant)
        return _Rows(rows_are_apart(program), bytes_of_row(program), constants)

    def _in_slices(
        self, arrays: list[Array], rows: int, step: int, names: list[str], deadline: Deadline
    ) -> list[Array]:
        if step == rows:
            return self._run(arrays, names, deadline)
        results: list[Array] = []
        for start in range(0, rows, step):
            deadline.check(f"row {start} of {rows}")
            at = min(start, rows - step)  # the last slice is as large: resizing costs more
            part = self._run([array[at : at + step] for array in arrays], names, deadline)
            if not results:
                results = [np.empty((rows, *array.shape[1:]), array.dtype) for array in part]
            for name, whole, array in zip(names, results, part, strict=True):
                if array.shape != (step, *whole.shape[1:]):
                    told = f"{name} has the shape {array.shape} for {step} rows"
                    raise ModelFailed(f"{self.name}: {told}")
                whole[at : at + step] = array
        return results

    def _run(self, arrays: Sequence[Array], names: list[str], deadline: Deadline) -> list[Array]:
        shapes = tuple(array.shape for array in arrays)
        engine = self._pool.take(shapes, deadline)
        try:
            given = engine.run(arrays, names)
        except BaseException as error:
            self._pool.drop()
            if isinstance(error, RuntimeError | ValueError | MemoryError):
                raise ModelFailed(f"{self.name}: {error}") from error
            raise
        if self._graph.state or engine.takes > _KEPT_BYTES:
            self._pool.drop()
        else:
            self._pool.give(engine)
        return given

    def _bound(self, shapes: Shapes) -> Bound | None:
        """Return what to hold against shapes that are new, unless they are known to fit."""
        rows = self._count_rows(shapes)
        if self._fixed or rows == 1 or (rows and self._rows.apart):
            return None
        return Bound(memory_for_a_call(), rows * self._rows.size, self._rows.constants)

    def _refused(self, shapes: Shapes, error: ResizeError) -> InvalidTensor:
        sizes = ", ".join(
            f"{spec.name} {list(shape)}" for spec, shape in zip(self.inputs, shapes, strict=True)
        )
        return InvalidTensor(f"the model does not compute these shapes: {sizes} ({error})")


def _open_batch(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape[0] is None and None not in spec.shape[1:]  # type: ignore[index]
