"""Arrow's types as Spark has them: no lists of a fixed size, and nothing without a sign."""

from __future__ import annotations

from types import MappingProxyType

import pyarrow as pa

from gpfn.errors import SetupError

__all__ = ["ddl_name", "spark_type"]

_WIDER = MappingProxyType(
    {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
        pa.large_string(): pa.string(),
    }
)
_NAMES = MappingProxyType(
    {
        pa.bool_(): "boolean",
        pa.int8(): "tinyint",
        pa.int16(): "smallint",
        pa.int32(): "int",
        pa.int64(): "bigint",
        pa.float32(): "float",
        pa.float64(): "double",
        pa.string(): "string",
        pa.decimal128(20, 0): "decimal(20,0)",
    }
)


def spark_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column of ``kind`` has in Spark: none that holds less.

    >>> str(spark_type(pa.list_(pa.uint8(), 3)))
    'list<item: int16>'
    """
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return pa.list_(spark_type(kind.value_type))
    return _WIDER.get(kind, kind)


def ddl_name(kind: pa.DataType, column: str) -> str:
    """Return what Spark's schemas call the type of a column.

    Raises SetupError, with the column, for one that Spark has not.

    >>> ddl_name(pa.list_(pa.float32()), "scores")
    'array<float>'
    """
    if pa.types.is_list(kind):
        return f"array<{ddl_name(kind.value_type, column)}>"
    if kind not in _NAMES:
        raise SetupError(f"values of {kind}, which Spark has not", field=column)
    return _NAMES[kind]
