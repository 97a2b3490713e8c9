"""What ``model.toml`` says of rows: the columns of a model that takes rows, and its classes.

A column is a value of each row. A model that has an input for each column tells their names,
dtypes and order itself; one that takes all of them as one matrix does not, and its columns are
listed here in the order of the matrix. :mod:`gpfn.rows.schema` holds both together.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gpfn.models.toml_table import Scalar, Table
from gpfn.tensors.spec import DTYPES

__all__ = ["Column", "parse_classes", "parse_columns"]

_DTYPE = re.compile("|".join(sorted(DTYPES)))
_TOLD = f"one of {', '.join(sorted(DTYPES))}"
_CLASS = re.compile(r".+", re.DOTALL)


class Column(NamedTuple):
    """A column as it is declared.

    ``dtype`` is empty where the model's input says it. ``default`` stands for a missing value,
    which is refused where it is None. ``missing`` are texts that mean a missing value, such as
    ``?``, besides no text at all.
    """

    name: str
    dtype: str = ""
    default: Scalar | None = None
    missing: tuple[str, ...] = ()


def parse_columns(table: Table) -> tuple[Column, ...]:
    """Return the ``columns`` of a description, in order. Raises SetupError."""
    return tuple([_column(each) for each in table.listed("columns")])


def parse_classes(table: Table) -> tuple[str, ...]:
    """Return the ``classes`` of a description, in the order of the output. Raises SetupError."""
    return table.matches("classes", _CLASS, "names")


def _column(table: Table) -> Column:
    found = Column(
        name=table.text("name"),
        dtype=table.match("dtype", _DTYPE, _TOLD, ""),
        default=table.scalar("default"),
        missing=table.texts("missing"),
    )
    table.end()
    return found
