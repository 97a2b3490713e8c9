"""What a .tflite file holds, read once: its inputs and outputs, and how they are quantised.

`Quantization` lies here because it is a property of a LiteRT tensor: formula and fields are
those of QuantizationParameters in TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models.signature import (
    Array,
    check_some_left,
    plain_names,
    selected,
    shape_spec,
    unusable,
)
from gpfn.models.tflite_file import signature_subgraphs
from gpfn.models.tflite_program import count_subgraphs, state_of
from gpfn.tensors.spec import DTYPES, TensorSpec

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

__all__ = ["End", "Graph", "Quantization", "new_interpreter", "read_graph"]


class Quantization(NamedTuple):
    """real = (integer - zero_point) * scale, for the whole tensor or per slice of ``axis``.

    ``scale`` (float) and ``zero_point`` (integer) have one entry, or one per slice.

    >>> Quantization((0.5,), (10,)).dequantize(np.array([10, 12], np.uint8))
    array([0., 1.], dtype=float32)
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    def dequantize(self, array: Array) -> Array:
        """Return the real numbers (float32, the same shape) that the integers stand for."""
        scale, zero_point = self._along(array.ndim)
        real: Array = (array.astype(np.float32) - zero_point) * scale
        return real

    def quantize(self, array: Array, dtype: str) -> Array:
        """Return the nearest integers of ``dtype`` (the same shape), clipped to its range."""
        scale, zero_point = self._along(array.ndim)
        info = np.iinfo(dtype)
        integers: Array = np.rint(array / scale) + zero_point
        return integers.clip(info.min, info.max).astype(dtype)

    def _along(self, rank: int) -> tuple[Array, Array]:
        shape = [1] * rank
        if len(self.scale) > 1:
            shape[self.axis] = len(self.scale)
        size = tuple(shape) if len(self.scale) > 1 else ()
        return (
            np.array(self.scale, np.float32).reshape(size),
            np.array(self.zero_point, np.float32).reshape(size),
        )


class End(NamedTuple):
    """An input or output: its spec, its tensor index, its quantisation if it has any."""

    spec: TensorSpec
    tensor: int
    quantization: Quantization | None


class Graph(NamedTuple):
    """The part of the file that is run.

    ``signature`` is empty, or names the ``subgraph`` to run when that is not the first.
    ``state`` names what it would keep from call to call and cannot be reset, so that an
    interpreter may run once only; ``resets`` says that variable tensors can be, which
    LiteRT does for files of one subgraph only.
    ``single`` says that the file is made for a batch of exactly 1; the specs leave the
    batch open all the same, because the model is resized or run row by row. ``left_out`` says
    of each output that cannot be used why, and what helps.
    """

    content: bytes
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    signature: str
    subgraph: int
    single: bool
    state: tuple[str, ...]
    resets: bool
    left_out: Mapping[str, str]


