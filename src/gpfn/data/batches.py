"""Scoring for engines that hand out Arrow's record batches: batches in, batches out.

It is the function that scores files, without the files: what an engine calls in each of its
processes, for each part of its data, such as PySpark's ``mapInArrow``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from gpfn.data.arrow import arrow_of, batch_columns
from gpfn.data.feeding import Feeder
from gpfn.data.scorer import ModelOrder, Scored, Scorer
from gpfn.data.seam import Chunk
from gpfn.errors import SetupError

__all__ = ["FAILED", "opened_scorer", "score_batches", "score_schema"]

FAILED = "gpfn_failed"
"""The column of a row's reason, null where it was scored."""
_PLACE = "the data"


@cache
def opened_scorer(order: ModelOrder) -> Scorer:
    """Return the scorer of an order, opened once in a process and kept.

    Raises SetupError or ModelUnreadable when the model cannot be opened.
    """
    return Scorer(order)


def score_schema(
    scorer: Scorer,
    given: pa.Schema,
    sample: Iterable[pa.RecordBatch] = (),
    place: str = _PLACE,
) -> pa.Schema:
    """Return the columns of the batches that come of batches with the columns ``given``.

    First those that are kept, as they are, then the outputs, as the model tells them, then
    `FAILED`. Where ``sample`` has rows that are answered, outputs are what they are there,
    also where the model leaves their sizes open. ``place`` is how errors call the data.
    Raises SetupError for a column that is not there or would be there twice.
    """
    feeder = scorer.feeder(given.names, place)
    for batch in sample:
        scorer.score(_chunk(batch, scorer, feeder, place), feeder)
    fields = [given.field(name) for name in scorer.order.keep]
    outputs = scorer.empty()
    for name in {*scorer.order.keep} & {*outputs, FAILED}:
        raise SetupError("a column that is kept has the name of an output", field=name)
    fields += [pa.field(name, arrow_of(array).type) for name, array in outputs.items()]
    return pa.schema([*fields, pa.field(FAILED, pa.string())])


def score_batches(
    batches: Iterable[pa.RecordBatch],
    scorer: Scorer,
    schema: pa.Schema | None = None,
    place: str = _PLACE,
) -> Iterator[pa.RecordBatch]:
    """Give a batch of scores for each batch, with as many rows in the same order.

    ``schema`` is what `score_schema` gives, which is asked for it when there is none. Raises
    GpfnError when it is not the rows that are wrong.
    """
    feeder: Feeder | None = None
    for batch in batches:
        if feeder is None or schema is None:
            schema = schema or score_schema(scorer, batch.schema, place=place)
            feeder = scorer.feeder(batch.schema.names, place)
        if batch.num_rows:
            chunk = _chunk(batch, scorer, feeder, place)
            yield _batch(batch, scorer.score(chunk, feeder), scorer.order.keep, schema)


def _chunk(batch: pa.RecordBatch, scorer: Scorer, feeder: Feeder, place: str) -> Chunk:
    """Return what the model is asked; what is kept is not looked at."""
    columns, missing = batch_columns(batch, feeder.wanted, place)
    kept = {name: np.zeros(batch.num_rows) for name in scorer.order.keep if name not in columns}
    return Chunk({**columns, **kept}, 0, batch.num_rows, missing)


def _batch(
    batch: pa.RecordBatch, scored: Scored, keep: Sequence[str], schema: pa.Schema
) -> pa.RecordBatch:
    rows = batch.num_rows
    told = [scored.faults.get(row) for row in range(rows)] if scored.faults else [None] * rows
    arrays = []
    for field in schema:
        if field.name in keep:
            arrays.append(_typed(batch.column(field.name), field))
        elif field.name == FAILED:
            arrays.append(pa.array(told, pa.string()))
        elif len(scored.faults) == rows:  # then the sizes of outputs may not be known
            arrays.append(pa.nulls(rows, field.type))
        else:
            given = arrow_of(scored.columns[field.name], scored.missing.get(field.name))
            arrays.append(_typed(given, field))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(array: Any, field: pa.Field) -> Any:
    if array.type == field.type:
        return array
    try:
        return array.cast(field.type)
    except pa.ArrowException as error:
        told = f"{array.type} here, and {field.type} for other rows: {error}"
        raise SetupError(told, field=field.name) from None
