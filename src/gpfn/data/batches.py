"""Scoring for engines that hand out Arrow's record batches: batches in, batches out.

It is the function that scores files, without the files: what an engine calls in each of its
processes, for each part of its data, such as PySpark's ``mapInArrow``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from gpfn.data.arrow import arrow_of, batch_columns
from gpfn.data.feeding import Feeder
from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.seam import Array, Chunk, Mask

__all__ = ["FAILED", "opened_scorer", "score_batches", "score_schema"]

FAILED = "gpfn_failed"
"""The column of a row's reason, null where it was scored."""


@cache
def opened_scorer(order: ModelOrder) -> Scorer:
    """Return the scorer of an order, opened once in a process and kept.

    Raises SetupError or ModelUnreadable when the model cannot be opened.
    """
    return Scorer(order)


def score_schema(scorer: Scorer, given: pa.Schema) -> pa.Schema:
    """Return the columns of the batches that come of batches with the columns ``given``.

    First those that are kept, as they are, then the outputs, as the model tells them, then
    `FAILED`. Raises SetupError for a column that is not there.
    """
    scorer.feeder(given.names, "the data")
    fields = [given.field(name) for name in scorer.order.keep]
    outputs = scorer.empty()
    fields += [pa.field(name, arrow_of(array).type) for name, array in outputs.items()]
    return pa.schema([*fields, pa.field(FAILED, pa.string())])


def score_batches(
    batches: Iterable[pa.RecordBatch], scorer: Scorer, schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """Give a batch of scores for each batch, with as many rows in the same order.

    ``schema`` is what `score_schema` gives, which is asked for it when there is none. Raises
    GpfnError when it is not the rows that are wrong.
    """
    feeder: Feeder | None = None
    for batch in batches:
        if feeder is None or schema is None:
            schema = schema or score_schema(scorer, batch.schema)
            feeder = scorer.feeder(batch.schema.names, "the data")
        if batch.num_rows:
            yield _scored(batch, scorer, feeder, schema)


def _scored(
    batch: pa.RecordBatch, scorer: Scorer, feeder: Feeder, schema: pa.Schema
) -> pa.RecordBatch:
    wanted = [*dict.fromkeys((*feeder.wanted, *scorer.order.keep))]
    columns, missing = batch_columns(batch, feeder.wanted, "the data")
    kept = {name: np.zeros(batch.num_rows) for name in wanted if name not in columns}
    scored = scorer.score(Chunk({**columns, **kept}, 0, batch.num_rows, missing), feeder)
    told = [scored.faults.get(row) for row in range(batch.num_rows)] if scored.faults else None
    arrays = []
    for field in schema:
        if field.name in scorer.order.keep:
            arrays.append(batch.column(field.name))
        elif field.name == FAILED:
            arrays.append(pa.array(told or [None] * batch.num_rows, pa.string()))
        else:
            arrays.append(_typed(field, scored.columns, scored.missing))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(field: pa.Field, columns: Mapping[str, Array], missing: Mapping[str, Mask]) -> Any:
    found = arrow_of(columns[field.name], missing.get(field.name))
    return found if found.type == field.type else found.cast(field.type)