def new_interpreter(content: bytes, threads: int) -> Interpreter:
    """Return a fresh interpreter of the model in ``content``.

    Raises SetupError when LiteRT is not installed, ValueError when it refuses the model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise SetupError(
            f"LiteRT cannot be imported ({error}); run: pip install 'ai-edge-litert>=2.0'"
        ) from error
    return Interpreter(model_content=content, num_threads=threads)


def read_graph(
    path: str,
    *,
    threads: int = 1,
    signature: str = "",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> tuple[Graph, Interpreter]:
    """Read a .tflite file, and return the first interpreter of it too.

    ``inputs`` and ``outputs`` are the names wanted, in the order wanted.

    Raises ModelUnreadable when LiteRT or gpfn cannot use the file, SetupError for a
    signature or a name that it does not have.
    """
    with open(path, "rb") as file:
        content = file.read()
    key, subgraph = _choose(signature_subgraphs(content, path), signature, path)
    try:
        interpreter = new_interpreter(content, threads)
        takes, gives = _details(interpreter, key)
    except SetupError:
        raise
    except Exception as error:  # LiteRT raises errors of many types for damage
        told = (
            f"a LiteRT model that is cut off or damaged ({error}): {path}; copy or export it again"
        )
        raise ModelUnreadable(told) from error
    single = _made_for_one(takes, gives)
    others = {name: _dtype(each) for name, each in gives.items() if _dtype(each) not in DTYPES}
    left_out = {name: unusable(dtype) for name, dtype in others.items()}
    gives = {name: each for name, each in gives.items() if name not in others}
    check_some_left(gives, left_out, path)
    try:
        state = tuple(state_of(content, subgraph))
        ends = [
            [_end(name, each, single) for name, each in side.items()] for side in (takes, gives)
        ]
    except (ValueError, struct.error) as error:
        raise ModelUnreadable(f"{error}: {path}") from None
    graph = Graph(
        content,
        _chosen(ends[0], inputs, "inputs"),
        _chosen(ends[1], outputs, "outputs", left_out),
        key if subgraph else "",
        subgraph,
        single,
        state,
        count_subgraphs(content) == 1,
        left_out,
    )
    return graph, interpreter


def _choose(subgraphs: Mapping[str, int], wanted: str, path: str) -> tuple[str, int]:
    if not subgraphs and not wanted:
        return "", 0
    for key in (
        (wanted,) if wanted else ("serving_default", *sorted(subgraphs)[: len(subgraphs) == 1])
    ):
        if key in subgraphs:
            return key, subgraphs[key]
    has = ", ".join(sorted(subgraphs)) or "no signatures"
    told = f"the model has {has}; name one of them: {path}?signature=NAME"
    raise SetupError(told, field="signature")


_Details = dict[str, dict[str, Any]]


def _details(interpreter: Interpreter, signature: str) -> tuple[_Details, _Details]:
    if signature:  # names as in the SavedModel, in an order that every export shares
        runner = interpreter.get_signature_runner(signature)
        takes, gives = runner.get_input_details(), runner.get_output_details()
        return dict(sorted(takes.items())), dict(sorted(gives.items()))
    return _by_name(interpreter.get_input_details()), _by_name(interpreter.get_output_details())


def _by_name(details: Iterable[dict[str, Any]]) -> _Details:
    named: _Details = {}
    details = list(details)
    plain = plain_names(each["name"] for each in details)
    for each in details:
        name = plain[each["name"]]
        named[name if name not in named else f"{name}_{each['index']}"] = each
    return named


def _shape(details: dict[str, Any]) -> list[int]:
    # The signature has -1 where the model leaves a size open; very old files have none.
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    return [int(size) for size in shape]


def _made_for_one(takes: _Details, gives: _Details) -> bool:
    shapes = [_shape(each) for each in (*takes.values(), *gives.values())]
    is_open = any(-1 in _shape(each) for each in takes.values())
    return bool(takes) and not is_open and all(shape[:1] == [1] for shape in shapes)


def _end(name: str, details: dict[str, Any], single: bool) -> End:
    dtype = _dtype(details)
    if dtype not in DTYPES:
        raise ValueError(f"{name} has the unsupported dtype {dtype}")
    shape = shape_spec(_shape(details))
    spec = TensorSpec(dtype, (None, *shape[1:]) if single else shape, name)
    return End(spec, int(details["index"]), _quantization(details["quantization_parameters"]))


def _dtype(details: dict[str, Any]) -> str:
    name: str = details["dtype"].__name__
    return {"bytes_": "string", "bool_": "bool"}.get(name, name)  # bool_ is NumPy 1's


def _quantization(parameters: dict[str, Any]) -> Quantization | None:
    scales = tuple(float(scale) for scale in parameters["scales"])
    if not scales:
        return None
    zero_points = tuple(int(point) for point in parameters["zero_points"])
    return Quantization(scales, zero_points, int(parameters["quantized_dimension"]))


def _chosen(
    ends: list[End], names: Sequence[str], field: str, left_out: Mapping[str, str] | None = None
) -> tuple[End, ...]:
    by_name = {end.spec.name: end for end in ends}
    specs = selected(names, [end.spec for end in ends], field, left_out or {})
    return tuple(by_name[spec.name] for spec in specs)
