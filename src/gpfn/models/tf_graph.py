"""The tensors of a TensorFlow graph, by name: ``operation`` or ``operation:output``."""

import ctypes
import re
from collections.abc import Iterator
from typing import NamedTuple

from gpfn.models.arguments import bare, shape_spec
from gpfn.models.tf_library import Library, Output
from gpfn.models.tf_tensors import DTYPES
from gpfn.tensors.spec import TensorSpec

__all__ = ["Port", "default_ports", "find_port", "operation_types"]

_NAME = re.compile(r"([A-Za-z0-9_.\\/>-]+)(?::(\d{1,6}))?", re.ASCII)
_NO_INPUT_OF_THE_MODEL = ("Const", "CheckNumerics")


class Port(NamedTuple):
    """A tensor of the graph: what is fed or fetched there, and where."""

    spec: TensorSpec
    output: Output


def default_ports(library: Library, graph: int) -> tuple[list[Port], list[Port]]:
    """Return a frozen graph's inputs and outputs by graphpipe-tf's rules.

    Inputs are the operations without inputs that are no constants; outputs are what no
    operation consumes; both only of types that are known here.
    """
    inputs, outputs = [], []
    for operation in _operations(library, graph):
        kind = library.TF_OperationOpType(operation).decode()
        given = [
            Output(operation, index) for index in range(library.TF_OperationNumOutputs(operation))
        ]
        ports = [port for port in (_port(library, graph, each) for each in given) if port]
        if not library.TF_OperationNumInputs(operation) and kind not in _NO_INPUT_OF_THE_MODEL:
            inputs += ports
        outputs += [p for p in ports if not library.TF_OperationOutputNumConsumers(p.output)]
    return inputs, outputs


def operation_types(library: Library, graph: int) -> Iterator[str]:
    """Give the type of each operation, ``MatMul`` for example."""
    for operation in _operations(library, graph):
        yield library.TF_OperationOpType(operation).decode()


def find_port(
    library: Library, graph: int, name: str, spec: TensorSpec | None = None
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


def _operations(library: Library, graph: int) -> Iterator[int]:
    position = ctypes.c_size_t(0)
    while operation := library.TF_GraphNextOperation(graph, ctypes.byref(position)):
        yield operation


def _port(library: Library, graph: int, output: Output) -> Port | None:
    number = library.TF_OperationOutputType(output)
    if number not in DTYPES:
        return None
    name = library.TF_OperationName(output.oper).decode()
    shape = _shape(library, graph, output)
    return Port(TensorSpec(DTYPES[number], shape, bare(f"{name}:{output.index}")), output)


def _shape(library: Library, graph: int, output: Output) -> tuple[int | None, ...] | None:
    with library.status() as status:
        rank = library.TF_GraphGetTensorNumDims(graph, output, status)
    if rank < 0:
        return None
    sizes = (ctypes.c_int64 * rank)()
    with library.status() as status:
        library.TF_GraphGetTensorShape(graph, output, sizes, rank, status)
    return shape_spec(sizes)
