"""From rows, pictures and texts on the command line to the body that a function takes.

The function is asked what it takes, in a process of its own. Arrays are made as a model's
inputs are; rows go as CSV, so that the function's own columns say what their texts mean; any
other function is sent JSON, or a text as it stands. What takes events gets one around it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from typing import TYPE_CHECKING, NamedTuple

from gpfn.cli.given import given_inputs, given_rows
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.build.models import Asked
    from gpfn.cli.columns import TextRows
    from gpfn.hosts.target import Target

__all__ = ["MadeBody", "is_given", "make_body"]

_JSON, _CSV, _TEXT = "application/json", "text/csv", "text/plain"
_KINDS = ("row", "csv", "text")


class MadeBody(NamedTuple):
    """A body with its media type, and what was assumed when it was made, a line each."""

    data: bytes
    content_type: str
    assumed: tuple[str, ...] = ()


def is_given(args: argparse.Namespace) -> tuple[str, ...]:
    """Return which of ``--row``, ``--csv`` and ``--text`` are there."""
    return tuple(f"--{kind}" for kind in _KINDS if getattr(args, kind))


def make_body(args: argparse.Namespace, target: Target | None) -> MadeBody | None:
    """Return what a function is sent for ``--row``, ``--csv``, ``--image`` or ``--text``.

    None for pictures that the function reads itself: those go as parameters.
    A function of which nothing is here is sent JSON, as one that takes a payload. Raises
    SetupError for a function that cannot be loaded, and as `given_inputs` does.
    """
    from gpfn.build.models import Asked, ask_function
    from gpfn.cli.resolve import pull_models

    if target is None:
        if args.image:
            return None
        return _rows(args, Asked()) if args.row or args.csv else _texts(args.text)
    pull_models(target)
    asked = ask_function(target.file, target.environ(), opened=True)
    if not asked.takes and is_given(args):
        told = "cannot be loaded here, so nothing says what it takes; gpfn doctor says why"
        raise SetupError(told, field=str(target.file))
    if asked.takes == "arrays":
        return _arrays(args, asked)
    if args.image:
        return None
    body = _rows(args, asked) if args.row or args.csv else _texts(args.text)
    return _event(body) if asked.takes == "event" else body


def _arrays(args: argparse.Namespace, asked: Asked) -> MadeBody:
    from gpfn.tensors.codec import encode

    given = given_inputs(args, asked.inputs, None)
    several = len(asked.inputs) > 1
    return MadeBody(encode(given.arrays, _JSON, named=several).body, _JSON, given.assumed)


def _rows(args: argparse.Namespace, asked: Asked) -> MadeBody:
    table = given_rows(args, ())
    if asked.takes == "rows":
        return MadeBody(_csv_text(table), _CSV)
    if not table.names:
        raise SetupError("a first line has to name the columns", field=args.csv)
    from gpfn.hosts.parameters import read_parameters

    # there is no schema, so a text is read as that of a parameter is: JSON, or itself
    rows = [read_parameters(pairs=[*zip(table.names, row, strict=True)]) for row in table.rows]
    return MadeBody(json.dumps(rows[0] if args.row and len(rows) == 1 else rows).encode(), _JSON)


def _csv_text(table: TextRows) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([table.names, *table.rows] if table.names else table.rows)
    return text.getvalue().encode()


def _texts(texts: list[str]) -> MadeBody:
    if len(texts) == 1:
        return MadeBody(texts[0].encode(), _TEXT)
    return MadeBody(json.dumps(texts).encode(), _JSON)


def _event(body: MadeBody) -> MadeBody:
    """Return an event, in structured mode, with the body as its data."""
    from gpfn.events.event import Event
    from gpfn.events.json_format import write_event

    event = Event(
        type="gpfn.invoke", source="/gpfn/invoke", datacontenttype=body.content_type, data=body.data
    )
    return MadeBody(write_event(event), "application/cloudevents+json")
