"""Functions of rows: what of a model is a column, a sample row, and names for a matrix.

A model with an input for each column names them itself. One matrix (n, k) has no names: its
model.toml lists them in the order of training, and where there is none, one is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError
from gpfn.scaffold.samples import SampleEvent, usual_arrays
from gpfn.scaffold.spelling import literal

if TYPE_CHECKING:
    from gpfn.rows.schema import RowSchema
    from gpfn.rows.values import RowColumn
    from gpfn.scaffold.source import FoundModel
    from gpfn.tensors.spec import TensorSpec

__all__ = ["column_file", "has_columns", "no_rows", "row_sample"]

_DESCRIPTION = "model.toml"
_KEY = "columns"


def no_rows(source: FoundModel) -> str:
    """Return why a model's inputs are no columns, and what to do; nothing when they are."""
    if has_columns(source):
        return _disagreement(source)
    if not _is_matrix(source):
        return "rows is for inputs of one value a row, or for one matrix (n, k); take arrays"
    if source.description is not None and not source.description.columns:
        return f"model.toml lists no columns; it needs [[{_KEY}]] with a name for each, in order"
    return _disagreement(source)


def _disagreement(source: FoundModel) -> str:
    """Return what a function of rows would refuse of the model.toml; nothing when all is well."""
    if source.description is None:
        return ""
    try:
        _schema(source)
    except SetupError as error:
        return f"model.toml: {error}"
    return ""


def _schema(source: FoundModel) -> RowSchema:
    from gpfn.function.rows import schema_of

    return schema_of(source.inputs, source.model, source.place, ())


def has_columns(source: FoundModel) -> bool:
    """Say whether each of a model's inputs has one value a row, (n) or (n, 1)."""
    return all(map(_is_column, source.inputs))


def _is_column(spec: TensorSpec) -> bool:
    shape = spec.shape
    return shape is not None and _has_rows(shape) and (len(shape) == 1 or shape[1:] == (1,))


def _has_rows(shape: Sequence[int | None]) -> bool:
    """Say whether the first axis can be that of rows: open, or of one row."""
    return bool(shape) and shape[0] in (None, 1)


def _is_matrix(source: FoundModel) -> bool:
    shapes = [spec.shape for spec in source.inputs]
    if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 2:
        return False
    return _has_rows(shapes[0]) and bool(shapes[0][1])


def row_sample(source: FoundModel) -> SampleEvent:
    """Return one row: an object of the columns, or its values where they get their names here."""
    arrays = usual_arrays(source)
    if source.description is None and not all(map(_is_column, source.inputs)):
        return SampleEvent(next(iter(arrays.values())).tolist())
    columns = _schema(source).columns
    rows = [array[:1].ravel().tolist() for array in arrays.values()]
    values = zip(columns, [value for row in rows for value in row], strict=True)
    return SampleEvent({column.name: _as_column(value, column) for column, value in values})


def _as_column(value: Any, column: RowColumn) -> Any:
    """Return a value of the model's input as one of the column, which may be of another dtype."""
    if column.dtype.name == "bool":
        return bool(value)
    return int(value) if column.dtype.whole else value


def column_file(source: FoundModel) -> Mapping[str, str]:
    """Return the model.toml that names a matrix's columns, where there is none."""
    if source.description is not None or has_columns(source):
        return {}
    count = (source.inputs[0].shape or (0, 0))[1] or 0
    lines = [
        "# What the columns are called, in the order of training: yours go here.",
        "# dtype, default and missing may be said of each.",
        f"model = {literal(source.uri.partition('?')[0])}",
    ]
    for number in range(1, count + 1):
        lines += ["", f"[[{_KEY}]]", f'name = "column_{number}"']
    return {_DESCRIPTION: "\n".join(lines) + "\n"}
