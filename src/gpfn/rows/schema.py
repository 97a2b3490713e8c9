"""The columns of a function's rows: from the model's own inputs, and what ``model.toml`` adds.

Two kinds of models take rows. One has an input for each column, of a value a row, as
sklearn-onnx makes them of a table with several dtypes: then the columns are its inputs, in its
order. The other has one matrix, a column of it for each column of rows: what those are called
only ``model.toml`` can say, and their order there is that of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from gpfn.errors import SetupError
from gpfn.models.columns import Column
from gpfn.rows.values import RowColumn, WrongValue, checked
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.shapes import spec_text
from gpfn.tensors.spec import TensorSpec

__all__ = ["Block", "RowSchema", "listed", "picker", "row_schema", "zero_row"]

_MATRIX = 2
_SHOWN = 8


class Block(NamedTuple):
    """Columns of one dtype that become arrays together.

    ``columns`` are their numbers. ``inputs`` has an input for each of them, of the shape
    ``tail`` for a row; with ``matrix`` it has one, of all of them. ``plain`` says that nothing
    stands for a missing value but nothing, and that no value changes its dtype.
    """

    inputs: tuple[str, ...]
    columns: tuple[int, ...]
    dtype: str
    tail: tuple[int, ...]
    matrix: bool
    plain: bool
    pick: Callable[[Any], tuple[Any, ...]]


class RowSchema:
    """The columns of rows, in their order, and how they become the inputs.

    ``classes`` are the names of classes by output, of every other output of the right width
    those under the empty name. ``sequences`` are outputs whose rows are along the second axis:
    a tensor of all rows for each of several things. ``is_text`` says that there is one column,
    and it is text.
    """

    __slots__ = ("blocks", "classes", "columns", "is_text", "names", "pick", "sequences", "whole")

    def __init__(
        self,
        columns: Sequence[RowColumn],
        blocks: Sequence[Block],
        classes: Mapping[str, tuple[str, ...]],
        sequences: frozenset[str] = frozenset(),
    ) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns)
        self.blocks = tuple(blocks)
        self.classes = classes
        self.sequences = sequences
        self.is_text = len(columns) == 1 and columns[0].dtype.name == "string"
        self.pick = picker(self.names)
        self.whole = len(blocks) == 1
        """Whether one block has all columns, in their order."""


def row_schema(
    specs: Sequence[TensorSpec],
    declared: Sequence[Column] = (),
    *,
    classes: Mapping[str, tuple[str, ...]] = {},
    sequences: frozenset[str] = frozenset(),
) -> RowSchema:
    """Return the columns of rows for a model that takes ``specs``.

    ``declared`` are the columns of its ``model.toml``; the others as in :class:`RowSchema`.
    Raises SetupError, which says what to declare.
    """
    if not specs:
        told = "the model does not say what it takes; declare inputs= in the function"
        raise SetupError(told, field="inputs")
    _check_names(declared)
    if len(specs) == 1 and _is_matrix(specs[0], declared):
        columns = _of_matrix(specs[0], declared)
        one = _block([specs[0].name], range(len(columns)), columns)
        return RowSchema(columns, [one], classes, sequences)
    columns = _of_inputs(specs, declared)
    groups: dict[tuple[str, int], list[int]] = {}
    for number, spec in enumerate(specs):
        groups.setdefault((spec.dtype, _tail(spec)), []).append(number)
    blocks = [
        _block([specs[each].name for each in numbers], numbers, columns, (1,) * tail)
        for (_, tail), numbers in groups.items()
    ]
    return RowSchema(columns, blocks, classes, sequences)


def picker(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of keys, names or numbers, out of a row, as a tuple."""
    if len(keys) == 1:
        only = keys[0]
        return lambda row: (row[only],)
    return itemgetter(*keys)


def zero_row(schema: RowSchema) -> dict[str, Any]:
    """Return a row that the columns take: zeros and empty texts, as JSON has them."""
    return {column.name: _ZEROS[column.dtype.numpy.kind] for column in schema.columns}


_ZEROS: Mapping[str, Any] = {"b": False, "u": 0, "i": 0, "f": 0.0, "O": ""}


