"""What a .tflite file computes: the tensors and operators of one subgraph, and its state.

Source: schema.fbs of TensorFlow Lite, version 3; numbers of fields and operators are its own.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gpfn.models.tflite_file import field, follow, numbers, tables, text

__all__ = ["Operator", "Program", "TensorInfo", "count_subgraphs", "read_program", "state_of"]

_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # fields of the table Model
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3  # of SubGraph
_SHAPE, _TYPE, _BUFFER, _NAME, _IS_VARIABLE = 0, 1, 2, 3, 5  # of Tensor
_INDEX, _TAKES, _GIVES, _OPTIONS = 0, 1, 2, 4  # of Operator
_OLD_CODE, _CODE = 0, 3  # of OperatorCode
_DATA, _OUTSIDE = 0, 1  # of Buffer
_SHARED_NAME = 1  # of VarHandleOptions
_INT32, _INT64 = 2, 4  # of TensorType
_MOST_READ = 64
"""No shape, axis or permutation has more elements: constants above that are not read."""

_ASSIGN, _HANDLE = 144, 142
_SUBGRAPH_FIELDS = {118: (0, 1), 119: (0, 1), 31: (0,)}
"""Where the options of IF, WHILE and CALL name subgraphs."""
_RANDOM = {146: "RANDOM_STANDARD_NORMAL", 148: "RANDOM_UNIFORM", 149: "MULTINOMIAL"}
"""Their options are two seeds; with both 0 a number is chance, which the model asks for."""


class TensorInfo(NamedTuple):
    """A tensor as the file has it: an open size counts as 1.

    ``constant`` says that its values are in the file, and ``values`` are those when it is
    a short list of integers; ``variable`` that it keeps them from call to call.
    """

    shape: tuple[int, ...]
    kind: int
    constant: bool
    values: tuple[int, ...] | None
    variable: bool


class Operator(NamedTuple):
    """A step: its builtin operator's number, indexes of tensors (-1 for none), its options."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    data: bytes
    options: int

    def number(self, index: int, code: str = "i") -> int:
        """Return an option by its field's number, 0 where the file leaves it out."""
        at = field(self.data, self.options, index) if self.options else 0
        return int(struct.unpack_from(f"<{code}", self.data, at)[0]) if at else 0

    def vector(self, index: int) -> tuple[int, ...]:
        """Return a list of integers of the options, empty where the file leaves it out."""
        return _integers(self.data, self.options, index) if self.options else ()


class Program(NamedTuple):
    """A subgraph: its tensors, and its operators in the order in which they run."""

    tensors: tuple[TensorInfo, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


def count_subgraphs(data: bytes) -> int:
    """Return how many subgraphs a file has. Raises ValueError or struct.error."""
    return len(_subgraphs(data))


def read_program(data: bytes, subgraph: int) -> Program:
    """Read a subgraph. Raises ValueError or struct.error for one that is not well formed."""
    buffers = list(tables(data, follow(data, 0), _BUFFERS))
    table = _subgraphs(data)[subgraph]
    tensors = tuple(_tensor(data, tensor, buffers) for tensor in tables(data, table, _TENSORS))
    inputs, outputs = (_integers(data, table, side) for side in (_INPUTS, _OUTPUTS))
    operators = tuple(_operators(data, table))
    for number in (n for op in operators for side in (op.inputs, op.outputs) for n in side):
        if not -1 <= number < len(tensors):
            raise ValueError(f"tensor {number} of {len(tensors)}")
    return Program(tensors, inputs, outputs, operators)


def state_of(data: bytes, subgraph: int) -> list[str]:
    """Return what a subgraph keeps from call to call and LiteRT does not reset.

    Those are the resource variables that it or a subgraph which it calls assigns, and
    generators of random numbers that have a seed; in a file of several subgraphs also
    variable tensors. Variables that only an initialisation assigns keep one value.

    Raises ValueError or struct.error for a file that is not well formed.
    """
    graphs = _subgraphs(data)
    if len(graphs) == 1 and not {_ASSIGN, *_RANDOM}.intersection(_operator_codes(data)):
        return []
    found: list[str] = []
    left, seen = [subgraph], set()
    while left:
        index = left.pop()
        if index in seen or not 0 <= index < len(graphs):
            continue
        seen.add(index)
        operators = list(_operators(data, graphs[index]))
        found += _assigned(operators)
        if len(graphs) > 1:
            found += _variable_tensors(data, graphs[index])
        left += [op.number(n) for op in operators for n in _SUBGRAPH_FIELDS.get(op.code, ())]
    return list(dict.fromkeys(found))


def _assigned(operators: Sequence[Operator]) -> Iterator[str]:
    names = {op.outputs[0]: _resource(op) for op in operators if op.code == _HANDLE and op.outputs}
    for op in operators:
        if op.code == _ASSIGN and op.inputs:  # a handle that was passed in has no name here
            yield names.get(op.inputs[0], f"tensor {op.inputs[0]}")
        elif op.code in _RANDOM and (op.number(0, "q") or op.number(1, "q")):
            yield _RANDOM[op.code]


def _resource(op: Operator) -> str:
    return text(op.data, field(op.data, op.options, _SHARED_NAME)) if op.options else ""


def _variable_tensors(data: bytes, graph: int) -> Iterator[str]:
    for table in tables(data, graph, _TENSORS):
        at = field(data, table, _IS_VARIABLE)
        if at and data[at]:
            yield text(data, field(data, table, _NAME))


def _subgraphs(data: bytes) -> list[int]:
    return list(tables(data, follow(data, 0), _SUBGRAPHS))


def _operator_codes(data: bytes) -> list[int]:
    found = []
    for table in tables(data, follow(data, 0), _CODES):
        old, new = field(data, table, _OLD_CODE), field(data, table, _CODE)
        low = struct.unpack_from("<b", data, old)[0] if old else 0
        found.append(max(low, struct.unpack_from("<i", data, new)[0] if new else 0))
    return found


def _operators(data: bytes, graph: int) -> Iterator[Operator]:
    codes = _operator_codes(data)
    for table in tables(data, graph, _OPERATORS):
        at, options = field(data, table, _INDEX), field(data, table, _OPTIONS)
        index = struct.unpack_from("<I", data, at)[0] if at else 0
        if index >= len(codes):
            raise ValueError(f"operator {index} of {len(codes)}")
        yield Operator(
            codes[index],
            _integers(data, table, _TAKES),
            _integers(data, table, _GIVES),
            data,
            follow(data, options) if options else 0,
        )


def _tensor(data: bytes, table: int, buffers: Sequence[int]) -> TensorInfo:
    shape = tuple(max(1, size) for size in _integers(data, table, _SHAPE))
    kind, which, variable = (field(data, table, n) for n in (_TYPE, _BUFFER, _IS_VARIABLE))
    number = data[kind] if kind else 0
    index = struct.unpack_from("<I", data, which)[0] if which else 0
    buffer = buffers[index] if 0 < index < len(buffers) else 0
    inside = field(data, buffer, _DATA) if buffer else 0
    size = struct.unpack_from("<I", data, follow(data, inside))[0] if inside else 0
    code = {_INT32: "i", _INT64: "q"}.get(number)
    values = None
    if code and 0 < size <= _MOST_READ * 8:
        start = follow(data, inside) + 4
        values = struct.unpack_from(f"<{size // struct.calcsize(code)}{code}", data, start)
    constant = size > 0 or bool(buffer and field(data, buffer, _OUTSIDE))
    return TensorInfo(shape, number, constant, values, bool(variable and data[variable]))


def _integers(data: bytes, table: int, index: int) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers(data, field(data, table, index), "i", 4))
