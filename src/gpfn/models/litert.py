"""LiteRT models (.tflite) in this process: the default backend.

A batch of another size than the file's is computed by resizing the graph. Some graphs
have a batch of 1 in their constants, as the reshapes of an unrolled RNN do: those are run
row by row. A file made for a batch of 1 may also resize without an error and then mix
rows, so the first such batch is computed both ways, and resizing is used from then on
only if both agree.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed
from gpfn.models.litert_graph import Quantization, read_graph
from gpfn.models.litert_pool import Pool, ResizeError, Shapes
from gpfn.models.signature import Array, arguments, chosen
from gpfn.models.threads import available_cpus
from gpfn.tensors.spec import TensorSpec

__all__ = ["LiteRTModel"]

_SMALL = 16 << 20
"""Up to this file size (bytes), interpreters of shapes used before are kept as well."""
_KEPT_SHAPES = 3
_AGREE = {"rtol": 1e-3, "atol": 1e-4}
_ROWS_BETWEEN_LOOKS = 64
"""How many rows are run one by one between two looks at the clock."""


class LiteRTModel:
    """A .tflite file; see `gpfn.models.Model`.

    ``quantization`` and ``input_quantization`` are by name how the integers of quantised
    outputs and inputs stand for real numbers. ``threads`` are for one call; calls from
    several threads each get an interpreter, up to three more than there are processors.
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
        self._pool = Pool(graph, first, threads=threads, size=available_cpus() + kept, name=path)
        self._bytes = len(graph.content)
        self.inputs: tuple[TensorSpec, ...] = tuple(end.spec for end in graph.inputs)
        self.outputs: tuple[TensorSpec, ...] = tuple(end.spec for end in graph.outputs)
        self.quantization: Mapping[str, Quantization] = {
            end.spec.name: end.quantization for end in graph.outputs if end.quantization
        }
        self.input_quantization: Mapping[str, Quantization] = {
            end.spec.name: end.quantization for end in graph.inputs if end.quantization
        }
        self._rowwise = bool(self.inputs) and all(_open_batch(spec) for spec in self.inputs)
        self._single = graph.single
        self._resizes: bool | None = None if graph.single else True

    @property
    def resident_bytes(self) -> int:
        """An estimate: the file, and once more for each interpreter's prepared weights."""
        return self._bytes * (1 + self._pool.made)

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`."""
        arrays = arguments(inputs, self.inputs)
        names = [spec.name for spec in chosen(outputs, self.outputs)]
        shapes = tuple(array.shape for array in arrays)
        self._check_sizes(shapes)
        deadline.check("inference")
        given = self._whole(arrays, shapes, names, deadline)
        return dict(zip(names, given, strict=True))

    def close(self) -> None:
        """Free the interpreters; calls at work end first."""
        self._pool.close()

    def _check_sizes(self, shapes: Shapes) -> None:
        for spec, shape in zip(self.inputs, shapes, strict=True):
            if 0 in shape:
                raise InvalidTensor(
                    f"LiteRT cannot compute an empty array, shape {shape}", field=spec.name
                )
            if self._single and shape[0] != shapes[0][0]:
                raise InvalidTensor(
                    f"{shape[0]} rows, but {self.inputs[0].name} has {shapes[0][0]}",
                    field=spec.name,
                )

    def _whole(
        self, arrays: list[Array], shapes: Shapes, names: list[str], deadline: Deadline
    ) -> list[Array]:
        rows = shapes[0][0] if self._rowwise else 1
        if rows == 1 or self._resizes:
            try:
                return self._run(arrays, shapes, names, deadline)
            except ResizeError as error:
                if rows == 1 or {shape[0] for shape in shapes} != {rows}:
                    raise self._refused(shapes, error) from None
                self._resizes = False
        if self._resizes is None:
            return self._try_both(arrays, shapes, names, deadline)
        return self._row_by_row(arrays, names, deadline)

    def _run(
        self, arrays: Sequence[Array], shapes: Shapes, names: list[str], deadline: Deadline
    ) -> list[Array]:
        engine = self._pool.take(shapes, deadline)
        try:
            given = engine.run(arrays, names)
        except BaseException as error:
            self._pool.drop()
            if isinstance(error, RuntimeError | ValueError | MemoryError):
                raise ModelFailed(f"{self.name}: {error}") from error
            raise
        self._pool.give(engine)
        return given

    def _row_by_row(self, arrays: list[Array], names: list[str], deadline: Deadline) -> list[Array]:
        rows, shapes = len(arrays[0]), tuple((1, *array.shape[1:]) for array in arrays)
        parts = []
        try:
            for row in range(rows):
                if row % _ROWS_BETWEEN_LOOKS == 0:
                    deadline.check(f"row {row} of {rows}")
                one = [array[row : row + 1] for array in arrays]
                parts.append(self._run(one, shapes, names, deadline))
        except ResizeError as error:
            raise self._refused(shapes, error) from None
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _try_both(
        self, arrays: list[Array], shapes: Shapes, names: list[str], deadline: Deadline
    ) -> list[Array]:
        """Compute row by row, and settle whether resizing does the same from now on."""
        everything = [spec.name for spec in self.outputs]
        right = self._row_by_row(arrays, everything, deadline)
        # Equal rows would not show whether they were mixed.
        if not all((array == array[:1]).all() for array in arrays):
            try:
                resized = self._run(arrays, shapes, everything, deadline)
                self._resizes = all(_agree(*pair) for pair in zip(resized, right, strict=True))
            except (ResizeError, ModelFailed):
                self._resizes = False
        return [right[everything.index(name)] for name in names]

    def _refused(self, shapes: Shapes, error: ResizeError) -> InvalidTensor:
        sizes = ", ".join(
            f"{spec.name} {list(shape)}" for spec, shape in zip(self.inputs, shapes, strict=True)
        )
        return InvalidTensor(f"the model does not compute these shapes: {sizes} ({error})")


def _open_batch(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape[0] is None and None not in spec.shape[1:]  # type: ignore[index]


def _agree(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, **_AGREE, equal_nan=True))
    return bool((one == other).all())