def listed(names: Sequence[str]) -> str:
    """Return names as an error has them, not too many."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _check_names(declared: Sequence[Column]) -> None:
    seen: set[str] = set()
    for number, column in enumerate(declared):
        if column.name in seen:
            raise SetupError(f"{column.name} is there twice", field=f"columns[{number}].name")
        seen.add(column.name)


def _is_matrix(spec: TensorSpec, declared: Sequence[Column]) -> bool:
    """Say whether the one input is a matrix whose columns are those of rows."""
    if spec.shape is None or len(spec.shape) != _MATRIX:
        return False
    return spec.shape[1] != 1 or (len(declared) == 1 and declared[0].name != spec.name)


def _of_matrix(spec: TensorSpec, declared: Sequence[Column]) -> list[RowColumn]:
    width = spec.shape[1] if spec.shape else None
    if not declared:
        told = f"{spec.name} is {spec_text(spec)}, whose columns have no names: list them in a"
        told += ' model.toml beside the model, such as [[columns]] with name = "age"'
        raise SetupError(told, field="columns")
    if width not in (None, len(declared)):
        told = f"model.toml has {len(declared)}, but {spec.name} takes {width}"
        raise SetupError(told, field="columns")
    return [_column(column, spec, number) for number, column in enumerate(declared)]


def _of_inputs(specs: Sequence[TensorSpec], declared: Sequence[Column]) -> list[RowColumn]:
    known = {spec.name for spec in specs}
    numbers = {column.name: number for number, column in enumerate(declared)}
    for name, number in numbers.items():
        if name not in known:
            told = f"the model has no input {name}; it takes {listed([s.name for s in specs])}"
            raise SetupError(told, field=f"columns[{number}].name")
    found = []
    for spec in specs:
        _tail(spec)
        number = numbers.get(spec.name, -1)
        column = declared[number] if number >= 0 else Column(spec.name)
        found.append(_column(column, spec, number))
    return found


def _tail(spec: TensorSpec) -> int:
    """Return how many axes of size 1 an input of one value a row has besides that of rows."""
    shape = spec.shape
    if shape is None or len(shape) == 1:
        return 0
    if len(shape) == _MATRIX and shape[1] == 1:
        return 1
    told = f"takes {spec_text(spec)}; rows need an input of one value a row for each column,"
    raise SetupError(f"{told} or one matrix as the only input", field=f"inputs.{spec.name}")


def _column(column: Column, spec: TensorSpec, number: int) -> RowColumn:
    """Return a declared column of an input. Raises SetupError when the two disagree."""
    taken = DTYPE_TABLE[spec.dtype]
    dtype = DTYPE_TABLE[column.dtype or spec.dtype]
    odd = {dtype.name, taken.name}
    fits = dtype is taken or not ("string" in odd or taken.name == "bool")
    if not fits or (dtype.floating and taken.whole):
        told = f"a column of {dtype.name} cannot feed {spec.name}, which is {taken.name}"
        raise SetupError(told, field=f"columns[{number}].dtype")
    found = RowColumn(column.name, dtype, taken, None, frozenset(column.missing))
    return found._replace(default=_default(column, found, number))


def _default(column: Column, found: RowColumn, number: int) -> Any:
    value = column.default
    if value is None:
        return None
    if isinstance(value, float) and value != value and found.taken.floating:  # noqa: PLR0124
        return value  # NaN, which the model itself may have something to put in place of
    field = f"columns[{number}].default"
    if isinstance(value, str) and found.dtype.name != "string":
        raise SetupError(f"expected a value of {found.dtype.name}, got text", field=field)
    try:
        return checked(value, found)
    except WrongValue as error:
        raise SetupError(str(error), field=field) from None


def _block(
    inputs: Sequence[str],
    numbers: Sequence[int],
    columns: Sequence[RowColumn],
    tail: tuple[int, ...] | None = None,
) -> Block:
    chosen = [columns[number] for number in numbers]
    return Block(
        inputs=tuple(inputs),
        columns=tuple(numbers),
        dtype=chosen[0].taken.name,
        tail=tail or (),
        matrix=tail is None,
        plain=all(each.dtype is each.taken and not each.missing for each in chosen),
        pick=picker(tuple(numbers)),
    )
