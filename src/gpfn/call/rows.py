"""The rows of a call: from its data to the arrays of the model, and from the answer to rows.

The media type says what the data are: JSON, CSV, or, where the only column is text, plain text.
The answer is of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpfn.call.payload import Payload
from gpfn.call.result import ResultBody, as_arrays, encode_result
from gpfn.errors import InvalidEvent, InvalidTensor, UnsupportedMedia
from gpfn.media import JSON, TEXT
from gpfn.rows.arrays import rows_to_arrays
from gpfn.rows.csv_rows import CSV_TYPES, decode_csv_rows, text_of
from gpfn.rows.json_rows import check_text, decode_json_rows
from gpfn.rows.writing import (
    Written,
    are_rows,
    check_rows,
    row_objects,
    write_csv,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    import numpy as np

    from gpfn.call.contract import Contract
    from gpfn.events.event import Event
    from gpfn.limits import Limits
    from gpfn.message import Message
    from gpfn.rows.schema import RowSchema

__all__ = ["decode_rows", "encode_rows", "plain_rows"]

_Arrays = dict[str, "np.ndarray[Any, Any]"]


def decode_rows(payload: Payload, schema: RowSchema, limits: Limits) -> _Arrays:
    """Return the arrays for the rows in a call's data; the payload keeps the form they had.

    Raises InvalidTensor with the row and the column of what is wrong, UnsupportedMedia,
    TooLarge, and what the payload raises for data that are no JSON.
    """
    if payload.event is not None and not payload.has_data:
        raise InvalidEvent("missing; this function takes rows", field="data")
    path = payload.field
    if payload.media_type != JSON:
        base = payload.base_type
        if base in CSV_TYPES:
            read = decode_csv_rows(payload.view, payload.media_type, schema, limits, path=path)
            payload.form = read.separator
            return read.arrays
        if base == TEXT and schema.is_text:
            payload.form = "text"
            return _of_text(payload, schema, limits)
        if not payload.is_json:
            told = f"no rows in {base or 'data without a media type'}; known: {JSON}, "
            told += ", ".join([*CSV_TYPES, *[TEXT] * schema.is_text])
            raise UnsupportedMedia(told, field=path)
    if payload.event is None and payload.is_empty:
        raise InvalidTensor("empty; expected rows as JSON", field=path)
    if not payload.is_parsed:
        check_text(payload.view, schema, limits, path)
    # a whole number beyond 64 bits fits no column that would keep its digits
    value = payload.json(exact=False)
    found = decode_json_rows(value, schema, limits, path=path, mixed=payload.mixed)
    payload.form = found.form
    return found.arrays


def encode_rows(
    result: object, subject: _Arrays, payload: Payload, contract: Contract
) -> ResultBody | Event | Message:
    """Return the reply's body: rows for what a model gave, and for arrays of as many rows.

    ``subject`` are the arrays that were decoded. What else a handler returns is answered as
    any function's result. Raises ModelFailed for a model's output that has not a row for each.
    """
    arrays = _arrays(result, contract)
    count = len(next(iter(subject.values())))
    form = payload.form
    if arrays is not None and contract.handler is None and contract.after is None:
        check_rows(arrays, count)
    if arrays is None or not are_rows(arrays, count):
        payload.form = "nested"
        asked = payload if payload.is_json else Payload(b"", JSON, event=payload.event)
        return encode_result(result, asked, nonfinite=contract.nonfinite, output=contract.output)
    written = _written(arrays, form, contract)
    attributes: Mapping[str, str | bool] = {"nonfinite": True} if written.nonfinite else {}
    return ResultBody(written.body, written.media_type, attributes, written.media_type == JSON)


def plain_rows(result: object, subject: _Arrays, payload: Payload, contract: Contract) -> object:
    """Return what a plain call answers: rows as Python has them, or what a handler returned."""
    arrays = _arrays(result, contract)
    count = len(next(iter(subject.values())))
    if arrays is None or not are_rows(arrays, count):
        return result
    assert contract.rows is not None  # noqa: S101 - who calls this has seen it
    rows, _ = row_objects(arrays, contract.rows.classes, nonfinite=contract.nonfinite)
    return rows[0] if payload.form in _ONE else rows


_ONE = ("row", "text")


def _arrays(result: object, contract: Contract) -> _Arrays | None:
    """Return arrays with the rows along their first axis; None for what is none."""
    arrays = as_arrays(result, contract.output)
    sequences = contract.rows.sequences if contract.rows is not None else ()
    if arrays is None or not sequences or contract.handler or contract.after:
        return arrays
    return {
        name: array.swapaxes(0, 1) if name in sequences and array.ndim > 1 else array
        for name, array in arrays.items()
    }


def _written(arrays: _Arrays, form: str, contract: Contract) -> Written:
    assert contract.rows is not None  # noqa: S101 - who calls this has seen it
    classes, nonfinite = contract.rows.classes, contract.nonfinite
    if form == "text":
        return write_text(arrays, classes, nonfinite=nonfinite)
    if form in ("row", "rows"):
        return write_json(arrays, classes, one=form == "row", nonfinite=nonfinite)
    return write_csv(arrays, classes, form, nonfinite=nonfinite)


def _of_text(payload: Payload, schema: RowSchema, limits: Limits) -> _Arrays:
    path = payload.field
    text = text_of(payload.view, payload.media_type, path)
    if not text:
        raise InvalidTensor("empty; expected text", field=path)
    return rows_to_arrays([(text,)], schema, limits, path, lambda _: path)
