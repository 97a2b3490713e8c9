"""Are the rows of a batch computed apart from each other? And what memory does a row take?

A graph that was made for one row may be resized to many, and then mix them without an
error. So it is read operator by operator. A tensor is `_ROWS` when its first axis is the
batch and its row n depends on row n of the inputs alone, `_FIXED` when it is the same for
every batch. An operator is known here with what it asks of its inputs for its outputs to
be rows again; every other one, and all that moves, joins or reduces the first axis, ends
the proof. Source: LiteRT's kernels, by the numbers of BuiltinOperator in schema.fbs.
"""

from collections.abc import Callable, Iterable
from math import prod
from typing import NamedTuple

from gpfn.models.tflite_program import Operator, Program, TensorInfo

__all__ = ["bytes_of_row", "rows_are_apart"]

_FIXED, _ROWS = "fixed", "rows"
_Rule = Callable[["_Step"], bool]


def rows_are_apart(program: Program) -> bool:
    """Say whether it is certain that each row of the outputs depends on its own row only.

    All inputs and outputs have to have the batch as their first axis.
    """
    tensors = program.tensors
    known = {index: _FIXED for index, tensor in enumerate(tensors) if tensor.constant}
    known |= dict.fromkeys(program.inputs, _ROWS)
    for op in program.operators:
        step = _Step(op, tensors, [known.get(index, "") for index in op.inputs if index >= 0])
        result = step.result()
        if not result:
            return False
        known |= dict.fromkeys(op.outputs, result)
    ends = {*program.inputs, *program.outputs}
    return bool(program.inputs) and all(
        known.get(index) == _ROWS and tensors[index].shape[:1] == (1,) for index in ends
    )


def bytes_of_row(program: Program) -> int:
    """Return the most bytes that tensors take at one time for a batch of one, at least 1.

    Constants do not count; a tensor counts from its first use to its last.
    """
    last = {index: len(program.operators) for index in program.outputs}
    for at, op in enumerate(program.operators):
        last |= {index: max(at, last.get(index, 0)) for index in (*op.inputs, *op.outputs)}
    tensors, most = program.tensors, 0
    live = set(program.inputs)
    for at, op in enumerate(program.operators):
        live.update(op.outputs)
        used = (*live, *op.inputs)
        most = max(most, sum(_size(tensors[i]) for i in set(used) if not tensors[i].constant))
        live = {index for index in live if last[index] > at}
    return max(1, most)


def _size(tensor: TensorInfo) -> int:
    return prod(tensor.shape) * _BYTES.get(tensor.kind, 8)


_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 6: 1, 7: 2, 9: 1, 15: 4, 16: 2, 17: 1, 18: 2}
"""The size of an element by TensorType's numbers; 8 for others, 64-bit numbers and texts."""


class _Step(NamedTuple):
    """An operator, and what is known of its inputs."""

    op: Operator
    tensors: tuple[TensorInfo, ...]
    known: list[str]

    def result(self) -> str:
        """Return what its outputs are, nothing where that is not certain."""
        if (
            self.op.code not in _RULES
            or not self.known
            or "" in self.known
            or self.op.inputs[0] < 0
        ):
            return ""
        if _ROWS not in self.known:
            return _FIXED
        outputs = (self.tensors[index].shape for index in self.op.outputs)
        if all(shape[:1] == (1,) for shape in outputs) and _RULES[self.op.code](self):
            return _ROWS
        return ""

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return self.tensors[self.op.inputs[index]].shape

    def output(self) -> tuple[int, ...]:
        return self.tensors[self.op.outputs[0]].shape

    def values(self, index: int) -> tuple[int, ...]:
        """Return the integers of a constant input; nothing when it has none to be read."""
        if index >= len(self.op.inputs) or self.op.inputs[index] < 0:
            return ()
        return self.tensors[self.op.inputs[index]].values or ()

    def only_first(self) -> bool:
        """Say whether the first input is rows, and all others are fixed."""
        return self.known[0] == _ROWS and _ROWS not in self.known[1:]


