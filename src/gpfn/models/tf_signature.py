"""Inputs and outputs of a TensorFlow model: by its signature, or by its graph's tensors.

A SavedModel has signatures in its MetaGraphDef, of which only the fields named below are
read. A frozen graph has none: its inputs and outputs are tensors of the graph, named
``operation`` or ``operation:output``. Source: meta_graph.proto and tensor_shape.proto of
TensorFlow.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models.protobuf import Field, ProtobufError, fields, signed
from gpfn.models.signature import bare, check_some_left, shape_spec, unusable
from gpfn.models.tf_library import DTYPES, NativeLibrary, Output, type_name
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Port",
    "SavedSignature",
    "choose_signature",
    "default_ports",
    "find_port",
    "operation_types",
    "signature_names",
]

_NAME = re.compile(r"([A-Za-z0-9_.\\/>-]+)(?::(\d{1,6}))?", re.ASCII)
_NEVER_INPUTS = ("Const", "CheckNumerics")

_META_GRAPHS, _META_SIGNATURES = 2, 5  # of SavedModel, of MetaGraphDef
_MAP_KEY, _MAP_VALUE = 1, 2
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS = 1, 2
_INFO_NAME, _INFO_DTYPE, _INFO_SHAPE = 1, 2, 3
_SHAPE_DIM, _SHAPE_UNKNOWN_RANK, _DIM_SIZE = 2, 3, 1


class SavedSignature(NamedTuple):
    """A signature's inputs and outputs: the spec under its name, and the tensor in the graph.

    ``left_out`` says of each output that cannot be used why, and what helps.
    """

    inputs: tuple[tuple[TensorSpec, str], ...]
    outputs: tuple[tuple[TensorSpec, str], ...]
    left_out: Mapping[str, str] = MappingProxyType({})


def choose_signature(meta_graph: bytes | memoryview, wanted: str, path: str) -> SavedSignature:
    """Return the signature ``wanted``; without that serving_default, or the only one.

    Raises SetupError when it is not there, ModelUnreadable when an input, or every output, is
    of a type that gpfn has no dtype for.
    """
    found = _map(meta_graph, _META_SIGNATURES)
    public = {key: value for key, value in found.items() if not key.startswith("__")}
    for key in (wanted,) if wanted else ("serving_default", *list(public)[: len(public) == 1]):
        if key in public:
            inputs, others = _ends(public[key], _SIGNATURE_INPUTS)
            for name, kind in others.items():
                raise ModelUnreadable(f"input {name} has the unsupported type {kind}: {path}")
            outputs, others = _ends(public[key], _SIGNATURE_OUTPUTS)
            left_out = {name: unusable(kind) for name, kind in others.items()}
            check_some_left(outputs, left_out, path)
            return SavedSignature(inputs, outputs, left_out)
    has = ", ".join(sorted(public)) or "no signatures"
    told = f"the model has {has}; name one of them: {path}?signature=NAME"
    raise SetupError(told, field="signature")


def signature_names(folder: str) -> tuple[str, ...]:
    """Return the names of a SavedModel's signatures, sorted; none of one in text form.

    Raises ModelUnreadable.
    """
    try:
        with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
            graphs = [field.bytes for field in fields(file.read()) if field.number == _META_GRAPHS]
        names = {key for graph in graphs for key in _map(graph, _META_SIGNATURES)}
    except FileNotFoundError:
        return ()
    except (OSError, ProtobufError) as error:
        raise ModelUnreadable(f"a SavedModel that cannot be read ({error}): {folder}") from None
    return tuple(sorted(name for name in names if not name.startswith("__")))


def _ends(
    signature: memoryview, number: int
) -> tuple[tuple[tuple[TensorSpec, str], ...], dict[str, str]]:
    """Return inputs or outputs, and the types of those that cannot be used.

    They are sorted by name, because a protobuf map has no order.
    """
    ends, others = [], {}
    for name, info in sorted(_map(signature, number).items()):
        given = {field.number: field for field in fields(info)}
        dtype = (given[_INFO_DTYPE].integer or 0) if _INFO_DTYPE in given else 0
        if _INFO_NAME not in given:
            others[name] = "sparse or composite tensor"
        elif dtype not in DTYPES:
            others[name] = type_name(dtype)
        else:
            spec = TensorSpec(DTYPES[dtype], _shape_of_field(given.get(_INFO_SHAPE)), name)
            ends.append((spec, given[_INFO_NAME].text()))
    return tuple(ends), others


def _shape_of_field(field: Field | None) -> tuple[int | None, ...] | None:
    if field is None:
        return None
    sizes: list[int | None] = []
    for part in fields(field.bytes):
        if part.number == _SHAPE_UNKNOWN_RANK and part.integer:
            return None
        if part.number == _SHAPE_DIM:
            size = next((f.integer for f in fields(part.bytes) if f.number == _DIM_SIZE), 0) or 0
            sizes.append(None if signed(size) < 0 else size)
    return tuple(sizes)


def _map(message: bytes | memoryview, number: int) -> Mapping[str, memoryview]:
    return dict(_entries(message, number))


def _entries(message: bytes | memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    for field in fields(message):
        if field.number == number:
            entry = {part.number: part for part in fields(field.bytes)}
            if _MAP_KEY in entry and _MAP_VALUE in entry:
                yield entry[_MAP_KEY].text(), entry[_MAP_VALUE].bytes


class Port(NamedTuple):
    """A tensor of the graph that can be fed or fetched: its spec and its TF_Output."""

    spec: TensorSpec
    output: Output


def default_ports(
    library: NativeLibrary, graph: int
) -> tuple[list[Port], list[Port], dict[str, str]]:
    """Return a frozen graph's inputs and outputs by graphpipe-tf's rules.

    Inputs are the operations that have no inputs and are no constants; outputs are the
    tensors that no operation consumes; both only of types that gpfn has a dtype for. The
    third value says of each output that is left out for its type why, and what helps.
    """
    inputs: list[Port] = []
    outputs: list[Port] = []
    left_out: dict[str, str] = {}
    for operation in _operations(library, graph):
        kind = library.TF_OperationOpType(operation).decode()
        for index in range(library.TF_OperationNumOutputs(operation)):
            output = Output(operation, index)
            port = _port(library, graph, output)
            consumed = bool(library.TF_OperationOutputNumConsumers(output))
            if port is None:
                if not consumed:
                    number = library.TF_OperationOutputType(output)
                    left_out[_name_of(library, output)] = unusable(type_name(number))
                continue
            if not library.TF_OperationNumInputs(operation) and kind not in _NEVER_INPUTS:
                inputs.append(port)
            if not consumed:
                outputs.append(port)
    return inputs, outputs, left_out


def _name_of(library: NativeLibrary, output: Output) -> str:
    return bare(f"{library.TF_OperationName(output.oper).decode()}:{output.index}")


def operation_types(library: NativeLibrary, graph: int) -> Iterator[str]:
    """Give the type of each operation, ``MatMul`` for example."""
    for operation in _operations(library, graph):
        yield library.TF_OperationOpType(operation).decode()


def find_port(
    library: NativeLibrary, graph: int, name: str, spec: TensorSpec | None = None
) -> Port | None:
    """Return the tensor ``operation`` or ``operation:index``, or None when there is none.

    ``spec`` replaces what the graph says of it.
    """
    match = _NAME.fullmatch(name)
    if not match:
        return None
    operation = library.TF_GraphOperationByName(graph, match[1].encode())
    index = int(match[2] or 0)
    if not operation or index >= library.TF_OperationNumOutputs(operation):
        return None
    output = Output(operation, index)
    return Port(spec, output) if spec else _port(library, graph, output)


def _operations(library: NativeLibrary, graph: int) -> Iterator[int]:
    position = ctypes.c_size_t(0)
    while operation := library.TF_GraphNextOperation(graph, ctypes.byref(position)):
        yield operation


def _port(library: NativeLibrary, graph: int, output: Output) -> Port | None:
    number = library.TF_OperationOutputType(output)
    if number not in DTYPES:
        return None
    shape = _shape(library, graph, output)
    return Port(TensorSpec(DTYPES[number], shape, _name_of(library, output)), output)


def _shape(library: NativeLibrary, graph: int, output: Output) -> tuple[int | None, ...] | None:
    with library.status() as status:
        rank = library.TF_GraphGetTensorNumDims(graph, output, status)
    if rank < 0:
        return None
    sizes = (ctypes.c_int64 * rank)()
    with library.status() as status:
        library.TF_GraphGetTensorShape(graph, output, sizes, rank, status)
    return shape_spec(sizes)