def _each(step: _Step) -> bool:
    """Elements one by one, broadcast: the batch stays where it is when ranks are equal."""
    rank = len(step.output())
    inputs = [i for i in step.op.inputs if i >= 0]
    shapes = [(step.tensors[i].shape, known) for i, known in zip(inputs, step.known, strict=True)]
    return all(
        len(shape) == rank if known == _ROWS else len(shape) < rank or shape[0] == 1
        for shape, known in shapes
    )


def _layer(step: _Step) -> bool:
    """Convolutions, pools and what else looks at each entry of a batch with fixed weights."""
    return step.only_first() and len(step.shape()) >= 4 and len(step.output()) >= 4


def _last_axis(step: _Step) -> bool:
    return step.only_first() and len(step.shape()) >= 2


def _all_rows(step: _Step) -> bool:
    return _FIXED not in step.known


def _not_first(axes: Iterable[int], rank: int) -> bool:
    """Say whether axes are given, and none is the first one."""
    axes = tuple(axes)
    return bool(axes) and all(-rank < axis < rank and axis for axis in axes)


def _axes_in(index: int, more: int = 0) -> _Rule:
    """Return the rule of an operator whose axes are a constant input; ``more`` axes come."""
    return lambda step: (
        step.only_first() and _not_first(step.values(index), len(step.shape()) + more)
    )


def _join(step: _Step) -> bool:
    return _all_rows(step) and _not_first([step.op.number(0)], len(step.shape()))


def _pack(step: _Step) -> bool:
    return _all_rows(step) and _not_first([step.op.number(1)], len(step.output()))


def _unpack(step: _Step) -> bool:
    return _not_first([step.op.number(1)], len(step.shape()))


def _split(step: _Step) -> bool:
    return step.known == [_FIXED, _ROWS] and _not_first(step.values(0), len(step.shape(1)))


def _reshape(step: _Step) -> bool:
    """The batch is left open, and the rest is as large as it was: no row gives to another."""
    given = len(step.op.inputs) > 1
    sizes = step.values(1) if given else step.op.vector(0)
    rest = sizes[1:]
    whole = all(size > 0 for size in rest) and prod(rest) == prod(step.shape()[1:])
    return step.only_first() and sizes[:1] == (-1,) and whole


def _squeeze(step: _Step) -> bool:
    return _not_first(step.op.vector(0), len(step.shape()))


def _transpose(step: _Step) -> bool:
    return step.only_first() and step.values(1)[:1] == (0,)


def _pad(step: _Step) -> bool:
    return step.only_first() and step.values(1)[:2] == (0, 0)


def _tile(step: _Step) -> bool:
    return step.only_first() and step.values(1)[:1] == (1,)


def _slice(step: _Step) -> bool:
    whole = step.values(1)[:1] == (0,) and step.values(2)[:1] == (-1,)
    return step.only_first() and whole


def _strided_slice(step: _Step) -> bool:
    begin, end, ellipsis, new, shrink = (step.op.number(index) for index in range(5))
    from_start = bool(begin & 1) or step.values(1)[:1] == (0,)
    every = bool(end & 1) and step.values(3)[:1] == (1,) and not step.op.number(5, "B")
    return step.only_first() and from_start and every and not (ellipsis or new or shrink & 1)


def _dense(step: _Step) -> bool:
    """A matrix on the last axis, or on all axes but the first, of a single row each."""
    shape, weights, output = step.shape(), step.shape(1), step.output()
    if not step.only_first() or len(weights) != 2 or len(shape) < 2:
        return False
    if len(output) == len(shape) and shape[-1] == weights[1]:
        return len(shape) == 2 or bool(step.op.number(2, "B"))
    return len(output) == 2 and prod(shape[1:]) == weights[1]


def _matrices(step: _Step) -> bool:
    """A matrix of each row with one of its own, or with one that is the same for all."""
    left, right, rank = step.shape(), step.shape(1), len(step.output())
    if step.known == [_ROWS, _FIXED] and len(left) == rank == 2:
        return not step.op.number(0, "B")
    sides = zip((left, right), step.known, strict=True)
    return rank >= 3 and all(
        len(shape) == rank if known == _ROWS else len(shape) < rank or shape[0] == 1
        for shape, known in sides
    )


def _gather(step: _Step) -> bool:
    axis, batch_dims = step.op.number(0), step.op.number(1)
    if batch_dims or len(step.known) != 2:
        return False
    if step.known == [_FIXED, _ROWS]:  # a table of words
        return axis == 0
    return step.only_first() and _not_first([axis], len(step.shape()))


def _one_hot(step: _Step) -> bool:
    return step.only_first() and _not_first([step.op.number(0)], len(step.output()))


_ELEMENTWISE = (
    # ADD DEQUANTIZE FLOOR LOGISTIC MUL RELU RELU_N1_TO_1 RELU6 TANH SUB DIV EXP CAST PRELU
    *(0, 6, 8, 14, 18, 19, 20, 21, 28, 41, 42, 47, 53, 54),
    # MAXIMUM MINIMUM LESS NEG GREATER GREATER_EQUAL LESS_EQUAL SELECT SIN EQUAL NOT_EQUAL LOG
    *(55, 57, 58, 59, 61, 62, 63, 64, 66, 71, 72, 73),
    # SQRT RSQRT POW FAKE_QUANT LOGICAL_OR LOGICAL_AND LOGICAL_NOT FLOOR_DIV SQUARE ZEROS_LIKE
    *(75, 76, 78, 80, 84, 86, 87, 90, 92, 93),
    # FLOOR_MOD LEAKY_RELU SQUARED_DIFFERENCE ABS CEIL ADD_N COS ELU QUANTIZE ROUND HARD_SWISH
    *(95, 98, 99, 101, 104, 106, 108, 111, 114, 116, 117),
    # SELECT_V2 GELU RELU_0_TO_1 ATAN2 SIGN BITWISE_XOR RIGHT_SHIFT
    *(123, 150, 152, 156, 158, 160, 161),
)

_RULES: dict[int, _Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _each),
    # AVERAGE_POOL_2D CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE L2_POOL_2D
    # LOCAL_RESPONSE_NORMALIZATION MAX_POOL_2D RESIZE_BILINEAR SPACE_TO_DEPTH
    # RESIZE_NEAREST_NEIGHBOR CONV_3D
    **dict.fromkeys((1, 3, 4, 5, 12, 13, 17, 23, 26, 97, 132), _layer),
    # L2_NORMALIZATION SOFTMAX TOPK_V2 LOG_SOFTMAX
    **dict.fromkeys((11, 25, 48, 50), _last_axis),
    # MEAN ARG_MAX SUM ARG_MIN REDUCE_PROD REDUCE_MAX REDUCE_MIN REDUCE_ANY REVERSE_V2 CUMSUM
    # REDUCE_ALL
    **dict.fromkeys((40, 56, 74, 79, 81, 82, 89, 91, 105, 128, 140), _axes_in(1)),
    # PAD PADV2 MIRROR_PAD
    **dict.fromkeys((34, 60, 100), _pad),
    # SHAPE FILL RANGE RANK DENSIFY BROADCAST_TO: of what is fixed only
    **dict.fromkeys((77, 94, 96, 110, 124, 130), lambda _: False),
    2: _join,  # CONCATENATION
    9: _dense,  # FULLY_CONNECTED
    22: _reshape,  # RESHAPE
    36: _gather,  # GATHER
    39: _transpose,  # TRANSPOSE
    43: _squeeze,  # SQUEEZE
    45: _strided_slice,  # STRIDED_SLICE
    49: _split,  # SPLIT
    65: _slice,  # SLICE
    69: _tile,  # TILE
    70: _axes_in(1, more=1),  # EXPAND_DIMS
    83: _pack,  # PACK
    85: _one_hot,  # ONE_HOT
    88: _unpack,  # UNPACK
    102: _axes_in(2),  # SPLIT_V
    126: _matrices,  # BATCH_MATMUL
}
